"""Redaction: nothing that was found stays anywhere, pseudonyms keep shape, clean texts stay."""

from __future__ import annotations

import base64
import binascii
import json
import random
import re
import string
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.redaction import Redactor, redact, redact_secrets, second_pass
from tests import redaction_corpus as corpus

KEY = b"a key of a test"


def decodings(text: str) -> str:
    """A text with everything that it decodes to, layer by layer."""
    seen = [text]
    for _ in range(3):
        latest = seen[-1]
        more = [unquote(latest), re.sub(r'\\(["\\/])', r"\1", latest).replace("\\n", "\n")]
        more.append(re.sub(r"[\r\n]+[ \t]*", "", more[1]))
        for run in re.findall(r"[A-Za-z0-9+/_-]{16,}", latest):
            try:
                padded = run.translate(str.maketrans("-_", "+/")) + "=" * (-len(run) % 4)
                more.append(base64.b64decode(padded).decode())
            except (binascii.Error, UnicodeDecodeError):
                continue
        seen.append("\0".join(dict.fromkeys(more)))
    return "\0".join(seen)


def still_there(item: str, written: str) -> bool:
    """Whether an item, or a run of 14 of its characters, can still be read."""
    everything = decodings(written)
    size = min(14, len(item))
    windows = {item[at : at + size] for at in range(len(item) - size + 1)}
    boring = re.compile(r"[-A-Z \n]*$")  # the frame of a private key is no secret
    return any(one in everything for one in windows if not boring.match(one))


def test_finds_secrets_of_every_kind_in_every_wrapping() -> None:
    planted = corpus.secrets()
    missed = [
        one for one in planted if still_there(one.item, json.dumps(redact_secrets(one.text)[0]))
    ]
    assert len(planted) >= 200
    assert len({one.kind for one in planted}) >= 30
    assert len(missed) <= 0.02 * len(planted), missed


def test_finds_personal_data_of_every_kind_in_every_wrapping() -> None:
    planted = corpus.personal()
    redactor = Redactor(KEY, names=corpus.NAMES)
    missed = [
        one for one in planted if one.item in decodings(json.dumps(redactor.redact(one.text).value))
    ]
    assert len(planted) >= 200
    assert len(missed) <= 0.02 * len(planted), missed


def test_leaves_look_alikes_alone() -> None:
    clean = corpus.look_alikes()
    flagged = [text for text in clean if redact(text, key=KEY).value != text]
    assert len(clean) >= 500
    assert len(flagged) <= 0.01 * len(clean), flagged


def made(alphabet: str, size: int) -> str:
    """A random text: no file holds anything like a credential."""
    return "".join(random.Random(size).choices(alphabet, k=size))


ALNUM = string.ascii_letters + string.digits
MIXED = made(ALNUM, 40)


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        (MIXED, f"CLOUDFLARE_API_TOKEN={MIXED}"),
        (MIXED, f"AZURE_DEVOPS_EXT_PAT: '{MIXED}'"),
        ("figd_" + MIXED, f"design at figd_{MIXED}"),
        ("ci-o!77xyz", "The password is: ci-o!77xyz"),
        ("ci-o!77xyz", "curl -u admin:ci-o!77xyz https://acme.io"),
        ("8677561113:AA" + MIXED[:33], f"https://api.telegram.org/bot8677561113:AA{MIXED[:33]}/x"),
        (MIXED, f"PuTTY-User-Key-File-3: x\nPrivate-Lines: 1\n{MIXED}\nPrivate-MAC: 0"),
        (MIXED[:20] + "\n" + MIXED[20:], f"X-API-KEY: {MIXED[:20]}\n{MIXED[20:]}"),
        (MIXED, "q=" + quote_plus(f"aws_secret_access_key = {MIXED}")),
        (MIXED, "https://x.io/?log=" + quote(json.dumps({"log": f'api_key: "{MIXED}"'}))),
    ],
)
def test_secrets_told_by_name_or_place(secret: str, text: str) -> None:
    written = decodings(json.dumps(redact_secrets(text)[0]))
    assert not any(part in written for part in secret.split("\n"))


