"""Label and field selectors: parsing, matching, and writing them out as the server prints them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from k8s.sandbox.objects import names
from k8s.sandbox.objects.errors import ApiRefused, Json, bad_request


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term: key, operator (=, !=, in, notin, exists, !, gt, lt) and values."""

    key: str
    op: str
    values: tuple[str, ...] = ()

    def matches(self, labels: dict[str, str]) -> bool:
        return _MATCH[self.op](labels.get(self.key), self.values)


def _number(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None


def _compare(value: str | None, bound: str, sign: int) -> bool:
    left, right = _number(value), _number(bound)
    return left is not None and right is not None and (left - right) * sign > 0


_MATCH: dict[str, Callable[[str | None, tuple[str, ...]], bool]] = {
    "=": lambda value, wanted: value == wanted[0],
    "!=": lambda value, wanted: value != wanted[0],
    "in": lambda value, wanted: value in wanted,
    "notin": lambda value, wanted: value not in wanted,
    "exists": lambda value, wanted: value is not None,
    "!": lambda value, wanted: value is None,
    "gt": lambda value, wanted: _compare(value, wanted[0], 1),
    "lt": lambda value, wanted: _compare(value, wanted[0], -1),
}
Selector = tuple[Requirement, ...]

_TOKEN = re.compile(r"\s*(==|!=|=|!|,|\(|\)|>|<|[^\s=!,()<>]+)")
_OPS = {"==": "=", "=": "=", "!=": "!=", ">": "gt", "<": "lt", "in": "in", "notin": "notin", "gt": "gt", "lt": "lt"}
_SIGNS = frozenset(("==", "!=", "=", "!", ",", "(", ")", ">", "<", ""))


class _Words:
    """The words and signs of a selector, one after the other."""

    def __init__(self, text: str) -> None:
        self._all = _TOKEN.findall(text)
        self._at = 0

    def peek(self) -> str:
        return self._all[self._at] if self._at < len(self._all) else ""

    def take(self) -> str:
        word = self.peek()
        self._at += 1
        return word


def parse_labels(text: str) -> Selector:
    """Requirements of a label selector such as `app=web,tier in (a,b),!legacy`; 400 when it cannot be read."""
    words, found = _Words(text), []
    if not words.peek():
        return ()
    while True:
        if words.peek() in _SIGNS - {"!"}:
            raise bad_request(f"found '{words.peek()}', expected: !, identifier, or 'end of string'")
        found.append(_requirement(words))
        after = words.take()
        if not after:
            return tuple(found)
        if after != ",":
            raise bad_request(f"found '{after}', expected: ',' or 'end of string'")
        if words.peek() in _SIGNS - {"!"}:
            raise bad_request(f"found '{words.peek()}', expected: identifier after ','")


def _unread(why: str) -> ApiRefused:
    return bad_request(f"unable to parse requirement: {why}")


def _requirement(words: _Words) -> Requirement:
    absent = words.peek() == "!"
    if absent:
        words.take()
    key = words.take()
    if key in _SIGNS:
        raise _unread(f"found '{key}', expected: identifier")
    faults = names.qualified_name(key)
    if faults:
        raise _unread(f'<nil>: Invalid value: "{key}": {"; ".join(faults)}')
    if absent:
        return Requirement(key, "!")
    if words.peek() in ("", ","):
        return Requirement(key, "exists")
    sign = words.take()
    if sign not in _OPS:
        raise _unread(f"found '{sign}', expected: in, notin, =, ==, !=, gt, lt")
    op = _OPS[sign]
    values = _values(words) if op in ("in", "notin") else _value(words)
    for value in values:
        for fault in names.label_value(value):
            raise _unread(f'values[0][{key}]: Invalid value: "{value}": {fault}')
    return Requirement(key, op, values)


def _value(words: _Words) -> tuple[str]:
    if words.peek() in ("", ","):
        return ("",)
    word = words.take()
    if word in _SIGNS:
        raise _unread(f"found '{word}', expected: identifier")
    return (word,)


def _values(words: _Words) -> tuple[str, ...]:
    opening = words.take()
    if opening != "(":
        raise _unread(f"found '{opening}' expected: '('")
    found: set[str] = set()
    while True:
        word = words.take()
        if word == ")":
            return tuple(sorted(found or {""}))
        if word in _SIGNS - {","}:
            raise _unread(f"found '{word}', expected: ',', ')' or identifier")
        if word != ",":
            found.add(word)


def from_object(selector: Json | None) -> Selector | None:
    """A LabelSelector object as requirements; None matches nothing, {} everything."""
    if selector is None:
        return None
    terms = [Requirement(key, "=", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    names = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    listed = selector.get("matchExpressions") or []
    terms += [Requirement(one["key"], names[one["operator"]], tuple(one.get("values") or ())) for one in listed]
    return tuple(terms)


def matches(selector: Selector | None, labels: dict[str, str] | None) -> bool:
    return selector is not None and all(term.matches(labels or {}) for term in selector)


def written(selector: Json | None, nothing: str = "<none>") -> str:
    """A LabelSelector as metav1.FormatLabelSelector prints it."""
    terms = sorted(from_object(selector) or (), key=lambda term: (term.key, term.op))
    return ",".join(_term_text(term) for term in terms) or nothing


def _term_text(term: Requirement) -> str:
    if term.op == "exists":
        return term.key
    if term.op == "!":
        return f"!{term.key}"
    if term.op in ("in", "notin"):
        return f"{term.key} {term.op} ({','.join(sorted(term.values))})"
    return f"{term.key}{term.op}{term.values[0]}"


def labels_text(labels: dict[str, str] | None) -> str:
    """A label map as labels.FormatLabels prints it."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


# Fields that can be selected on, beside metadata.name and metadata.namespace, with the value of an absent one.
# Source: the ToSelectableFields of each kind's strategy in pkg/registry.
_EVENT = (
    "involvedObject.kind involvedObject.namespace involvedObject.name involvedObject.uid involvedObject.apiVersion "
    "involvedObject.resourceVersion involvedObject.fieldPath reason reportingComponent source type"
)
SELECTABLE: dict[str, str] = {
    "pods": "spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName spec.hostNetwork "
    "status.phase status.podIP status.podIPs status.nominatedNodeName",
    "events": _EVENT,
    "nodes": "spec.unschedulable",
    "namespaces": "status.phase",
    "secrets": "type",
    "services": "spec.clusterIP spec.type",
    "replicasets.apps": "status.replicas",
    "replicationcontrollers": "status.replicas",
    "jobs.batch": "status.successful",
    "certificatesigningrequests.certificates.k8s.io": "spec.signerName",
}
_ABSENT = {"spec.unschedulable": "false", "spec.hostNetwork": "false", "status.replicas": "0", "status.successful": "0"}
_ALIAS = {"status.successful": "status.succeeded", "source": "source.component"}


def field_value(obj: Json, path: str) -> str:
    node: Any = obj
    for part in _ALIAS.get(path, path).split("."):
        node = node.get(part) if isinstance(node, dict) else None
    if isinstance(node, bool):
        return str(node).lower()
    return str(node) if node not in (None, "") else _ABSENT.get(path, "")


def parse_fields(text: str, resource: str, extra: tuple[str, ...] = ()) -> Callable[[Json], bool]:
    """A test for objects of the resource; 400 in the server's words when a field cannot be selected on."""
    allowed = {"metadata.name", "metadata.namespace", *SELECTABLE.get(resource, "").split(), *extra}
    terms: list[tuple[str, bool, str]] = []
    for term in filter(None, text.split(",")):
        path, sign, value = _field_term(term, text)
        if path not in allowed:
            label = "field label not supported" if resource in SELECTABLE else "is not a known field selector: only"
            if resource in SELECTABLE:
                raise bad_request(f"{label}: {path}")
            raise bad_request(f'"{path}" {label} "metadata.name", "metadata.namespace"')
        terms.append((path, sign, value))
    return lambda obj: all((field_value(obj, path) == value) is sign for path, sign, value in terms)


def _field_term(term: str, whole: str) -> tuple[str, bool, str]:
    for op, sign in (("!=", False), ("==", True), ("=", True)):
        if op in term:
            path, _, value = term.partition(op)
            return path.strip(), sign, value.strip()
    raise bad_request(f"invalid selector: '{whole}'; can't understand '{term}'")
