"""What a request's body and query say: objects, options, managers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from k8s.sandbox.api import protobuf, requests
from k8s.sandbox.api.requests import Ask
from k8s.sandbox.objects import decode, errors, schema
from k8s.sandbox.objects.errors import ApiRefused, Json
from k8s.sandbox.objects.kinds import Kind
from k8s.sandbox.objects.registry import Write
from k8s.sandbox.objects.store import encode

if TYPE_CHECKING:
    from k8s.sandbox.api.server import Server


def write_options(ask: Ask) -> Write:
    """How the request's query wants the write done."""
    query = ask.asked.query
    dry = query.get("dryRun", "")
    if dry not in ("", "All"):
        cause = errors.unsupported("dryRun", [dry], ["All"])
        raise errors.invalid_object(_options(ask), "meta.k8s.io", "", [cause])
    validation = query.get("fieldValidation", "Warn") or "Warn"
    if validation not in ("Ignore", "Warn", "Strict"):
        cause = errors.unsupported("fieldValidation", validation, ["", "Ignore", "Strict", "Warn"])
        raise errors.invalid_object(_options(ask), "meta.k8s.io", "", [cause])
    return Write(dry == "All", validation, ask.warnings)


def body(server: Server, ask: Ask, write: Write, kind: Kind | None = None) -> Json:
    """The request's body as an object of the kind."""
    kind = kind or ask.kind
    repeated: list[str] = []
    read = value(server, ask, kind.kind, repeated)
    return as_kind(server, read, kind, write, [f'duplicate field "{name}"' for name in repeated])


def value(server: Server, ask: Ask, kind: str, repeated: list[str]) -> Any:
    """The body's JSON, YAML or protobuf as a plain value; 400 where it is broken, 415 where it is none of these."""
    media = (ask.http.headers.get("Content-Type") or "application/json").partition(";")[0].strip()
    try:
        if media == protobuf.MEDIA:
            return protobuf.read(ask.body, lambda version, kind: _type_name(server, version, kind))
        if media in requests.MEDIA or media == "*/*":
            return decode.read_body(ask.body, media, repeated)
    except protobuf.ProtobufMalformed as bad:
        raise errors.bad_request(str(bad)) from bad
    except decode.BodyMalformed as bad:
        why = str(bad) if media == "application/yaml" else f"couldn't get version/kind; json parse error: {bad}"
        raise errors.bad_request(
            f"the object provided is unrecognized (must be of type {kind}): {why} ({_shown_body(ask.body)})"
        ) from bad
    raise ApiRefused(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: application/json, "
        "application/yaml, application/vnd.kubernetes.protobuf",
    )


def _type_name(server: Server, version: str, kind: str) -> str | None:
    """The schema's name for a kind that can come in a body."""
    found = server.kinds.by_kind(version, kind)
    if found is not None:
        return found.schema
    group = version.rpartition("/")[0].split(".")[0] or "core"
    name = f"{group}.{version.rpartition('/')[2]}.{kind}"
    if kind == "DeleteOptions":
        return "meta.v1.DeleteOptions"
    return name if schema.known(name) else None


def as_kind(server: Server, value: Any, kind: Kind, write: Write, faults: list[str]) -> Json:
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise errors.bad_request(
            f"the object provided is unrecognized (must be of type {kind.kind}): couldn't get version/kind; json parse "
            f"error: json: cannot unmarshal {decode.FOUND[type(value)]} into Go value of type struct "
            '{ APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" } '
            f"({encode(value)[:64].hex()})"
        )
    for field in ("apiVersion", "kind"):
        if not isinstance(value.get(field) or "", str):
            raise errors.bad_request(
                f"the object provided is unrecognized (must be of type {kind.kind}): couldn't get version/kind; json parse "
                f"error: json: cannot unmarshal {decode.FOUND[type(value[field])]} into Go struct field .{field} of type string "
                f"({encode(value)[:64].hex()} ...)"
            )
    version, name = value.get("apiVersion") or "", value.get("kind") or ""
    if (name and name != kind.kind) or (version and version != kind.api_version):
        scheme = "pkg/runtime/scheme.go:111"
        raise errors.bad_request(
            f'{name} in version "{version.rpartition("/")[2]}" cannot be handled as a {kind.kind}: '
            f'no kind "{name}" is registered for version "{version}" in scheme "{scheme}"'
            if server.kinds.by_kind(version, name) is None
            else f"the API version in the data ({version}) does not match the expected API version ({kind.api_version})"
        )
    return server.objects.typed(kind, value, write, faults)


def place(ask: Ask, obj: Json) -> None:
    """The object's name and namespace must be those of the request."""
    meta, asked = obj["metadata"], ask.asked
    if ask.kind.namespaced:
        if meta.get("namespace") and meta["namespace"] != asked.namespace:
            raise errors.bad_request("the namespace of the provided object does not match the namespace sent on the request")
        meta["namespace"] = asked.namespace
    if asked.name and meta.get("name") and meta["name"] != asked.name:
        raise errors.bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({asked.name})")
    if asked.name:
        meta["name"] = asked.name


def patch_type(ask: Ask) -> str:
    media = (ask.http.headers.get("Content-Type") or "").partition(";")[0].strip()
    how = PATCHES.get(media)
    if how is None or (how == "strategic" and ask.kind.crd is not None):
        if how is None:
            raise ApiRefused(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
        listed = [one for one in PATCHES if "strategic" not in one]
        text = f"the body of the request was in an unknown format - accepted media types include: {', '.join(listed)}"
        raise ApiRefused(415, "UnsupportedMediaType", text)
    return how


def manager(ask: Ask) -> Json:
    """Who is recorded as the manager of the fields that the request changes."""
    name = ask.asked.query.get("fieldManager") or (ask.http.headers.get("User-Agent") or "unknown").split("/")[0]
    entry: Json = {"manager": name[:128], "operation": "Update", "apiVersion": ask.kind.api_version}
    if ask.asked.sub:
        entry["subresource"] = ask.asked.sub
    return entry


def is_dry(ask: Ask, options: Json) -> bool:
    return write_options(ask).dry_run or options.get("dryRun") == ["All"]


def delete_options(server: Server, ask: Ask) -> Json:
    """DeleteOptions of the body and of the query."""
    options: Json = {}
    if ask.body.strip():
        options = value(server, ask, "DeleteOptions", []) or {}
    if not isinstance(options, dict):
        raise errors.bad_request("DeleteOptions must be an object")
    options, _ = decode.typed(options, schema.root("meta.v1.DeleteOptions"), "DeleteOptions", "v1")
    query = ask.asked.query
    if query.get("propagationPolicy"):
        options["propagationPolicy"] = query["propagationPolicy"]
    if query.get("orphanDependents"):
        options["orphanDependents"] = ask.asked.flag("orphanDependents")
    grace = ask.asked.number("gracePeriodSeconds")
    return options if grace is None else {**options, "gracePeriodSeconds": grace}


PATCHES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}


def _shown_body(body: bytes) -> str:
    """A body as the server shows one that it cannot read."""
    if not body:
        return "<empty>"
    return body.decode("utf-8", "replace") if len(body) < 4 else body[:64].hex() + (" ..." if len(body) > 64 else "")


def _options(ask: Ask) -> str:
    return {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}.get(ask.asked.verb, "DeleteOptions")