ODD = "zzQQ11customsecret9"
"""Of no known form: only what stands beside it tells."""

ESCAPED = f'{{"api\\u005fkey": "{ODD}"}}'
QUOTED = f"{{\\u0022api_key\\u0022:\\u0022{ODD}\\u0022}}"

NAMED = [
    ["app", "--api-key", ODD],
    ["app", "--password", "Swordfish"],
    ["mysql", "-uroot", "-phunter", "orders"],
    ["/usr/bin/sshpass", "-p", "Swordfish", "ssh", "host"],
    f"app --verbose --api-key {ODD} run",
    f"app -auth-token '{ODD}'",
    {"name": "x-api-key", "value": ODD},
    {"value": ODD, "Key": "Authorization"},
    {"key": "api_key", "value": {"stringValue": ODD}},
    {"name": "db-password", "value": "hunter"},
    {"api_key": {"value": ODD, "type": "env"}},
    [["accept", "*/*"], ["x-api-key", ODD]],
    [["x-api-key", "correct-horse-battery"]],
    ["Host", "example.org", "x-api-key", ODD],
    [("x-api-key", ODD)],
    [(b"x-api-key", ODD.encode())],
    f"[('accept', '*/*'), ('x-api-key', '{ODD}')]",
    f"[(b'x-api-key', b'{ODD}')]",
    {"api_key": ODD.encode()},
    json.dumps({"api_key": ODD}).encode(),
    b"\xff" + json.dumps({"api_key": ODD}).encode(),
    f"https://example.org/v1?alt=sse&key={ODD}",
    f"key={ODD}&alt=sse",
    f"https://example.org/file?X-Amz-Signature={ODD}",
    ESCAPED,
    QUOTED,
    f"q=api%5Fkey%3D{ODD}",
    {"x-api-key": [ODD]},
    {"name": "x-api-key", "values": [ODD]},
    {"headers": {"Ocp-Apim-Subscription-Key": ODD}},
    {"Cookie": f"theme=dark; visit={ODD}"},
    {"set-cookie": [f"visit={ODD}; Path=/"]},
    {"API_KEY_2": ODD},
    {"api_keys": [ODD]},
    f'<add key="ApiKey" value="{ODD}" />',
    f"https://example.org/?token={ODD}",
    f"my token: {ODD}",
    f"https://example.org/d?id=7&sig={ODD}",
    f"mysql -uroot -p{ODD} orders",
    "docker exec db mongo -u root -p Swordfish",
    ["mongo", "-u", "root", "-p", "Swordfish"],
    "unzip -P Swordfish a.zip",
    f"docker login -u acme -p {ODD} registry.example.org",
    f"<password>{ODD}</password>",
    f'<wsse:Password Type="text">{ODD}</wsse:Password>',
    f"ALTER ROLE app WITH PASSWORD '{ODD}'",
    f'builder.user("app").password("{ODD}")',
    f"client.setApiKey('{ODD}')",
    f"- name: DB_PASSWORD\n  value: {ODD}",
    {"password": "correct horse battery staple"},
    f"pw: {ODD}",
    f'{{"api_key": "Bearer\u00a0{ODD}"}}',  # a space of two bytes
    {"DB_PASS": ODD},
    {"AZURE_OPENAI_KEY": ODD},
    {"SecretString": ODD},
    {"auths": {"registry": {"auth": base64.b64encode(f"ci:{ODD}".encode()).decode()}}},
    {"Name": "/prod/db/password", "Type": "SecureString", "Value": ODD},
    {"user": "app", "password": "hunter"},
]


@pytest.mark.parametrize("value", NAMED)
def test_secrets_of_no_known_form_are_told_by_what_names_them(value: Any) -> None:
    redacted, counts = redact_secrets(value)
    assert counts and sum(counts.values()) == 1
    assert not any(one in str(redacted) for one in (ODD, "Swordfish", "hunter", "correct"))
    if not isinstance(value, str | bytes):  # the same as a text within another value
        written = json.dumps({"input": json.dumps(value, default=bytes.decode)})
        random = ODD in written
        assert ODD not in str(redact_secrets(written)[0])
        assert bool(redact_secrets(written)[1]) or not random


