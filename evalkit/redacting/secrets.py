"""The table of secrets: what each kind looks like, by itself or beside its name.

A pattern marks the secret with its first group, or is the secret as a whole. All of them are RE2,
which takes linear time on any text. A pattern that words or identifiers could meet by chance has
a check as well.
"""

# ruff: noqa: E501 - a pattern is read in one piece, never wrapped

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from evalkit.redacting.naming import KEYS, MARK, PASS_OF, PHRASES, random_looking, secret_in


def is_value(found: bytes) -> bool:
    """Whether the text after a password's name is one, not a placeholder, a type or a remark."""
    return _is_password(found) and (not found.isalpha() or len(found) > 20 or not found.islower())


def _is_password(found: bytes) -> bool:
    """Whether a text where a password must stand is one, be it a word."""
    return secret_in("password", found.decode("utf-8", "replace")) is not None


def _in_command(found: bytes) -> bool:
    """Whether what a command takes is a password, and not one port for another: ``8080:80``."""
    return _is_password(found) and not _PORTS.fullmatch(found)


def _is_header(found: bytes) -> bool:
    """Whether what follows a scheme is a header's secret."""
    return secret_in("secret", found.decode("utf-8", "replace")) is not None


def _in_prose(found: bytes) -> bool:
    """Whether what a text says of a secret may be it: ``password: required`` is a remark."""
    return not found.isalpha() or len(found) > 20 or not found.islower()


def _is_argument(found: bytes) -> bool:
    """Whether what follows an option is its value, not the next option."""
    return not found.startswith(b"-") and _in_prose(found)


def _password_in_prose(found: bytes) -> bool:
    """Whether what a sentence says that a password is can be one: ``password is wrong`` cannot."""
    return any(48 <= one <= 57 for one in found) and is_value(found)


_PORTS = re.compile(
    rb"(?:[0-9.]+:)?[0-9]{1,5}(?:-[0-9]{1,5})?:[0-9]{1,5}(?:-[0-9]{1,5})?(?:/[a-z]{3,4})?"
)
"""A container's port for one of the machine."""


class SecretKind(NamedTuple):
    """One kind of secret: its name, how it looks, and a check that RE2 cannot express.

    Of a ``named`` kind, the first group is the name before the secret, judged as a key is; in
    ``prose`` a word is no secret.
    """

    name: str
    pattern: str
    check: Callable[[bytes], bool] | None = None
    named: bool = False
    prose: bool = False


_IS = r"""\\*["']?\s{0,4}(?:=>|:=|[:=])\s{0,4}(?:\[\s{0,4})?"""
_QUOTED = r"""\\*["']"""
_IN_QUOTES = r"""(?:"([^"\\\r\n]{3,})\\*"|'([^'\\\r\n]{3,})\\*')"""
_BARE = r"""([^\s"'`,;&<>(){}\[\]\\]{6,})"""
_VALUE = f"(?:{_IN_QUOTES}|{_BARE})"

NAMES = (
    rf"(?:passw(?:or)?d|passphrase|passcode|(?:{'|'.join(PHRASES)})[ _-]?phrase|(?:{'|'.join(PASS_OF)})[_-]?pass"
    rf"|pwd?|secrets?(?:[_-]?(?:string|value))?|(?:{'|'.join(KEYS)})[ _.-]?keys?|token|[_-]pat|credentials?"
    r"|authorization|bearer)(?:[_-]?[0-9]{1,3})?"
)
"""The ends of names that may be those of secrets; :func:`key_kind` decides."""

_NAMED = rf"(?i:([a-z0-9_.-]{{0,40}}{NAMES}))"
_NUMBERED = r"(?i:([a-z0-9_.-]{0,40}(?:pin|otp|cvv|cvc|passcode|password)))"

