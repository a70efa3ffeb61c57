"""Which fields each API type has: schema.json, made from Kubernetes' OpenAPI (tests/k8s/sandbox/make_schema.py).

A field is written `type [map=keys|set|atomic] [merge=key] [retainKeys] [required]`, where type is a scalar (string,
boolean, int32, int64, double, quantity, intstr, time, microtime, bytes, any), another type's name, `[type]` for a list
or `{type}` for a map. A CRD's structural schema is read into the same form.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from k8s.sandbox.objects.errors import Json

SCALARS = frozenset(("string", "boolean", "int32", "int64", "double", "quantity", "intstr", "time", "microtime", "bytes", "any"))


@dataclass(frozen=True, slots=True)
class Field:
    """One field's type and how lists and maps in it are merged."""

    shape: str  # scalar, object, list or map
    type: str  # scalar or type name: of the field itself, or of the list's or map's items
    keys: tuple[str, ...] = ()  # list-map keys (server-side apply)
    merge: str | None = None  # patchMergeKey ("" for lists of scalars); None: lists are replaced
    is_set: bool = False
    atomic: bool = False
    retain: bool = False
    required: bool = False
    items: Field | None = None  # what a list or map holds
    inline: Json | None = None  # a CRD's schema for an object


@cache
def _document() -> tuple[frozenset[str], dict[str, dict[str, str]]]:
    document = json.loads(files("k8s.sandbox.objects").joinpath("schema.json").read_text())
    return frozenset(document["atomic"]), document["types"]


@cache
def numbers(message: str) -> dict[int, tuple[str, str]]:
    """A message's protobuf field numbers: name, and the message that is shown inline, if it is."""
    words = _wire().get(message, "").split()
    pairs = (word.partition("=") for word in words)
    return {int(number): (name.partition(":")[0], name.partition(":")[2]) for number, _, name in pairs}


@cache
def _wire() -> dict[str, str]:
    found: dict[str, str] = json.loads(files("k8s.sandbox.objects").joinpath("schema.json").read_text())["numbers"]
    return found


def known(type_name: str) -> bool:
    return type_name in _document()[1]


@cache
def fields(type_name: str) -> dict[str, Field]:
    """The fields of a built-in type; {} for an unknown one."""
    return {name: _parse(text) for name, text in _document()[1].get(type_name, {}).items()}


def _parse(text: str) -> Field:
    kind, *words = text.split()
    options = dict(word.partition("=")[::2] for word in words)
    common: dict[str, Any] = {
        "atomic": "atomic" in options, "retain": "retainKeys" in options, "required": "required" in options,
        "is_set": "set" in options, "merge": options.get("merge"),
        "keys": tuple(options["map"].split(",")) if "map" in options else (),
    }  # fmt: skip
    if kind[0] in "[{":
        return Field("list" if kind[0] == "[" else "map", kind[1:-1], items=_parse(kind[1:-1]), **common)
    if kind in SCALARS:
        return Field("scalar", kind, **common)
    common["atomic"] = common["atomic"] or kind in _document()[0]
    return Field("object", kind, **common)


def children(field: Field) -> dict[str, Field]:
    """The named fields under an object field."""
    if field.inline is not None:
        return custom_fields(field.inline)
    return fields(field.type) if field.shape == "object" else {}


def root(type_name: str) -> Field:
    return Field("object", type_name)


def custom_root(schema: Json) -> Field:
    """A CRD version's schema as a field, with metadata as every object has it."""
    return Field("object", "", inline={**schema, "properties": {**(schema.get("properties") or {}), **_META}})


_META: Json = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"x-meta": True}}


def custom_fields(schema: Json) -> dict[str, Field]:
    """The fields that a structural schema names."""
    needed = schema.get("required") or []
    return {name: _custom(one, name in needed) for name, one in (schema.get("properties") or {}).items()}


def _custom(schema: Json, needed: bool = False) -> Field:
    if schema.get("x-meta"):
        return Field("object", "meta.v1.ObjectMeta")
    kind = schema.get("type")
    if kind == "array":
        listed = schema.get("x-kubernetes-list-type", "atomic")
        return Field(
            "list", "any", keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()), is_set=listed == "set",
            atomic=listed == "atomic", required=needed, items=_custom(schema.get("items") or {}),
        )  # fmt: skip
    if kind == "object" and schema.get("additionalProperties"):
        extra = schema["additionalProperties"]
        return Field("map", "any", required=needed, items=_custom(extra if isinstance(extra, dict) else {}))
    if kind == "object" and not schema.get("x-kubernetes-embedded-resource"):
        atomic = schema.get("x-kubernetes-map-type") == "atomic"
        return Field("object", "", required=needed, atomic=atomic, inline=schema)
    scalar = {"string": "string", "boolean": "boolean", "integer": "int64", "number": "double"}.get(kind or "", "any")
    return Field("scalar", "intstr" if schema.get("x-kubernetes-int-or-string") else scalar, required=needed)