@pytest.mark.parametrize(
    "item",
    [
        "07700 900123", "044 668 18 00", "03-1234-5678", "(11) 91234-5678", "8 (495) 123-45-67",
        "0171-5551234", "089/1234567", "0049 89 63648018", "+49 (0)171 5551234", "001 415 555 2671",
        "2200 1234 5678 9019", "6304 1234 5678 9015", "2a01:b926:efd0::8ac2", "用户@例子.广告",
        "o'brien+news@sub.dept.corp.co.uk",
    ],
)  # fmt: skip
def test_personal_data_of_many_countries(item: str) -> None:
    for text in (f"reach {item} now", f"q={quote_plus(item)}&x=1", json.dumps({"to": [item]})):
        redacted = redact(text, key=KEY).value
        assert item not in decodings(redacted) + unquote_plus(redacted)


@pytest.mark.parametrize(
    "text",
    [
        "next_page_token=aB3dE6gH9jK2mN5pQ8sT",
        "password is wrong, password is required",
        "EAN 4999468861066",
        "api_key=${KEY}\n2026-11-21 10:00:01 started",
        "token = tokenizerFactoryCreateDefault",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert redact(text, key=KEY).value == text


def test_a_second_pass_finds_what_the_first_has_no_pattern_for_and_flags_no_look_alike() -> None:
    pytest.importorskip("detect_secrets", reason="the extra `secrets` is not installed")
    second = second_pass()
    assert second is not None
    token = "AKC" + made(ALNUM, 30)
    text = f'{{"log": "uploading with {token} now"}}'
    assert token in json.dumps(redact_secrets(text)[0])
    found = Redactor(KEY, second=second).redact(text)
    assert token not in found.value
    assert [one.kind for one in found.replaced] == ["artifactory-credentials"]
    again = [Redactor(KEY, second=second).redact(text) for text in corpus.look_alikes()]
    assert [one.value for one in again] == [redact(t, key=KEY).value for t in corpus.look_alikes()]


def test_what_was_found_once_is_replaced_wherever_it_stands() -> None:
    steps = [
        {"arguments": {"password": "Tr0ub4dor"}, "Tr0ub4dor": 1},
        {"output": "signed in with Tr0ub4dor"},
        {"output": base64.b64encode(b"login: Tr0ub4dor").decode()},
    ]
    redacted, counts = redact_secrets(steps)
    assert "Tr0ub4dor" not in decodings(json.dumps(redacted))
    assert counts == {"password": 4}


def test_secrets_become_numbered_marks() -> None:
    value = {"a": {"api_key": "first-0123456789"}, "b": {"api_key": "second-0123456789"}}
    again = {**value, "c": {"api_key": "first-0123456789"}}
    assert redact_secrets(again)[0] == {
        "a": {"api_key": "REDACTED-secret"},
        "b": {"api_key": "REDACTED-secret-2"},
        "c": {"api_key": "REDACTED-secret"},
    }


@pytest.mark.parametrize(
    "value",
    [
        {"max_tokens": 500, "next_page_token": "abc123def456", "token_count": 3},
        {"required": ["username", "password", "email", "api_key", "user_id"]},
        [["token", "lexer"], ["lexer", "parser"]],
        ["--api-key", "--verbose"],
        ["api_key"],
        "API keys\n================\n",
        "def run(secrets: SecretsCollection, server_credentials: grpc.ServerCredentials): ...",
        {"cookie": "chocolate chip", "token": "lexer", "keys": ["abcdefgh12345678"]},
        {"name": "password", "type": "string", "description": "of the account, 8 characters"},
        {"name": "limit", "value": "abcdefgh12345678"},
        {"id": ["OPENAI_API_KEY"], "api_key": {"type": "secret", "id": ["OPENAI_API_KEY"]}},
        "https://example.org/browse?key=PROJ-1234&code=ERR_INVALID_STATE_2024",
        "app --token --verbose --api-key $KEY",
        "pass --token to run it, or --api-key followed by it",
        "the columns 'token', 'lemma' and \"password\", \"confirmed\"",
        b"\xff\xfe binary",
        {"password": None, "api_key": "", "secret": True, "token": "${TOKEN}"},
        "the password is wrong",
        {"token": "the", "logprob": -0.1},
        {"token": " tokenization"},
        {"token": "Administration"},
        {"token": "12345678901"},
        {"max_token": 5, "token_type": "bearer", "token": 5},
        {"password": "required"},
        {"password": "Required field"},
        {"password": "not provided"},
        {"password": "at least 8 characters, one digit"},
        {"api_key": "env:OPENAI_API_KEY"},
        {"password": "How do I reset it?"},
        {"password": "[FILTERED]"},
        {"authorization": "[MaxDepth]", "config": "[MaxDepth]"},
        ["REDACTED-github-token", "0000-1111-2222-abcd"],
        "REDACTED-password: t7x9-11-ab",
        "REDACTED-password 'in quotes'",
        {"forgot_password": "https://example.org/reset"},
        {"authorization": "none"},
        {"authorization": "granted"},
        {"authorization": "OAuth2"},
        {"credentials": "same-origin"},
        {"secrets": "inherit"},
        {"api_key": "YOUR_API_KEY"},
        {"api_key": "your_api_key_here"},
        {"api_key": "sk-..."},
        {"api_key": "SecretStr('**********')"},
        {"auth": "basic"},
        {"auth": base64.b64encode(b"Cursor 12").decode()},
        {"first_pass": "ok-12345a"},
        "password = getpass.getpass()",
        "connect(password=args.password, api_key=settings.OPENAI_API_KEY)",
        "password: data.get('pw')",
        "mysql -u root -p orders",
        ["mysql", "-u", "root", "-p", "orders"],
        ["docker", "run", "-u", "1000:1000", "-p", "8080:80", "web2024"],
        "docker run -u 1000:1000 -p 8080:80 web2024",
        "<password>required</password><token>word</token>",
        [],
        None,
        12,
    ],
)
def test_keys_that_only_sound_secret_are_left_alone(value: object) -> None:
    assert redact_secrets(value) == (value, {})


def test_pseudonyms_keep_shape_and_check_digits_and_are_the_same_everywhere() -> None:
    text = "card 4242 4242 4242 4242, IBAN DE89 3704 0044 0532 0130 00, +49 30 1234567"
    value = [text, {"card": 4242424242424242, "iban": "DE89370400440532013000"}]
    redacted = redact(value, key=KEY).value
    found = re.fullmatch(r"card ([\d ]{19}), IBAN (DE[\d ]{25}), (\+49 \d{2} \d{7})", redacted[0])
    assert found
    card, iban = found[1].replace(" ", ""), found[2].replace(" ", "")
    assert corpus.luhn_sum(card) % 10 == 0
    assert corpus.iban_remainder(iban) == 1
    assert redacted[1] == {"card": int(card), "iban": iban}
    assert redact(value, key=KEY).value == redacted
    assert redact(value, key=b"another").value != redacted


def test_the_same_person_stays_the_same_person() -> None:
    text = "Maria Lopez wrote; Maria is MARIA.LOPEZ@acme.com, reply to maria.lopez@acme.com"
    redacted = redact(text, key=KEY, names=["Maria Lopez"])
    first, last = redacted.value.split()[:2]
    assert redacted.value.split()[3] == first
    addresses = re.findall(r"\S+@\w+\.example", redacted.value)
    assert len(addresses) == 2
    assert addresses[0] == addresses[1]
    assert {one.kind for one in redacted.replaced} == {"name", "email"}
    assert sum(one.times for one in redacted.replaced) == 5
    assert last not in ("Lopez", first)


def test_different_items_get_different_pseudonyms() -> None:
    addresses = [f"{a}{b}@acme.com" for a in string.ascii_lowercase for b in "abcdefgh"]
    redacted = redact(addresses, key=KEY).value
    assert len(set(redacted)) == len(addresses)
    assert not set(redacted) & set(addresses)


def test_percent_encoding_and_base64_stay_readable() -> None:
    url = "https://x.io/?mail=maria%40acme.com&next=%2Fhome"
    assert re.fullmatch(
        r"https://x\.io/\?mail=[a-z]+%40[a-z]{6}\.example&next=%2Fhome", redact(url, key=KEY).value
    )
    encoded = base64.b64encode(b'{"mail": "maria@acme.com"}').decode()
    decoded = json.loads(base64.b64decode(redact(encoded, key=KEY).value))
    assert decoded["mail"].endswith(".example")


def test_says_whether_an_original_leaked() -> None:
    redactor = Redactor(KEY)
    redactor.redact("write to maria@acme.com")
    assert redactor.leaks(b'{"note": "maria@acme.com"}') == ["email"]
    assert redactor.leaks(b"nothing") == []
    redactor.redact({"password": "orders"})
    assert redactor.leaks(b"two orders") == []


def test_hostile_values_are_bounded() -> None:
    deep: object = "end"
    for _ in range(500):
        deep = [deep]
    assert "REDACTED-too-deep" in json.dumps(redact_secrets(deep)[0])
    assert redact_secrets("\ud800 and \x00")[0] == "\ud800 and \x00"
    assert redact_secrets("\\" * 5000)[0] == "\\" * 5000


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=40),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)
def test_secret_free_values_come_back_as_they_are_and_nothing_raises(value: object) -> None:
    redacted, counts = redact_secrets(value)
    assert counts or redacted == value


