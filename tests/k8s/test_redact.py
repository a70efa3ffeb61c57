"""Secrets and deceiving characters: what goes in, what may come out."""

import base64
import json
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s.redact import LAST_APPLIED, REDACTED, clean_line, clean_text, looks_secret, redact_object, redact_text, safe_text

VALUE = "s3cr3t-Value-77"

# --- characters -----------------------------------------------------------------------------------------------------------

SHOWN = [
    ("plain\ttext\nof two lines", "plain\ttext\nof two lines"),
    ("\x1b[31mred\x1b[0m", "red"),
    ("\x1b]0;title\x07after", "after"),
    ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
    ("\x1bPq...\x1b\\x", "x"),
    ("\x1b\x1b[0m[31m", "␛[31m"),
    ("over\rwritten", "over␍written"),
    ("windows\r\nline", "windows\nline"),
    ("bell\x07 nul\x00 del\x7f", "bell␇ nul␀ del␡"),
    ("c1 \x9b31m", "c1 ‹U+009B›31m"),
    ("user\u202etxt.exe", "user‹U+202E›txt.exe"),
    ("zero\u200bwidth\ufeff", "zero‹U+200B›width‹U+FEFF›"),
    ("tag\U000e0041", "tag‹U+E0041›"),
    ("half \ud800 pair", "half ‹U+D800› pair"),
    ("separators\u2028here\u0085there", "separators\nhere\nthere"),
    ("grüße 日本語 🚀", "grüße 日本語 🚀"),
]


@pytest.mark.parametrize(("text", "expected"), SHOWN)
def test_characters_that_deceive_are_shown_for_what_they_are(text: str, expected: str) -> None:
    assert clean_text(text) == expected


@given(st.text(st.characters(codec=None)))
def test_clean_text_holds_nothing_that_is_obeyed_or_hidden(text: str) -> None:
    cleaned = clean_text(text)
    bad = [c for c in cleaned if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and c not in "\n\t"]
    # Prepended marks of some scripts are format characters that are seen.
    assert not [c for c in bad if not 0x600 <= ord(c) <= 0x605 and ord(c) not in {0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
                and not 0x13430 <= ord(c) <= 0x1345F and not 0x1BCA0 <= ord(c) <= 0x1BCA3]  # fmt: skip
    assert clean_text(cleaned) == cleaned
    assert "\n" not in clean_line(text)


# --- names ----------------------------------------------------------------------------------------------------------------

NAMES = [
    *((name, True) for name in ("DB_PASSWORD", "password", "apiToken", "API_KEY", "AWS_SECRET_ACCESS_KEY", "github-token")),
    *((name, True) for name in ("PGPASSWORD", "clientSecret", "SMTP_PASS", "sentry_dsn", "private.key", "BASIC_AUTH", "token")),
    *((name, False) for name in ("TOKEN_FILE", "secretName", "PATH", "KEYCLOAK_HOST", "MONKEY", "tokenExpirationSeconds")),
    *((name, False) for name in ("SECRET_PATH", "passwordPolicy", "LOG_LEVEL", "compass", "AWS_ACCESS_KEY_ID", "")),
]


@pytest.mark.parametrize(("name", "secret"), NAMES)
def test_names_that_hold_credentials_are_known(name: str, secret: bool) -> None:
    assert looks_secret(name) is secret


# --- text -----------------------------------------------------------------------------------------------------------------

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabc=\n-----END RSA PRIVATE KEY-----"
LEAKS = [
    (f"password={VALUE}", VALUE),
    (f"DB_PASSWORD: {VALUE}", VALUE),
    (f'{{"password":"{VALUE}","user":"x"}}', VALUE),
    (f"token='{VALUE}'", VALUE),
    (f'secret="{VALUE} with spaces"', VALUE),
    (f"Authorization: Bearer {JWT}", JWT),
    (f"Authorization: Basic {base64.b64encode(b'user:pass').decode()}", "dXNlcjpwYXNz"),
    (f"got bearer abcdef{VALUE}", VALUE),
    (f"jwt {JWT} end", JWT),
    (f"postgres://shop:{VALUE}@db:5432/shop", VALUE),
    (f"redis://:{VALUE}@cache", VALUE),
    (f"postgres://shop:p@{VALUE}@db", VALUE),
    (f"key:\n{PEM}\nend", "MIIEowIBAAKCAQEA"),
    (PEM[:60], "MIIEowIB"),
    ("id AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "16C7e42F292c6912E7710c838347Ae178B4a"),
    ("xoxb-17653672481-19874698323", "17653672481"),
    ("sk-proj-abcdefghijklmnopqrstuvwxyz123456", "abcdefghijklmnop"),
    (f"pass\x1b[0mword={VALUE}", VALUE),
    (f"aws_secret_access_key = {VALUE}", VALUE),
    (f"client_secret={VALUE}&grant_type=x", VALUE),
]


@pytest.mark.parametrize(("text", "leak"), LEAKS)
def test_credentials_in_text_do_not_come_out(text: str, leak: str) -> None:
    assert leak in text or "\x1b" in text
    assert leak not in safe_text(text)


HARMLESS = [
    'MountVolume.SetUp failed for volume "data" : secret "db-password" not found',
    "token: expired",
    "GET /healthz 200",
    "https://example.com/path?x=1",
    "https://docs.example.com:8080/a@b",
    "couldn't find key DB_TOKEN in Secret shop/db",
    "secretName: db",
    "Bearer authentication is required",
    "serviceaccount: default",
    "image: shop/keycloak:1.0",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact_text(text) == text


@given(st.text(max_size=300))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = safe_text(text)
    assert safe_text(once) == once


@pytest.mark.parametrize(
    "text", ["token='" * 30_000, "eyJ" * 70_000, "-eyJ" * 50_000, "a-" * 100_000 + "://", "x://" * 50_000, "password" * 25_000,
             "-----BEGIN PRIVATE KEY-----" * 7_000, "a" * 200_000, '"token" , ' * 20_000, "\x1b]" * 100_000]
)  # fmt: skip
def test_hostile_text_does_not_hold_up_the_bot(text: str) -> None:
    import time

    started = time.perf_counter()
    safe_text(text)
    assert time.perf_counter() - started < 5  # quadratic patterns take minutes; linear ones some milliseconds


# --- objects --------------------------------------------------------------------------------------------------------------

keys = st.from_regex(r"[A-Za-z0-9._-]{1,12}", fullmatch=True)
values = st.text(st.sampled_from("QWXZ0123456789"), min_size=12, max_size=40).map(lambda text: f"V{text}V")


def secret(data: dict[str, str]) -> dict[str, Any]:
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
    applied = {"apiVersion": "v1", "kind": "Secret", "stringData": data, "data": encoded, "metadata": {"name": "db"}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "db", "annotations": {LAST_APPLIED: json.dumps(applied)}, "managedFields": [{"manager": "x"}]},
        "data": encoded,
        "stringData": data,
    }


SHAPES = [
    lambda value: value,
    lambda value: {"apiVersion": "v1", "kind": "List", "items": [value]},
    lambda value: {"apiVersion": "v1", "kind": "SecretList", "items": [{k: v for k, v in value.items() if k != "kind"}]},
    lambda value: {"apiVersion": "v1", "kind": "List", "items": [{"kind": "List", "items": [value]}]},
    lambda value: {"apiVersion": "x/v1", "kind": "Bundle", "metadata": {"name": "b"}, "spec": {"objects": [value]}},
    lambda value: {"kind": "ConfigMap", "metadata": {"name": "c", "annotations": {LAST_APPLIED: json.dumps(value)}}},
]


@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.dictionaries(keys, values, min_size=1, max_size=4))
def test_no_value_of_a_secret_survives_in_any_shape(shape: Any, data: dict[str, str]) -> None:
    shown = json.dumps(redact_object(shape(secret(data))), ensure_ascii=False)
    for name, value in data.items():
        assert value not in shown
        assert base64.b64encode(value.encode()).decode() not in shown
        assert name in shown
    assert "db" in shown


def test_last_applied_that_is_no_json_goes_whole() -> None:
    value = {"kind": "Secret", "metadata": {"annotations": {LAST_APPLIED: "{broken " + VALUE}}}
    assert VALUE not in json.dumps(redact_object(value))


@given(name=st.sampled_from(["DB_PASSWORD", "API_TOKEN", "SECRET_KEY", "credentials"]), value=values)
def test_env_values_with_secret_names_go_and_others_stay(name: str, value: str) -> None:
    env = [
        {"name": name, "value": value},
        {"name": "COLOUR", "value": "blue"},
        {"name": "REF", "valueFrom": {"secretKeyRef": {}}},
    ]
    pod = {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "web", "env": env}]}}
    shown = redact_object(pod)["spec"]["containers"][0]["env"]
    assert shown == [{"name": name, "value": REDACTED}, env[1], env[2]]


