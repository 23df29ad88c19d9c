"""Where a text holds secrets and personal data, whatever they are wrapped in."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from evalkit.redacting.naming import MARK, key_kind, secret_in
from evalkit.redacting.personal import PERSONAL, PersonalKind
from evalkit.redacting.second import SecondPass
from evalkit.redacting.secrets import SECRETS, SecretKind
from evalkit.redacting.views import View, views

if TYPE_CHECKING:
    import re2

MAX_LAYERS = 2
"""Base64 in base64: how many layers are decoded."""

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_TEXT = re.compile(r"[\t\n\r\x20-\x7e\xa0-\uffff]+")
_LOOSE = frozenset({"password", "phone", "ip"})
"""Kinds too easily met by chance to look for them across line breaks."""
_NAMED = frozenset({"secret", "token", "basic-auth", "cookie"})
"""Kinds that only the name before them tells."""
_TOKEN = re.compile(rb"[A-Za-z0-9+/_.~-]{8,}={0,2}")
_CALLED = re.compile(rb"[A-Za-z_.]+")
"""Before a bracket: code that gets a secret from somewhere, and not one."""

_IN_MARK = re.compile(rb"%s[a-z0-9-]*$" % MARK.encode())
"""Before what is part of a mark: ``REDACTED-password "x"`` says no password."""

_ALL: tuple[SecretKind | PersonalKind, ...] = (*SECRETS, *PERSONAL)


class Item(NamedTuple):
    """One thing to replace: its range in the text, its kind, and how it reads decoded.

    ``inner`` is the replacement itself where the item is an encoded text with items inside.
    """

    start: int
    end: int
    kind: str
    text: str
    inner: bytes | None = None
    percent: bool = False


Replace = Callable[[bytes, int], bytes]


def find(
    data: bytes,
    *,
    personal: bool,
    known: re.Pattern[bytes] | None,
    second: SecondPass | None = None,
) -> list[Item]:
    """The items in a text in order, none overlapping another. ``known`` finds further ones.

    What ``second`` finds counts where nothing else was found.
    """
    if len(data) < 4:
        return _known(View("plain", data, range(len(data)), range(1, len(data) + 1)), known)
    found: list[Item] = []
    for view in views(data):
        for start, end, kind in _found_in(view.data, personal):
            if view.name == "joined" and not _across(view, start, end, kind, found):
                continue
            found.append(_item(view, start, end, kind))
        found += _known(view, known)
        if second is not None and view.name != "joined":
            for place in second.found_in(view.data):
                item = _item(view, *place)
                if not any(one.start < item.end and item.start < one.end for one in found):
                    found.append(item)
    return _apart(found)


def find_encoded(data: bytes, replace: Replace, layer: int) -> list[Item]:
    """Base64 texts that hold items, each with what to put in its place."""
    if layer >= MAX_LAYERS:
        return []
    found = []
    for view in views(data):
        if view.name not in ("plain", "joined", "percent"):
            continue
        for match in _BASE64.finditer(view.data):
            inner = _inside(match[0], replace, layer)
            if inner is not None:
                item = _item(view, *match.span(), "base64")
                found.append(item._replace(inner=inner))
    return found


def _inside(encoded: bytes, replace: Replace, layer: int) -> bytes | None:
    """The same base64 with the items in its text replaced; None if it holds none."""
    url = b"-" in encoded or b"_" in encoded
    body = encoded.rstrip(b"=")
    standard = body.translate(bytes.maketrans(b"-_", b"+/")) if url else body
    try:
        text = base64.b64decode(standard + b"=" * (-len(standard) % 4), validate=True)
        if not _TEXT.fullmatch(text.decode()):
            return None
    except (binascii.Error, UnicodeDecodeError):
        return None
    replaced = replace(text, layer + 1)
    if replaced == text:
        return None
    again = base64.urlsafe_b64encode(replaced) if url else base64.b64encode(replaced)
    return again if encoded.endswith(b"=") or len(encoded) % 4 == 0 else again.rstrip(b"=")


def _found_in(data: bytes, personal: bool) -> Iterator[tuple[int, int, str]]:
    """Start, end and kind of everything that the tables find in one view."""
    for number in _prefilter(personal).Match(data) or ():
        kind = _kinds(personal)[number]
        for match in _compiled(kind.pattern).finditer(data):
            if number < len(SECRETS):
                yield from _secret_in(SECRETS[number], match)
            else:
                place = PERSONAL[number - len(SECRETS)].locate(data, *match.span())
                if place is not None:
                    yield *place, kind.name


def _secret_in(kind: SecretKind, match: re2._Match[bytes]) -> Iterator[tuple[int, int, str]]:
    """The secret in a match of its pattern: its first group that matched, or all of it."""
    first = 2 if kind.named else 1
    group = next((one for one in range(first, match.re.groups + 1) if match[one]), 0)
    if kind.check is not None and not kind.check(match[group]):
        return
    start, end = match.span(group)
    if _IN_MARK.search(match.string[max(0, match.start() - 40) : match.start()]):
        return
    if match.string[end : end + 1] == b"(" and _CALLED.fullmatch(match[group]):
        return
    if not kind.named:
        yield start, end, kind.name
    elif (told := key_kind(match[1].decode("utf-8", "replace"))) is not None:
        text = match[group].decode("utf-8", "replace")
        secret = secret_in(told, text, prose=kind.prose)
        if secret is not None:  # all of the text, or what follows a scheme
            yield start + len(text[: len(text) - len(secret)].encode()), end, told


def _across(view: View, start: int, end: int, kind: str, found: Sequence[Item]) -> bool:
    """Whether a match in joined lines is one broken over them, and not two that stand apart."""
    cuts = [cut for cut in view.breaks if start < cut < end]
    if not cuts or kind in _LOOSE:
        return False
    first, last = view.original(start, end)
    if kind in ("email", "iban", "card"):
        return not any(item.start < last and first < item.end for item in found)
    # A token goes on in the next line if that looks like one, too: words have no digits.
    rest = view.data[cuts[0] : end]
    digits = sum(48 <= one <= 57 for one in rest)
    if kind in _NAMED:  # its form says nothing: a date or a setting may follow
        return _TOKEN.fullmatch(rest) is not None and 0 < digits < len(rest.strip(b".-"))
    whole = any(item.kind == kind and item.start == first for item in found)
    return not whole or (len(rest) >= 8 and digits > 0)


def _known(view: View, known: re.Pattern[bytes] | None) -> list[Item]:
    if known is None:
        return []
    return [_item(view, *match.span(), str(match.lastgroup)) for match in known.finditer(view.data)]


def _item(view: View, start: int, end: int, kind: str) -> Item:
    first, last = view.original(start, end)
    text = view.data[start:end].decode("utf-8", "replace")
    return Item(first, last, kind, text, percent=view.name in ("percent", "form"))


def _apart(found: list[Item]) -> list[Item]:
    """Items in order; of those that overlap, one over all of their range: nothing leaks."""
    apart: list[Item] = []
    for item in sorted(found, key=lambda one: (one.start, -one.end)):
        if not apart or item.start >= apart[-1].end:
            apart.append(item)
        elif item.end > apart[-1].end:
            apart[-1] = apart[-1]._replace(end=item.end, text=apart[-1].text + item.text)
    return apart


def apart(found: list[Item]) -> list[Item]:
    """Items of several searches in order; an encoded text wins over what it overlaps."""
    inner = [item for item in found if item.inner is not None]
    others = [
        item
        for item in found
        if item.inner is None
        and not any(one.start <= item.start and item.end <= one.end for one in inner)
    ]
    return _apart(inner + others)


def _kinds(personal: bool) -> Sequence[SecretKind | PersonalKind]:
    return _ALL if personal else SECRETS


@lru_cache(maxsize=2)
def _prefilter(personal: bool) -> re2.Set:
    """All patterns at once: which of them are anywhere in a text, in one pass."""
    import re2

    options = _options(256 << 20)
    patterns = re2.Set.SearchSet(options)
    for kind in _kinds(personal):
        patterns.Add(kind.pattern)
    patterns.Compile()
    return patterns


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re2._Regexp[bytes]:
    import re2

    return re2.compile(pattern.encode(), _options(64 << 20))


def _options(memory: int) -> re2.Options:
    """Texts are matched as bytes: classes of Unicode letters take 0.25 s to build."""
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = memory
    options.log_errors = False
    return options