WORDS = [
    "password", "token", "Authorization", "api_key", "mysql", " -p", "=", ": ", '"', "'", "\\", "<",
    ">", "</", "Bearer", "\u00a0", "Basi\u017f", "to\u212aen", "é", "中", "\ud800", ODD, "x7" * 6,
    "\n", "%41", "\\u0041", "+", "&sig=", "://", "@", "{", "}", ",", "value", "YWJjOmRlZmdoaQ==",
]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=14).map("".join))
def test_any_mixture_of_names_and_signs_is_taken(text: str) -> None:
    for value in ({"text": text}, {"authorization": text}, [text]):
        redacted, counts = redact_secrets(value)
        assert bool(counts) == (redacted != value)


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_secret_never_survives_its_surroundings(before: str, after: str) -> None:
    secret = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dE3fG6"
    redacted, _ = redact_secrets(f"{before} {secret} {after}")
    assert secret not in redacted


def test_the_documented_example_runs() -> None:
    text = (Path(__file__).parents[1] / "docs" / "redaction.md").read_text()
    (source,) = re.findall(r"(?s)```python\n(.*?)```", text)
    exec(compile(source, "redaction.md", "exec"), {})


SECRET_LEAVES = st.sampled_from(
    [482913, 12345678, -123456, 482913.5, 4242424242424242, 4155552671, ODD, "482913", "a\\", 'b"c',
     "login ci password hunter22", ": 482913, x", "codes [482913, 1]", "see 482913", None, True, 7]
)  # fmt: skip
SECRET_KEYS = st.sampled_from(["otp", "password", "access_token", "api_key", "user", "x", "phone"])


