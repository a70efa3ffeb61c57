"""create, update, patch, apply and delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from k8s.sandbox.api.answers import in_version, json_response, list_reply, reply
from k8s.sandbox.api.bodies import as_kind, body, delete_options, is_dry, manager, patch_type, place, write_options
from k8s.sandbox.api.convert import TO_STORED
from k8s.sandbox.api.reading import found, selected
from k8s.sandbox.api.requests import Ask
from k8s.sandbox.api.scaling import change_scale
from k8s.sandbox.objects import apply, decode, errors, schema
from k8s.sandbox.objects.errors import ApiRefused, Json
from k8s.sandbox.objects.kinds import Kind
from k8s.sandbox.objects.patch import patched
from k8s.sandbox.objects.rbac import Action
from k8s.sandbox.objects.registry import Write
from k8s.sandbox.objects.store import encode

if TYPE_CHECKING:
    from k8s.sandbox.api.server import Server


async def create(server: Server, ask: Ask) -> web.StreamResponse:
    write = write_options(ask)
    obj = body(server, ask, write)
    place(ask, obj)
    obj = to_stored(server, ask.kind, obj)
    server.objects.complete(server.kinds.stored(ask.kind.id), obj)
    for check in server.before_write:
        check(ask, obj, None)
    if ask.kind.id == "pods" and "." in obj["metadata"].get("name", ""):
        ask.warnings.append(DOTTED_POD)
    apply.record(obj, None, manager(ask), ask.kind, server.objects.root(ask.kind))
    made = server.objects.create(server.kinds.stored(ask.kind.id), obj, write)
    return reply(ask, made, 201)


def to_stored(server: Server, kind: Kind, obj: Json) -> Json:
    convert = TO_STORED.get((kind.group, kind.version, kind.kind))
    stored = convert(obj) if convert else obj
    stored["apiVersion"] = server.kinds.stored(kind.id).api_version
    return stored


async def update(server: Server, ask: Ask) -> web.StreamResponse:
    if ask.asked.sub == "scale":
        return await change_scale(server, ask)
    write = write_options(ask)
    obj = body(server, ask, write)
    place(ask, obj)
    return reply(ask, _replace(server, ask, to_stored(server, ask.kind, obj), write))


def _replace(server: Server, ask: Ask, obj: Json, write: Write) -> Json:
    old = found(server, ask)
    for check in server.before_write:
        check(ask, obj, old)
    server.objects.complete(server.kinds.stored(ask.kind.id), obj)
    apply.record(obj, old, manager(ask), ask.kind, server.objects.root(ask.kind), ask.asked.sub)
    return server.objects.update(server.kinds.stored(ask.kind.id), obj, write, ask.asked.sub)


async def patch_(server: Server, ask: Ask) -> web.StreamResponse:
    if ask.asked.sub == "scale":
        return await change_scale(server, ask)
    how = patch_type(ask)
    if how == "apply":
        return _apply(server, ask)
    write = write_options(ask)
    old = in_version(ask.kind, found(server, ask))
    changed = _changed(server, ask, how, old, write)
    if "resourceVersion" not in changed["metadata"]:
        changed["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
    obj = to_stored(server, ask.kind, changed)
    return reply(ask, _replace(server, ask, obj, write))


def _changed(server: Server, ask: Ask, how: str, old: Json, write: Write) -> Json:
    """The old object with the request's patch applied, typed again."""
    repeated: list[str] = []
    try:
        change = decode.read_body(ask.body, "application/json", repeated)
    except decode.BodyMalformed as bad:
        raise errors.bad_request(f"error decoding patch: {bad}") from bad
    faults = [f'duplicate field "{name}"' for name in repeated]
    root = server.objects.root(ask.kind) or schema.Field("object", "")
    changed = patched(old, change, how, root)
    strict = Write(write.dry_run, "Ignore" if write.field_validation == "Strict" else write.field_validation, write.warnings)
    obj = as_kind(server, changed, ask.kind, strict, faults)
    if write.field_validation == "Strict":
        _refuse_unknown(ask, changed, root, faults)
    place(ask, obj)
    return obj


