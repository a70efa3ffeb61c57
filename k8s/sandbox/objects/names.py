"""What names, labels and keys may look like, and how the server says that they do not (apimachinery's validation)."""

from __future__ import annotations

import re
from collections.abc import Callable

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_QUALIFIED})?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"


def _regex_fault(text: str, pattern: str, *examples: str) -> str:
    shown = ",  or ".join(f"'{one}'" for one in examples)
    return f"{text} (e.g. {shown}, regex used for validation is '{pattern}')"


_CHARACTERS = "must consist of lower case alphanumeric characters"
LABEL_FAULT = _regex_fault(
    f"a lowercase RFC 1123 label {_CHARACTERS} or '-', and must start and end with an alphanumeric character",
    _LABEL, "my-name", "123-abc",
)  # fmt: skip
SUBDOMAIN_FAULT = _regex_fault(
    f"a lowercase RFC 1123 subdomain {_CHARACTERS}, '-' or '.', and must start and end with an alphanumeric character",
    _SUBDOMAIN, "example.com",
)  # fmt: skip
_QUALIFIED_FAULT = _regex_fault(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    _QUALIFIED, "MyName", "my.name", "123-abc",
)  # fmt: skip
_VALUE_FAULT = _regex_fault(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character",
    _VALUE, "MyValue", "my_value", "12345",
)  # fmt: skip
_CONFIG_FAULT = _regex_fault(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY, "key.name", "KEY_NAME", "key-name",
)  # fmt: skip


def _check(value: str, pattern: str, limit: int, fault: str, unit: str = "bytes") -> list[str]:
    found = [] if len(value) <= limit else [f"must be no more than {limit} {unit}"]
    return found if re.fullmatch(pattern, value) else [*found, fault]


def label(value: str) -> list[str]:
    dotted = "." in value and re.fullmatch(_SUBDOMAIN, value)
    return _check(value, _LABEL, 63, "must not contain dots" if dotted else LABEL_FAULT)


def subdomain(value: str) -> list[str]:
    return _check(value, _SUBDOMAIN, 253, SUBDOMAIN_FAULT, "characters")


def path_segment(value: str) -> list[str]:
    """Names of Roles and Bindings: anything that can stand in a path."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{one}'" for one in ("/", "%") if one in value]


def qualified_name(value: str) -> list[str]:
    """A label's or annotation's key."""
    prefix, slash, name = value.rpartition("/")
    if "/" in prefix:
        return [f"a valid label key {_QUALIFIED_FAULT} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    if slash and not prefix:
        return ["prefix part must be non-empty"]
    faults = [f"prefix part {one}" for one in subdomain(prefix)] if slash else []
    if not name:
        return [*faults, "name part must be non-empty", f"name part {_QUALIFIED_FAULT}"]
    return faults + [f"name part {one}" for one in _check(name, _QUALIFIED, 63, _QUALIFIED_FAULT)]


def label_value(value: str) -> list[str]:
    return _check(value, _VALUE, 63, _VALUE_FAULT)


def config_key(value: str) -> list[str]:
    return _check(value, _CONFIG_KEY, 253, _CONFIG_FAULT)


# resource id → what its names may be, where not a subdomain
RULES: dict[str, Callable[[str], list[str]]] = {
    "namespaces": label,
    "services": label,
    "roles.rbac.authorization.k8s.io": path_segment,
    "clusterroles.rbac.authorization.k8s.io": path_segment,
    "rolebindings.rbac.authorization.k8s.io": path_segment,
    "clusterrolebindings.rbac.authorization.k8s.io": path_segment,
}
