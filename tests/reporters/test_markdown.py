import re

from evalkit.reporters import markdown
from tests.reporters import samples


def test_the_decision_comes_first_then_what_is_behind_it():
    text = markdown.render(samples.report(samples.failed_gate()))
    assert text.index("**FAILED: vendor") < text.index("### ❌ `vendor_exception` regressed on")
    assert "expected `retriever retrieve_policy`: missing in 100 % of trials, 3 % before" in text
    assert "- `vendor-exception-over-threshold-0`: trials passed 3/3 → 0/3" in text
    assert "- and 4 more" in text
    assert "| ✅ | `small_talk` | `task_completion` | ok | 0.95 → 0.94 |" in text


def test_tables_stay_whole_whatever_the_names():
    report = samples.report(
        samples.gate(samples.row("a|b\n| c", "x`|", "broken", reason=samples.HOSTILE)),
        routes=(samples.route("a|b\nc", 0.5), samples.route(samples.HOSTILE, 0.5)),
    )
    text = markdown.render(report)
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) == 2
    for table in tables:
        rows = [len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()]
        assert len(set(rows)) == 1


def test_no_mention_html_or_link_comes_through():
    row = samples.row(
        "a", "x", "broken", reason="@team <img src=x> [a](http://b) https://c.example"
    )
    text = markdown.render(samples.report(samples.gate(row, notes=("@team",)), notes=("<b>",)))
    assert "@team" not in text
    assert "<img" not in text and "<b>" not in text
    assert "http://b" not in text and "https://c" not in text


def test_a_huge_report_fits_a_comment():
    rows = [samples.row(f"route-{n}", f"s{n}", "broken", reason="x" * 5000) for n in range(400)]
    routes = tuple(samples.route(f"route-{n}", 0.5) for n in range(400))
    assert len(markdown.render(samples.report(samples.gate(*rows), routes=routes))) < 65_536
