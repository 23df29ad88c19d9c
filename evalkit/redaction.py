"""Redaction: secrets and personal data replaced in a JSON value before anything is written.

Secrets become marks (``REDACTED-github-token``); e-mail addresses, phone, card and account
numbers, IP addresses and the names that the user lists become pseudonyms that keep shape and
check digits and are the same everywhere. Both are found in texts, keys and numbers, inside JSON
in strings, URLs, base64 and across line breaks; what was found once is then replaced wherever it
stands alone.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from evalkit.redacting.finding import Item, apart, find, find_encoded
from evalkit.redacting.naming import MARK, key_kind, secret_in
from evalkit.redacting.placing import are_pairs, is_command, keys_of, name_in, names_of, text_of
from evalkit.redacting.pseudonyms import Pseudonyms
from evalkit.redacting.quoting import bare_numbers
from evalkit.redacting.second import SecondPass, second_pass

__all__ = [
    "NOT_CHECKED",
    "Redacted",
    "Redactor",
    "Replaced",
    "redact",
    "redact_secrets",
    "second_pass",
]

MAX_DEPTH = 100
MAX_KNOWN = 2000
NOT_CHECKED = (
    "names of people that nobody listed, postal addresses, dates of birth, and numbers of "
    "passports, social security and the like; text in images and other binary data"
)
"""What redaction does not look for: a person must."""

_PHONE_KEY = re.compile(r"(?i)(?:phone|mobile|cell|tel|fax|whatsapp)(?:[_ -]?(?:number|no|nr))?$")
_JSON_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_PHONE = re.compile(r"\+?[0-9(][0-9 ()./-]{5,22}[0-9]")


class Replaced(NamedTuple):
    """What one kind of item was replaced with, and how often. The original is not kept."""

    kind: str
    pseudonym: str
    times: int


class Redacted(NamedTuple):
    """A value without what was found in it, and what that was replaced with, most often first."""

    value: Any
    replaced: tuple[Replaced, ...]


def redact_secrets(value: Any) -> tuple[Any, dict[str, int]]:
    """The value with every secret replaced by a mark, and how many of each kind were.

    Takes any JSON value; tuples become lists. What is nested deeper than 100 levels is cut off.
    """
    redactor = Redactor(b"", personal=False)
    redacted = redactor.redact(value)
    counts: dict[str, int] = {}
    for kind, _, times in redacted.replaced:
        counts[kind] = counts.get(kind, 0) + times
    return redacted.value, counts


def redact(value: Any, *, key: bytes | None = None, names: Iterable[str] = ()) -> Redacted:
    """The value without secrets, personal data and the listed names.

    Pseudonyms are the same for the same ``key``; without one they are drawn anew. A name's parts
    (``Maria``, ``Lopez``) are replaced as well.
    """
    return Redactor(key or secrets.token_bytes(16), names=names).redact(value)


class Redactor:
    """Redacts values one after another, with the same pseudonyms for the same items.

    ``second`` looks for secrets once more, see :mod:`evalkit.redacting.second`.
    """

    def __init__(
        self,
        key: bytes,
        *,
        names: Iterable[str] = (),
        personal: bool = True,
        second: SecondPass | None = None,
    ) -> None:
        self.second = second
        self._pseudonyms = Pseudonyms(key)
        self._personal = personal
        self._names = _name_pattern(names)
        self._known: dict[str, str] = {}
        self._pattern: re.Pattern[bytes] | None = self._names
        self._times: dict[tuple[str, str], int] = {}

    def redact(self, value: Any) -> Redacted:
        """One value, redacted; what it and earlier values held is replaced wherever it stands."""
        self._times = {}
        before = len(self._known)
        redacted = self._walked(value, 0)
        if len(self._known) > before:
            self._pattern = _known_pattern(self._known, self._names)
            self._times = {}
            redacted = self._walked(value, 0)
        replaced = [Replaced(kind, said, times) for (kind, said), times in self._times.items()]
        return Redacted(redacted, tuple(sorted(replaced, key=lambda one: -one.times)))

    def leaks(self, data: bytes) -> list[str]:
        """The kinds of found items whose original is in the bytes.

        Plain words of lower case and texts below six characters are not looked for: a password
        may be one, and so may any other word.
        """
        return [
            kind
            for text, kind in self._known.items()
            if _telling(text) and text.encode("utf-8", "replace") in data
        ]

    def _walked(self, value: Any, depth: int, key: str = "") -> Any:
        if depth > MAX_DEPTH:
            return f"{MARK}too-deep"
        if isinstance(value, dict):
            keys = keys_of(value, key)
            return {
                self._text(str(name)): self._walked(one, depth + 1, keys[name])
                for name, one in value.items()
            }
        if isinstance(value, list | tuple):
            return self._listed(value, depth + 1, key)
        if isinstance(value, str):
            return self._under(key, value)
        if isinstance(value, bytes):
            return self._binary(value, key)
        if isinstance(value, int) and not isinstance(value, bool):
            return self._number(value, key)
        return value

    def _listed(self, value: Sequence[Any], depth: int, key: str) -> list[Any]:
        if are_pairs(value):
            return [
                [self._walked(one[0], depth + 1), self._walked(one[1], depth + 1, name_in(one))]
                for one in value
            ]
        names = names_of(value, key)
        told = self._command(value) if is_command(value) else value
        return [self._walked(one, depth, name) for one, name in zip(told, names, strict=True)]

    def _command(self, words: Sequence[str]) -> list[str]:
        """The words of a command without the secrets that it shows as one line."""
        encoded = [word.encode("utf-8", "surrogatepass") for word in words]
        items = find(b" ".join(encoded), personal=False, known=None)
        ending = {item.end: item for item in items}
        told, at = [], 0
        for word in encoded:
            end = at + len(word)
            item = ending.get(end)
            if item is None or item.start < at:
                clean = word
            else:
                clean = word[: item.start - at] + self._put(item, word[item.start - at :])
            told.append(clean.decode("utf-8", "surrogatepass"))
            at = end + 1
        return told

    def _binary(self, value: bytes, key: str) -> bytes:
        text = text_of(value)
        return self._bytes(value, 0) if text is None else self._under(key, text).encode()

    def _under(self, key: str, text: str) -> str:
        """A text under a key: the key's name may tell what the form does not."""
        kind = key_kind(key) if key else None
        if kind is not None:
            secret = secret_in(kind, text)
            if secret is not None:
                return text[: len(text) - len(secret)] + self._replacement(kind, secret)
        if self._personal and key and _PHONE_KEY.search(key) and _PHONE.fullmatch(text.strip()):
            return text.replace(text.strip(), self._replacement("phone", text.strip()))
        return self._text(text)

    def _number(self, value: int, key: str) -> int | str:
        """A PIN under its key; a number as long as a card's may be one."""
        if key_kind(key) == "password" and value > 99:
            return self._replacement("password", str(value))
        if not 10**9 <= value < 10**19:
            return value
        redacted = self._text(str(value))
        return int(redacted) if redacted.isdecimal() else redacted

    def _text(self, text: str) -> str:
        data = text.encode("utf-8", "surrogatepass")
        redacted = self._bytes(data, 0)
        return text if redacted is data else redacted.decode("utf-8", "surrogatepass")

    def _bytes(self, data: bytes, layer: int) -> bytes:
        found = find(data, personal=self._personal, known=self._pattern, second=self.second)
        encoded = find_encoded(data, self._bytes, layer) if len(data) >= 16 else []
        items = apart(found + encoded) if encoded else found
        if not items:
            return data
        out, at = [], 0
        for item, mark in bare_numbers(data, items):
            put = self._put(item, data[item.start : item.end])
            if mark and not _JSON_NUMBER.fullmatch(put):
                put = mark + put + mark
            out += [data[at : item.start], put]
            at = item.end
        return b"".join((*out, data[at:]))

    def _put(self, item: Item, original: bytes) -> bytes:
        if item.inner is not None:
            return item.inner
        said = self._replacement(item.kind, item.text)
        encoded = item.percent and (b"%" in original or (b"+" in original and " " in item.text))
        return (quote(said, safe="") if encoded else said).encode()

    def _replacement(self, kind: str, text: str) -> str:
        if text.startswith(MARK):
            return text
        kind = self._known.get(text, kind)
        said = self._pseudonyms.of(kind, text)
        self._times[kind, said] = self._times.get((kind, said), 0) + 1
        if len(self._known) < MAX_KNOWN:
            self._known[text] = kind
        return said