def _texts(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    held = st.dictionaries(SECRET_KEYS, inner, max_size=4)
    return (
        st.lists(inner, max_size=3)
        | held
        | st.builds(lambda one: {"x": json.dumps(one)}, held)
        | st.builds(lambda one: {"x": json.dumps(one, indent=1)}, held)
    )


JSON_WITH_SECRETS = st.recursive(SECRET_LEAVES, _texts, max_leaves=8)


def shape(value: Any, key: str = "x") -> Any:
    """What of a value must stay: objects with their keys, lists, JSON in strings (a password may
    look like it)."""
    if isinstance(value, dict):
        return {name: shape(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(one, key) for one in value]
    if isinstance(value, str) and value[:1] in ("{", "[") and key in ("user", "x"):
        return "text", shape(json.loads(value))
    return "leaf"


@given(st.dictionaries(SECRET_KEYS, JSON_WITH_SECRETS, min_size=1, max_size=4))
def test_json_stays_json_of_the_same_structure(value: dict[str, Any]) -> None:
    for redacted in (
        redact_secrets(json.dumps(value))[0],
        redact(json.dumps(value), key=KEY).value,
    ):
        assert shape(json.loads(redacted)) == shape(value)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ('{"otp":482913,"user":7}', '{"otp":"REDACTED-password","user":7}'),
        (r"{\"otp\":482913,\"user\":7}", r"{\"otp\":\"REDACTED-password\",\"user\":7}"),
        ('{"password": 123456}', '{"password": "REDACTED-password"}'),
        ("{'password': 123456}", "{'password': 'REDACTED-password'}"),
        ('{"access_token": 12345678}', '{"access_token": "REDACTED-secret"}'),
        ('{"otp": 482913.5}', '{"otp": "REDACTED-password"}'),
        ('{"otp":482913,"codes":[1,482913],"said":": 482913, no"}',
         '{"otp":"REDACTED-password","codes":[1,"REDACTED-password"],"said":'
         '": REDACTED-password, no"}'),
        ("%7B%22otp%22%3A482913%7D", "%7B%22otp%22%3A%22REDACTED-password%22%7D"),
    ],
)  # fmt: skip
def test_the_mark_of_a_bare_number_is_quoted_as_its_key(text: str, redacted: str) -> None:
    assert redact_secrets(text)[0] == redacted


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("client_secret", "qkzjwvxtrhpfmbdlgycnsaeu"), ("api_key", "QKZJWVXTRHPFMBDLGYCNSAEU"),
        ("auth_token", "xkqvbzjwpfhm"), ("auth_token", "supersecret"), ("jwt_secret", "dev-secret"),
        ("token", "12345678901234567890"), ("password", "open sesame"),
        ("password", "blue horse sky"), ("password", "Tiger, Lion"), ("password", "Hello, World 1"),
        ("password", "What a day!"), ("password", "updated Password99"),
        ("password", "hunter2...."),        ("password", "ssm:hunter2"),
    ],
)  # fmt: skip
def test_what_a_plain_name_names_is_a_secret_be_it_words(key: str, secret: str) -> None:
    for value in ({key: secret}, json.dumps({key: secret}), json.dumps(json.dumps({key: secret}))):
        assert secret not in str(redact_secrets(value)[0])