def test_structure_that_only_names_secrets_is_left_alone() -> None:
    pod = {
        "kind": "Pod",
        "metadata": {"name": "p", "labels": {"app": "x"}},
        "spec": {
            "volumes": [{"name": "s", "secret": {"secretName": "db", "items": [{"key": "password", "path": "p"}]}}],
            "containers": [
                {"name": "web", "env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]}
            ],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}],
            "topologySpreadConstraints": [{"topologyKey": "zone"}],
            "automountServiceAccountToken": True,
            "imagePullSecrets": [{"name": "pull"}],
        },
    }
    assert redact_object(pod) == pod


def test_arguments_after_a_secret_flag_go() -> None:
    pod = {
        "kind": "Pod",
        "spec": {"containers": [{"name": "c", "args": ["--db-password", VALUE, "--port", "80", f"--token={VALUE}"]}]},
    }
    args = redact_object(pod)["spec"]["containers"][0]["args"]
    assert args == ["--db-password", REDACTED, "--port", "80", f"--token={REDACTED}"]


def test_config_map_keys_and_files_are_looked_into() -> None:
    value = {
        "kind": "ConfigMap",
        "metadata": {"name": "c"},
        "data": {"DB_PASSWORD": VALUE, "app.properties": f"user=shop\npassword={VALUE}\n", "colour": "blue"},
    }
    shown = redact_object(value)["data"]
    assert shown == {"DB_PASSWORD": REDACTED, "app.properties": f"user=shop\npassword={REDACTED}\n", "colour": "blue"}


def test_managed_fields_are_left_out_unless_asked_for() -> None:
    value = {"kind": "Pod", "metadata": {"name": "p", "managedFields": [{"manager": "x"}]}}
    assert "managedFields" not in redact_object(value)["metadata"]
    assert redact_object(value, managed_fields=True)["metadata"]["managedFields"] == [{"manager": "x"}]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["kind", "metadata", "data", "items", "spec", "name", "value"]), json_values))
def test_any_object_can_be_redacted_and_the_original_stays(value: dict[str, Any]) -> None:
    before = json.dumps(value)
    redact_object(value)
    assert json.dumps(value) == before


def test_pattern_of_the_mark_itself_is_stable() -> None:
    assert re.fullmatch("‹redacted›", REDACTED)
    assert clean_text(REDACTED) == REDACTED