_COMMANDS = {
    r"(?:mysql|mariadb)[a-z-]{0,10}|mycli": r"-p",
    r"sshpass|(?:docker|podman|helm|nerdctl|buildah|oras|skopeo)\W{1,4}(?:registry\W{1,4})?login|mongo(?:sh|dump|restore|import|export|stat|top|files)?|cqlsh": r"-p[\s\"',=\\]{0,6}",
    r"(?:redis|keydb|valkey)-cli": r"-a[\s\"',\\]{1,6}",
    r"ldap[a-z]{3,10}": r"-w[\s\"',\\]{1,6}",
    r"sqlcmd|bcp|osql": r"-P[\s\"',\\]{0,6}",
    r"(?:un)?zip": r"-P[\s\"',\\]{1,6}",
    r"curl": r"-u[^\s:\"'@/]{1,60}:",
    r"openssl": r"-pass(?:in|out)?[\s\"',\\]{1,6}pass:",
}
"""Commands, and after what they take a password."""

_PREFIXED = {
    "1password-token": r"ops_eyJ[A-Za-z0-9+/=_-]{50,}",
    "adafruit-key": r"aio_[A-Za-z0-9]{28}",
    "alibaba-key": r"LTAI[A-Za-z0-9]{12,24}",
    "buildkite-token": r"bkua_[0-9a-f]{40}",
    "circleci-token": r"CCIPAT_[A-Za-z0-9]{22}_[0-9a-f]{40}",
    "clojars-token": r"CLOJARS_[0-9a-z]{60}",
    "cloudflare-key": r"v1\.0-[0-9a-f]{24}-[0-9a-f]{146}",
    "contentful-token": r"CFPAT-[A-Za-z0-9_-]{40,}",
    "crates-token": r"cio[A-Za-z0-9]{32}",
    "doppler-token": r"dp\.(?:st|pt|ct|sa|scim|audit)\.[A-Za-z0-9_.-]{40,}",
    "dropbox-token": r"sl\.[A-Za-z0-9_-]{100,}",
    "dynatrace-token": r"dt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}",
    "easypost-key": r"EZ[AT]K[A-Za-z0-9]{54}",
    "facebook-token": r"EAA[A-Za-z0-9]{90,}",
    "figma-token": r"figd_[A-Za-z0-9_-]{40,}",
    "fireworks-key": r"fw_[A-Za-z0-9]{20,}",
    "flutterwave-key": r"FLWSECK(?:_TEST)?-[0-9A-Za-z]{12,}",
    "fly-token": r"f(?:o1|m[12])_[A-Za-z0-9+/=_-]{40,}",
    "frameio-token": r"fio-u-[A-Za-z0-9=_-]{64}",
    "heroku-key": r"HRKU-[A-Za-z0-9_-]{36,}",
    "infracost-key": r"ico-[A-Za-z0-9]{32}",
    "mapbox-token": r"[st]k\.eyJ[A-Za-z0-9_-]{60,}\.[A-Za-z0-9_-]{20,}",
    "netlify-token": r"nfp_[A-Za-z0-9]{36}",
    "nvidia-key": r"nvapi-[A-Za-z0-9_-]{60,}",
    "pinecone-key": r"pcsk_[A-Za-z0-9_]{40,}",
    "planetscale-token": r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9=._-]{32,}",
    "prefect-key": r"pnu_[A-Za-z0-9]{36}",
    "pulumi-token": r"pul-[0-9a-f]{40}",
    "readme-key": r"rdme_[a-z0-9]{70}",
    "render-key": r"rnd_[A-Za-z0-9]{28,}",
    "rubygems-key": r"rubygems_[0-9a-f]{48}",
    "sendinblue-key": r"xkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16}",
    "sentry-token": r"sntry[su]_[A-Za-z0-9+/=_-]{40,}",
    "shippo-token": r"shippo_(?:live|test)_[0-9a-f]{40}",
    "sonarqube-token": r"sq[upa]_[0-9a-f]{40}",
    "supabase-key": r"sb(?:p_[0-9a-f]{40}|_secret_[A-Za-z0-9_-]{20,})",
    "tailscale-key": r"tskey-[a-z]{3,10}-[A-Za-z0-9]{8,}-[A-Za-z0-9]{20,}",
    "tavily-key": r"tvly-[A-Za-z0-9-]{30,}",
    "typeform-token": r"tfp_[A-Za-z0-9_.=-]{59}",
    "voyage-key": r"pa-[A-Za-z0-9_-]{40,}",
}
"""Kinds that their beginning tells."""

