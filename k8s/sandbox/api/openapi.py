"""OpenAPI documents, as far as clients read them: types with their fields, and which paths take fieldValidation.

Descriptions (for `kubectl explain`) are read from the installed client's models when a document is first asked for.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from k8s.sandbox.objects import schema
from k8s.sandbox.objects.errors import ApiRefused, Json
from k8s.sandbox.objects.kinds import Kind, Kinds
from k8s.sandbox.objects.schema import Field

_SCALARS: dict[str, Json] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
    "bytes": {"type": "string", "format": "byte"},
    "any": {},
}
_NAMED: dict[str, tuple[str, Json]] = {
    "quantity": ("io.k8s.apimachinery.pkg.api.resource.Quantity", {"oneOf": [{"type": "string"}, {"type": "number"}]}),
    "intstr": (
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    ),
    "time": ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", {"type": "string", "format": "date-time"}),
    "microtime": ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", {"type": "string", "format": "date-time"}),
}


def document(kinds: Kinds, parts: list[str], accept: str) -> Json | None:
    """The document at /openapi/…: v2, the index of v3, or one group's v3. None when there is none."""
    if parts == ["v2"]:
        if "json" not in accept and "*/*" not in accept and accept:
            raise ApiRefused(406, "NotAcceptable", "only application/json is served for /openapi/v2")
        return _keep("v2", kinds, lambda: _v2(kinds))
    groups = _groups(kinds)
    if parts == ["v3"]:
        return {"paths": {name: {"serverRelativeURL": _address(name, kinds)} for name in groups}}
    name = "/".join(parts[1:])
    return _keep(name, kinds, lambda: _v3(groups[name])) if name in groups else None


def _keep(name: str, kinds: Kinds, make: Callable[[], Json]) -> Json:
    if name not in kinds.documents:
        kinds.documents[name] = make()
    return kinds.documents[name]


def _address(name: str, kinds: Kinds) -> str:
    mark = hashlib.sha256(f"{name} {kinds.changes}".encode()).hexdigest().upper()
    return f"/openapi/v3/{name}?hash={mark}"


def _groups(kinds: Kinds) -> dict[str, list[Kind]]:
    found: dict[str, list[Kind]] = {}
    for kind in kinds:
        path = f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"
        found.setdefault(path, []).append(kind)
    return found


def _v3(kinds: list[Kind]) -> Json:
    types: dict[str, Json] = {}
    paths: Json = {}
    for kind in kinds:
        name = _define(kind, types)
        paths |= _paths(kind, name)
    types |= dict(_NAMED.values())
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.3"},
        "paths": paths,
        "components": {"schemas": types},
    }


