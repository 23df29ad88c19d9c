import re

from hypothesis import given
from hypothesis import strategies as st

from evalkit.reporters import github
from tests.reporters import samples


def test_an_error_for_each_failed_row_at_the_suite_file():
    lines = github.render(samples.report(samples.failed_gate())).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(
        "::error file=pipelines/vendor_assistant/suite.yaml,line=1,"
        "title=vendor_exception regressed on task_completion::the mean fell"
    )
    assert "%0Aexpected retriever retrieve_policy: missing in 100 %25 of trials" in lines[0]


def test_a_pass_is_one_notice_and_no_gate_is_silent():
    assert github.render(samples.report()) == ""
    (line,) = github.render(samples.report(samples.passed_gate())).splitlines()
    assert line.startswith("::notice ") and line.endswith("passed: no route got worse")


def test_at_most_ten_errors_and_the_rest_counted():
    rows = [samples.row(f"r{n}", "x", "broken") for n in range(25)]
    lines = github.render(samples.report(samples.gate(*rows))).splitlines()
    assert len(lines) == 10
    assert "and 16 more" in lines[-1]


@given(st.text(max_size=80))
def test_no_text_ends_a_command_or_starts_another(text):
    row = samples.row(text, text, "broken", reason=text, owners=(text,))
    out = github.render(samples.report(samples.gate(row)))
    assert out.count("\n") == 1
    properties = re.match(r"::error (.*?)::", out).group(1)
    assert [part.partition("=")[0] for part in properties.split(",")] == ["file", "line", "title"]


def test_the_documented_escapes():
    assert github.escape_data("50%\r\n") == "50%25%0D%0A"
    assert github.escape_property("a:b,c%\n") == "a%3Ab%2Cc%25%0A"