SECRETS: tuple[SecretKind, ...] = (
    *(SecretKind(name, rf"\b{pattern}", random_looking) for name, pattern in _PREFIXED.items()),
    SecretKind("private-key", r"PuTTY-User-Key-File-[0-9][^\x00]*?Private-Lines:\s{0,4}[0-9]{1,4}"
               r"\s{1,4}([A-Za-z0-9+/=\s\\]{16,}?)(?:Private-MAC|$)"),
    SecretKind("password", r"(?i:\b(?:password|passwd|passphrase|passcode|pin)) (?i:is|was|to|of)(?: set to| now)?\s{0,2}:?\s{1,4}"
               r"[\"'`]?([^\s\"'`,;<>]{6,})", _password_in_prose),
    SecretKind("password", r"(?:\s(?:-u|--(?:proxy-)?user)[ =][\"']?[^\s:\"'@/]{0,30}[^\s:\"'@/0-9][^\s:\"'@/]{0,30}:)"
               r"([^\s\"'`]{4,})", is_value),
    *(SecretKind("password", rf"\b(?:{command})[\s\"',\\](?:[^\r\n|;&]*?[\s\"',])?{option}\\*[\"']?([^\s\"'`|;&\\]{{3,}})", _in_command)
      for command, option in _COMMANDS.items()),
    SecretKind("password", r"\bauth\s?=\s?\(\s?[\"'][^\"'\r\n]{1,60}[\"'],\s{0,4}[\"']([^\"'\r\n]{3,})[\"']", _is_password),
    SecretKind("password", r"\.(?i:passw(?:or)?d)\(\s{0,4}\\*[\"']([^\"'\\\r\n]{4,})", _is_password),
    SecretKind("secret", rf"(?i:set|with)_?{_NAMED}\(\s{{0,4}}\\*[\"']([^\"'\\\r\n]{{4,}})", named=True),
    SecretKind("secret", rf"(?i:name):\s{{0,4}}[\"']?{_NAMED}[\"']?\s{{1,20}}(?i:value):\s{{0,4}}\\*(?:{_IN_QUOTES}|{_BARE})",
               named=True),
    SecretKind("password", r"(?i:\blogin\s{1,8}\S{1,80}\s{1,8}password)\s{1,8}([^\s\"\\]{4,})", _is_password),
    SecretKind("password", r"(?i:\b(?:identified\s{1,4}(?:with\s{1,4}\S{1,40}\s{1,4})?by|password)\s{1,4})(?:'([^'\r\n]{4,})'|\\*\"([^\"\\\r\n]{4,})\\*\")",
               _is_password),
    SecretKind("private-key", r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
               r"[A-Za-z0-9+/=\s\\:,.()-]{16,}?-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"),
    SecretKind("private-key", r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
               r"[A-Za-z0-9+/=\s\\]{16,}"),
    SecretKind("aws-access-key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    SecretKind("aws-secret-key", r"(?i:aws|secret)[A-Za-z_ -]{0,24}(?i:key)" + _IS
               + r"""\\*["']?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+]|$)"""),
    SecretKind("github-token", r"\bgh[pousr]_[A-Za-z0-9]{30,}\b"),
    SecretKind("github-token", r"\bgithub_pat_[A-Za-z0-9_]{22,}\b"),
    SecretKind("gitlab-token", r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|oas|imt)-[A-Za-z0-9_-]{20,}"),
    SecretKind("slack-token", r"\b(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,}", random_looking),
    SecretKind("slack-webhook", r"https://hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/]{20,})"),
    SecretKind("discord-webhook", r"https://discord(?:app)?\.com/api/webhooks/([0-9]{15,21}/[A-Za-z0-9_-]{50,})"),
    SecretKind("teams-webhook", r"https://[a-z0-9-]{1,}\.webhook\.office\.com/webhookb2/([A-Za-z0-9@/-]{60,})"),
    SecretKind("stripe-key", r"\b(?:[rs]k_(?:live|test|prod)|whsec)_[A-Za-z0-9]{16,}\b"),
    SecretKind("anthropic-key", r"\bsk-ant-[a-z0-9]{3,12}-[A-Za-z0-9_-]{20,}"),
    SecretKind("openai-key", r"\bsk-(?:proj-|svcacct-|admin-|or-v1-|lf-)?[A-Za-z0-9_-]{20,}", random_looking),
    SecretKind("groq-key", r"\bgsk_[A-Za-z0-9]{40,}\b"),
    SecretKind("xai-key", r"\bxai-[A-Za-z0-9]{60,}\b"),
    SecretKind("perplexity-key", r"\bpplx-[A-Za-z0-9]{40,}\b"),
    SecretKind("langsmith-key", r"\blsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}\b"),
    SecretKind("huggingface-token", r"\bhf_[A-Za-z0-9]{30,}\b"),
    SecretKind("replicate-token", r"\br8_[A-Za-z0-9]{37}\b"),
    SecretKind("google-api-key", r"\bAIza[A-Za-z0-9_-]{35}"),
    SecretKind("google-oauth", r"\b(?:ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{24,40})"),
    SecretKind("azure-storage-key", r"(?i:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{40,}={0,2})"),
    SecretKind("azure-sas", r"[?&]sig=([A-Za-z0-9%+/=_-]{30,})"),
    SecretKind("azure-client-secret", r"(?:^|[^A-Za-z0-9_~.-])([A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,34})"),
    SecretKind("jwt", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{0,}"),
    SecretKind("twilio-key", r"\bSK[0-9a-f]{32}\b"),
    SecretKind("sendgrid-key", r"\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,}"),
    SecretKind("mailgun-key", r"\bkey-[0-9a-f]{32}\b"),
    SecretKind("mailchimp-key", r"\b[0-9a-f]{32}-us[0-9]{1,2}\b"),
    SecretKind("npm-token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    SecretKind("pypi-token", r"\bpypi-[A-Za-z0-9_-]{50,}"),
    SecretKind("telegram-token", r"(?:\bbot|\b)([0-9]{8,10}:AA[A-Za-z0-9_-]{32,34})"),
    SecretKind("discord-token", r"\b[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}", random_looking),
    SecretKind("shopify-token", r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b"),
    SecretKind("digitalocean-token", r"\bdo[opr]_v1_[0-9a-f]{64}\b"),
    SecretKind("databricks-token", r"\bdapi[0-9a-f]{32}\b"),
    SecretKind("vault-token", r"\bhv[sbr]\.[A-Za-z0-9_-]{24,}", random_looking),
    SecretKind("terraform-token", r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}"),
    SecretKind("square-token", r"\bsq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,}"),
    SecretKind("linear-key", r"\blin_api_[A-Za-z0-9]{40}\b"),
    SecretKind("notion-token", r"\b(?:secret_[A-Za-z0-9]{43}|ntn_[A-Za-z0-9]{40,})\b"),
    SecretKind("atlassian-token", r"\bATATT3[A-Za-z0-9_=-]{50,}"),
    SecretKind("newrelic-key", r"\bNRAK-[A-Z0-9]{27}\b"),
    SecretKind("grafana-token", r"\b(?:glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}|glc_[A-Za-z0-9+/]{32,}={0,2})"),
    SecretKind("postman-key", r"\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}\b"),
    SecretKind("docker-token", r"\bdckr_pat_[A-Za-z0-9_-]{27,40}"),
    SecretKind("airtable-token", r"\bpat[A-Za-z0-9]{14}\.[0-9a-f]{64}\b"),
    SecretKind("age-key", r"\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b"),
    SecretKind("url-password", r"\b[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s/:@\"'<>]{0,}:([^\s/@\"'<>]{1,})@",
               lambda found: not found.startswith((MARK.encode(), b"$", b"{", b"<", b"***"))),
    SecretKind("bearer-token", r"(?i:\b(?:bearer|authorization\W{1,8}(?:bearer|basic|token|apikey|digest)?))"
               r"\s{1,4}([A-Za-z0-9._~+/=-]{12,})", random_looking),
    SecretKind("secret", r"(?i:\bauthorization\\*[\"']?\s{0,4}[:=]\s{0,4}\\*[\"']?(?:bearer|basic|token|apikey|digest))"
               r"\s{1,4}([A-Za-z0-9._~+/=-]{8,})(?:[\r\n\"'\\]|$)", _is_header),
    SecretKind("cookie", r"(?i:\b(?:set-)?cookie\W{1,6}[^\r\n]{0,}?(?:sess|auth|sid|token)[a-z0-9_.-]{0,20}=)"
               r"([A-Za-z0-9%._~+/=-]{12,})", random_looking),
    SecretKind("secret", rf"{_NAMED}{_IS}{_BARE}", _in_prose, named=True, prose=True),
    SecretKind("secret", rf"{_NAMED}{_IS}\\*{_IN_QUOTES}", named=True),
    SecretKind("password", rf"{_QUOTED}{_NUMBERED}{_QUOTED}\s{{0,4}}:\s{{0,4}}{_QUOTED}?([0-9]{{3,12}})\b", named=True),
    SecretKind("basic-auth", r"\b(_?(?i:auth))" + _IS + r"""\\*["']?([A-Za-z0-9+/]{8,}={0,2})""", named=True),
    # An option and its value; a header as a record in JSON; a name and its value in a list.
    SecretKind("secret", rf"(?:^|[\s\"'`])--?{_NAMED}\s{{1,4}}" + _VALUE, _is_argument, named=True, prose=True),
    SecretKind("secret", rf"{_QUOTED}(?:/[\w./-]{{0,80}}/)?{_NAMED}{_QUOTED}\s{{0,4}}(?:,\s{{0,4}}(?:{_QUOTED}\w{{1,20}}{_QUOTED}\s{{0,4}}:\s{{0,4}}"
               rf"{_QUOTED}\w{{1,30}}{_QUOTED}\s{{0,4}},\s{{0,4}})?|:?\s{{0,4}}\{{)?\s{{0,4}}{_QUOTED}?(?i:val(?:ues?)?|default)"
               rf"(?:{_IS}\{{\s{{0,4}}{_QUOTED}(?i:string_?value))?" + _IS + r"\\*" + _VALUE, named=True),
    SecretKind("secret", rf"(?i:{_QUOTED}val(?:ue)?{_IS}{_QUOTED})([^\s\"'\\]{{6,}})(?i:{_QUOTED}\s{{0,4}},\s{{0,4}}"
               rf"{_QUOTED}(?:name|key|header){_IS}{_QUOTED}[a-z0-9_.-]{{0,40}}{NAMES}{_QUOTED})", is_value),
    SecretKind("secret", rf"{_QUOTED}-{{0,2}}{_NAMED}{_QUOTED}\s{{0,4}},\s{{0,4}}b?{_QUOTED}"
               r"([^\s\"'\\]{6,})", random_looking, named=True),
    SecretKind("cookie", rf"(?i:{_QUOTED}(?:set-)?cookie)" + _IS + r"""\\*["']([^"'\\\r\n=]{1,60}=[^"'\\\r\n]{1,})"""),
    # An XML element; an entry of a property list.
    SecretKind("secret", rf"(?:<|&lt;)(?:[A-Za-z0-9_]{{1,20}}:)?{_NAMED}(?:\s[^<>]{{0,300}})?(?:>|&gt;)\s{{0,8}}(?:<!\[CDATA\[)?"
               r"([^<>\s&][^<>&\r\n]{2,}?)(?:\]\]>)?\s{0,8}(?:</|&lt;/)", named=True),
    SecretKind("secret", rf"<key>{_NAMED}</key>\s{{0,20}}<string>([^<>\r\n]{{3,}})</", named=True),
    SecretKind("url-key", r"(?:(?m:^)|[?&])(?i:(?:subscription-)?key|auth|pass)="
               r"([A-Za-z0-9_~%+-]{16,}={0,2})(?:[&#\s\"'<>)\\]|$)", random_looking),
    SecretKind("url-key", r"(?:(?m:^)|[?&\s\"',;])(?i:(?:x-(?:amz|goog)-)?sig(?:nature)?)="
               r"([A-Za-z0-9_~%+/-]{8,}={0,2})(?:[&#\s\"'<>)\\,;]|$)", random_looking),
    SecretKind("url-key", r"\b[A-Za-z][A-Za-z0-9+.-]{1,30}://([A-Za-z0-9_-]{20,})(?::[^\s/@\"'<>]{0,})?@", random_looking),
)  # fmt: skip