def _define(kind: Kind, types: dict[str, Json]) -> str:
    """Add a kind's type, and those it refers to; its name."""
    gvk = [{"group": kind.group, "kind": kind.kind, "version": kind.version}]
    if kind.crd is not None:
        name = ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])
        body = dict((kind.crd.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"})
        meta = {"allOf": [{"$ref": _ref("meta.v1.ObjectMeta")}]}
        body["properties"] = {**(body.get("properties") or {}), "metadata": meta}
        body["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
        types[name] = {**body, "x-kubernetes-group-version-kind": gvk}
        _add("meta.v1.ObjectMeta", types)
        return name
    name = full_name(kind.schema)
    _add(kind.schema, types)
    types.setdefault(name, {"type": "object"})
    types[name] = {**types[name], "x-kubernetes-group-version-kind": gvk}
    return name


def full_name(type_name: str) -> str:
    """A type's name as Kubernetes' documents have it."""
    if type_name.startswith("meta."):
        return f"io.k8s.apimachinery.pkg.apis.{type_name}"
    if type_name.startswith(("version.", "runtime.")):
        return f"io.k8s.apimachinery.pkg.{type_name}"
    if type_name.startswith(("apiextensions-apiserver", "kube-aggregator")):
        return f"io.k8s.{type_name}"
    return f"io.k8s.api.{type_name}"


def _ref(type_name: str) -> str:
    return f"#/components/schemas/{full_name(type_name)}"


def _add(type_name: str, types: dict[str, Json]) -> None:
    name = full_name(type_name)
    if name in types:
        return
    told = _descriptions(type_name)
    known = schema.fields(type_name)
    body: Json = {"type": "object", "description": told.get("", "")}
    types[name] = body
    body["properties"] = {field: _property(one, told.get(field, "")) for field, one in known.items()}
    needed = [field for field, one in known.items() if one.required]
    if needed:
        body["required"] = needed
    for one in known.values():
        inner = one.items or one
        if inner.shape == "object" and schema.known(inner.type):
            _add(inner.type, types)


def _property(field: Field, about: str) -> Json:
    found: Json = {"description": about} if about else {}
    if field.shape == "list":
        found |= {"type": "array", "items": _type(field.items or field)}
        if field.keys:
            found |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(field.keys)}
        elif field.is_set or field.atomic:
            found["x-kubernetes-list-type"] = "set" if field.is_set else "atomic"
    elif field.shape == "map":
        found |= {"type": "object", "additionalProperties": _type(field.items or field)}
    else:
        inner = _type(field)
        found |= {"allOf": [inner]} if "$ref" in inner else inner
    if field.merge is not None:
        found["x-kubernetes-patch-strategy"] = "merge,retainKeys" if field.retain else "merge"
        if field.merge:
            found["x-kubernetes-patch-merge-key"] = field.merge
    elif field.retain:
        found["x-kubernetes-patch-strategy"] = "retainKeys"
    return found


def _type(field: Field) -> Json:
    if field.shape == "object":
        return {"$ref": _ref(field.type)} if schema.known(field.type) else {"type": "object"}
    if field.type in _NAMED:
        return {"$ref": f"#/components/schemas/{_NAMED[field.type][0]}"}
    return dict(_SCALARS.get(field.type, {}))


def _paths(kind: Kind, name: str) -> Json:
    """The paths of a kind with what clients look for: the verbs, and the query parameters of writes."""
    base = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    place = f"{base}/namespaces/{{namespace}}/{kind.resource}" if kind.namespaced else f"{base}/{kind.resource}"
    gvk = {"group": kind.group, "kind": kind.kind, "version": kind.version}
    answer = {"200": {"description": "OK", "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}}
    writes = [
        {"name": one, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for one in ("dryRun", "fieldManager", "fieldValidation")
    ]

    def operation(action: str, parameters: list[Json]) -> Json:
        return {
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk,
            "parameters": parameters,
            "responses": answer,
        }

    whole: Json = {}
    single: Json = {}
    for verb, method, many in (("list", "get", True), ("create", "post", True), ("get", "get", False),
                               ("update", "put", False), ("patch", "patch", False), ("delete", "delete", False)):  # fmt: skip
        if verb in kind.verbs:
            action = {"create": "post", "update": "put"}.get(verb, verb)
            (whole if many else single)[method] = operation(action, [] if method == "get" else writes)
    return {path: found for path, found in ((place, whole), (f"{place}/{{name}}", single)) if found}


def _v2(kinds: Kinds) -> Json:
    """The same types in the older form."""
    types: dict[str, Json] = {}
    paths: Json = {}
    for kind in kinds:
        name = _define(kind, types)
        paths |= _paths(kind, name)
    text = json.dumps({"paths": paths, "definitions": {**types, **dict(_NAMED.values())}})
    text = text.replace("#/components/schemas/", "#/definitions/")
    found: Json = json.loads(text)
    return {"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.36.3"}, **found}


# descriptions, from the client's models

_FIELD = re.compile(
    r'^    \w+: .*?(?:serialization_alias="(?P<alias>\w+)".*?)?description="(?P<text>(?:[^"\\]|\\.)*)"\)', re.MULTILINE
)


@cache
def _models() -> Path | None:
    found = importlib.util.find_spec("kubernetes")
    where = Path(found.origin).parent / "aio" / "client" / "models" if found and found.origin else None
    return where if where and where.is_dir() else None


@cache
def _descriptions(type_name: str) -> dict[str, str]:
    """Field name → description; under an empty name the type's own. Empty where the client has no such model."""
    folder = _models()
    if folder is None:
        return {}
    group, version, kind = type_name.split(".")[-3:]
    plain = f"{version}_{_snake(kind)}.py"
    path = next((one for one in (folder / f"{group}_{plain}", folder / plain) if one.is_file()), None)
    if path is None:
        return {}
    text = path.read_text(encoding="utf-8")
    body = text[text.find("(BaseModel):") :]
    told = {"": " ".join(body.split('"""', 2)[1].split("Attributes:")[0].split())} if '"""' in body else {}
    for line in body.splitlines():
        match = _FIELD.match(line)
        if match:
            name = match["alias"] or line.strip().partition(":")[0]
            told[name] = match["text"].replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")
    return told


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
