"""Documents too large to hold: cut into pieces that say the same."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.tracing import cutting
from evalkit.tracing.cutting import pieces
from evalkit.tracing.reasons import Reasons

SHAPE = {"rows": {"cells": {}}, "": {"cells": {}}}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", 'q"\\', "}{"]), inner, max_size=3)
    ),
    max_leaves=12,
)
rows = st.lists(
    st.builds(
        lambda name, cells: {"name": name, "cells": cells},
        json_values,
        st.lists(json_values, max_size=6),
    ),
    max_size=4,
)


@pytest.fixture(autouse=True, params=[64, 1 << 20], scope="module")
def chunk(request: pytest.FixtureRequest) -> Iterator[int]:
    """Values lie across the ends of what is read at once, or do not."""
    patch = pytest.MonkeyPatch()
    patch.setattr(cutting, "_CHUNK", request.param)
    patch.setattr(cutting, "BATCH", 4000)
    patch.setattr(cutting, "MAX_ELEMENT", 1 << 14)
    yield request.param
    patch.undo()


def cut(data: bytes, start: int = 0) -> tuple[list[Any], Reasons]:
    refused = Reasons()
    found = list(pieces(data[:start], io.BytesIO(data[start:]), SHAPE, refused))
    return [json.loads(piece) for piece in found], refused


def told(documents: list[Any]) -> list[Any]:
    """Each cell with the name of its row, in order."""
    return [
        (row["name"], cell)
        for document in documents
        for row in document.get("rows", [])
        for cell in row.get("cells", [])
    ]


@given(rows, st.sampled_from([None, 1, 3]), st.integers(0, 40))
def test_pieces_say_what_the_document_says(
    listed: list[Any], indent: int | None, start: int
) -> None:
    document = {"version": 1, "rows": listed}
    data = json.dumps(document, indent=indent, ensure_ascii=False).encode("utf-8", "replace")
    found, refused = cut(data, start)
    assert told(found) == told([json.loads(data)])
    assert all(piece["version"] == 1 for piece in found)
    assert not refused


@given(rows)
def test_an_array_is_a_document_for_each_element(listed: list[Any]) -> None:
    found, refused = cut(json.dumps(listed).encode())
    cells = [(one["name"], cell) for one in found for cell in one.get("cells", [])]
    assert cells == told([{"rows": listed}])
    assert not refused


@given(rows, st.data())
def test_what_stands_before_a_cut_goes_in(listed: list[Any], data: st.DataObject) -> None:
    whole = json.dumps({"rows": listed}).encode()
    end = data.draw(st.integers(0, len(whole) - 1))
    refused = Reasons()
    good = []
    for piece in pieces(b"", io.BytesIO(whole[:end]), SHAPE, refused):
        try:
            good.append(json.loads(piece))
        except ValueError:  # a number cut in two, for instance
            continue
    found, wanted = told(good), told([{"rows": listed}])
    assert found == wanted[: len(found)]
    assert bool(refused) == (whole[:end].strip() != b"")


def test_several_documents_and_what_is_damaged_between_them() -> None:
    good = json.dumps({"rows": [{"name": 1, "cells": [1, 2]}]}).encode()
    found, refused = cut(b"\n".join([good, b'{"rows": [{"name": 1, "cells": [3,,', good]))
    assert [cell for _, cell in told(found)] == [1, 2, 3, 1, 2]
    assert refused == {"the rest of a document: it is no JSON": 1}


def test_an_element_that_is_too_large_is_left_out_alone() -> None:
    large = "x" * (1 << 15)
    found, refused = cut(json.dumps({"rows": [{"name": 1, "cells": [1, [large], 2]}]}).encode())
    assert [cell for _, cell in told(found)] == [1, 2]
    assert refused.total() == 1


def test_a_text_without_an_end_does_not_fill_the_memory() -> None:
    found, refused = cut(b'{"rows": [{"name": 1, "cells": [1, "' + b"x" * (1 << 20))
    assert [cell for _, cell in told(found)] == [1]
    assert refused == {"the rest of a document: it is cut off": 1}


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_value_nested_without_end(opening: bytes) -> None:
    deep = opening * 200_000
    found, refused = cut(b'{"rows": [{"name": 1, "cells": [1, %s' % deep)
    assert [cell for _, cell in told(found)] == [1]
    assert refused


@given(st.binary(max_size=200))
def test_whatever_there_is_ends(data: bytes) -> None:
    list(pieces(b"", io.BytesIO(data), SHAPE, Reasons()))
    list(pieces(b"", io.BytesIO(b'{"rows": [' + data), SHAPE, Reasons()))


@given(st.text(alphabet='[]{}",:\\ \nae1', max_size=60))
def test_whatever_looks_like_json_ends(text: str) -> None:
    list(pieces(b"", io.BytesIO(text.encode()), SHAPE, Reasons()))


ENDLESS = """
import resource, sys
from evalkit.tracing.cutting import pieces
from evalkit.tracing.reasons import Reasons

SPAN = b'{"traceId": "%032x", "attributes": [' + b",".join([b'{"key": "k", "value": "v"}'] * 12)
SPANS = b", ".join([SPAN % 7 + b"]}"] * 2000)

class Endless:
    left = int(sys.argv[1]) << 20
    ended = False
    def read(self, size):
        if self.left <= 0:
            end, self.ended = (b"" if self.ended else b"0]}]}]}"), True
            return end
        found = (SPANS + b", ") * (size // len(SPANS) + 1)
        self.left -= len(found)
        return found

start = b'{"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": ['
shape = {"resourceSpans": {"scopeSpans": {"spans": {}}}}
refused = Reasons()
size = sum(len(piece) for piece in pieces(start, Endless(), shape, refused))
assert not refused, refused
print(size >> 20, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


@pytest.mark.slow
def test_memory_is_that_of_a_piece_not_of_the_document() -> None:
    def run(megabytes: int) -> tuple[int, int]:
        done = subprocess.run(
            [sys.executable, "-c", ENDLESS, str(megabytes)],
            capture_output=True,
            check=True,
            text=True,
        )
        size, memory = map(int, done.stdout.split())
        return size, memory

    small, large = run(40), run(600)
    assert large[0] >= 600
    assert large[1] < small[1] + 40
