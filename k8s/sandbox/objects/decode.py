"""Reading a body into an object: types checked, unknown and repeated fields found, quantities in canonical form.

Messages follow sigs.k8s.io/json (strict decoding) and encoding/json (type errors).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import yaml

from k8s.sandbox.objects import schema
from k8s.sandbox.objects.errors import ApiRefused, Json, bad_request
from k8s.sandbox.objects.schema import Field
from k8s.sandbox.objects.units import QuantityMalformed, canonical, parse_time


class BodyMalformed(ValueError):
    """The body is neither JSON nor YAML for one object."""


class Base64Malformed(ValueError):
    """A field of bytes is not base64."""


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: timestamps stay text, and sexagesimal numbers too."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")]
    for first, rules in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_INT = re.compile(r"^[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|(?:0|[1-9][0-9_]*))$")
for _first, _rules in _Loader.yaml_implicit_resolvers.items():
    _Loader.yaml_implicit_resolvers[_first] = [(tag, _INT if tag == "tag:yaml.org,2002:int" else rule) for tag, rule in _rules]


def yaml_documents(text: str | bytes) -> list[Any]:
    """Every document of a YAML text; yaml.YAMLError when it cannot be read."""
    return list(yaml.load_all(text, Loader=_Loader))


def read_body(body: bytes, media_type: str, repeated: list[str]) -> Any:
    """The value in a request's body. Names of repeated fields are added to `repeated`."""
    if media_type == "application/yaml":
        try:
            documents = yaml_documents(body)
        except yaml.YAMLError as bad:
            mark = getattr(bad, "problem_mark", None)
            line = f"line {mark.line}: " if mark else ""
            raise BodyMalformed(f"yaml: {line}{getattr(bad, 'problem', bad)}") from bad
        return documents[0] if documents else None

    again: list[tuple[Json, str]] = []

    def pairs(found: list[tuple[str, Any]]) -> Json:
        made = dict(found)
        if len(made) != len(found):
            names = [name for name, _ in found]
            again.extend((made, name) for name in dict.fromkeys(names) if names.count(name) > 1)
        return made

    try:
        value = json.loads(body, object_pairs_hook=pairs)
        repeated += [path for owner, name in again for path in _paths_to(value, owner, name)]
        return value
    except (ValueError, RecursionError) as bad:
        raise BodyMalformed(_json_fault(body, bad)) from bad


def _paths_to(value: Any, owner: Json, name: str, at: str = "") -> list[str]:
    """The path of an object's field within a value."""
    if value is owner:
        return [f"{at}.{name}".lstrip(".")]
    if isinstance(value, dict):
        return [path for key, inner in value.items() for path in _paths_to(inner, owner, name, f"{at}.{key}")]
    if isinstance(value, list):
        return [path for place, inner in enumerate(value) for path in _paths_to(inner, owner, name, f"{at}[{place}]")]
    return []


def _json_fault(body: bytes, bad: Exception) -> str:
    at = getattr(bad, "pos", 0)
    text = body.decode("utf-8", "replace")
    if at >= len(text):
        return "unexpected end of JSON input"
    where = "looking for beginning of object key string" if "property name" in str(bad) else "looking for beginning of value"
    return f"invalid character {text[at]!r} {where}"


FOUND = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
GO_TYPES = {"string": "string", "boolean": "bool", "int32": "int32", "int64": "int64", "double": "float64"}


# Go leaves out empty values where the field is not a pointer (omitempty). Pointers to strings keep "".
_KEEPS_EMPTY = frozenset(("storageClassName", "ingressClassName", "volumeAttributesClassName", "apiGroup"))
_DROPS_FALSE = frozenset(
    [
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "stdin",
        "stdinOnce",
        "tty",
        "readOnly",
        "paused",
        "unschedulable",
        "publishNotReadyAddresses",
        "globalDefault",
    ]
)
_DROPS_ZERO = frozenset(
    [
        "minReadySeconds",
        "hostPort",
        "initialDelaySeconds",
        "nodePort",
        "observedGeneration",
        "readyReplicas",
        "availableReplicas",
        "updatedReplicas",
        "unavailableReplicas",
        "healthCheckNodePort",
        "active",
        "succeeded",
        "failed",
    ]
)


def _left_out(name: str, value: Any, field: Field) -> bool:
    if value is None:
        return True
    if field.shape in ("list", "map"):
        return not value and not field.required
    if value == "" and field.type == "string":
        return name not in _KEEPS_EMPTY and not field.required
    return (value is False and name in _DROPS_FALSE) or (value == 0 and value is not False and name in _DROPS_ZERO)


