import re

import pytest

from evalkit.choosing import Choice, Versus
from evalkit.ranking import Standing
from evalkit.reporters import compare
from evalkit.strict_yaml import read
from tests.reporters import samples

RUNS = [samples.run("r2", "new"), samples.run("r1", "old"), samples.run("r0", "old")]


def choice(route="refund", case="case-1"):
    pair = Versus(
        route=route,
        scorer="task_completion",
        reference="r2",
        run="r1",
        cases=12,
        difference=-0.31,
        low=-0.4,
        high=-0.2,
        p=0.00001,
        p_adjusted=0.00004,
        change="worse",
        broken=tuple(f"{case}-{n}" for n in range(5)),
        fixed=(),
    )
    first = Standing(
        route=route, run="r2", quality=0.9, cost_usd=None, latency_p50=0.1, efficient=True,
        chosen=True, reason="the best",
    )  # fmt: skip
    second = Standing(
        route=route, run="r1", quality=0.6, cost_usd=0.1, latency_p50=0.2, efficient=False
    )
    return Choice(
        reference="r2",
        scorers=("task_completion",),
        correction="holm",
        alpha=0.05,
        pairs=(pair,),
        standings=(first, second),
    )


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_nothing_is_wider_than_the_screen(width):
    routes = [samples.route(name, 0.9, of=run) for run in RUNS for name in samples.ROUTES]
    text = compare.render(RUNS, routes, choice(), width=width)
    assert max(map(len, text.splitlines())) <= width


def test_versions_are_side_by_side_in_the_order_asked_for():
    runs = RUNS[:2]
    routes = [samples.route("refund", 0.5, of=run) for run in reversed(runs)]
    text = compare.render(runs, routes, width=100)
    assert "pass^1" in text and "pass^3" in text
    lines = text.splitlines()
    first = next(n for n, said in enumerate(lines) if "task_completion" in said)
    assert " new " in lines[first] and " old " in lines[first + 1]


def test_the_comparison_names_size_broken_cases_and_the_version_to_choose():
    routes = [samples.route("refund", 0.5, of=run) for run in RUNS]
    text = compare.render(RUNS, routes, choice(), width=140)
    assert "Against new, corrected over 1 comparison (Holm)" in text
    assert "−0.31 [−0.40, −0.20]" in text and "< 0.001" in text and "worse" in text
    assert "5 broken: case-1-0, case-1-1, case-1-2 and 2 more" in text
    assert re.search(r"new +0\.90 +– +100 ms +efficient +← the best", text)


def test_the_routing_table_is_yaml_and_names_runs_without_doubt():
    hostile = "no: {x}\n- y # z"
    table = compare.routing_table(RUNS, choice(route=hostile))
    assert read(table, "table").value == {"routes": {hostile: "new"}}
    assert compare.names_of(RUNS) == {"r2": "new", "r1": "r1", "r0": "r0"}
    assert read(compare.routing_table(RUNS, choice(route="no")), "table").value["routes"] == {
        "no": "new"
    }


def test_markdown_escapes_what_comes_from_data_and_cuts_long_tables():
    routes = [samples.route(samples.HOSTILE, 0.5, of=RUNS[0])] * 60
    text = compare.render_markdown(RUNS, routes, choice(samples.HOSTILE, samples.HOSTILE))
    assert "more rows" in text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert "| --- |" in text and "```yaml" in text
