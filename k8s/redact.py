"""What must not leave the cluster: values of Secrets, credentials in text, characters that deceive the eye.

Pure functions. Structure is redacted exactly (a Secret's `data`), free text by patterns (a log line): a net, not a proof.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

REDACTED = "‹redacted›"
"""Stands for a value. It says nothing about the length, since a length helps to guess."""

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_ANSI = r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[PX^_][^\x1b]*\x1b\\|\x1b[ -/]*[0-Z\\^-~]"
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_UNSAFE = re.compile(
    rf"(?P<ansi>{_ANSI})|(?P<line>\r\n|[\u0085\u2028\u2029])|(?P<emoji>\ufe0f)"
    rf"|(?P<control>[\x00-\x08\x0b-\x1f\x7f])|(?P<other>[\x80-\x9f{_INVISIBLE}\ud800-\udfff])"
)


def clean_text(text: str) -> str:
    """The text with nothing in it that a terminal or a chat obeys, or that hides or reorders letters.

    ANSI sequences go. Control characters become their pictures (`␀`), and bidirectional, zero-width and other invisible
    characters become their code points (`‹U+202E›`), so that an attempt to deceive is seen. Newline and tab stay.
    """
    return text if _UNSAFE.search(text) is None else _UNSAFE.sub(_shown, text)


def _shown(match: re.Match[str]) -> str:
    character = match.group()
    if match.lastgroup in {"ansi", "emoji"}:
        return ""
    if match.lastgroup == "line":
        return "\n"
    if match.lastgroup == "control":
        return "␡" if character == "\x7f" else chr(0x2400 + ord(character))
    return f"‹U+{ord(character):04X}›"


def clean_line(text: str) -> str:
    """The same on one line, for a name or a table's cell."""
    return clean_text(text).replace("\n", "␊").replace("\t", " ")


_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_SECRET_WORDS = frozenset(
    {"password", "passwd", "pwd", "pass", "passphrase", "token", "tokens", "secret", "secrets", "credential", "credentials"}
    | {"creds", "apikey", "key", "keys", "auth", "dsn"}
)
_HARMLESS_ENDINGS = frozenset(
    {"name", "names", "ref", "refs", "file", "files", "path", "dir", "mount", "namespace", "id", "ids", "type", "kind"}
    | {"seconds", "ttl", "expiry", "expiration", "duration", "size", "length", "count", "version", "algorithm"}
    | {"enabled", "disabled", "required", "issuer", "audience", "audiences", "policy", "provider", "class"}
    | {"conf", "cfg", "yaml", "yml", "json", "toml", "ini", "xml", "properties", "sh", "html", "crt"}
)