@pytest.mark.parametrize(
    "text", ["X-Api-Key: QKZJWVXTRHPFMBDL", "Authorization: Bearer xkqvbzjwpfhmqwrt"]
)
def test_a_header_of_letters_alone_is_a_secret(text: str) -> None:
    secret = text.rpartition(" ")[2]
    assert secret not in redact_secrets(text)[0]
    assert secret not in redact_secrets(json.dumps({"log": text}))[0]


@pytest.mark.parametrize(
    "value",
    [
        "docker run --name mongo -p 27017:27017 mongo:7",
        ["docker", "run", "--name", "mongo", "-p", "27017:27017", "mongo:7"],
        "docker run --name mongo -p 127.0.0.1:27017:27017/tcp mongo:7",
        "zip code 97201 -Portland",
        "the zip file -Photos2024",
        "abfss://raw-customer-data-2024-11@mystorage.dfs.core.windows.net/x",
        "postgres://analytics_readonly_user_01@db/x",
        {"storage_key": "uploads/2024/invoice_1234.pdf"},
        {"azure_key": "westeurope-2024"},
        {"pw": "50W"},
    ],
)
def test_names_ports_and_units_are_no_secrets(value: object) -> None:
    assert redact_secrets(value) == (value, {})
    written = json.dumps(value)
    assert redact_secrets(written) == (written, {})
