"""Where a text holds a bare number, as JSON does, that becomes a mark: the mark must be quoted.

``{"otp": 482913}`` stays JSON only as ``{"otp": "REDACTED-password"}``, and where that is a string
within a string, only with as many backslashes as the quotes around it have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from evalkit.redacting.finding import Item

_NUMBER = re.compile(rb"[-+0-9.eE]*")
_QUOTE = re.compile(rb"(\\*)(?:\"|u0022)|(?i:(?:%5c)*%22)")
_SPACE = rb"(?:\s|\\+[nrt]|%20)"
_PLAIN = rb"(?:[\s:,\[\]{}0-9.eE+-]|\\+[nrt]|true|false|null|%(?:20|2[Cc]|3[Aa]|5[BbDd]|7[BbDd]))*"
_AFTER_KEY = re.compile(rb"%s*(?:[:,\]}]|%%3[Aa]|%%2[Cc]|%%5[Dd]|%%7[Dd])%s" % (_SPACE, _PLAIN))
_IN_LIST = re.compile(rb"%s*(?:\[|%%5[Bb])%s" % (_SPACE, _PLAIN))
_FOLLOWED = re.compile(rb"%s*(?:[,\]}]|%%(?:2[Cc]|5[Dd]|7[Dd])|$)" % _SPACE)
_APOSTROPHE = re.compile(rb"(\\*')\s*:\s*$")
"""Before a bare value of an object as Python shows it."""


def bare_numbers(data: bytes, items: Sequence[Item]) -> Iterator[tuple[Item, bytes]]:
    """The items in order, each with the quote that its mark needs: none but for bare numbers.

    The item of a part of a number (``482913`` of ``482913.5``) is widened to all of it.
    """
    quotes = _QUOTE.finditer(data)
    ahead = next(quotes, None)
    opened: list[tuple[int, bytes]] = []
    last, since, closed = b"", 0, False
    for item in items:
        start, end = _number(data, item)
        if start == end:
            yield item, b""
            continue
        while ahead is not None and ahead.start() < start:
            level = _level(ahead[0])
            while opened and opened[-1][0] > level:
                opened.pop()
            closed = bool(opened) and opened[-1][0] == level
            if closed:
                last = opened.pop()[1]
            else:
                opened.append((level, ahead[0]))
            since = ahead.end()
            ahead = next(quotes, None)
        quote = b""
        single = _APOSTROPHE.search(data, max(0, start - 40), start)
        if single is not None:
            quote = single[1]
        elif _FOLLOWED.match(data, end):
            if closed and _AFTER_KEY.fullmatch(data, since, start):
                quote = last
            elif not closed and _IN_LIST.fullmatch(data, since, start):
                quote = b"\\" * (2 ** (opened[-1][0] + 1) - 1 if opened else 0) + b'"'
        yield (item._replace(start=start, end=end) if quote else item), quote


def _level(quote: bytes) -> int:
    """How many strings a quote is within: of 0, 1, 3, 7 backslashes before it, each doubles them.

    A backslash before the end of a string is doubled as well: ``"a\\\\"`` ends at level 0.
    """
    slashes = quote.count(b"\\") + quote.lower().count(b"%5c")
    if quote.endswith(b"u0022"):
        return slashes.bit_length()
    return (slashes ^ (slashes + 1)).bit_length() - 1


def _number(data: bytes, item: Item) -> tuple[int, int]:
    """The range of the bare number that an item is, or is a part of; an empty one if it is none."""
    start, end = item.start, item.end
    if item.inner is not None or not re.fullmatch(rb"[-+0-9.eE]+", data[start:end]):
        return 0, 0
    while start and data[start - 1 : start] in b"-+0123456789.eE":
        start -= 1
    match = _NUMBER.match(data, end)
    return start, match.end() if match else end
