"""The scale subresource."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from aiohttp import web

from k8s.sandbox.api.answers import bytes_reply
from k8s.sandbox.api.bodies import manager, patch_type, value, write_options
from k8s.sandbox.api.convert import scale_of, scale_path
from k8s.sandbox.api.reading import found
from k8s.sandbox.api.requests import Ask
from k8s.sandbox.objects import apply, decode, errors, schema
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.patch import patched
from k8s.sandbox.objects.store import encode

if TYPE_CHECKING:
    from k8s.sandbox.api.server import Server


async def change_scale(server: Server, ask: Ask) -> web.StreamResponse:
    write = write_options(ask)
    old = found(server, ask)
    scale = scale_of(old, ask.kind)
    if ask.asked.verb == "patch":
        change = decode.read_body(ask.body, "application/yaml", [])
        how = patch_type(ask)
        wanted = patched(scale, change, "merge" if how in ("strategic", "apply") else how, SCALE)
    else:
        wanted = value(server, ask, "Scale", [])
    wanted, _ = decode.typed(wanted, SCALE, "Scale", "v1")
    _check_scale(ask, wanted, old)
    obj = copy.deepcopy(old)
    _put(obj, scale_path(ask.kind, "specReplicasPath"), (wanted.get("spec") or {}).get("replicas", 0))
    who = {**manager(ask), "subresource": "scale"}
    apply.record(obj, old, who, ask.kind, server.objects.root(ask.kind))
    made = server.objects.update(server.kinds.stored(ask.kind.id), obj, write)
    return bytes_reply(ask, encode(scale_of(made, ask.kind)))


def _check_scale(ask: Ask, wanted: Json, old: Json) -> None:
    replicas = (wanted.get("spec") or {}).get("replicas", 0)
    name = old["metadata"]["name"]
    version = (wanted.get("metadata") or {}).get("resourceVersion")
    uid = (wanted.get("metadata") or {}).get("uid")
    if uid and uid != old["metadata"]["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['metadata']['uid']}"
        raise errors.conflict(f"{ask.kind.resource}/scale", ask.kind.group, name, why)
    if version and version != old["metadata"]["resourceVersion"]:
        raise errors.conflict(ask.kind.resource, ask.kind.group, name)
    if replicas < 0:
        cause = errors.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise errors.invalid_object("Scale", "autoscaling", name, [cause])


SCALE = schema.root("autoscaling.v1.Scale")


def _put(obj: Json, path: list[str], value: Any) -> None:
    for part in path[:-1]:
        obj = obj.setdefault(part, {})
    obj[path[-1]] = value
