"""What commands say of what they did, and of what went wrong: counts, causes, the way on."""

import json
import re

import pytest

from evalkit.journal import Journal
from evalkit.store import Store

RUN = ("run", "suite.yaml", "--label")


def test_the_trials_made_again_are_counted_as_they_are_stored(evalkit):
    evalkit(*RUN, "main")
    _, _, err = evalkit(*RUN, "bad", "--baseline", "main", "--set", "skip=true")
    total = int(re.search(r"(\d+) trials made again in both versions, kept as", err)[1])
    store = Store(".evalkit")
    again = [run for run in store.runs() if run.label.endswith("(confirm)")]
    assert sum(len(list(store.trials(run.id))) for run in again) == total > 0
    _, out, _ = evalkit("runs")
    shown = [int(line.split()[-2]) for line in out.splitlines() if "(confirm)" in line]
    assert sum(shown) == total


def test_too_many_failures_name_their_commonest_cause_and_where_to_look(evalkit, project):
    path = next(project.glob("pipeline_*.py"))
    text = path.read_text()
    path.write_text(text.replace('if settings["crash"]:', 'if request["topic"] == "refund":'))
    code, _, err = evalkit(*RUN, "down")
    assert code == 3
    assert "refund: 24 of 24 trials failed for infrastructure reasons, at most 5 % may" in err
    assert "24 by crashed, for instance" in err and "no connection" in err
    assert re.search(r"See `evalkit show \S+ refund-0`", err)


def test_an_interrupted_run_is_resumed_by_its_label_where_there_is_one(evalkit):
    evalkit(*RUN, "main")
    store = Store(".evalkit")
    (done,) = store.runs()
    begun = done.__class__(**{name: getattr(done, name) for name in done.__struct_fields__})

    def interrupt(run_id):
        from msgspec.structs import replace

        Journal.start(store.path, replace(begun, id=run_id, status="running")).finish("interrupted")

    interrupt("20200101-000000-aaaaaa")
    assert evalkit("run", "suite.yaml", "--resume", "main")[0] == 0
    assert store.run("20200101-000000-aaaaaa").status == "complete"
    interrupt("20200101-000000-bbbbbb")
    interrupt("20200101-000000-cccccc")
    code, _, err = evalkit("run", "suite.yaml", "--resume", "main")
    assert code == 2 and "20200101-000000-bbbbbb" in err and "20200101-000000-cccccc" in err


def test_steps_of_recorded_traces_say_that_there_is_no_dataset(evalkit, project):
    chat = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
    (project / "chat.json").write_text(json.dumps(chat))
    assert evalkit("ingest", "chat.json", "--label", "chat")[0] == 0
    code, _, err = evalkit("steps", "chat")
    assert code == 2 and "has no dataset" in err and "None" not in err


@pytest.fixture
def with_judge(project, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    text = (project / "suite.yaml").read_text()
    judge = "trajectory_match, {judge: {model: m, rubric: polite}}]\ngate:"
    text = text.replace("trajectory_match]\ngate:", judge)
    assert "judge" in text
    (project / "suite.yaml").write_text(text)


def test_a_judge_that_cannot_judge_says_how_many_and_why(evalkit, with_judge):
    code, out, _ = evalkit(*RUN, "main")
    said = "judge could not judge 48 of 48 trials: "
    assert code == 0 and said in out and "OPENAI_BASE_URL" in out
    _, out, _ = evalkit("gate", "main", "--baseline", "main", "--on", "judge")
    assert said in out and "OPENAI_BASE_URL" in out


def test_a_quarantined_case_tells_its_passes_without_a_baseline_too(evalkit, project):
    quarantine = "  limits: [mean(task_completion) >= 0.1]\n"
    quarantine += "  quarantine: [{case: refund-0, until: 2999-01-01, reason: flaky}]\n"
    (project / "suite.yaml").write_text((project / "suite.yaml").read_text() + quarantine)
    code, out, err = evalkit(*RUN, "main")
    assert code == 0, err
    assert "task_completion passed 4/4" in " ".join(out.split())
    assert "nothing was scored" not in out


def test_narrow_terminals_break_no_run_id_and_say_what_is_left_out(evalkit, monkeypatch):
    evalkit(*RUN, "main")
    (run,) = Store(".evalkit").runs()
    monkeypatch.setenv("COLUMNS", "60")
    for command in (("runs",), ("history", "refund"), ("query", "FROM runs")):
        assert run.id in evalkit(*command)[1], command
    _, out, _ = evalkit("gate", "main", "--baseline", "main")
    assert "left out, in 60 columns: owners, p adj, intervals" in out
    _, out, _ = evalkit("plan", "suite.yaml")
    assert "left out, in 60 columns" in out and "in one stage, with confirm" not in out
    monkeypatch.setenv("COLUMNS", "200")
    assert "left out" not in evalkit("gate", "main", "--baseline", "main")[1]


def test_a_step_that_a_limit_is_about_and_the_baseline_alone_took_is_told(evalkit, project):
    suite = project / "suite.yaml"
    stated = suite.read_text().replace("on: [task_completion, trajectory_match]", "on: [routing]")
    stated = stated.replace("trajectory_match]", "trajectory_match, routing]")
    suite.write_text(stated + "  limits: [fail_rate(retrieve) <= 0.1]\n")
    assert evalkit("run", "suite.yaml", "--label", "main")[0] == 0
    again = ("run", "suite.yaml", "--label", "new", "--baseline", "main", "--format", "json")
    code, out, _ = evalkit(*again, "--set", "skip=true", "--no-confirm")
    rows = {(row["route"], row["scorer"]): row for row in json.loads(out)["routes"]}
    row = rows["refund", "fail_rate(retrieve) <= 0.1"]
    assert (code, row["verdict"]) == (3, "unmeasurable")
    assert "which the baseline took in 24 of 24" in row["reason"]


def test_a_route_that_the_first_run_lacks_is_in_the_routing_table(evalkit):
    evalkit(*RUN, "part", "--route", "refund")
    evalkit(*RUN, "whole")
    _, out, _ = evalkit("compare", "part", "whole")
    table = out[out.index("\nroutes:\n") :]
    assert re.search(r"\n  refund: (part|whole) ", table) and "\n  status: whole " in table
    assert re.search(r"routes that run \S+ lacks.*: status", " ".join(out.split()))
