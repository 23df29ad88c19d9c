"""What names a secret, and whether the text beside such a name can be one.

The same rules hold for the keys of a value and for names in running texts: a key's name says what
its value is for, and the value's form whether it is that, or a word that tells of it.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from itertools import pairwise

MARK = "REDACTED-"
"""What a secret is replaced by begins so: safe in URLs, JSON and shells; neither a secret nor the
name of one."""

_PASSWORDS = {
    "password",
    "passwd",
    "pwd",
    "pw",
    "passphrase",
    "passcode",
    "pin",
    "otp",
    "cvv",
    "cvc",
}
PASS_OF = ("db", "database", "user", "admin", "root", "sudo", "become", "login", "my", "app", "ssh",
            "smtp", "mail", "email", "imap", "ftp", "sftp", "http", "proxy", "ldap", "vpn", "wifi",
            "mysql", "pg", "postgres", "redis", "mongo", "rabbitmq", "keystore", "key")  # fmt: skip
"""What a ``pass`` is a password of; others are tests, phases or tickets."""

PHRASES = ("seed", "recovery", "backup", "secret", "pass")
_SECRETS = {"secret", "secrets", "apikey", "credential", "credentials", "authorization", "bearer"}
KEYS = ("api", "access", "private", "secret", "signing", "encryption", "session", "account", "auth",
        "subscription", "functions", "hmac", "master", "openai", "anthropic", "azure", "gemini",
        "mistral", "cohere", "storage")  # fmt: skip
"""Of these, a ``key`` is a secret."""

_KEYS_OF_SECRETS = frozenset(KEYS) - {"azure", "storage"}

_PASSWORD_ENDS = ("password", "passwd", "passphrase", "dbpass", "userpass", "sshpass")
_SECRET_ENDS = (
    "secret", "apikey", "accesskey", "secretkey", "privatekey", "accesstoken", "authtoken",
    "refreshtoken", "sessiontoken", "bottoken", "csrftoken", "idtoken",
)  # fmt: skip
"""Endings of words written as one: ``PGPASSWORD``, ``clientsecret``."""

_BY_WORD = {"token": "token", "auth": "basic-auth", "cookie": "cookie", "cookies": "cookie"}
_NO_SECRET = {"page", "next", "continuation", "cancel", "sync", "stop", "pad", "eos", "bos", "unk",
              "mask", "sep", "cls", "special", "start", "end", "max", "per", "delimiter", "cursor",
              "cancellation", "resume", "public", "first", "last"}  # fmt: skip
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PLACEHOLDER = re.compile(
    r"(?is)^(?:[*x•.·_=#~-]+|.*(?:\*{4}|•{3}).*|.*(?<!\.)(?:\.{3}|…)"
    r"|[a-z]{2,6}[-_]\.+|<.*>|\[[a-z _-]*\]|\$.*|\{\{.*|%\(.*"
    r"|(?:vault|ssm|op|file|keyring):.*/.*|arn:.*:.*|env:(?-i:[A-Z_][A-Z0-9_]*)"
    r"|[0-9.]+ ?[km]?w|os\.environ.*|process\.env.*|getenv.*|getpass.*|input|prompt"
    r"|[\[(<]?(?:redacted|filtered|hidden|masked|removed|omitted)\b.*"
    r"|(?:your|insert|enter)(?:[^a-z0-9]+[a-z]+)+|your(?:api|access|auth|secret|token|pass|key)[a-z]*"
    r"|changeme|correct|n/?a|env|todo|tbd|true|false|yes|no|ok|null|none|nil|undefined|void|unset|empty"
    r"|oauth[12]?(?:\.0)?|str|string|text|char|varchar|bytes|any|object|number|int|integer|bool|boolean"
    r"|basic|bearer|digest|granted|denied|same-origin|include|omit|inherit|default|not-[a-z]+|none-[a-z]+"
    r"|(?:required|optional|needed|missing|unknown|provided|invalid|valid|incorrect|wrong"
    r"|expired|changed|forgotten|reset|updated|sent|verified|pinned|enabled|disabled|must|should|please|the"
    r"|not|at least|at most|how (?:do|can|to|should)|is|was|minimum|maximum"
    r"|configured|revoked|rejected|rotated"
    r"|password|passwd|passphrase|token|secret)(?!\S)(?!.*\b(?:[a-z]+[0-9]|[0-9]+[a-z])).*)$"
)
_CONSTANT = re.compile(r"[A-Z]+(?:_[A-Z]+)+|[A-Za-z_]+(?:\.[A-Za-z_]+)+")
_SCHEME = re.compile(r"(?i)^(?:bearer|basic|token|apikey|digest)\s+(?=\S)")
_NO_PASSWORD = re.compile(r"^https?://\S+$")
"""Where one is set or reset."""

_WORDS_AND_NUMBERS = re.compile(
    rb"(?:[a-z]{3,}|[A-Z][a-z]{2,})(?:[-_/](?:[a-z]{3,}|[A-Z][a-z]{2,}|[0-9]{1,4}))+(?:\.[a-z]{2,4})?"
)
"""Names with a date or a count: ``raw-data-2024-11``, ``uploads/2024/invoice_1234.pdf``."""

_BETWEEN = re.compile(r"[-_.'’/]+")
_HUMP = re.compile(r"(?<=[a-z]{3})(?=[A-Z][a-z]{2})")
_FRAME = " \t\r\n\"'\\,;▁#"
"""What stands around a value, or before a word's token."""


