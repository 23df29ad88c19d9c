"""Feedback of people: read strictly, kept once, never with secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.errors import FileError
from evalkit.feedback import import_feedback, read_feedback


def test_reads_csv_and_json_lines_and_keeps_each_remark_once(tmp_path: Path) -> None:
    table = tmp_path / "said.csv"
    table.write_text("trace_id,rating,note\nt1,-1,wrong\nt2,1,\nt3,Escalated,\n")
    lines = tmp_path / "said.jsonl"
    lines.write_text(
        '{"session_id": "s1", "signal": "reopened"}\n{"trace": "t1", "signal": "override"}\n'
    )
    store = tmp_path / "store"
    assert import_feedback(store, table) == (3, 0, 1)
    assert import_feedback(store, lines) == (2, 0, 0)
    assert import_feedback(store, table) == (0, 3, 0)
    said = {name: [one.kind for one in found] for name, found in read_feedback(store).items()}
    assert said == {
        "t1": ["thumbs_down", "overridden"],
        "t3": ["escalated"],
        "s1": ["reopened"],
    }


def test_a_wrong_line_is_named_and_nothing_is_kept(tmp_path: Path) -> None:
    table = tmp_path / "said.csv"
    table.write_text("trace_id,signal\nt1,thumbs_down\nt2,meh\n,thumbs_down\n")
    with pytest.raises(FileError) as refused:
        import_feedback(tmp_path / "store", table)
    assert [problem.line for problem in refused.value.problems] == [3, 4]
    assert read_feedback(tmp_path / "store") == {}


def test_a_secret_in_a_note_is_redacted(tmp_path: Path) -> None:
    lines = tmp_path / "said.jsonl"
    lines.write_text('{"trace_id": "t", "signal": "thumbs_down", "note": "password: Tr0ub4dor!"}\n')
    import_feedback(tmp_path, lines)
    assert b"Tr0ub4dor" not in (tmp_path / "feedback.jsonl").read_bytes()
    assert read_feedback(tmp_path)["t"][0].text == "password: REDACTED-password"


def test_other_names_of_columns_and_words_and_other_separators(tmp_path: Path) -> None:
    table = tmp_path / "said.csv"
    table.write_text("\ufeffSession ID;Feedback\ns1;Reopened ticket\ns2;human override\n")
    lines = tmp_path / "said.jsonl"
    lines.write_text('{"traceId": "t1", "thumbs": "down"}\n{"trace-id": "t2", "signal": "👎"}\n')
    import_feedback(tmp_path, table)
    import_feedback(tmp_path, lines)
    said = {name: [one.kind for one in found] for name, found in read_feedback(tmp_path).items()}
    assert said == {
        "s1": ["reopened"],
        "s2": ["overridden"],
        "t1": ["thumbs_down"],
        "t2": ["thumbs_down"],
    }
