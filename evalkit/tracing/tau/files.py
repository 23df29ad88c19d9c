"""tau-bench's list and tau2-bench's object, read into one form; neither's ``info`` is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from evalkit.errors import FileError, Problem
from evalkit.tracing.tau.cases import BASIS, Action, Task
from evalkit.tracing.tau.chat import NOTHING, Message, lenient

Shape = TypeVar("Shape")


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded conversation as its file tells it; ``checks`` are ids of checked actions.

    ``tool_types`` are tools with their kind, as the file tells it (``read``, ``write``).
    """

    number: int
    id: str | None = None
    task_id: str | None = None
    trial: int | None = None
    reward: float | None = None
    messages: tuple[Message, ...] = ()
    stop_reason: str | None = None
    started: str | None = None
    seconds: float | None = None
    checks: tuple[str, ...] = ()
    tool_types: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """How a person finds this simulation in the file."""
        return f"simulation {self.number}" + (f" (id {self.id})" if self.id else "")


class Aside(msgspec.Struct, frozen=True, kw_only=True):
    """A simulation that is set aside, why, and which task and trial it was, if that is known."""

    label: str
    reason: str
    task_id: str | None = None
    trial: int | None = None


class ResultsFile(msgspec.Struct, frozen=True, kw_only=True):
    """What either file holds: tasks, simulations, and simulations that can't be read."""

    source: str
    tasks: dict[str, Task]
    simulations: list[Simulation]
    asides: list[Aside]
    domain: str | None = None
    model: str | None = None


class _Old(msgspec.Struct, frozen=True):
    task_id: str | int | None = None
    trial: int | None = None
    reward: float | None = None
    info: _OldInfo | None = None
    traj: tuple[Message, ...] | None = None


class _OldInfo(msgspec.Struct, frozen=True):
    task: _OldTask | None = None


class _OldTask(msgspec.Struct, frozen=True):
    instruction: str
    actions: tuple[Action, ...] = ()
    outputs: tuple[Any, ...] = ()


class _Results(msgspec.Struct, frozen=True):
    tasks: tuple[msgspec.Raw, ...]
    simulations: tuple[msgspec.Raw, ...]
    info: msgspec.Raw = NOTHING


class _Info(msgspec.Struct, frozen=True):
    # Only what is named here is ever decoded: the rest has held people's keys.
    environment_info: _Environment | None = None
    agent_info: _Agent | None = None


class _Environment(msgspec.Struct, frozen=True):
    domain_name: str | None = None


class _Agent(msgspec.Struct, frozen=True):
    llm: str | None = None


class _Task(msgspec.Struct, frozen=True):
    id: str | int
    user_scenario: Any = None
    ticket: Any = None
    evaluation_criteria: _Criteria | None = None


class _Criteria(msgspec.Struct, frozen=True):
    actions: tuple[Action, ...] | None = None
    communicate_info: tuple[Any, ...] | None = None
    nl_assertions: tuple[Any, ...] | None = None
    env_assertions: tuple[Any, ...] | None = None
    reward_basis: tuple[str, ...] | None = None


class _New(msgspec.Struct, frozen=True):
    id: str | None = None
    task_id: str | int | None = None
    trial: int | None = None
    reward_info: _Reward | None = None
    messages: tuple[Message, ...] | None = None
    termination_reason: str | None = None
    start_time: str | None = None
    duration: float | None = None


class _Reward(msgspec.Struct, frozen=True):
    reward: float | None = None
    action_checks: tuple[_Check, ...] | None = None


class _Check(msgspec.Struct, frozen=True):
    action: Action
    tool_type: str | None = None


class _Key(msgspec.Struct, frozen=True):
    id: Any = None
    task_id: Any = None
    trial: Any = None


def read_results(data: bytes, file: str) -> ResultsFile:
    """The file's tasks and simulations. FileError where it is neither benchmark's file."""
    content = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if content[:1] == b"[":
        return _read_old(decode(content, tuple[msgspec.Raw, ...], file))
    if content[:1] == b"{":
        return _read_new(decode(content, _Results, file), file)
    found = "nothing" if not content else f"{content[:1]!r}"
    expected = "a list (tau-bench) or an object with tasks and simulations (tau2-bench)"
    raise FileError(
        Problem(file, f"not a result file: it begins with {found}, not with {expected}")
    )


def decode(data: bytes, shape: type[Shape], file: str) -> Shape:
    """JSON in a shape; FileError with line and column where it is broken."""
    try:
        return msgspec.json.decode(data, type=shape)
    except msgspec.ValidationError as error:
        raise FileError(Problem(file, f"not a tau-bench or tau2-bench file: {error}")) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise FileError(_malformed(data, file, str(error))) from None


