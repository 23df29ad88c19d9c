"""What stands for a personal item: of the same shape, valid where it was, and always the same.

Pseudonyms are drawn from a keyed hash, so that the same item gets the same pseudonym wherever the
key is the same, and nobody without the key can test a guess. Addresses and domains are taken from
ranges that belong to nobody.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Iterator

from evalkit.redacting.naming import MARK
from evalkit.redacting.personal import iban_check, luhn

_NAMES = [
    "Alder",
    "Ames",
    "Arden",
    "Ashby",
    "Bevan",
    "Birch",
    "Blake",
    "Briar",
    "Carden",
    "Cedar",
    "Corin",
    "Dale",
    "Darby",
    "Elwin",
    "Ember",
    "Farley",
    "Fenn",
    "Finch",
    "Galen",
    "Hale",
    "Hollis",
    "Iden",
    "Jarrow",
    "Keel",
    "Kestrel",
    "Lark",
    "Linden",
    "Marlow",
    "Merrin",
    "Nevin",
    "Oakes",
    "Orrin",
    "Pell",
    "Perrin",
    "Quill",
    "Rowan",
    "Rusk",
    "Sable",
    "Selby",
    "Sorrel",
    "Tarn",
    "Tatum",
    "Thorne",
    "Umber",
    "Vale",
    "Vesper",
    "Wilder",
    "Wren",
    "Yarrow",
    "Zephyr",
]


class Pseudonyms:
    """The pseudonyms given so far. Different items never share one, and none is an item."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._given: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()
        self._secrets: dict[str, int] = {}

    def of(self, kind: str, text: str) -> str:
        """The pseudonym of one item of a kind; a numbered mark for secrets."""
        item = (kind, _normal(kind, text))
        if item not in self._given:
            self._given[item] = self._draw(kind, text, item[1])
            self._taken.add(self._given[item])
        given = self._given[item]
        if kind == "name" and text != text.title():
            return given.upper() if text.isupper() else given.lower()
        return _laid_out(given, text) if kind in _SPACED else given

    def _draw(self, kind: str, text: str, normal: str) -> str:
        make = _MAKERS.get(kind)
        if make is None:
            self._secrets[kind] = number = self._secrets.get(kind, 0) + 1
            return f"{MARK}{kind}" + (f"-{number}" if number > 1 else "")
        for attempt in range(1000):
            drawn = make(normal, self._numbers(f"{kind}\0{normal}\0{attempt}"), self)
            if drawn != normal and drawn not in self._taken:
                return drawn
        return f"{MARK}{kind}-{len(self._taken)}"  # more items of this shape than pseudonyms

    def _numbers(self, seed: str) -> Iterator[int]:
        """Endless bytes that depend on the key and the seed only."""
        block = 0
        while True:
            yield from hmac.digest(
                self._key, f"{seed}\0{block}".encode("utf-8", "replace"), "sha256"
            )
            block += 1


def _normal(kind: str, text: str) -> str:
    """The item without what may differ between two mentions of it."""
    if kind in _SPACED:
        kept = "".join(one for one in text if one.isalnum())
        return kept.upper() if kind == "iban" else kept
    return text.lower() if kind in ("email", "ip", "name") else text


def _laid_out(given: str, text: str) -> str:
    """The characters of a pseudonym in the layout of this mention: its spaces, dashes and case."""
    if given.startswith(MARK):
        return given
    chars = iter(given)
    out = "".join(next(chars, "") if one.isalnum() else one for one in text)
    return out.lower() if text.islower() else out


def _letter(number: int, like: str) -> str:
    if like.isdigit():
        return str(number % 10)
    drawn = chr(97 + number % 26)
    return drawn.upper() if like.isupper() else drawn


def _email(normal: str, numbers: Iterator[int], names: Pseudonyms) -> str:
    local, _, domain = normal.rpartition("@")
    drawn = "".join(_letter(next(numbers), one) if one.isalnum() else one for one in local)
    return f"{drawn}@{names.of('domain', domain)}"


def _domain(normal: str, numbers: Iterator[int], _: Pseudonyms) -> str:
    return "".join(_letter(next(numbers), "a") for _ in range(6)) + ".example"


def _phone(normal: str, numbers: Iterator[int], _: Pseudonyms) -> str:
    """Keeps the first two digits, which tell country or trunk code, and zeros none first."""
    return normal[:2] + "".join(str(1 + next(numbers) % 9) for _ in normal[2:])


def _card(normal: str, numbers: Iterator[int], _: Pseudonyms) -> str:
    """Keeps the network's digits; zeros follow, as in test numbers; the last digit checks."""
    body = normal[:2] + "00" + "".join(str(next(numbers) % 10) for _ in normal[4:-1])
    if normal[0] == "4":
        body = "40" + body[2:]
    elif normal[0] in "236":
        body = normal[:4] + body[4:]
    return next(body + check for check in "0123456789" if luhn(body + check))


def _iban(normal: str, numbers: Iterator[int], _: Pseudonyms) -> str:
    body = "".join(_letter(next(numbers), one) for one in normal[4:])
    check = 98 - iban_check(normal[:2] + "00" + body)
    return f"{normal[:2]}{check:02}{body}"


def _ip(normal: str, numbers: Iterator[int], _: Pseudonyms) -> str:
    """Public addresses from the benchmarking network, private ones stay private."""
    address = ipaddress.ip_address(normal)
    drawn = int.from_bytes(bytes(next(numbers) for _ in range(8)), "big")
    if address.version == 6:
        return str(ipaddress.IPv6Address((0x20010DB8 << 96) + drawn))
    if address.is_private:
        return str(ipaddress.IPv4Address((10 << 24) + drawn % 2**24))
    return str(ipaddress.IPv4Address((198 << 24) + (18 << 16) + drawn % 2**17))


def _name(normal: str, numbers: Iterator[int], _: Pseudonyms) -> str:
    first = next(numbers) * 256 + next(numbers)
    second = _NAMES[next(numbers) % len(_NAMES)].lower() if first >= 32768 else ""
    return _NAMES[first % len(_NAMES)] + second


_MAKERS: dict[str, Callable[[str, Iterator[int], Pseudonyms], str]] = {
    "email": _email,
    "domain": _domain,
    "phone": _phone,
    "card": _card,
    "iban": _iban,
    "ip": _ip,
    "name": _name,
}
_SPACED = {"card", "iban", "phone"}
