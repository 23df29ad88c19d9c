"""Suites collected by a real pytest, with and without xdist."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from evalkit.store import Store
from tests.project import CASES, GOOD, write_project


@pytest.fixture
def folder(pytester: pytest.Pytester) -> Path:
    # Other plug-ins that are installed take two seconds of each start, and are not looked at.
    others = ("hypothesispytest", "langsmith_plugin", "anyio")
    pytester.makeini("[pytest]\naddopts = " + " ".join(f"-p no:{name}" for name in others))
    return pytester.path


def bad_for(*numbers: int) -> str:
    return GOOD.replace("q * 2", f"q * 2 if q not in {numbers} else -1")


def outcomes(result: pytest.RunResult) -> dict[str, int]:
    return result.parseoutcomes()


@pytest.mark.parametrize(
    "xdist", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)], ids=["alone", "xdist"]
)
def test_each_case_is_an_item_and_one_run_is_stored(
    pytester: pytest.Pytester, folder: Path, xdist: tuple[str, ...]
) -> None:
    write_project(folder, bad_for(3))
    result = pytester.runpytest_subprocess("--evalkit", "suite.yaml", "-v", *xdist)
    assert outcomes(result) == {"passed": 5, "failed": 1}
    result.stdout.fnmatch_lines_random(["*suite.yaml::odd::case-3*FAILED*"] if not xdist else [])
    result.stdout.fnmatch_lines(["*task_completion passed in 0 of 2 trials*", "*tool look_up*"])
    result.stdout.fnmatch_lines(["*= evalkit: small =*", "even*3*6*"])
    (run,) = Store(folder / ".evalkit").runs()
    assert (run.label, run.status) == ("pytest", "complete")
    # As `evalkit run` tells it: else every gate between the two says that it changed.
    assert list(run.scopes) == ["evalkit.steps"]
    assert len(list(Store(folder / ".evalkit").trials(run.id))) == 12


@pytest.mark.slow
def test_items_are_selected_as_tests_are(pytester: pytest.Pytester, folder: Path) -> None:
    write_project(folder, bad_for(3))
    assert outcomes(pytester.runpytest_subprocess("-k", "odd", "suite.yaml")) == {
        "passed": 2, "failed": 1, "deselected": 3,
    }  # fmt: skip
    assert outcomes(pytester.runpytest_subprocess("-m", "small", "suite.yaml")) == {
        "passed": 2, "deselected": 4,
    }  # fmt: skip
    assert outcomes(pytester.runpytest_subprocess("--lf", "suite.yaml"))["failed"] == 1
    one = pytester.runpytest_subprocess("suite.yaml::odd::case-3")
    assert outcomes(one) == {"failed": 1}
    assert set(Store(folder / ".evalkit").runs()[0].selection.cases) == {"case-3"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "xdist", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)], ids=["alone", "xdist"]
)
def test_the_gates_verdict_is_an_item(
    pytester: pytest.Pytester, folder: Path, xdist: tuple[str, ...]
) -> None:
    cases = [{**case, "id": f"{case['id']}-{n}"} for case in CASES for n in range(4)]
    write_project(folder, cases=cases, trials=3)
    pytester.runpytest_subprocess("--evalkit", "suite.yaml", "--evalkit-label", "main")
    write_project(folder, bad_for(1, 3), cases=cases, trials=3)
    result = pytester.runpytest_subprocess(
        "suite.yaml", "--evalkit-baseline", "main", "--junit-xml", "j.xml", *xdist
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines_random(["*suite.yaml::gate::odd::task_completion*"])
    failed = {
        (case.get("classname"), case.get("name"))
        for case in ET.parse(folder / "j.xml").iter("testcase")
        if case.find("failure") is not None
    }
    assert failed and all("gate" in str(classname) for classname, _ in failed)
    assert all("odd" in f"{classname}.{name}" for classname, name in failed)


@pytest.mark.slow
def test_the_same_again_passes_the_gate(pytester: pytest.Pytester, folder: Path) -> None:
    write_project(folder, trials=3)
    again = ("suite.yaml", "--evalkit-label", "main")
    assert pytester.runpytest_subprocess(*again).ret == 0
    cases = {"--evalkit-baseline": "main"}
    result = pytester.runpytest_subprocess(*again, *(x for pair in cases.items() for x in pair))
    assert result.ret == 0, result.stdout.str()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--evalkit-baseline", "nope"), "no run 'nope'"),
        (("--evalkit-set", "x=1"), "unknown setting"),
    ],
)
def test_wrong_options_end_the_collection(
    pytester: pytest.Pytester, folder: Path, options: tuple[str, ...], says: str
) -> None:
    write_project(folder)
    result = pytester.runpytest_subprocess("suite.yaml", *options)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([f"*{says}*"])


def test_a_broken_suite_is_a_collection_error(pytester: pytest.Pytester, folder: Path) -> None:
    path = write_project(folder)
    path.write_text(json.dumps({**json.loads(path.read_text()), "trails": 3}))
    result = pytester.runpytest_subprocess("suite.yaml")
    assert outcomes(result) == {"errors": 1}
    result.stdout.fnmatch_lines(["*unknown key `trails`. Did you mean `trials`?*"])


@pytest.mark.slow
def test_files_that_others_call_suite_yaml_are_left_alone(
    pytester: pytest.Pytester, folder: Path
) -> None:
    (folder / "suite.yaml").write_text("tests:\n  - prompt: hello\n")
    assert pytester.runpytest_subprocess().ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.slow
def test_a_pipeline_that_gives_no_answer_is_said_to(
    pytester: pytest.Pytester, folder: Path
) -> None:
    write_project(folder, "def answer(request): raise ConnectionError('down')", cases=CASES[:1])
    result = pytester.runpytest_subprocess("suite.yaml")
    assert outcomes(result) == {"failed": 1}
    result.stdout.fnmatch_lines(["*unreachable: ConnectionError: down*"])


def test_tests_in_python_explain_themselves(pytester: pytest.Pytester, folder: Path) -> None:
    pytester.makepyfile(
        """
        import evalkit

        @evalkit.step("tool")
        def look_up(order): return order

        @evalkit.step("tool")
        async def refund(order, amount): return amount

        async def answer(request, settings):
            look_up(request["order"])
            return {"paid": await refund(request["order"], settings.get("amount", 5))}

        def test_good(run_pipeline):
            trajectory = run_pipeline(answer, {"order": 1})
            assert trajectory.output == {"paid": 5}
            assert trajectory.matches([{"tool": "look_up"}, {"tool": "refund"}], mode="exact")

        def test_bad(run_pipeline):
            trajectory = run_pipeline(answer, {"order": 1}, settings={"amount": 7})
            assert trajectory.matches([{"tool": "refund", "args": {"amount": {"le": 5}}}])
        """
    )
    result = pytester.runpytest_subprocess()
    assert outcomes(result) == {"passed": 1, "failed": 1}
    result.stdout.fnmatch_lines(["*assert <*", "*- Captured path call -*", "*amount*7*"])
    assert "\\n" not in result.stdout.str()