def _malformed(data: bytes, file: str, message: str) -> Problem:
    """Where the JSON breaks, as the standard library's slower parser tells it."""
    cut = "the file is cut off: " if "truncated" in message else ""
    try:
        json.loads(data, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        return Problem(file, f"not JSON: {cut}{error.msg}", error.lineno, error.colno)
    except UnicodeDecodeError as error:
        return Problem(file, f"not UTF-8 text at byte {error.start}")
    except RecursionError:
        return Problem(file, "nested too deep to be read")
    except ValueError as error:
        return Problem(file, f"not JSON: {error}")
    return Problem(file, "not JSON that can be used: half a surrogate pair, or nesting too deep")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON value")


def _each(raws: tuple[msgspec.Raw, ...], shape: type[Shape]) -> Iterator[tuple[int, Shape | Aside]]:
    """Each record in its shape, or what is wrong with it; one broken record breaks no other."""
    for number, raw in enumerate(raws, start=1):
        try:
            yield number, msgspec.json.decode(raw, type=shape)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            yield number, _aside(number, raw, str(error) or "nested too deep")


def _aside(number: int, raw: msgspec.Raw, reason: str) -> Aside:
    try:
        key = msgspec.json.decode(raw, type=_Key)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        key = _Key()
    name = f" (id {key.id})" if isinstance(key.id, str) else ""
    is_trial = isinstance(key.trial, int) and not isinstance(key.trial, bool)
    return Aside(
        label=f"simulation {number}{name}",
        reason=reason,
        task_id=str(key.task_id) if isinstance(key.task_id, str | int) else None,
        trial=key.trial if is_trial else None,
    )


def _read_old(raws: tuple[msgspec.Raw, ...]) -> ResultsFile:
    tasks: dict[str, Task] = {}
    simulations: list[Simulation] = []
    asides: list[Aside] = []
    for number, record in _each(raws, _Old):
        if isinstance(record, Aside):
            asides.append(record)
            continue
        task_id = None if record.task_id is None else str(record.task_id)
        stated = record.info.task if record.info else None
        if stated and task_id is not None:
            task = Task(task_id, stated.instruction, stated.actions, _strings(stated.outputs))
            if tasks.setdefault(task_id, task) != task:
                reason = f"its task {task_id} is not the one that an earlier trial had"
                asides.append(Aside(label=f"simulation {number}", reason=reason))
                continue
        simulations.append(
            Simulation(
                number=number,
                task_id=task_id,
                trial=record.trial,
                reward=record.reward,
                messages=record.traj or (),
            )
        )
    return ResultsFile(source="tau-bench", tasks=tasks, simulations=simulations, asides=asides)


def _read_new(results: _Results, file: str) -> ResultsFile:
    read = [_simulation(number, record) for number, record in _each(results.simulations, _New)]
    info = lenient(results.info, _Info)
    return ResultsFile(
        source="tau2-bench",
        tasks=_tasks(results.tasks, file),
        simulations=[one for one in read if isinstance(one, Simulation)],
        asides=[one for one in read if isinstance(one, Aside)],
        domain=info.environment_info.domain_name if info.environment_info else None,
        model=info.agent_info.llm if info.agent_info else None,
    )


def _simulation(number: int, record: _New | Aside) -> Simulation | Aside:
    if isinstance(record, Aside):
        return record
    reward = record.reward_info or _Reward()
    checked = [check.action.action_id for check in reward.action_checks or ()]
    return Simulation(
        number=number,
        id=record.id,
        task_id=None if record.task_id is None else str(record.task_id),
        trial=record.trial,
        reward=reward.reward,
        messages=record.messages or (),
        stop_reason=record.termination_reason,
        started=record.start_time,
        seconds=record.duration if record.duration and record.duration > 0 else None,
        checks=tuple(one for one in checked if one),
        tool_types=tuple(
            (check.action.name, check.tool_type)
            for check in reward.action_checks or ()
            if check.tool_type is not None
        ),
    )


def _tasks(raws: tuple[msgspec.Raw, ...], file: str) -> dict[str, Task]:
    tasks: dict[str, Task] = {}
    for number, record in _each(raws, _Task):
        if isinstance(record, Aside):
            raise FileError(Problem(file, f"task {number} cannot be read: {record.reason}"))
        criteria = record.evaluation_criteria
        asked = record.ticket if record.user_scenario is None else record.user_scenario
        task = Task(str(record.id), asked, basis=())
        if criteria:
            said = _strings(criteria.communicate_info or ())
            basis = criteria.reward_basis or BASIS
            task = Task(task.id, asked, _actions(criteria), said, _notes(criteria), basis)
        if tasks.setdefault(task.id, task) is not task:
            raise FileError(Problem(file, f"task {number}: an earlier task has the id {task.id!r}"))
    return tasks


def _actions(criteria: _Criteria) -> tuple[Action, ...] | None:
    """The expected calls; without any end state stated either, nothing is said about calls."""
    if criteria.actions is None and criteria.env_assertions is None:
        return None
    return criteria.actions or ()


def _notes(criteria: _Criteria) -> str | None:
    """What of the benchmark's own judgement this case does not hold, for a reader."""
    basis = f"reward from {', '.join(criteria.reward_basis)}" if criteria.reward_basis else ""
    counts = {
        "natural-language": len(criteria.nl_assertions or ()),
        "environment": len(criteria.env_assertions or ()),
    }
    left = [f"{count} {kind} assertions not held here" for kind, count in counts.items() if count]
    return "; ".join(part for part in (basis, *left) if part) or None


def _strings(values: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(value if isinstance(value, str) else json.dumps(value) for value in values)