def random_looking(found: bytes) -> bool:
    """Whether a token is none of words: ``sk-learn-tutorial`` and ``getUserName`` are.

    It has two digits, or it is long, and has one or letters that change case every few: words
    put together do not.
    """
    if len(set(found)) < 8 or _WORDS_AND_NUMBERS.fullmatch(found):
        return False
    digits = sum(48 <= one <= 57 for one in found)
    if digits >= 2 or (digits and len(found) >= 20 and found.lower() != found):
        return True
    changes = sum(
        65 <= min(one, other) <= 90 and 97 <= max(one, other) <= 122
        for one, other in pairwise(found)
    )
    return len(found) >= 20 and 3 * changes > len(found)


def key_kind(key: str) -> str | None:
    """The kind of secret that the value of a key of this name is: ``password``, ``secret``,
    ``token``, ``basic-auth``, ``cookie`` (of a header), None.

    ``dbPassword`` and ``X-Api-Key`` name one; ``max_tokens`` and ``next_page_token`` do not.
    """
    return _kind(key[-100:])


@lru_cache(maxsize=4096)
def _kind(name: str) -> str | None:
    if MARK in name:
        return None
    words = [word.lower() for word in _WORDS.findall(name)]
    while words and words[-1].isdecimal():  # API_KEY_2
        words.pop()
    if not words:
        return None
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if (
        last in _PASSWORDS
        or (last == "pass" and before in PASS_OF)
        or (last == "phrase" and before in PHRASES)
    ):
        return "password"
    if before in _NO_SECRET:
        return None
    if (
        last in _SECRETS
        or (last in ("token", "pat") and before)
        or (last in ("key", "keys") and (before in _KEYS_OF_SECRETS or before.endswith("api")))
        or (last in ("string", "value") and before == "secret")
    ):
        return "secret"
    if last.endswith(_PASSWORD_ENDS):
        return "password"
    if last.endswith(_SECRET_ENDS):
        return "secret"
    if last in ("key", "keys") and before in KEYS:  # azure_key may name a region, too
        last = "token"
    return _BY_WORD.get(last)


def secret_in(kind: str, text: str, *, prose: bool = False) -> str | None:
    """What of a text under a key of this kind is a secret, without a scheme such as ``Bearer``.

    None where it is empty, a mask or a reference, or one of the remarks that are listed above:
    ``required``, ``granted``, ``same-origin``, ``YOUR_API_KEY``, ``args.password``. Anything else
    is one, be it a word, and a password may be several. In running ``prose``, without quotes, a
    word is none; what is called no more than ``token`` counts only if it looks random.
    """
    scheme = _SCHEME.match(text)
    secret = text[scheme.end() :] if scheme and kind != "password" else text
    said = secret.strip(_FRAME)
    if not is_secret_value(said) or (_CONSTANT.fullmatch(said) and key_kind(said)):
        return None
    if kind == "password":
        return None if _NO_PASSWORD.search(said) else secret
    if kind == "cookie":  # without a name it is one to eat, or a choice
        return secret if "=" in said else None
    if kind == "basic-auth":
        return secret if scheme or _are_credentials(said) else None
    if len(said) < 6 or len(said.split()) > 1:
        return None
    if kind == "token" and not scheme:
        if said.isdecimal():
            return secret if len(said) >= 16 else None
        random = random_looking(said.encode("utf-8", "replace"))
        return secret if random else None
    return None if prose and _is_word(said) and not said.isupper() else secret


def is_secret_value(text: str) -> bool:
    """Whether a text that something names a secret may be one: not empty, a mask or a reference."""
    stripped = text.strip()
    return len(stripped) >= 3 and MARK not in stripped and not _PLACEHOLDER.match(stripped)


def _is_word(text: str) -> bool:
    """Whether a text is a word, or a few put together, short enough to be no phrase to log in."""
    parts = [part for part in _BETWEEN.split(text) if part]
    if len(text) > (16 if set(_BETWEEN.findall(text)) - {"."} else 24 + 12 * text.count(".")):
        return False
    return all(
        hump.isalpha() and hump in (hump.lower(), hump.upper(), hump.capitalize())
        for part in parts
        for hump in _HUMP.split(part)
    )


def _are_credentials(text: str) -> bool:
    """Whether a text is a name and a password in base64, as in ``.npmrc`` and Docker's settings."""
    try:
        name, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return False
    return bool(name and colon and len(password) >= 3) and (name + password).isprintable()
