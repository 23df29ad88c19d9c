"""The GitHub action's script, run outside GitHub with the variables that it documents."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit import strict_yaml
from evalkit.store import Store
from tests.project import CASES, GOOD, write_project

ROOT = Path(__file__).parents[1]


def run_action(folder: Path, **variables: str) -> tuple[int, dict[str, str], str]:
    (folder / "output").write_text("")
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("GITHUB_")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "EVALKIT_SUITE": "suite.yaml",
        "GITHUB_OUTPUT": str(folder / "output"),
        **variables,
    }
    done = subprocess.run(
        ["bash", str(ROOT / "action" / "run.sh")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    pairs = (line.partition("=") for line in (folder / "output").read_text().splitlines())
    return done.returncode, {key: value for key, _, value in pairs}, done.stdout + done.stderr


@pytest.mark.slow
def test_a_baseline_is_kept_and_gates_the_next_run(tmp_path: Path) -> None:
    cases = [{**case, "id": f"{case['id']}-{n}"} for case in CASES for n in range(4)]
    write_project(tmp_path, cases=cases, trials=3)
    code, outputs, said = run_action(tmp_path, EVALKIT_LABEL="main")
    assert (code, outputs["verdict"]) == (0, "passed"), said
    folder = tmp_path / ".evalkit-ci"
    (folder / "candidate.parquet").rename(folder / "baseline.parquet")
    write_project(
        tmp_path, GOOD.replace("q * 2", "q * 2 if q % 2 == 0 else 0"), cases=cases, trials=3
    )
    summary = tmp_path / "summary.md"
    code, outputs, said = run_action(
        tmp_path, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary), GITHUB_SHA="abc"
    )
    assert (code, outputs["verdict"], outputs["exit-code"]) == (1, "failed", "1"), said
    assert "::error " in said
    assert "odd" in summary.read_text()
    comment = (tmp_path / outputs["comment-file"]).read_text()
    assert comment.startswith("<!-- evalkit: suite.yaml -->\n")
    assert "regressed" in comment
    assert outputs["run"]


@pytest.mark.slow
def test_the_old_code_is_run_again_where_a_checkout_is_given(tmp_path: Path) -> None:
    cases = [{**case, "id": f"{case['id']}-{n}"} for case in CASES for n in range(3)]
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    write_project(old, cases=cases)
    code, _, said = run_action(old, EVALKIT_LABEL="main")
    assert code == 0, said
    write_project(new, GOOD.replace("q * 2", "q * 2 if q % 2 == 0 else 0"), cases=cases)
    (new / ".evalkit-ci").mkdir()
    (old / ".evalkit-ci/candidate.parquet").rename(new / ".evalkit-ci/baseline.parquet")
    code, outputs, said = run_action(
        new, EVALKIT_LABEL="change", EVALKIT_BASELINE_CHECKOUT=str(old)
    )
    assert (code, outputs["verdict"]) == (1, "failed"), said
    assert "made again in both versions" in (new / outputs["comment-file"]).read_text()
    stored = Store(new / ".evalkit")
    assert {run.label for run in stored.runs()} >= {"main (confirm)", "change (confirm)"}
    assert stored.run(outputs["run"]).label == "change"


def test_wrong_input_is_told_apart(tmp_path: Path) -> None:
    write_project(tmp_path, trails=3)
    code, outputs, said = run_action(tmp_path)
    assert (code, outputs["verdict"], outputs["run"]) == (2, "wrong-input", "")
    assert "unknown key `trails`" in said


def test_the_action_names_its_inputs_and_outputs() -> None:
    text = (ROOT / "action.yml").read_text()
    action = strict_yaml.read(text, "action.yml").value
    assert action["runs"]["using"] == "composite"
    for kind in ("inputs", "outputs"):
        for name, stated in action[kind].items():
            assert stated["description"], name
    script = (ROOT / "action" / "run.sh").read_text()
    for variable in action["runs"]["steps"][2]["env"]:
        assert variable in script