def _refuse_unknown(ask: Ask, changed: Json, root: schema.Field, faults: list[str]) -> None:
    _, unknown = decode.typed(changed, root, ask.kind.kind, ask.kind.version)
    if [*faults, *unknown]:
        why = f"strict decoding error: {', '.join([*faults, *unknown])}"
        cause = errors.invalid("patch", encode(changed).decode(), why)
        raise errors.invalid_object("", "", "", [cause])


def _apply(server: Server, ask: Ask) -> web.StreamResponse:
    write = write_options(ask)
    manager = ask.asked.query.get("fieldManager", "")
    if not manager:
        cause = errors.required("fieldManager", "is required for apply patch")
        raise errors.invalid_object("PatchOptions", "meta.k8s.io", "", [cause])
    try:
        value = decode.read_body(ask.body, "application/yaml", [])
    except decode.BodyMalformed as bad:
        raise errors.bad_request(f"error decoding YAML: {bad}") from bad
    if not isinstance(value, dict) or not value.get("kind") or not value.get("apiVersion"):
        raise errors.bad_request("invalid object type: /, Kind=")
    wanted = as_kind(server, value, ask.kind, Write(field_validation="Ignore"), [])
    place(ask, wanted)
    _refuse_undeclared(server, ask, value)
    if wanted["metadata"].get("managedFields"):
        raise errors.bad_request("metadata.managedFields must be nil")
    wanted = to_stored(server, ask.kind, wanted)
    old = server.store.get(ask.kind.id, ask.asked.namespace, ask.asked.name)
    force = ask.asked.flag("force")
    obj = apply.applied(old, wanted, manager, force, ask.kind, server.objects.root(ask.kind), ask.asked.sub)
    for check in server.before_write:
        check(ask, obj, old)
    kind = server.kinds.stored(ask.kind.id)
    if old is None:
        if ask.asked.sub:
            raise errors.not_found(ask.kind.resource, ask.kind.group, ask.asked.name)
        server.authorize(ask.caller, Action("create", ask.kind.group, ask.kind.resource, "", ask.asked.namespace))
        return reply(ask, server.objects.create(kind, obj, write), 201)
    return reply(ask, server.objects.update(kind, obj, write, ask.asked.sub))


def _refuse_undeclared(server: Server, ask: Ask, value: Json) -> None:
    """An apply of fields that the type does not have fails whole."""
    root = server.objects.root(ask.kind)
    _, unknown = decode.typed(value, root, ask.kind.kind, ask.kind.version) if root else (value, [])
    if unknown and ask.kind.crd is None:
        first = unknown[0].split('"')[1]
        place = f"{(value.get('metadata') or {}).get('namespace', '')}/{ask.asked.name}"
        text = f"failed to create typed patch object ({place}; {ask.kind.api_version}, Kind={ask.kind.kind}): "
        raise ApiRefused(500, "", f"{text}.{_with_keys(first, value)}: field not declared in schema")


async def delete(server: Server, ask: Ask) -> web.StreamResponse:
    options = delete_options(server, ask)
    asked = ask.asked
    write = Write(dry_run=is_dry(ask, options))
    gone = server.objects.delete(server.kinds.stored(ask.kind.id), asked.namespace, asked.name, options, write)
    if gone["kind"] == "Status":
        return json_response(gone)
    return reply(ask, gone)


async def delete_collection(server: Server, ask: Ask) -> web.StreamResponse:
    options = delete_options(server, ask)
    write = Write(dry_run=is_dry(ask, options))
    chosen = selected(ask, server.store.ordered(ask.kind.id, ask.asked.namespace or None))
    entries = [entry for _, entry in chosen]
    for entry in entries:
        meta = entry.body["metadata"]
        kind = server.kinds.stored(ask.kind.id)
        server.objects.delete(kind, meta.get("namespace", ""), meta["name"], options, write)
    return await list_reply(ask, entries, {"resourceVersion": str(server.store.version)})


DOTTED_POD = (
    "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is "
    "recommended: [must not contain dots]"
)


def _with_keys(path: str, value: Any) -> str:
    """A path with list places written as the entries' names: containers[0] → containers[name="app"]."""
    shown = []
    for part in path.split("."):
        name, _, place = part.rstrip("]").partition("[")
        value = value.get(name) if isinstance(value, dict) else None
        if place and isinstance(value, list):
            value = value[int(place)]
            key = value.get("name") if isinstance(value, dict) else None
            part = f'{name}[name="{key}"]' if key else part
        shown.append(part)
    return ".".join(shown)
