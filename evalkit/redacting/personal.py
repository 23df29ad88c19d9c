"""Personal data that can be told by its form: e-mail, phone, card, IBAN and IP address.

A form alone is rarely proof: card and account numbers must have right check digits, numbers that
are parts of longer identifiers are left alone. Names of people have no form; see
:mod:`evalkit.redaction` for those that the user lists.
"""

# ruff: noqa: E501 - a pattern is read in one piece, never wrapped

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

_FILES = {"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "ts", "py", "html", "json", "md"}
_ADDRESS = re.compile(r"([\w+%-][\w.+%-]{0,63})@((?:[\w-]{1,63}\.){1,6}[^\W\d_]{2,24})")
_WORD = re.compile(rb"[A-Za-z0-9_]")
_DIGITS = re.compile(rb"[0-9]+")
_VERSION = re.compile(rb"(?i)(?:\bv|version|release|build|section|chapter|sdk)[\s:=/]{0,3}$")
_NUMBERED = re.compile(rb"(?i)(?:order|invoice|ticket|case|tracking|sku|part|serial|ref\w{0,8}|po|id"
                       rb"|number|no|nr)[\s.:#=\"']{0,5}$")  # fmt: skip

_CARD = re.compile(
    rb"(?i)\b(?:card|credit|debit|pan|cc|maestro)[a-z_ ]{0,10}(?:number|no|nr)?[\W_]{0,8}$"
)
_EXPIRES = re.compile(rb"(?i)\W{1,4}(?:exp|valid|cv[cv]|(?:0[1-9]|1[0-2])/2)")

IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28,
    "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
    "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20,
    "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24,
    "SC": 31, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24,
    "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip


class PersonalKind(NamedTuple):
    """One kind: its name, how it looks, and where exactly a match is one.

    ``locate`` takes the text and the match's range and gives the range of the item, or None.
    """

    name: str
    pattern: str
    locate: Callable[[bytes, int, int], tuple[int, int] | None]


def _email(data: bytes, start: int, end: int) -> tuple[int, int] | None:
    """The address in a coarse match, whose letters are ASCII or any other bytes."""
    while start > 0 and data[start] & 0xC0 == 0x80:  # not within a character
        start -= 1
    while end < len(data) and data[end] & 0xC0 == 0x80:
        end += 1
    text = data[start:end].decode("utf-8", "replace")
    found = _ADDRESS.search(text)
    if found is None:
        return None
    local, domain = found.groups()
    first = start + len(text[: found.start()].encode())
    last = first + len(found[0].encode())
    end_of = domain.rpartition(".")[2].lower()
    git = local.lower() == "git" and data[last : last + 1] == b":"
    if end_of in _FILES or end_of == "example" or git:
        return None
    return first, last


def _phone(data: bytes, start: int, end: int) -> tuple[int, int] | None:
    if _glued(data, start, end) or _NUMBERED.search(data[max(0, start - 24) : start]):
        return None
    digits = b"".join(_DIGITS.findall(data[start:end]))
    return (start, end) if 7 <= len(digits) <= 15 and len(set(digits)) > 2 else None


def _national(data: bytes, start: int, end: int) -> tuple[int, int] | None:
    digits = b"".join(_DIGITS.findall(data[start:end]))
    value_added_tax = re.search(rb"\b[A-Z]{2} ?$", data[max(0, start - 4) : start]) is not None
    return _phone(data, start, end) if len(digits) >= 9 and not value_added_tax else None


def _north_american(data: bytes, start: int, end: int) -> tuple[int, int] | None:
    digits = b"".join(_DIGITS.findall(data[start:end]))[-10:]
    real = digits[1:3] != b"11" and digits[4:6] != b"11"
    return _phone(data, start, end) if real else None


def _labelled_phone(data: bytes, start: int, end: int) -> tuple[int, int] | None:
    number = re.search(rb"[+(0-9][0-9 ()./-]*[0-9]$", data[start:end])
    return _phone(data, start + number.start(), end) if number else None


def _card(data: bytes, start: int, end: int) -> tuple[int, int] | None:
    """The card number at the start of a run of digit groups, the longest that checks out."""
    first = re.match(rb"[0-9]+", data[start:end])
    if _goes_on_before(data, start) or first is None or 4 != len(first[0]) < 13:
        return None  # a card's first group is of four digits
    at = [index for index in range(start, end) if 48 <= data[index] <= 57]
    for length in (19, 18, 17, 16, 15, 14, 13):
        if len(at) < length:
            continue
        stop = at[length - 1] + 1
        digits = bytes(data[index] for index in at[:length]).decode()
        known = _issued(digits) or (_often_other(digits) and _is_told(data, start, stop))
        if known and luhn(digits) and not _goes_on_after(data, stop):
            return start, stop
    return None


def _often_other(digits: str) -> bool:
    """Whether it may be a Maestro or an old Visa number: so many other numbers begin so."""
    return (
        digits[:2] == "50" or "56" <= digits[:2] <= "69" or (digits[0] == "4" and len(digits) == 13)
    )


def _is_told(data: bytes, start: int, stop: int) -> bool:
    """Whether a number is laid out in groups as cards are, or called a card before."""
    grouped = re.fullmatch(rb"[0-9]{4}([ -])[0-9]{4}(?:\1[0-9]{1,4}){2,3}", data[start:stop])
    told = _CARD.search(data[max(0, start - 30) : start]) or _EXPIRES.match(data[stop : stop + 20])
    return grouped is not None or told is not None


def _issued(digits: str) -> bool:
    """Whether a network issues numbers that begin so and are this long."""
    size, two, four = len(digits), int(digits[:2]), int(digits[:4])
    if len(set(digits)) < 3 and size != 16:
        return False
    return (
        (digits[0] == "4" and size in (16, 19))
        or (size in (16, 17, 18, 19) and 2200 <= four <= 2204)
        or (size == 16 and (51 <= two <= 55 or 2221 <= four <= 2720))
        or (size == 15 and two in (34, 37))
        or (size in (16, 19) and (four == 6011 or two == 65 or 6440 <= four <= 6499))
        or (size == 16 and 3528 <= four <= 3589)
        or (size == 14 and (two in (36, 38, 39) or 3000 <= four <= 3059))
        or (size in (16, 17, 18, 19) and two == 62)
    )


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of those before it (ISO/IEC 7812)."""
    odd = sum(int(one) for one in digits[-1::-2])
    even = sum(sum(divmod(2 * int(one), 10)) for one in digits[-2::-2])
    return (odd + even) % 10 == 0


def _iban(data: bytes, start: int, end: int) -> tuple[int, int] | None:
    length = IBAN_LENGTHS.get(data[start : start + 2].decode().upper())
    if length is None or _goes_on_before(data, start):
        return None
    at = [index for index in range(start, end) if data[index : index + 1].isalnum()][:length]
    if len(at) < length:
        return None
    text = bytes(data[index] for index in at).decode().upper()
    stop = at[-1] + 1
    return (start, stop) if iban_check(text) == 1 and not _goes_on_after(data, stop) else None


def iban_check(text: str) -> int:
    """The remainder modulo 97 of a compact IBAN (ISO 13616); 1 for a valid one."""
    return int("".join(str(int(one, 36)) for one in text[4:] + text[:4])) % 97


def _ipv4(data: bytes, start: int, end: int) -> tuple[int, int] | None:
    if _in_dotted(data, start, end) or _VERSION.search(data[max(0, start - 12) : start]):
        return None
    return (start, end) if _is_someones(data[start:end].decode()) else None


def _ipv6(data: bytes, start: int, end: int) -> tuple[int, int] | None:
    around = data[max(0, start - 1) : start] + data[end : end + 1]
    text = data[start:end].decode()
    groups = [group for group in text.split(":") if group]
    prefixed = re.match(rb"/[0-9]{1,3}(?![0-9A-Za-z])", data[end : end + 5]) is not None
    glued = _goes_on_before(data, start) or (_goes_on_after(data, end) and not prefixed)
    if glued or b":" in around or len(groups) < 3:
        return None
    return (start, end) if any(map(str.isdigit, text)) and _is_someones(text) else None


def _is_someones(text: str) -> bool:
    """Whether it is an address, and not this machine's, a netmask's or one for documentation."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        return False
    return not any(address in network for network in RESERVED if network.version == address.version)


RESERVED = tuple(
    ipaddress.ip_network(network)
    for network in ("198.18.0.0/15", "255.0.0.0/8", "0.0.0.0/8", "2001:db8::/32")
)
"""Networks that pseudonyms come from, and what is no host's address."""


def _glued(data: bytes, start: int, end: int) -> bool:
    """Whether a word or number goes on before ``start`` or after ``end``."""
    return _goes_on_before(data, start) or _goes_on_after(data, end)


def _goes_on_before(data: bytes, start: int) -> bool:
    before = data[max(0, start - 1) : start]
    if before in (b"-", b".", b"/"):
        return data[max(0, start - 2) : start - 1].isalnum()
    return _WORD.match(before) is not None


def _goes_on_after(data: bytes, end: int) -> bool:
    after, then = data[end : end + 1], data[end + 1 : end + 2]
    if after in (b"-", b"/"):
        return then.isalnum()
    return then.isdigit() if after == b"." else _WORD.match(after) is not None


def _in_dotted(data: bytes, start: int, end: int) -> bool:
    """Whether a dotted number is part of a longer one or of a word."""
    before, after = data[max(0, start - 1) : start], data[end : end + 1]
    if before in (b".", b"-", b"_") or before.isalnum() or after.isalnum() or after in (b"_", b"-"):
        return True
    return after == b"." and data[end + 1 : end + 2].isdigit()


_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
# Patterns are of bytes: letters beyond ASCII are a pair and more of bytes from 0x80 on.
PERSONAL: tuple[PersonalKind, ...] = (
    PersonalKind("email", r"[A-Za-z0-9._%+\x80-\xff-]{1,64}@[A-Za-z0-9\x80-\xff-]{1,63}(?:\.[A-Za-z0-9\x80-\xff-]{1,63}){0,5}\.[A-Za-z\x80-\xff]{2,24}", _email),
    PersonalKind("iban", r"\b[A-Z]{2}[0-9]{2}(?:[ ]?[A-Z0-9]){11,30}", _iban),
    PersonalKind("iban", r"\b[a-z]{2}[0-9]{2}[a-z0-9]{11,30}", _iban),
    PersonalKind("card", r"\b[2-6][0-9](?:[ -]?[0-9]){11,17}", _card),
    PersonalKind("phone", r"\+[1-9][0-9]{0,2}(?:[ ./-]{0,2}\(?[0-9]{1,5}\)?){2,6}", _phone),
    PersonalKind("phone", r"(?:\b1[ .-])?(?:\([2-9][0-9]{2}\) ?|\b[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}",
                 _north_american),
    PersonalKind("phone", r"\b0[1-9](?:[ .][0-9]{2}){4}", _phone),
    PersonalKind("phone", r"\b0[1-9][0-9]{1,4} [0-9]{3,4} [0-9]{3,4}", _phone),
    PersonalKind("phone", r"\b0[1-9][0-9]{1,4}[ /-][0-9]{5,8}", _phone),
    PersonalKind("phone", r"\b0[1-9][0-9]{1,2}(?:[ -][0-9]{2,4}){2,3}", _national),
    PersonalKind("phone", r"\b0[1-9]-[0-9]{4}-[0-9]{4}", _phone),
    PersonalKind("phone", r"\b00[1-9][0-9]{0,2}(?:[ ./-]{1,2}\(?[0-9]{1,8}\)?){2,6}", _phone),
    PersonalKind("phone", r"(?:\b8 ?)?\([1-9][0-9]{1,3}\) ?[0-9]{3,5}-[0-9]{2,4}(?:-[0-9]{2})?", _phone),
    PersonalKind("phone", r"(?i:\b[a-z_]{0,20}(?:phone|mobile|cell|tel|fax|whatsapp)(?:[ _]?(?:number|no|nr))?)"
                          r"[\\\"'.:= ]{1,6}(?:is )?\+?[(0-9][0-9 ()./-]{5,22}[0-9]", _labelled_phone),
    PersonalKind("ip", rf"\b{_OCTET}(?:\.{_OCTET}){{3}}", _ipv4),
    PersonalKind("ip", r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}", _ipv6),
)  # fmt: skip
