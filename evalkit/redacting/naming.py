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
    r"(?is)^(?:[*x•.·_=#~-]+|.*(?:\*{4}|•{3}).*|.*(?:\.\.\.|…)|<.*>|\[[a-z _-]*\]|\$.*|\{\{.*|%\(.*"
    r"|(?:env|vault|ssm|op|file|arn|keyring):.*|os\.environ.*|process\.env.*|getenv.*|getpass.*|input|prompt"
    r"|[\[(<]?(?:redacted|filtered|hidden|masked|removed|omitted)\b.*"
    r"|(?:your|insert|enter)(?:[^a-z0-9]+[a-z]+)+|your(?:api|access|auth|secret|token|pass|key)[a-z]*"
    r"|changeme|correct|n/?a|env|todo|tbd|true|false|yes|no|ok|null|none|nil|undefined|void|unset|empty"
    r"|oauth[12]?(?:\.0)?|str|string|text|char|varchar|bytes|any|object|number|int|integer|bool|boolean"
    r"|(?:required|optional|needed|missing|unknown|provided|invalid|valid|incorrect|wrong"
    r"|expired|changed|forgotten|reset|updated|sent|verified|pinned|enabled|disabled|must|should|please|the"
    r"|password|passwd|passphrase|token|secret)(?:\s.*)?)$"
)
_CONSTANT = re.compile(r"[A-Z]+(?:_[A-Z]+)+|[A-Za-z_]+(?:\.[A-Za-z_]+)+")
_SCHEME = re.compile(r"(?i)^(?:bearer|basic|token|apikey|digest)\s+(?=\S)")
_NO_PASSWORD = re.compile(r"\s.*[.?!:]$|^https?://", re.DOTALL)
"""A sentence, or where one is set or reset."""

_BETWEEN = re.compile(r"[-_.'’/]+")
_HUMP = re.compile(r"(?<=[a-z]{3})(?=[A-Z][a-z]{2})")
_FRAME = " \t\r\n\"'\\,;▁#"
"""What stands around a value, or before a word's token."""


def random_looking(found: bytes) -> bool:
    """Whether a token is none of words: ``sk-learn-tutorial`` and ``getUserName`` are.

    It has two digits, or it is long, and has one or letters that change case every few: words
    put together do not.
    """
    if len(set(found)) < 8:
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
        or (last in ("key", "keys") and (before in KEYS or before.endswith("api")))
        or (last in ("string", "value") and before == "secret")
    ):
        return "secret"
    if last.endswith(_PASSWORD_ENDS):
        return "password"
    if last.endswith(_SECRET_ENDS):
        return "secret"
    return _BY_WORD.get(last)


def secret_in(kind: str, text: str) -> str | None:
    """What of a text under a key of this kind is a secret, without a scheme such as ``Bearer``.

    None where it is empty, a mask or a reference, or words that say something about the secret:
    ``required``, ``granted``, ``same-origin``, ``YOUR_API_KEY``, ``args.password``. A password may
    be a word or several. What is called no more than ``token`` is often a word of a text, and
    counts only if it is none.
    """
    scheme = _SCHEME.match(text)
    secret = text[scheme.end() :] if scheme and kind != "password" else text
    said = secret.strip(_FRAME)
    if not is_secret_value(said) or (_CONSTANT.fullmatch(said) and key_kind(said)):
        return None
    if kind == "password":
        return None if _NO_PASSWORD.search(said) or _is_remark(said) else secret
    if kind == "cookie":  # without a name it is one to eat, or a choice
        return secret if "=" in said else None
    if kind == "basic-auth":
        return secret if scheme or _are_credentials(said) else None
    if len(said) < 6 or len(said.split()) > 1:
        return None
    if kind == "token" and not scheme:
        random = not said.isdecimal() and random_looking(said.encode("utf-8", "replace"))
        return secret if random else None
    return None if _is_word(said) else secret


def is_secret_value(text: str) -> bool:
    """Whether a text that something names a secret may be one: not empty, a mask or a reference."""
    stripped = text.strip()
    return len(stripped) >= 3 and MARK not in stripped and not _PLACEHOLDER.match(stripped)


def _is_remark(text: str) -> bool:
    """Whether some words say something of a password: a phrase to log in has more, or numbers."""
    words = text.split()
    return len(words) > 1 and ("," in text or (len(words) < 4 and not re.search(r"\d", text)))


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
