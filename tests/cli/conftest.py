"""A small project of plain Python, and the command line run within it."""

import sys

import pytest

from evalkit.cli import main

PIPELINE = """
import evalkit

@evalkit.step("node")
def classify(topic):
    return topic

@evalkit.step("retriever")
def retrieve(topic):
    return ["text"]

def answer(request, settings):
    if settings["crash"]:
        raise RuntimeError("no connection")
    classify(request["topic"])
    if not (settings["skip"] and request["topic"] == "refund"):
        retrieve(request["topic"])
        return "a good answer"
    return "a guess"
"""
SUITE = """
name: desk
pipeline:
  call: PIPELINE:answer
  retries: 0
  settings: {skip: false, crash: false}
dataset: cases.jsonl
trials: 4
scorers: [task_completion, trajectory_match]
gate:
  on: [task_completion, trajectory_match]
"""
CASE = (
    '{"id": "ROUTE-N", "input": {"topic": "ROUTE"}, "route": "ROUTE", "owner": "team-ROUTE", '
    '"expect": {"outcome": [{"contains": "good"}], "steps": [{"retriever": "retrieve"}]}}'
)


@pytest.fixture
def project(tmp_path, monkeypatch, request):
    """The project's folder, as the working directory; its pipeline is of a name of its own."""
    name = f"pipeline_{abs(hash(request.node.nodeid)):x}"
    (tmp_path / f"{name}.py").write_text(PIPELINE)
    (tmp_path / "suite.yaml").write_text(SUITE.replace("PIPELINE", name))
    cases = [
        CASE.replace("ROUTE", route).replace("N", str(n))
        for route in ("status", "refund")
        for n in range(6)
    ]
    (tmp_path / "cases.jsonl").write_text("\n".join(cases) + "\n")
    monkeypatch.chdir(tmp_path)
    for variable in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "EVALKIT_STORE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop(name, None)


@pytest.fixture
def evalkit(project, capsys):
    """Runs a command: exit code, stdout, stderr."""

    def command(*arguments):
        code = main([str(one) for one in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err or "--debug" in arguments
        return code, out, err

    return command