class _Reader:
    """Walks one value along its type."""

    def __init__(self, kind: str, prune: bool) -> None:
        self.kind, self.prune = kind, prune
        self.unknown: list[str] = []
        self.owner = Field("object", kind)  # the struct that the value being read is a field of

    def read(self, value: Any, field: Field, path: str) -> Any:
        if value is None or (field.type == "any" and field.shape == "scalar"):
            return value
        return _SHAPES[field.shape](self, value, field, path)

    def mismatch(self, value: Any, go_type: str, path: str) -> ApiRefused:
        path = re.sub(r"\[\d+\]", "", path)
        found = FOUND[type(value)]
        if isinstance(value, float) and go_type not in ("string", "bool"):
            found = f"number {value}"
        return bad_request(
            f'{self.kind} in version "{{version}}" cannot be handled as a {self.kind}: json: cannot unmarshal '
            f"{found} into Go struct field {_go_name(self.owner).rpartition('.')[2] or self.kind}.{path} of type {go_type}"
        )

    def struct(self, value: Any, field: Field, path: str) -> Any:
        known = schema.children(field)
        if not isinstance(value, dict):
            raise self.mismatch(value, _go_name(field), path)
        if not known:
            return value
        keeps = bool(field.inline and field.inline.get("x-kubernetes-preserve-unknown-fields"))
        out: Json = {}
        for name, inner in value.items():
            below = f"{path}.{name}" if path else name
            found = known.get(name)
            if found is None:
                if keeps:
                    out[name] = inner
                else:
                    self.unknown.append(below)
                continue
            self.owner = field
            read = self.read(inner, found, below)
            if field.inline is not None or not _left_out(name, read, found):
                out[name] = read
        return out

    def mapping(self, value: Any, field: Field, path: str) -> Any:
        if not isinstance(value, dict):
            raise self.mismatch(value, f"map[string]{_go_name(field)}", path)
        inner = field.items or field
        simple = inner.shape == "scalar"
        return {
            name: self.read(_nothing(inner) if one is None else one, inner, path if simple else f"{path}.{name}")
            for name, one in value.items()
        }

    def listing(self, value: Any, field: Field, path: str) -> Any:
        if not isinstance(value, list):
            raise self.mismatch(value, f"[]{_go_name(field)}", path)
        inner = field.items or field
        return [self.read(_nothing(inner) if one is None else one, inner, f"{path}[{place}]") for place, one in enumerate(value)]

    def scalar(self, value: Any, field: Field, path: str) -> Any:
        check = _SCALARS[field.type]
        try:
            fits, out = check(value)
        except (QuantityMalformed, Base64Malformed) as bad:
            raise bad_request(f'{self.kind} in version "{{version}}" cannot be handled as a {self.kind}: {bad}') from bad
        except ValueError as bad:
            raise bad_request(
                f'{self.kind} in version "{{version}}" cannot be handled as a {self.kind}: parsing time '
                f'{json.dumps(value)} as "2006-01-02T15:04:05Z07:00": cannot parse {json.dumps(value)} as "2006"'
            ) from bad
        if not fits:
            raise self.mismatch(value, GO_TYPES.get(field.type, "string"), path)
        return out


_ZEROS: Json = {"string": "", "bytes": "", "boolean": False, "int32": 0, "int64": 0, "double": 0, "quantity": "0", "intstr": 0}


def _nothing(field: Field) -> Any:
    """What Go makes of a null in a list or a map: the type's zero value."""
    if field.inline is not None:
        return None
    return {"object": {}, "map": {}, "list": []}.get(field.shape, _ZEROS.get(field.type))


def _go_name(field: Field) -> str:
    if field.type in GO_TYPES:
        return GO_TYPES[field.type]
    parts = field.type.split(".")
    return ".".join(parts[-2:]) if len(parts) > 1 else field.type


def _int(value: Any) -> tuple[bool, Any]:
    if isinstance(value, float) and value.is_integer():
        return True, int(value)
    return isinstance(value, int) and not isinstance(value, bool), value


def _number(value: Any) -> tuple[bool, Any]:
    return isinstance(value, int | float) and not isinstance(value, bool), value


def _quantity(value: Any) -> tuple[bool, Any]:
    fits = isinstance(value, str | int | float) and not isinstance(value, bool)
    return fits, canonical(value) if fits else value


def _time(value: Any) -> tuple[bool, Any]:
    if isinstance(value, str):
        parse_time(value)
    return isinstance(value, str), value


_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def _base64(value: Any) -> tuple[bool, Any]:
    if isinstance(value, str):
        text = value.replace("\n", "").replace("\r", "")
        bare = text.rstrip("=") if len(text) % 4 == 0 else text
        bad = next((at for at, one in enumerate(bare) if one not in _ALPHABET), len(text) if len(text) % 4 else None)
        if bad is not None:
            raise Base64Malformed(f"illegal base64 data at input byte {bad}")
        return True, text
    return False, value


_SCALARS: dict[str, Callable[[Any], tuple[bool, Any]]] = {
    "string": lambda value: (isinstance(value, str), value),
    "bytes": _base64,
    "boolean": lambda value: (isinstance(value, bool), value),
    "int32": _int,
    "int64": _int,
    "double": _number,
    "quantity": _quantity,
    "intstr": lambda value: (isinstance(value, str | int) and not isinstance(value, bool), value),
    "time": _time,
    "microtime": _time,
    "any": lambda value: (True, value),
}
_SHAPES: dict[str, Callable[[_Reader, Any, Field, str], Any]] = {
    "object": _Reader.struct,
    "map": _Reader.mapping,
    "list": _Reader.listing,
    "scalar": _Reader.scalar,
}


def typed(obj: Json, field: Field, kind: str, version: str) -> tuple[Json, list[str]]:
    """The object with only the fields of its type, and the paths of those dropped; 400 where a type is wrong."""
    reader = _Reader(kind, True)
    try:
        return reader.read(obj, field, ""), [f'unknown field "{path}"' for path in sorted(reader.unknown)]
    except ApiRefused as bad:
        text = bad.message.replace("{version}", version)
        raise bad_request(text) from bad
