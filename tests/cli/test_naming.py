"""Labels that runs of several suites bear: whose run a command takes."""

import json

import pytest


@pytest.fixture
def two_suites(evalkit, project):
    """A run `main` of each of two suites, the second one's newest, and `bad` of the second."""
    other = (project / "suite.yaml").read_text().replace("name: desk", "name: other")
    (project / "other.yaml").write_text(other)
    for suite, label in (("suite", "main"), ("other", "main"), ("other", "bad")):
        assert evalkit("run", f"{suite}.yaml", "--label", label, "--trials", "1")[0] == 0
    _, out, _ = evalkit("runs", "--format", "json")
    return {(run["suite"], run["label"]): run["run"] for run in json.loads(out)["runs"]}


def test_a_label_of_several_suites_says_whose_run_was_taken(evalkit, two_suites):
    newest = two_suites["other", "main"]
    for command in (("show", "main"), ("steps", "main"), ("export", "main"), ("report", "main")):
        code, _, err = evalkit(*command)
        assert code == 0 and "2 suites bear the label main" in err, command
        assert f"{newest} of other is the newest" in err and "For one of desk" in err
    for quiet in (("show", newest), ("show", "bad")):
        assert "suites bear" not in evalkit(*quiet)[2]


def test_compare_stays_within_the_suite_of_its_first_run(evalkit, two_suites):
    code, out, err = evalkit("compare", "main", "bad", "--format", "json")
    assert code == 0 and "2 suites bear the label main" in err
    runs = [run["run"] for run in json.loads(out)["runs"]]
    assert runs == [two_suites["other", "main"], two_suites["other", "bad"]]
    code, _, err = evalkit("compare", two_suites["desk", "main"], "bad")
    assert code == 2 and "no run 'bad' of suite 'desk'" in err