@lru_cache(4096)
def looks_secret(name: str) -> bool:
    """Whether a variable or key of this name usually holds a credential: `DB_PASSWORD`, `apiToken`, not `TOKEN_FILE`."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] in _HARMLESS_ENDINGS:
        return False
    return any(word in _SECRET_WORDS or word.endswith(("password", "secret", "token", "apikey")) for word in words)


# No pattern may look far from more than a few starts: text of 200,000 characters chosen by an attacker must stay quick.
_NAME = r"(?:password|passwd|pwd|passphrase|secret|token|api[_\-]?key|access[_\-]?key|private[_\-]?key|credential)[\w.\-]{0,64}"
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL), REDACTED),
    (re.compile(r"(?<![\w\-])eyJ[\w\-]{6,}\.[\w\-]{6,}(?:\.[\w\-]*)?"), REDACTED),
    (
        re.compile(r"(?i)(\bauthorization[\"']?\s*[:=]\s*[\"']?(?:basic|bearer|token|digest)\s+)[^\s\"',;]+"),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"(?i)(\bbearer\s+)(?=[^\s\"',;]*\d)[\w.~+/=\-]{8,}"), rf"\1{REDACTED}"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), REDACTED),
    (
        re.compile(
            r"(?<![\w\-])(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w\-]{16,}|xox[abeoprs]-[\w\-]{10,}|AIza[\w\-]{35})"
        ),
        REDACTED,
    ),
    (re.compile(r"(?<![\w\-])(?:sk|rk|pk)[_\-](?:live|test|proj|ant)?[_\-]?[A-Za-z0-9_\-]{20,}"), REDACTED),
    (re.compile(r"(?i)(\b[a-z][a-z0-9+.\-]{0,20}://[^\s/@:\"']{0,256}:)[^\s/\"']+(?=@)"), rf"\1{REDACTED}"),
)
_ASSIGNMENT = re.compile(
    rf"(?i)(?P<name>{_NAME})(?P<sep>[\"']?\s*(?:=|:(?!//))\s*|[\"']\s*,\s*)"
    r"(?P<value>\"(?:[^\"\\\n]|\\.){0,1024}\"|'[^'\n]{0,1024}'|[\"'][^\s\"']+|[^\s,;&\"'{}\[\]()]+)"
)
_HINT = re.compile(
    r"(?i)private key|eyJ|bearer|authorization|A[KS]IA|gh[pousr]_|github_pat|glpat|xox|AIza|[srp]k[_\-]|://"
    r"|passw|pwd|passphrase|secret|token|api[_\-]?key|access[_\-]?key|credential"
)
_PLAIN_VALUES = frozenset(
    {"true", "false", "null", "none", "nil", "expired", "invalid", "missing", "required", "empty", "unset", "not", "is", "was"}
    | {"must", "the", "a", "an", "failed", "rejected", "unknown", "error", "denied", "unauthorized", "forbidden"}
)


def redact_text(text: str) -> str:
    """The text without credentials: private keys, JWTs, bearer tokens, keys of known shapes, URL passwords, `password=…`."""
    if _HINT.search(text) is None:
        return text
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return _ASSIGNMENT.sub(_without_value, text)


def _without_value(match: re.Match[str]) -> str:
    value = match["value"].strip("\"'")
    if not looks_secret(match["name"]) or value.lower().rstrip(".") in _PLAIN_VALUES or value.startswith(REDACTED[0]):
        return match.group()
    quote = match["value"][0] if match["value"][0] in "\"'" else ""
    return f"{match['name']}{match['sep']}{quote}{REDACTED}{quote}"


def safe_text(text: str) -> str:
    """Text from the cluster as it may be shown: cleaned first, so that a hidden character cannot split a credential."""
    return redact_text(clean_text(text))


def redact_object(value: Mapping[str, Any], *, managed_fields: bool = False) -> dict[str, Any]:
    """A copy of an object or a list that may be shown. Names and keys stay; `managedFields` go unless asked for."""
    kind = value.get("kind")
    result: dict[str, Any] = {}
    for key, item in value.items():
        if key == "items" and isinstance(item, list):
            member = str(kind or "").removesuffix("List")
            result[key] = [_redact_item(each, member, managed_fields=managed_fields) for each in item]
        elif key == "metadata" and isinstance(item, Mapping):
            result[key] = _redact_metadata(item, managed_fields=managed_fields)
        elif kind == "Secret" and key in {"data", "stringData"}:
            result[key] = _blank(item)
        elif kind == "ConfigMap" and key in {"data", "binaryData"} and isinstance(item, Mapping):
            result[key] = {name: _named(name, text) for name, text in item.items()}
        else:
            result[key] = _named(key, item) if isinstance(item, str) else _redact(item)
    return result


def _redact_item(item: Any, kind: str, *, managed_fields: bool) -> Any:
    if not isinstance(item, Mapping):
        return _redact(item)
    # Items of a typed list (SecretList) carry no kind of their own.
    shown = redact_object({"kind": kind, **item} if "kind" not in item else item, managed_fields=managed_fields)
    if "kind" not in item:
        del shown["kind"]
    return shown


def _blank(values: Any) -> Any:
    return dict.fromkeys(values, REDACTED) if isinstance(values, Mapping) else REDACTED


def _redact_metadata(metadata: Mapping[str, Any], *, managed_fields: bool) -> dict[str, Any]:
    shown = {key: _redact(item) for key, item in metadata.items() if managed_fields or key != "managedFields"}
    annotations = metadata.get("annotations")
    if isinstance(annotations, Mapping):
        shown["annotations"] = {name: _annotation(name, text) for name, text in annotations.items()}
    return shown


def _annotation(name: str, text: Any) -> Any:
    if not isinstance(text, str):
        return _redact(text)
    if name != LAST_APPLIED and not text.lstrip().startswith("{"):
        return _named(name, text)
    try:
        value = json.loads(text)
    except ValueError:
        return REDACTED if name == LAST_APPLIED else _named(name, text)
    if not isinstance(value, dict):
        return REDACTED if name == LAST_APPLIED else _named(name, text)
    return json.dumps(redact_object(value), separators=(",", ":"), ensure_ascii=False)


def _named(name: str, value: Any) -> Any:
    """The value of one key: gone where the key's name says so."""
    if isinstance(value, str) and value not in _SWITCHES and looks_secret(name) and not _is_selector_key(name):
        return REDACTED
    return _redact(value)


def _is_selector_key(name: str) -> bool:
    """`key`, `topologyKey`, `secretKeyRef.key` and the like name a label or an entry and hold nothing."""
    return name in _STRUCTURAL_KEYS


_STRUCTURAL_KEYS = frozenset({"key", "topologyKey"})
_SWITCHES = frozenset({"", "true", "false"})


def _redact(value: Any) -> Any:
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, Mapping):
        return _redact_mapping(value)
    if isinstance(value, list):
        return _redact_list(value)
    return value


def _redact_mapping(value: Mapping[str, Any]) -> dict[str, Any]:
    if "kind" in value and ("data" in value or "stringData" in value or "items" in value):
        return redact_object(value)
    secret_entry = isinstance(value.get("name"), str) and looks_secret(value["name"]) and isinstance(value.get("value"), str)
    result: dict[str, Any] = {}
    for key, item in value.items():
        if secret_entry and key == "value" and item:
            result[key] = REDACTED
        else:
            result[key] = _named(key, item) if isinstance(item, str) else _redact(item)
    return result


_SECRET_FLAG = re.compile(rf"(?i)--?[\w\-]{{0,64}}{_NAME}\Z")


def _redact_list(values: Iterable[Any]) -> list[Any]:
    """A list; after an argument such as `--password` the next string goes."""
    result: list[Any] = []
    after_flag = False
    for value in values:
        if isinstance(value, str):
            hidden = after_flag and not value.startswith("-")
            result.append(REDACTED if hidden else safe_text(value))
            after_flag = _SECRET_FLAG.match(value) is not None and looks_secret(value)
        else:
            result.append(_redact(value))
            after_flag = False
    return result
