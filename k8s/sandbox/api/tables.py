"""Lists as Tables: the columns a kind has, and rows of cells with the object's metadata beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from k8s.sandbox.api import cells_rest, printers
from k8s.sandbox.objects import units
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.kinds import Kind
from k8s.sandbox.objects.store import Stored, encode

Printer = Callable[[Json], list[Any]]
POD_DONE = {
    "Succeeded": "The pod has completed successfully.",
    "Failed": "The pod failed.",
}


@cache
def _columns(text: str) -> tuple[Json, ...]:
    return tuple(_column(word) for word in text.split())


def _column(word: str) -> Json:
    name, *rest = word.split(":")
    kind, form = [*rest, "", ""][:2]
    title = name.rstrip("*").replace("_", " ")
    if title == "Name" and not form:
        form = "name"
    wide = 1 if name.endswith("*") else 0
    return {"name": title, "type": kind or "string", "format": form, "description": "", "priority": wide}


def printer(kind: Kind) -> tuple[list[Json], Printer]:
    """The kind's column definitions and the function that makes its cells."""
    if kind.crd is not None:
        return _custom(kind.crd)
    columns, make = printers.PRINTERS.get(kind.id, (printers.DEFAULT, cells_rest.created_at))
    return list(_columns(columns)), make


def _custom(version: Json) -> tuple[list[Json], Printer]:
    """A CRD's own columns, or the age alone."""
    age = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    wanted = version.get("additionalPrinterColumns") or [age]
    columns = [*_columns("Name")] + [
        {
            "name": one["name"],
            "type": one["type"],
            "format": one.get("format", ""),
            "description": one.get("description", ""),
            "priority": one.get("priority", 0),
        }
        for one in wanted
    ]

    def make(obj: Json) -> list[Any]:
        return [obj["metadata"]["name"], *(_custom_cell(obj, one) for one in wanted)]

    return columns, make


def _custom_cell(obj: Json, column: Json) -> Any:
    value = look(obj, column["jsonPath"])
    if value is None:
        return None
    if column["type"] == "date":
        return units.since(value) if isinstance(value, str) else "<unknown>"
    if column["type"] == "string" and not isinstance(value, str):
        return json.dumps(value, separators=(",", ":"))
    return value


_STEP = re.compile(r"\.([A-Za-z0-9_$-]+)|\['([^']+)'\]|\[(\d+)\]|\[\?\(@\.(\w+)==[\"']([^\"']*)[\"']\)\]")


def look(obj: Any, path: str) -> Any:
    """The value at a simple JSON path: .a.b, ['a/b'], [0], [?(@.type=="Ready")]; None where there is none."""
    for match in _STEP.finditer(path.replace("\\.", "\0")):
        name, quoted, place, key, wanted = match.groups()
        if place is not None:
            obj = obj[int(place)] if isinstance(obj, list) and int(place) < len(obj) else None
        elif key is not None:
            listed = obj if isinstance(obj, list) else ()
            obj = next((one for one in listed if isinstance(one, dict) and str(one.get(key)) == wanted), None)
        else:
            label = (name or quoted).replace("\0", ".")
            obj = obj.get(label) if isinstance(obj, dict) else None
    return obj


def partial(obj: Json) -> Json:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def row(entry: Stored, kind: Kind, make: Printer, include: str) -> bytes:
    """One row, encoded. `include` is the request's includeObject: None, Metadata or Object."""
    obj = entry.body
    found: Json = {"cells": make(obj)}
    phase = (obj.get("status") or {}).get("phase") if kind.id == "pods" else None
    if phase in POD_DONE:
        done = {"type": "Completed", "status": "True", "reason": phase, "message": POD_DONE[phase]}
        found["conditions"] = [done]
    head = encode(found)[:-1]
    if include == "Object":
        return head + b',"object":' + entry.raw() + b"}"
    if include == "None":
        return head + b',"object":null}'
    return head + b',"object":' + encode(partial(obj)) + b"}"


def table(entries: list[Stored], kind: Kind, include: str, meta: Json, *, headers: bool = True) -> bytes:
    """A whole Table, encoded."""
    columns, make = printer(kind)
    rows = b",".join(row(entry, kind, make, include) for entry in entries)
    return opening(columns if headers else [], meta) + rows + b"]}"


def opening(columns: list[Json], meta: Json) -> bytes:
    head = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": columns}
    return encode(head)[:-1] + b',"rows":['
