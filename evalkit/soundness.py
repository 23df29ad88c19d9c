"""What is wrong with an expectation: each problem with its place, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.argument_problems import argument_problems
from evalkit.assignment import TooLargeError
from evalkit.dataset import Expected, ExpectedStep
from evalkit.plans import plans
from evalkit.values import is_path, show

MAX_DEPTH = 32
"""Groups nest at most this deep."""


def problems(expect: Expected) -> list[str]:
    """What is wrong with an expectation: `after` that names nothing, several or itself in a
    circle, arguments that can't be read, keys that mean nothing where they are, and too many ways
    to satisfy it. Each says where, and what to do."""
    places = (
        ["steps"] if expect.paths is None else [f"paths[{i}]" for i in range(len(expect.paths))]
    )
    found: list[str] = []
    for place, reference in zip(places, expect.references, strict=False):
        if any(_depth(stated) > MAX_DEPTH for stated in reference):
            return [f"{place}: groups nest deeper than {MAX_DEPTH} levels"]
        found += _list_problems(place, reference)
    found += _never_problems(expect.never)
    found += [
        f"ignore.{tool}: {show(path)} is no path: write `a.b` or `items[0].b`"
        for tool, paths in expect.ignore.items()
        for path in paths
        if not is_path(path)
    ]
    try:
        ways = plans(expect, lambda _: 0)
    except TooLargeError as error:
        return [*found, str(error)]
    circular = any(mask >> row & 1 for way in ways for row, mask in enumerate(way.before or ()))
    if circular:
        found.append("steps: `after` goes in a circle: no order satisfies it")
    return found


def _depth(stated: ExpectedStep) -> int:
    deepest, pending = 0, [(stated, 0)]
    while pending:
        one, depth = pending.pop()
        deepest = max(deepest, depth)
        pending += [(inner, depth + 1) for listed in one.members for inner in listed]
    return deepest


def _list_problems(place: str, reference: Sequence[ExpectedStep]) -> Iterator[str]:
    every = [one for position, stated in enumerate(reference) for one in _walk(stated, position)]
    for where, stated in every:
        yield from (f"{place}{where}{said}" for said in _step_problems(stated))
    ids = [stated.id for _, stated in every if stated.id is not None]
    for name in sorted(set(ids)):
        if ids.count(name) > 1:
            yield f"{place}: the id {name!r} is given twice"
    for where, stated in every:
        for name in stated.after:
            if name in ids:
                continue
            count = sum(name in _names(one) for _, one in every)
            if not count:
                yield f"{place}{where}.after: no expected step has the id or name {name!r}"
            elif count > 1:
                yield (
                    f"{place}{where}.after: {name!r} names {count} expected steps; "
                    "give the one that is meant an `id`"
                )


def _walk(stated: ExpectedStep, position: int) -> Iterator[tuple[str, ExpectedStep]]:
    """The step and, of a group that is not one choice, the steps within it, each with its place."""
    pending = [(f"[{position}]", stated)]
    while pending:
        where, one = pending.pop()
        yield where, one
        if not one.is_single:
            key = "any_of" if one.any_of is not None else "parallel"
            for number, listed in enumerate(one.members):
                for inner, member in enumerate(listed):
                    deeper = f"[{inner}]" if len(listed) > 1 else ""
                    pending.append((f"{where}.{key}[{number}]{deeper}", member))


def _names(stated: ExpectedStep) -> set[str]:
    return {one.name or "" for one in stated.alternatives} if stated.is_single else set()


def _step_problems(stated: ExpectedStep) -> Iterator[str]:
    yield from (f".args: {said}" for said in argument_problems(stated.args))
    if not stated.is_single:
        if stated.args is not None:
            yield ".args: has no meaning beside a group: state it on the steps within"
        if stated.status is not None:
            yield ".status: has no meaning beside a group: state it on the steps within"
        return
    for place, listed in enumerate(stated.members):
        for one in listed:
            yield from (f".any_of[{place}].args: {said}" for said in argument_problems(one.args))
            if one.after or one.optional or one.id:
                yield (
                    f".any_of[{place}]: `after`, `optional` and `id` go beside `any_of`, "
                    "not within it"
                )


def _never_problems(never: Sequence[ExpectedStep]) -> Iterator[str]:
    for place, stated in enumerate(never):
        yield from (f"never[{place}]{said}" for said in _step_problems(stated))
        if stated.after:
            yield f"never[{place}].after: has no meaning in `never`"
        if not stated.is_single:
            yield f"never[{place}]: one step or a choice of steps, not a group of several"
        if stated.times is not None:
            yield f"never[{place}].times: has no meaning in `never`"
