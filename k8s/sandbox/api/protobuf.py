"""Reading the API's protobuf: kubectl sends it for some of what it creates. Answers are always JSON.

The envelope is k8s.io/apimachinery's runtime.Unknown after four magic bytes; field numbers are those of schema.json.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from k8s.sandbox.objects import schema
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.schema import Field

MEDIA = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
Value = int | bytes


class ProtobufMalformed(ValueError):
    """The bytes are not one of the API's protobuf messages."""


def read(body: bytes, type_of: Callable[[str, str], str | None]) -> Json:
    """The object in a body. `type_of` gives the type's name for an apiVersion and kind."""
    if not body.startswith(MAGIC):
        raise ProtobufMalformed("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    envelope = dict(_fields(body[len(MAGIC) :]))
    head = {number: _text(value) for number, value in _fields(_bytes(envelope.get(1, b"")))}
    version, kind = head.get(1, ""), head.get(2, "")
    name = type_of(version, kind)
    if name is None:
        raise ProtobufMalformed(f'no kind "{kind}" is registered for version "{version}"')
    return {"apiVersion": version, "kind": kind, **_message(name, _bytes(envelope.get(2, b"")), name)}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise ProtobufMalformed("unexpected EOF")


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        else:
            size = {1: 8, 5: 4}.get(wire, -1)
        if size < 0 or at + size > len(data):
            raise ProtobufMalformed("unexpected EOF")
        yield number, data[at : at + size]
        at += size


def _bytes(value: Value) -> bytes:
    if isinstance(value, int):
        raise ProtobufMalformed("proto: wrong wireType")
    return value


def _text(value: Value) -> str:
    return _bytes(value).decode("utf-8", "replace")


def _message(type_name: str, data: bytes, message: str) -> Json:
    """A message as JSON. `message` differs from the type where it is shown inline in its parent."""
    names, known, found = schema.numbers(message), schema.fields(type_name), {}
    for number, value in _fields(data):
        name, inline = names.get(number, ("", ""))
        if inline:
            found.update(_message(type_name, _bytes(value), inline))
        elif name in known:
            _take(found, name, known[name], value)
    return {name: value for name, value in found.items() if value is not None}


def _take(found: Json, name: str, field: Field, value: Value) -> None:
    if field.shape == "list":
        found.setdefault(name, []).append(_value(field.items or field, value))
    elif field.shape == "map":
        entry = dict(_fields(_bytes(value)))
        inner = field.items or field
        found.setdefault(name, {})[_text(entry.get(1, b""))] = _map_value(inner, entry.get(2, b""))
    else:
        found[name] = _value(field, value)


def _map_value(field: Field, value: Value) -> Any:
    if field.shape == "list":  # lists cannot be map values in protobuf, so they come wrapped
        inner = field.items or field
        return [_value(inner, one) for _, one in _fields(_bytes(value))]
    return _value(field, value)


def _value(field: Field, value: Value) -> Any:
    if field.shape == "object":
        return _message(field.type, _bytes(value), field.type)
    return _SCALARS[field.type](value)


def _signed(value: Value) -> int:
    if not isinstance(value, int):
        raise ProtobufMalformed("proto: wrong wireType")
    return value - (1 << 64) if value >= 1 << 63 else value


def _time(value: Value) -> str | None:
    parts = dict(_fields(_bytes(value)))
    seconds, nanos = _signed(parts.get(1, 0)), _signed(parts.get(2, 0))
    if not seconds and not nanos:
        return None
    at = datetime.fromtimestamp(seconds, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if not nanos else at.strftime("%Y-%m-%dT%H:%M:%S") + f".{nanos // 1000:06d}Z"


def _int_or_string(value: Value) -> int | str:
    parts = dict(_fields(_bytes(value)))
    return _text(parts.get(3, b"")) if parts.get(1) else _signed(parts.get(2, 0))


def _raw(value: Value) -> Any:
    raw = next((_bytes(one) for number, one in _fields(_bytes(value)) if number == 1), b"null")
    try:
        return json.loads(raw or b"null")
    except ValueError as bad:
        raise ProtobufMalformed(str(bad)) from bad


def _quantity(value: Value) -> str:
    return next((_text(one) for number, one in _fields(_bytes(value)) if number == 1), "0")


_SCALARS: dict[str, Callable[[Value], Any]] = {
    "string": _text,
    "bytes": lambda value: base64.b64encode(_bytes(value)).decode(),
    "boolean": bool,
    "int32": _signed,
    "int64": _signed,
    "double": lambda value: struct.unpack("<d", _bytes(value))[0],
    "quantity": _quantity,
    "intstr": _int_or_string,
    "time": _time,
    "microtime": _time,
    "any": _raw,
}