def _known_pattern(
    known: dict[str, str], names: re.Pattern[bytes] | None
) -> re.Pattern[bytes] | None:
    """Finds what was found before, longest first, where no word goes on around it."""
    texts = sorted((text for text in known if _telling(text)), key=len, reverse=True)
    # By first bytes, so that few of them are tried at any place.
    branches: dict[bytes, list[bytes]] = {}
    for text in texts:
        encoded = text.encode("utf-8", "replace")
        branches.setdefault(encoded[:1], []).append(re.escape(encoded[1:]))
    listed = b"|".join(
        re.escape(first) + b"(?:" + b"|".join(rest) + b")" for first, rest in branches.items()
    )
    parts = [rb"(?<![A-Za-z0-9])(?P<known>" + listed + rb")(?![A-Za-z0-9])"] if texts else []
    parts += [names.pattern] if names else []
    return re.compile(b"|".join(parts)) if parts else None


def _telling(text: str) -> bool:
    """Whether a text is so special that any mention of it is that item: no short word is."""
    return len(text) >= 6 and not (text.isalpha() and text.islower())


def _name_pattern(names: Iterable[str]) -> re.Pattern[bytes] | None:
    """Finds listed names in any case, and their parts of three letters and more as written."""
    listed = sorted({part for name in names for part in _parts(name)}, key=len, reverse=True)
    if not listed:
        return None
    escaped = b"|".join(_either_case(part) for part in listed)
    return re.compile(rb"(?P<name>(?<![A-Za-z0-9])(?:" + escaped + rb")(?![A-Za-z0-9]))")


def _parts(name: str) -> Sequence[str]:
    return [part for part in name.split() if len(part) >= 3]


def _either_case(part: str) -> bytes:
    forms = {part, part.upper(), part.lower(), part.title()}
    return b"|".join(re.escape(form.encode("utf-8", "replace")) for form in sorted(forms))
