import json

import pytest


@pytest.fixture
def main_run(evalkit):
    assert evalkit("run", "suite.yaml", "--label", "main")[0] == 0


def test_plan_says_what_the_suite_sees_before_and_after_a_run(evalkit):
    code, out, _ = evalkit("plan", "suite.yaml")
    assert code == 0 and "variance assumed" in out and "48 trials" in out
    assert evalkit("plan", "suite.yaml", "--baseline", "main")[0] == 2
    evalkit("run", "suite.yaml", "--label", "main")
    code, out, _ = evalkit("plan", "suite.yaml", "--baseline", "main", "--format", "json")
    found = json.loads(out)
    assert code == 0 and found["baseline"] is not None
    assert {row["route"] for row in found["rows"]} == {"status", "refund"}
    assert all(row["measured"] and row["cases"] == 6 for row in found["rows"])
    assert found["cost"]["trials"] == 48 and found["cost"]["seconds"] > 0
    assert "measured in main" in evalkit("plan", "suite.yaml", "--baseline", "main")[1]


def test_plan_says_what_is_in_quarantine_and_that_nothing_is_confirmed(evalkit, project):
    suite = project / "suite.yaml"
    apart = (
        "  quarantine: [{case: refund-0, until: 2999-12-31}, {case: refund-1, until: 2020-01-01}]"
    )
    suite.write_text(suite.read_text() + apart + "\n  confirm: {enabled: false}\n")
    found = json.loads(evalkit("plan", "suite.yaml", "--format", "json")[1])
    assert {row["route"]: row["cases"] for row in found["rows"]} == {"status": 6, "refund": 5}
    assert found["cost"]["trials"] == 48 and found["cost"]["confirm_trials"] == 0
    assert any("1 case in quarantine" in note for note in found["notes"])
    assert any("re-runs are switched off" in note for note in found["notes"])
    assert "nothing is confirmed" in evalkit("plan", "suite.yaml")[1]


def test_the_gate_tests_itself_on_stored_trials(evalkit, main_run):
    code, out, _ = evalkit("gate", "main", "--self-test", "--seconds", "1")
    assert code == 0 and "one case broken" in out and "±" in out
    code, out, _ = evalkit("gate", "main", "--self-test", "--seconds", "1", "--format", "json")
    assert json.loads(out)["rows"][0]["effect"] == "nothing"
    code, _, err = evalkit("gate", "main", "other")
    assert code == 2 and "--baseline" in err
    assert evalkit("gate", "main")[0] == 2


def test_compare_tells_which_version_to_choose(evalkit, main_run):
    evalkit("run", "suite.yaml", "--label", "new", "--set", "skip=true")
    _, out, _ = evalkit("compare", "main", "new", "--format", "json")
    found = json.loads(out)
    refund = [pair for pair in found["pairs"] if pair["route"] == "refund"]
    assert {pair["change"] for pair in refund} == {"worse"}
    assert len(refund[0]["broken"]) == 6 and found["correction"] == "holm"
    chosen = {one["route"]: one["run"] for one in found["standings"] if one["chosen"]}
    assert chosen["refund"] == found["runs"][0]["run"]
    _, out, _ = evalkit("compare", "main", "new")
    assert "routes:\n" in out and "refund: main" in out
    _, out, _ = evalkit("compare", "main", "new", "--format", "markdown", "--explore")
    assert out.startswith("## evalkit compare") and "Benjamini" in out
    one = json.loads(evalkit("compare", "main", "--format", "json")[1])
    assert "pairs" not in one


def test_limits_of_the_suite_are_judged_without_a_baseline(evalkit, project):
    suite = project / "suite.yaml"
    limits = '  limits: ["pass_rate(task_completion) >= 0.5", "retries <= 2"]\n'
    suite.write_text(suite.read_text() + limits)
    code, out, _ = evalkit("run", "suite.yaml", "--label", "x", "--format", "json")
    rows = {(row["route"], row["scorer"]): row for row in json.loads(out)["routes"]}
    row = rows["refund", "pass_rate(task_completion) >= 0.5"]
    assert (code, row["verdict"], row["limit"]) == (0, "ok", 0.5)
    assert rows["refund", "retries <= 2"]["candidate"] == 0
    code, out, _ = evalkit("run", "suite.yaml", "--label", "y", "--set", "skip=true")
    assert code == 1 and "breached" in out
    suite.write_text(suite.read_text().replace("task_completion) >=", "nothing) >="))
    code, _, err = evalkit("check", "suite.yaml")
    assert code == 2 and "nothing" in err
