"""A made corpus for redaction: secrets and personal data in tool outputs, and clean look-alikes.

Everything is drawn from a seeded generator, so that no file holds anything like a credential.
"""

from __future__ import annotations

import base64
import json
import random
import string
import textwrap
import uuid
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

ALNUM = string.ascii_letters + string.digits
URL_SAFE = ALNUM + "-_"
HEX = "0123456789abcdef"


class Planted(NamedTuple):
    """A text that was made to hold an item, and the item as it reads decoded."""

    kind: str
    item: str
    text: str


def _text(rng: random.Random, alphabet: str, size: int) -> str:
    drawn = [rng.choice(alphabet) for _ in range(size)]
    drawn[size // 2], drawn[size // 3], drawn[size // 4] = "7", "3", drawn[size // 4]
    return "".join(drawn)


def secret_makers(rng: random.Random) -> dict[str, Callable[[], str]]:
    """How to make one secret of each kind."""

    def t(alphabet: str, size: int) -> str:
        return _text(rng, alphabet, size)

    upper = string.ascii_uppercase + string.digits
    return {
        "aws-access-key": lambda: "AKIA" + t(upper, 16),
        "aws-secret-key": lambda: t(ALNUM + "+/", 40),
        "github-token": lambda: rng.choice(["ghp_", "gho_", "ghs_"]) + t(ALNUM, 36),
        "github-fine": lambda: f"github_pat_{t(ALNUM, 22)}_{t(ALNUM, 59)}",
        "gitlab-token": lambda: "glpat-" + t(URL_SAFE, 20),
        "slack-token": lambda: f"xoxb-{t('123456789', 12)}-{t('123456789', 12)}-{t(ALNUM, 24)}",
        "slack-webhook": lambda: f"T{t(upper, 8)}/B{t(upper, 8)}/{t(ALNUM, 24)}",
        "stripe-key": lambda: rng.choice(["sk_live_", "rk_live_", "sk_test_"]) + t(ALNUM, 24),
        "anthropic-key": lambda: "sk-ant-api03-" + t(URL_SAFE, 93) + "AA",
        "openai-key": lambda: "sk-proj-" + t(ALNUM, 48),
        "groq-key": lambda: "gsk_" + t(ALNUM, 52),
        "huggingface-token": lambda: "hf_" + t(string.ascii_letters, 34),
        "google-api-key": lambda: "AIza" + t(URL_SAFE, 34) + "x",
        "google-oauth": lambda: "ya29." + t(URL_SAFE, 60),
        "azure-storage-key": lambda: t(ALNUM + "+/", 86) + "==",
        "azure-client-secret": lambda: t(ALNUM, 3) + "8Q~" + t(ALNUM, 34),
        "jwt": lambda: _jwt(rng),
        "private-key": lambda: _private_key(rng),
        "twilio-key": lambda: "SK" + t(HEX, 32),
        "sendgrid-key": lambda: f"SG.{t(ALNUM, 22)}.{t(ALNUM, 43)}",
        "mailgun-key": lambda: "key-" + t(HEX, 32),
        "mailchimp-key": lambda: t(HEX, 32) + "-us12",
        "npm-token": lambda: "npm_" + t(ALNUM, 36),
        "pypi-token": lambda: "pypi-AgEIcHlwaS5vcmc" + t(URL_SAFE, 70),
        "telegram-token": lambda: t("123456789", 10) + ":AA" + t(URL_SAFE, 33),
        "discord-token": lambda: f"M{t(ALNUM, 23)}.{t(URL_SAFE, 6)}.{t(URL_SAFE, 27)}",
        "shopify-token": lambda: "shpat_" + t(HEX, 32),
        "digitalocean-token": lambda: "dop_v1_" + t(HEX, 64),
        "databricks-token": lambda: "dapi" + t(HEX, 32),
        "vault-token": lambda: "hvs." + t(ALNUM, 90),
        "terraform-token": lambda: f"{t(ALNUM, 14)}.atlasv1.{t(ALNUM, 67)}",
        "linear-key": lambda: "lin_api_" + t(ALNUM, 40),
        "postman-key": lambda: f"PMAK-{t(HEX, 24)}-{t(HEX, 34)}",
        "newrelic-key": lambda: "NRAK-" + t(upper, 27),
        "url-password": lambda: t(ALNUM, 14),
        "bearer-token": lambda: t(ALNUM, 40),
        "password": lambda: t(ALNUM + "!#%^*+", 12),
        "api-key": lambda: t(ALNUM, 32),
        "signature": lambda: t(HEX, 64),
        "command-password": lambda: t(ALNUM + "!#%^*+", 12),
        "element-password": lambda: t(ALNUM + "!#%^*+", 12),
        "statement-password": lambda: t(ALNUM + "!#%^*+", 12),
        "word-password": lambda: "".join(rng.choice(string.ascii_lowercase) for _ in range(9)),
        "basic-auth": lambda: base64.b64encode(f"ci:{t(ALNUM, 14)}".encode()).decode(),
        "one-time-code": lambda: t(string.digits, 6),
    }


def _jwt(rng: random.Random) -> str:
    parts = [{"alg": "HS256", "typ": "JWT"}, {"sub": _text(rng, "123456789", 8), "iat": 1732172400}]
    encoded = [
        base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts
    ]
    return ".".join([*encoded, _text(rng, URL_SAFE, 43)])


def _private_key(rng: random.Random) -> str:
    body = "\n".join(textwrap.wrap(_text(rng, ALNUM + "+/", 256), 64))
    kind = rng.choice(["RSA ", "EC ", ""])
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"


# fmt: off
SECRET_PLACES: dict[str, list[str]] = {
    "aws-secret-key": ["aws_secret_access_key = {}", '{{"SecretAccessKey": "{}"}}'],
    "slack-webhook": ["posting to https://hooks.slack.com/services/{} now"],
    "azure-storage-key": ["DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={}"],
    "url-password": ["connecting to postgres://app:{}@db.internal:5432/orders", "amqp://u:{}@mq/"],
    "bearer-token": ["curl -H 'Authorization: Bearer {}' https://api.acme.com/v1"],
    "password": ['{{"user": "app", "password": "{}"}}', "DB_PASSWORD={}", "passwd: {}"],
    "api-key": [
        '{{"apiKey": "{}", "limit": 10}}', "X-Api-Key: {}", "api_key={}",
        "<ns:apiKey>{}</ns:apiKey>", "AZURE_OPENAI_KEY={}",
        '{{"hmac_key": "{}"}}', "clientsecret={}",
    ],
    "signature": [
        "https://acme.blob.core.windows.net/a?sv=2022&sig={}&se=2026-12-01",
        "https://b.s3.amazonaws.com/k?X-Amz-Date=20261121&X-Amz-Signature={}",
        "SignedHeaders=host;x-amz-date, Signature={}",
    ],
    "command-password": [
        "mysql -h db -u root -p{} orders", "docker login -u acme -p {} registry.acme.io",
        "sshpass -p '{}' ssh root@10.0.0.4", "curl -uadmin:{} https://acme.io",
        "redis-cli -h cache -a {} ping", "ldapsearch -x -D cn=admin -w {} -b dc=a",
        '["mysqldump", "-uroot", "-p{}"]',
    ],
    "element-password": [
        "<user>app</user><password>{}</password>", '<wsse:Password Type="text">{}</wsse:Password>',
        "<PASSWORD><![CDATA[{}]]></PASSWORD>", "<key>password</key><string>{}</string>",
    ],
    "statement-password": [
        "CREATE USER app IDENTIFIED BY '{}';", "ALTER ROLE app WITH PASSWORD '{}';",
        "machine api.acme.io login ci password {}", "SMTP_PASS='{}'", "ansible_become_pass: {}",
        "requests.get(url, auth=('admin', '{}'))", "PGPASSWORD={} psql -h db",
    ],
    "word-password": ['{{"user": "app", "password": "{}"}}', "connect(user='app', password='{}')"],
    "basic-auth": ['{{"auths": {{"docker.io": {{"auth": "{}"}}}}}}', "//npm.acme.io/:_auth={}"],
    "one-time-code": ['{{"otp": "{}"}}', '{{"user": "app", "pin": {}}}'],
}
# fmt: on
ANYWHERE = [
    "error: token {} was refused by the server",
    '{{"ok": true, "value": "{}", "count": 3}}',
    "export KEY={}",
    "https://api.acme.com/v1/items?key={}&limit=5",
    "line one\n  found {}\nline three",
    "`{}`",
]


def secrets(seed: int = 6) -> list[Planted]:
    """At least 200 secrets of more than 30 kinds, plain and wrapped."""
    rng = random.Random(seed)
    planted = []
    for kind, make in secret_makers(rng).items():
        places = SECRET_PLACES.get(kind, ANYWHERE)
        for number in range(7):
            item = make()
            text = places[number % len(places)].format(item)
            planted.append(Planted(kind, item, _wrapped(text, item, number)))
    return planted


def _wrapped(text: str, item: str, number: int) -> str:
    """Every few texts are wrapped: JSON in a string, base64, percent-encoded, broken lines."""
    if number == 3:
        return json.dumps({"content": json.dumps({"log": text})})
    if number == 4:
        return "payload: " + base64.b64encode(text.encode()).decode()
    if number == 5 and "\n" not in item:
        return "GET /log?entry=" + quote(text, safe="")
    if number == 6 and "://" not in text and len(item) > 30 and "\n" not in item:
        middle = text.index(item) + len(item) // 2
        return text[:middle] + "\n" + text[middle:]
    return text


FIRST = ["Maria", "Jonas", "Aiko", "Priya", "Tomasz", "Chloe", "Omar", "Ingrid", "Diego", "Fatima"]
LAST = [
    "Lopez",
    "Weber",
    "Tanaka",
    "Sharma",
    "Nowak",
    "Dubois",
    "Haddad",
    "Larsen",
    "Ramos",
    "Yilmaz",
]
NAMES = [f"{first} {last}" for first, last in zip(FIRST, LAST, strict=True)]


def personal(seed: int = 7) -> list[Planted]:
    """200 and more personal items: e-mail, phone, card, IBAN, IP address and listed names."""
    rng = random.Random(seed)
    planted: list[Planted] = []
    makers: dict[str, Callable[[], str]] = {
        "email": lambda: _email(rng),
        "phone": lambda: _phone(rng),
        "card": lambda: _card(rng),
        "iban": lambda: _iban(rng),
        "ip": lambda: _ip(rng),
        "name": lambda: rng.choice(NAMES),
    }
    places = [
        "Customer record: {} (verified)",
        '{{"contact": "{}", "since": 2021}}',
        "Please send it to {}, thanks.",
        "{}",
        "from={};status=active",
    ]
    for kind, make in makers.items():
        for number in range(36):
            item = make()
            text = places[number % len(places)].format(item)
            if number % 9 == 5:
                text = json.dumps(json.dumps({"note": text}))
            if number % 9 == 6 and kind != "name":
                text = "blob " + base64.b64encode(text.encode()).decode()
            if number % 9 == 7:
                text = "https://crm.acme.com/find?q=" + quote(text, safe="")
            if number % 9 == 8 and " " in item and kind in ("card", "iban"):
                text = text.replace(item, item.replace(" ", "\n", 1))
            planted.append(Planted(kind, item, text))
    return planted


def _email(rng: random.Random) -> str:
    name = f"{rng.choice(FIRST).lower()}.{rng.choice(LAST).lower()}{rng.choice(['', '7', '+x'])}"
    return f"{name}@{rng.choice(['acme.com', 'mail.globex.co.uk', 'initech.de', 'hooli.io'])}"


def _phone(rng: random.Random) -> str:
    def d(size: int) -> str:
        return "".join(rng.choice("23456789") for _ in range(size))

    return rng.choice(
        [
            f"+1 {d(3)} {d(3)} {d(4)}",
            f"({d(3)}) {d(3)}-{d(4)}",
            f"{d(3)}-{d(3)}-{d(4)}",
            f"+49 30 {d(7)}",
            f"+44 20 {d(4)} {d(4)}",
            f"+33 6 {d(2)} {d(2)} {d(2)} {d(2)}",
            f"+91-{d(5)}-{d(5)}",
            f"06 {d(2)} {d(2)} {d(2)} {d(2)}",
        ]
    )


def _card(rng: random.Random) -> str:
    body = rng.choice(["4", "52", "37", "6011"])
    size = 15 if body == "37" else 16
    body += "".join(rng.choice("0123456789") for _ in range(size - 1 - len(body)))
    digits = next(body + check for check in "0123456789" if luhn_sum(body + check) % 10 == 0)
    if size == 15:
        return rng.choice([digits, f"{digits[:4]} {digits[4:10]} {digits[10:]}"])
    groups = [digits[at : at + 4] for at in range(0, 16, 4)]
    return rng.choice([digits, " ".join(groups), "-".join(groups)])


def luhn_sum(digits: str) -> int:
    """The Luhn sum, written apart from the one under test."""
    total = 0
    for position, one in enumerate(reversed(digits)):
        number = int(one) * (2 if position % 2 else 1)
        total += number - 9 if number > 9 else number
    return total


def iban_remainder(text: str) -> int:
    """The IBAN's remainder modulo 97, digit by digit, written apart from the one under test."""
    remainder = 0
    for one in text[4:] + text[:4]:
        for digit in one if one.isdigit() else str(ord(one) - 55):
            remainder = (remainder * 10 + int(digit)) % 97
    return remainder


def _iban(rng: random.Random) -> str:
    country, letters, digits = rng.choice([("DE", 0, 18), ("GB", 4, 14), ("NL", 4, 10)])
    body = "".join(rng.choice(string.ascii_uppercase) for _ in range(letters))
    body += "".join(rng.choice("0123456789") for _ in range(digits))
    check = 98 - iban_remainder(f"{country}00{body}")
    text = f"{country}{check:02}{body}"
    return rng.choice([text, " ".join(text[at : at + 4] for at in range(0, len(text), 4))])


def _ip(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return "2a02:" + ":".join(_text(rng, HEX, 4) for _ in range(7))
    return f"{rng.choice([81, 93, 172, 203])}." + ".".join(
        str(rng.randrange(20, 250)) for _ in range(3)
    )


def look_alikes(seed: int = 8) -> list[str]:
    """500 and more clean texts that look like something else."""
    rng = random.Random(seed)

    def d(size: int) -> str:
        return "".join(rng.choice("0123456789") for _ in range(size))

    def h(size: int) -> str:
        return "".join(rng.choice(HEX) for _ in range(size))

    makers: list[Callable[[], str]] = [
        lambda: f"order {d(10)} shipped",
        lambda: f'{{"order_id": "{d(16)}"}}',
        lambda: f'{{"order_id": {rng.randrange(10**11, 10**12)}}}',
        lambda: f"invoice INV-{d(4)}-{d(6)}",
        lambda: f"commit {h(40)}",
        lambda: f"sha256:{h(64)}",
        lambda: f"etag \"{h(32)}\"",
        lambda: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        lambda: f'{{"trace_id": "{h(32)}", "span_id": "{h(16)}"}}',
        lambda: f"2026-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}T10:{d(1)}5:12.{d(6)}Z",
        lambda: f"at 1732{d(9)} ms",
        lambda: f"version {rng.randrange(9)}.{rng.randrange(20)}.{d(2)}.{d(1)}",
        lambda: f"Chrome/120.0.{d(4)}.{d(3)}",
        lambda: f"npm i left-pad@{rng.randrange(9)}.{rng.randrange(9)}.3",
        lambda: f"tracking 1Z{h(6).upper()}{d(10)}",
        lambda: f"ISBN 978-{d(1)}-{d(3)}-{d(5)}-{d(1)}",
        lambda: f"logo@{rng.choice('23')}x.png",
        lambda: f"git@github.com:acme/{h(6)}.git",
        lambda: f"https://acme.com/p/{d(8)}?ref={h(12)}",
        lambda: f"ratio 0.{d(12)}, total {d(4)}.{d(2)} EUR",
        lambda: f"coordinates 52.{d(6)}, 13.{d(6)}",
        lambda: f'{{"max_tokens": {d(3)}, "tokens_in": {d(4)}}}',
        lambda: f'{{"next_page_token": "C{d(6)}AA"}}',
        lambda: rng.choice(
            ["password: required", "the password is wrong", '{"password": null}', "token: string",
             "password=${DB_PASSWORD}", '{"api_key": "********"}', "Basic information follows here",
             "secret santa list", "sk-learn-style-estimators-everywhere", "bearer of good news"]
        ),
        lambda: f"10:{d(1)}2:{d(1)}3 listening on localhost:80{d(2)} and 127.0.0.1",
        lambda: ":".join(h(2) for _ in range(6)),
        lambda: "thumbnail " + base64.b64encode(rng.randbytes(48)).decode(),
        lambda: "text " + base64.b64encode(b"The policy says that this is fine.").decode(),
        lambda: f"ticket #{d(7)}, page {d(2)}-{d(3)}, 2019-2024",
        lambda: f"part no. {d(3)}-{d(3)}-{d(4)}",
        lambda: f"std::vector<abc::def> at 0x{h(12)}",
        lambda: f"@maria said: see src/app_{d(2)}.py:{d(3)}:{d(2)}",
        lambda: f"4{d(14)}x is no card, nor is AB{d(2)} {d(4)} {d(4)}",
        lambda: rng.choice([
            '{"token": "the", "logprob": -0.1}', '{"token": "tokenization"}', '{"max_token": 5}',
            '{"token_type": "bearer", "expires_in": 3600}', '{"authorization": "granted"}',
            '{"credentials": "same-origin"}', '{"secrets": "inherit"}', '{"auth": "basic"}',
            '{"password": "incorrect"}', '{"password": "Required field"}', '{"otp": "sent"}',
            '{"api_key": "YOUR_API_KEY"}', '{"api_key": "sk-..."}', '{"api_key": "not-needed"}',
        ]),
        lambda: rng.choice([
            "password = getpass.getpass()", "api_key = settings.OPENAI_API_KEY", "mysql -u root -p",
            "connect(password=args.password)", "password: data.get('pw')", "credential: default",
            "<password>required</password>", "<token>word</token>", "ALTER USER app PASSWORD NULL",
            "<input type='password' name='password' placeholder='Enter password'>",
            "How do I reset the password? Please help.", "AND password 'must' have 8 characters",
        ]),
        lambda: f"docker run -u 1000:1000 -p 80{d(2)}:80 app{d(2)}",
        lambda: json.dumps({"sig": "asc", "auth": base64.b64encode(b"Cursor 12").decode()}),
        lambda: f"arn:aws:s3:::bucket-{h(8)}/key-{d(4)}",
    ]  # fmt: skip
    return [makers[number % len(makers)]() for number in range(15 * len(makers))]
