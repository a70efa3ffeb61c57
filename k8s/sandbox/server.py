"""The HTTP edge: authentication, impersonation, authorization, content negotiation, and each verb of the API."""

from __future__ import annotations

import asyncio
import base64
import copy
import fnmatch
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from aiohttp import web

from k8s.sandbox import apply, decode, discovery, errors, openapi, patch, protobuf, requests, schema, selectors, tables, units
from k8s.sandbox.convert import FROM_STORED, TO_STORED
from k8s.sandbox.errors import ApiRefused, Json
from k8s.sandbox.kinds import Kind, Kinds
from k8s.sandbox.objects import Objects, Write
from k8s.sandbox.people import ADMIN, Caller, People
from k8s.sandbox.rbac import Action, Rights
from k8s.sandbox.requests import Asked, Wanted
from k8s.sandbox.store import Stored, encode
from k8s.sandbox.watching import stream

BODY_LIMIT = 3 * 1024 * 1024  # bytes, as the real server
CHUNK = 500  # rows encoded between two turns of the loop
PATCHES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}


@dataclass(slots=True)
class Misbehaviour:
    """What a matching request gets instead of its answer, for so many times."""

    match: str  # `VERB path` with wildcards, e.g. `PATCH */deployments/*`
    status: int = 0
    times: int = 1
    delay: float = 0.0  # seconds
    truncate: int | None = None  # bytes after which the connection is cut
    headers: dict[str, str] = field(default_factory=dict)

    def fits(self, method: str, path: str) -> bool:
        return self.times > 0 and fnmatch.fnmatchcase(f"{method} {path}", self.match)


@dataclass(slots=True)
class Ask:
    """One authorized request on its way through a handler."""

    http: web.BaseRequest
    asked: Asked
    caller: Caller
    wanted: Wanted
    kind: Kind
    body: bytes = b""
    warnings: list[str] = field(default_factory=list)


Handler = Callable[[Ask], Awaitable[web.StreamResponse]]


class Server:
    """Answers requests from the objects."""

    def __init__(self, objects: Objects, people: People, rights: Rights) -> None:
        self.objects, self.store, self.kinds = objects, objects.store, objects.kinds
        self.people, self.rights = people, rights
        self.misbehaviours: list[Misbehaviour] = []
        self.special: dict[str, Handler] = {}  # `create pods/eviction`, `list pods.metrics.k8s.io` … → handler
        self.control: dict[str, Callable[[Json], Awaitable[Json]]] = {}  # the sandbox's own endpoints, for its admin
        self.before_write: list[Callable[[Ask, Json, Json | None], None]] = []

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; whatever is refused becomes a Status."""
        fault = next((one for one in self.misbehaviours if one.fits(http.method, http.path)), None)
        try:
            if fault:
                early = await self._misbehave(fault, http)
                if early is not None:
                    return early
            return await self._answer(http)
        except ApiRefused as refused:
            return json_response(refused.status(), refused.code, headers=refused.headers)
        except RecursionError:
            return json_response(errors.bad_request("the object is nested too deeply").status(), 400)

    async def _misbehave(self, fault: Misbehaviour, http: web.BaseRequest) -> web.StreamResponse | None:
        fault.times -= 1
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.truncate is not None:
            return await _truncated(await self._answer(http), fault.truncate, http)
        if not fault.status:
            return None
        refused = _REFUSALS.get(fault.status) or ApiRefused(fault.status, "InternalError", "Internal error occurred")
        return json_response(refused.status(), fault.status, headers={**refused.headers, **fault.headers})

    async def _answer(self, http: web.BaseRequest) -> web.StreamResponse:
        asked = requests.read(http.method, http.raw_path.partition("?")[0], http.query)
        caller = self._caller(http)
        if asked.path.startswith("/kubechat.dev/"):
            return await self._control(http, asked, caller)
        self.authorize(caller, asked.action)
        if not asked.resource:
            return self._document(http, asked)
        kind = self.kinds.find(asked.group, asked.version, asked.resource)
        if kind is None and asked.group not in {one.group for one in self.kinds}:
            return web.Response(text="404 page not found\n", status=404)
        if kind is None or (asked.sub and asked.sub not in kind.subresources):
            raise errors.unknown_path()
        if not kind.namespaced:
            asked = replace(asked, namespace="")  # a namespace's own path names it, but it lives in none
        wanted = requests.wanted(http.headers.get("Accept"))
        body = await _read(http) if http.method in ("POST", "PUT", "PATCH", "DELETE") else b""
        ask = Ask(http, asked, caller, wanted, kind, body)
        if kind.id in DEPRECATED:
            ask.warnings.append(DEPRECATED[kind.id])
        response = await self._handler(ask)(ask)
        return response

    def _handler(self, ask: Ask) -> Handler:
        asked, kind = ask.asked, ask.kind
        full = f"{kind.id}/{asked.sub}" if asked.sub else kind.id
        if kind.group == "metrics.k8s.io":
            full = f"{kind.resource}.metrics.k8s.io"
        found = self.special.get(f"{asked.verb} {full}") or self.special.get(f"{asked.verb} */{asked.sub}")
        if found:
            return found
        verbs = kind.sub(asked.sub)[3] if asked.sub else kind.verbs
        named = bool(asked.name)
        if (asked.verb == "create" and named and not asked.sub) or (asked.verb in ("update", "patch") and not named):
            raise errors.method_not_allowed()
        if asked.verb not in verbs and not (asked.verb == "update" and asked.sub):
            raise errors.method_not_allowed()
        if kind.namespaced and not asked.namespace and asked.verb not in ("list", "watch"):
            raise errors.unknown_path() if asked.name or asked.verb != "create" else errors.method_not_allowed()
        if asked.sub not in ("", "status", "scale", "approval"):
            text = f"the practice cluster does not offer {kind.resource}/{asked.sub}; a real one does"
            raise ApiRefused(501, "NotImplemented", text)
        handler: Handler = getattr(self, f"_{asked.verb}")
        return handler

    # who

    def _caller(self, http: web.BaseRequest) -> Caller:
        caller = self.people.who(http.headers.get("Authorization"))
        if caller is None:
            raise errors.unauthorized()
        user = http.headers.get("Impersonate-User")
        groups = http.headers.getall("Impersonate-Group", [])
        if not user:
            if groups:
                raise ApiRefused(
                    500, "InternalError", f"Internal error occurred: requested [{groups}] without impersonating a user"
                )
            return caller
        return self._impersonated(caller, user, groups)

    def _impersonated(self, caller: Caller, user: str, groups: list[str]) -> Caller:
        if user.startswith("system:serviceaccount:") and user.count(":") == 3:
            _, _, namespace, name = user.split(":")
            self.authorize(caller, Action("impersonate", "", "serviceaccounts", "", namespace, name))
            groups = groups or ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
        else:
            self.authorize(caller, Action("impersonate", "", "users", name=user))
        for group in groups:
            self.authorize(caller, Action("impersonate", "", "groups", name=group))
        extra = "system:unauthenticated" if user == "system:anonymous" else "system:authenticated"
        return Caller(user, tuple(dict.fromkeys([*groups, extra])))

    def authorize(self, caller: Caller, action: Action) -> None:
        allowed, _ = self.rights.allows(caller, action)
        if not allowed:
            raise errors.forbidden(action.resource, action.group, action.name, denial(caller, action))

    async def _control(self, http: web.BaseRequest, asked: Asked, caller: Caller) -> web.StreamResponse:
        handler = self.control.get(asked.path.removeprefix("/kubechat.dev/"))
        if handler is None or http.method != "POST":
            raise errors.unknown_path()
        if caller.name != ADMIN:
            raise errors.forbidden("", "", "", f'User "{caller.name}" cannot post path "{asked.path}"')
        return json_response(await handler(json.loads(await _read(http) or b"{}")))

    # documents

    def _document(self, http: web.BaseRequest, asked: Asked) -> web.StreamResponse:
        if asked.verb != "get":
            raise errors.unknown_path()
        path = asked.path.rstrip("/")
        if path in ("/healthz", "/livez", "/readyz") or path.startswith(("/healthz/", "/livez/", "/readyz/")):
            return web.Response(text="ok")
        wanted = requests.wanted(http.headers.get("Accept")) if not path.startswith("/openapi") else Wanted()
        if wanted.shape == "APIGroupDiscoveryList" and path in ("/api", "/apis"):
            if wanted.params.get("v") == "v2":
                return json_response(discovery.aggregated(self.kinds, core=path == "/api"), media=discovery.AGGREGATED)
        found = self._plain_document(path, http)
        if found is None and (path.startswith("/api/") or path.split("/")[1:3] in [["apis", one.group] for one in self.kinds]):
            raise errors.unknown_path()
        if found is None:
            return web.Response(text="404 page not found\n", status=404)
        return json_response(found)

    def _plain_document(self, path: str, http: web.BaseRequest) -> Json | None:
        parts = path.strip("/").split("/")
        if path == "/version":
            return discovery.VERSION
        if path == "/api":
            return discovery.api_versions(http.host)
        if path == "/apis":
            return discovery.group_list(self.kinds)
        if path in ("/openapi/v2", "/openapi/v3") or parts[:2] == ["openapi", "v3"]:
            return openapi.document(self.kinds, parts[1:], http.headers.get("Accept", ""))
        if parts[0] == "api" and len(parts) == 2:
            return discovery.resource_list(self.kinds, "", parts[1])
        if parts[0] == "apis" and len(parts) == 2:
            return discovery.one_group(self.kinds, parts[1])
        if parts[0] == "apis" and len(parts) == 3:
            return discovery.resource_list(self.kinds, parts[1], parts[2])
        return {"paths": ["/api", "/apis", "/openapi/v2", "/openapi/v3", "/version"]} if not path else None

    # reading

    def _found(self, ask: Ask) -> Json:
        asked = ask.asked
        found = self.store.get(ask.kind.id, asked.namespace, asked.name)
        if found is None:
            raise errors.not_found(ask.kind.resource, ask.kind.group, asked.name)
        return found

    async def _get(self, ask: Ask) -> web.StreamResponse:
        return self.reply(ask, self._found(ask))

    async def _list(self, ask: Ask) -> web.StreamResponse:
        asked, kind = ask.asked, ask.kind
        listed, start = self._page_start(ask)
        chosen = [one for one in listed if one[0] >= start] if start else listed
        chosen = self._selected(ask, chosen)
        meta: Json = {"resourceVersion": str(self.store.version)}
        limit = asked.number("limit")
        if limit and len(chosen) > limit:
            token = {"v": "meta.k8s.io/v1", "rv": self.store.version, "start": "/".join(chosen[limit][0])}
            meta["continue"] = base64.urlsafe_b64encode(json.dumps(token).encode()).decode()
            if not asked.query.get("labelSelector") and not asked.query.get("fieldSelector"):
                meta["remainingItemCount"] = len(chosen) - limit
            chosen = chosen[:limit]
        entries = [self._shown(kind, entry) for _, entry in chosen]
        return await self._list_response(ask, entries, meta)

    def _page_start(self, ask: Ask) -> tuple[list[tuple[tuple[str, str], Stored]], tuple[str, str] | None]:
        asked = ask.asked
        listed = self.store.ordered(ask.kind.id, asked.namespace or None)
        token = asked.query.get("continue")
        if not token:
            return listed, None
        try:
            found = json.loads(base64.urlsafe_b64decode(token))
            namespace, _, name = found["start"].partition("/")
        except (ValueError, KeyError, TypeError) as bad:
            raise errors.bad_request(f"invalid continue token: continue key is not valid: {bad}") from bad
        if found["rv"] < self.store.oldest:
            raise errors.expired(EXPIRED_PAGE)
        return listed, (namespace, name)

    def _selected(self, ask: Ask, listed: list[tuple[tuple[str, str], Stored]]) -> list[tuple[tuple[str, str], Stored]]:
        fits = self.filter(ask)
        return [one for one in listed if fits(one[1].body)] if fits else listed

    def filter(self, ask: Ask) -> Callable[[Json], bool] | None:
        """The test that the request's selectors make; None without selectors."""
        query = ask.asked.query
        labels = selectors.parse_labels(query["labelSelector"]) if query.get("labelSelector") else None
        extra = tuple(one["jsonPath"].lstrip(".") for one in (ask.kind.crd or {}).get("selectableFields") or ())
        fields = selectors.parse_fields(query["fieldSelector"], ask.kind.id, extra) if query.get("fieldSelector") else None
        if labels is None and fields is None:
            return None

        def fits(obj: Json) -> bool:
            if labels is not None and not selectors.matches(labels, obj["metadata"].get("labels")):
                return False
            return fields is None or fields(obj)

        return fits

    def _shown(self, kind: Kind, entry: Stored) -> Stored:
        return Stored(self.in_version(kind, entry.body)) if _differs(kind, entry.body) else entry

    @staticmethod
    def in_version(kind: Kind, obj: Json) -> Json:
        """A stored object as the kind's version shows it."""
        if not _differs(kind, obj):
            return obj
        convert = FROM_STORED.get((kind.group, kind.version, kind.kind))
        shown = convert(obj) if convert else dict(obj)
        shown["apiVersion"] = kind.api_version
        return shown

    async def _list_response(self, ask: Ask, entries: list[Stored], meta: Json) -> web.StreamResponse:
        kind, shape = ask.kind, ask.wanted.shape
        if shape == "Table":
            include = ask.asked.query.get("includeObject", "Metadata") or "Metadata"
            columns, make = tables.printer(kind)
            head = tables.opening(columns, meta)
            parts = await _encoded(entries, lambda entry: tables.row(entry, kind, make, include))
        elif shape == "PartialObjectMetadataList":
            top = {"kind": shape, "apiVersion": "meta.k8s.io/v1", "metadata": meta}
            head = encode(top)[:-1] + b',"items":['
            parts = await _encoded(entries, lambda entry: encode(tables.partial(entry.body)))
        else:
            top = {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": meta}
            head = encode(top)[:-1] + b',"items":['
            parts = await _encoded(entries, Stored.item if kind.crd is None else Stored.raw)
        return self.bytes_reply(ask, head + b",".join(parts) + b"]}")

    async def _watch(self, ask: Ask) -> web.StreamResponse:
        return await stream(self, ask)

    # writing

    def write(self, ask: Ask) -> Write:
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

    def body(self, ask: Ask, write: Write, kind: Kind | None = None) -> Json:
        """The request's body as an object of the kind."""
        kind = kind or ask.kind
        repeated: list[str] = []
        value = self.value(ask, kind.kind, repeated)
        return self._as_kind(value, kind, write, [f'duplicate field "{name}"' for name in repeated])

    def value(self, ask: Ask, kind: str, repeated: list[str]) -> Any:
        """The body's JSON, YAML or protobuf as a plain value; 400 where it is broken, 415 where it is none of these."""
        media = (ask.http.headers.get("Content-Type") or "application/json").partition(";")[0].strip()
        try:
            if media == protobuf.MEDIA:
                return protobuf.read(ask.body, self._type_name)
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

    def _type_name(self, version: str, kind: str) -> str | None:
        """The schema's name for a kind that can come in a body."""
        found = self.kinds.by_kind(version, kind)
        if found is not None:
            return found.schema
        group = version.rpartition("/")[0].split(".")[0] or "core"
        name = f"{group}.{version.rpartition('/')[2]}.{kind}"
        if kind == "DeleteOptions":
            return "meta.v1.DeleteOptions"
        return name if schema.known(name) else None

    def _as_kind(self, value: Any, kind: Kind, write: Write, faults: list[str]) -> Json:
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise errors.bad_request(
                f"the object provided is unrecognized (must be of type {kind.kind}): couldn't get version/kind; json parse "
                f"error: json: cannot unmarshal {decode.FOUND[type(value)]} into Go value of type struct "
                '{ APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" } '
                f"({encode(value)[:64].hex()})"
            )
        version, name = value.get("apiVersion", ""), value.get("kind", "")
        if (name and name != kind.kind) or (version and version != kind.api_version):
            scheme = "pkg/runtime/scheme.go:111"
            raise errors.bad_request(
                f'{name} in version "{version.rpartition("/")[2]}" cannot be handled as a {kind.kind}: '
                f'no kind "{name}" is registered for version "{version}" in scheme "{scheme}"'
                if self.kinds.by_kind(version, name) is None
                else f"the API version in the data ({version}) does not match the expected API version ({kind.api_version})"
            )
        return self.objects.typed(kind, value, write, faults)

    def _place(self, ask: Ask, obj: Json) -> None:
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

    async def _create(self, ask: Ask) -> web.StreamResponse:
        write = self.write(ask)
        obj = self.body(ask, write)
        self._place(ask, obj)
        obj = self._to_stored(ask.kind, obj)
        self.objects.complete(self._stored_kind(ask.kind), obj)
        for check in self.before_write:
            check(ask, obj, None)
        if ask.kind.id == "pods" and "." in obj["metadata"].get("name", ""):
            ask.warnings.append(DOTTED_POD)
        apply.record(obj, None, self.manager(ask), ask.kind, self.objects.root(ask.kind))
        made = self.objects.create(self._stored_kind(ask.kind), obj, write)
        return self.reply(ask, made, 201)

    def _stored_kind(self, kind: Kind) -> Kind:
        return self.kinds.stored(kind.id)

    def _to_stored(self, kind: Kind, obj: Json) -> Json:
        convert = TO_STORED.get((kind.group, kind.version, kind.kind))
        stored = convert(obj) if convert else obj
        stored["apiVersion"] = self._stored_kind(kind).api_version
        return stored

    async def _update(self, ask: Ask) -> web.StreamResponse:
        if ask.asked.sub == "scale":
            return await self._update_scale(ask)
        write = self.write(ask)
        obj = self.body(ask, write)
        self._place(ask, obj)
        return self.reply(ask, self._replace(ask, self._to_stored(ask.kind, obj), write))

    def _replace(self, ask: Ask, obj: Json, write: Write, manager: Json | None = None) -> Json:
        old = self._found(ask)
        for check in self.before_write:
            check(ask, obj, old)
        who = manager or self.manager(ask)
        self.objects.complete(self._stored_kind(ask.kind), obj)
        apply.record(obj, old, who, ask.kind, self.objects.root(ask.kind), ask.asked.sub)
        return self.objects.update(self._stored_kind(ask.kind), obj, write, ask.asked.sub)

    async def _patch(self, ask: Ask) -> web.StreamResponse:
        if ask.asked.sub == "scale":
            return await self._update_scale(ask)
        how = self.patch_type(ask)
        if how == "apply":
            return self._apply(ask)
        write = self.write(ask)
        old = self.in_version(ask.kind, self._found(ask))
        changed = self._patched(ask, how, old, write)
        if "resourceVersion" not in changed["metadata"]:
            changed["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        obj = self._to_stored(ask.kind, changed)
        return self.reply(ask, self._replace(ask, obj, write))

    def patch_type(self, ask: Ask) -> str:
        media = (ask.http.headers.get("Content-Type") or "").partition(";")[0].strip()
        how = PATCHES.get(media)
        if how is None or (how == "strategic" and ask.kind.crd is not None):
            if how is None:
                raise ApiRefused(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
            listed = [one for one in PATCHES if "strategic" not in one]
            text = f"the body of the request was in an unknown format - accepted media types include: {', '.join(listed)}"
            raise ApiRefused(415, "UnsupportedMediaType", text)
        return how

    def _patched(self, ask: Ask, how: str, old: Json, write: Write) -> Json:
        """The old object with the request's patch applied, typed again."""
        repeated: list[str] = []
        try:
            change = decode.read_body(ask.body, "application/json", repeated)
        except decode.BodyMalformed as bad:
            raise errors.bad_request(f"error decoding patch: {bad}") from bad
        faults = [f'duplicate field "{name}"' for name in repeated]
        root = self.objects.root(ask.kind) or schema.Field("object", "")
        changed = patched(old, change, how, root)
        strict = Write(write.dry_run, "Ignore" if write.field_validation == "Strict" else write.field_validation, write.warnings)
        obj = self._as_kind(changed, ask.kind, strict, faults)
        if write.field_validation == "Strict":
            self._refuse_unknown(ask, changed, root, faults)
        self._place(ask, obj)
        return obj

    @staticmethod
    def _refuse_unknown(ask: Ask, changed: Json, root: schema.Field, faults: list[str]) -> None:
        _, unknown = decode.typed(changed, root, ask.kind.kind, ask.kind.version)
        if [*faults, *unknown]:
            why = f"strict decoding error: {', '.join([*faults, *unknown])}"
            cause = errors.invalid("patch", encode(changed).decode(), why)
            raise errors.invalid_object("", "", "", [cause])

    def _apply(self, ask: Ask) -> web.StreamResponse:
        write = self.write(ask)
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
        wanted = self._as_kind(value, ask.kind, Write(field_validation="Ignore"), [])
        self._place(ask, wanted)
        self._refuse_undeclared(ask, value)
        if wanted["metadata"].get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        wanted = self._to_stored(ask.kind, wanted)
        old = self.store.get(ask.kind.id, ask.asked.namespace, ask.asked.name)
        force = ask.asked.flag("force")
        obj = apply.applied(old, wanted, manager, force, ask.kind, self.objects.root(ask.kind), ask.asked.sub)
        for check in self.before_write:
            check(ask, obj, old)
        kind = self._stored_kind(ask.kind)
        if old is None:
            if ask.asked.sub:
                raise errors.not_found(ask.kind.resource, ask.kind.group, ask.asked.name)
            self.authorize(ask.caller, Action("create", ask.kind.group, ask.kind.resource, "", ask.asked.namespace))
            return self.reply(ask, self.objects.create(kind, obj, write), 201)
        return self.reply(ask, self.objects.update(kind, obj, write, ask.asked.sub))

    def _refuse_undeclared(self, ask: Ask, value: Json) -> None:
        """An apply of fields that the type does not have fails whole."""
        root = self.objects.root(ask.kind)
        _, unknown = decode.typed(value, root, ask.kind.kind, ask.kind.version) if root else (value, [])
        if unknown and ask.kind.crd is None:
            first = unknown[0].split('"')[1]
            place = f"{(value.get('metadata') or {}).get('namespace', '')}/{ask.asked.name}"
            text = f"failed to create typed patch object ({place}; {ask.kind.api_version}, Kind={ask.kind.kind}): "
            raise ApiRefused(500, "", f"{text}.{_with_keys(first, value)}: field not declared in schema")

    def manager(self, ask: Ask) -> Json:
        """Who is recorded as the manager of the fields that the request changes."""
        name = ask.asked.query.get("fieldManager") or (ask.http.headers.get("User-Agent") or "unknown").split("/")[0]
        entry: Json = {"manager": name[:128], "operation": "Update", "apiVersion": ask.kind.api_version}
        if ask.asked.sub:
            entry["subresource"] = ask.asked.sub
        return entry

    async def _delete(self, ask: Ask) -> web.StreamResponse:
        options = self.delete_options(ask)
        asked = ask.asked
        write = Write(dry_run=self._dry(ask, options))
        gone = self.objects.delete(self._stored_kind(ask.kind), asked.namespace, asked.name, options, write)
        if gone["kind"] == "Status":
            return json_response(gone)
        return self.reply(ask, gone)

    def _dry(self, ask: Ask, options: Json) -> bool:
        return self.write(ask).dry_run or options.get("dryRun") == ["All"]

    def delete_options(self, ask: Ask) -> Json:
        """DeleteOptions of the body and of the query."""
        options: Json = {}
        if ask.body.strip():
            options = self.value(ask, "DeleteOptions", []) or {}
        if not isinstance(options, dict):
            raise errors.bad_request("DeleteOptions must be an object")
        query = ask.asked.query
        if query.get("propagationPolicy"):
            options["propagationPolicy"] = query["propagationPolicy"]
        if query.get("orphanDependents"):
            options["orphanDependents"] = ask.asked.flag("orphanDependents")
        grace = ask.asked.number("gracePeriodSeconds")
        return options if grace is None else {**options, "gracePeriodSeconds": grace}

    async def _deletecollection(self, ask: Ask) -> web.StreamResponse:
        options = self.delete_options(ask)
        write = Write(dry_run=self._dry(ask, options))
        chosen = self._selected(ask, self.store.ordered(ask.kind.id, ask.asked.namespace or None))
        entries = [entry for _, entry in chosen]
        for entry in entries:
            meta = entry.body["metadata"]
            kind = self._stored_kind(ask.kind)
            self.objects.delete(kind, meta.get("namespace", ""), meta["name"], options, write)
        return await self._list_response(ask, entries, {"resourceVersion": str(self.store.version)})

    # scale

    async def _update_scale(self, ask: Ask) -> web.StreamResponse:
        write = self.write(ask)
        old = self._found(ask)
        scale = scale_of(old, ask.kind)
        if ask.asked.verb == "patch":
            change = decode.read_body(ask.body, "application/yaml", [])
            how = self.patch_type(ask)
            wanted = patched(scale, change, "merge" if how in ("strategic", "apply") else how, SCALE)
        else:
            wanted = self.value(ask, "Scale", [])
        wanted, _ = decode.typed(wanted, SCALE, "Scale", "v1")
        self._check_scale(ask, wanted, old)
        obj = copy.deepcopy(old)
        _set(obj, _scale_path(ask.kind, "specReplicasPath"), (wanted.get("spec") or {}).get("replicas", 0))
        manager = {**self.manager(ask), "subresource": "scale"}
        apply.record(obj, old, manager, ask.kind, self.objects.root(ask.kind))
        made = self.objects.update(self._stored_kind(ask.kind), obj, write)
        return self.bytes_reply(ask, encode(scale_of(made, ask.kind)))

    @staticmethod
    def _check_scale(ask: Ask, wanted: Json, old: Json) -> None:
        replicas = (wanted.get("spec") or {}).get("replicas", 0)
        name = old["metadata"]["name"]
        version = (wanted.get("metadata") or {}).get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise errors.conflict(ask.kind.resource, ask.kind.group, name)
        if replicas < 0:
            cause = errors.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
            raise errors.invalid_object("Scale", "autoscaling", name, [cause])

    # answering

    def reply(self, ask: Ask, obj: Json, status: int = 200) -> web.StreamResponse:
        """One object in the form that was asked for."""
        if ask.asked.sub == "scale":
            return self.bytes_reply(ask, encode(scale_of(obj, ask.kind)), status)
        entry = Stored(self.in_version(ask.kind, obj))
        if ask.wanted.shape == "Table":
            include = ask.asked.query.get("includeObject", "Metadata") or "Metadata"
            meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return self.bytes_reply(ask, tables.table([entry], ask.kind, include, meta), status)
        if ask.wanted.shape == "PartialObjectMetadata":
            return self.bytes_reply(ask, encode(tables.partial(obj)), status)
        return self.bytes_reply(ask, entry.raw(), status)

    @staticmethod
    def bytes_reply(ask: Ask, body: bytes, status: int = 200) -> web.StreamResponse:
        media = ask.wanted.media
        if media == "application/yaml":
            body = yaml.safe_dump(json.loads(body), sort_keys=True, allow_unicode=True).encode()
        return _respond(body, status, media, _warning_headers(ask.warnings))


DOTTED_POD = (
    "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is "
    "recommended: [must not contain dots]"
)
DEPRECATED = {
    "endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    "componentstatuses": "v1 ComponentStatus is deprecated in v1.19+",
}
EXPIRED_PAGE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
SCALE = schema.root("autoscaling.v1.Scale")
_REFUSALS = {
    401: errors.unauthorized(),
    403: errors.forbidden("pods", "", "", "the practice cluster was told to refuse this request"),
    409: errors.conflict("pods", "", "practice"),
    410: errors.expired("The resourceVersion for the provided watch is too old."),
    429: errors.too_many("the server has received too many requests and has asked us to try again later", 1),
    500: ApiRefused(500, "InternalError", "Internal error occurred: the practice cluster was told to fail"),
    503: ApiRefused(503, "ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ApiRefused(504, "Timeout", "Timeout: request did not complete within the allotted timeout", {}),
}


def denial(caller: Caller, action: Action) -> str:
    """Why RBAC says no, as the server words it."""
    if action.path:
        return f'User "{caller.name}" cannot {action.verb} path "{action.path}"'
    where = f'in the namespace "{action.namespace}"' if action.namespace else "at the cluster scope"
    return f'User "{caller.name}" cannot {action.verb} resource "{action.full_resource}" in API group "{action.group}" {where}'


def patched(old: Json, change: Any, how: str, root: schema.Field) -> Json:
    """The old object with a JSON, merge or strategic merge patch applied."""
    try:
        if how == "json":
            return patch.json_patch(old, change)
        if not isinstance(change, dict):
            raise errors.bad_request(
                "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
            )
        if how == "merge":
            result: Json = patch.merge_patch(copy.deepcopy(old), change)
            return result
        return patch.strategic_merge(copy.deepcopy(old), change, root)
    except patch.PatchUnfit as bad:
        raise ApiRefused(422, "Invalid", "the server rejected our request due to an error in our request", {}) from bad
    except patch.PatchMalformed as bad:
        raise ApiRefused(500, "", str(bad)) from bad


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


def _shown_body(body: bytes) -> str:
    """A body as the server shows one that it cannot read."""
    if not body:
        return "<empty>"
    return body.decode("utf-8", "replace") if len(body) < 4 else body[:64].hex() + (" ..." if len(body) > 64 else "")


def _scale_path(kind: Kind, field_name: str) -> list[str]:
    """Where a kind keeps its replicas."""
    custom = ((kind.crd or {}).get("subresources") or {}).get("scale") or {}
    usual = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    return str(custom.get(field_name) or usual.get(field_name, "")).strip(".").split(".")


def _get(obj: Any, path: list[str]) -> Any:
    for part in path:
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


def _set(obj: Json, path: list[str], value: Any) -> None:
    for part in path[:-1]:
        obj = obj.setdefault(part, {})
    obj[path[-1]] = value


def scale_of(obj: Json, kind: Kind) -> Json:
    """The Scale of an object that has replicas."""
    meta = {name: obj["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
            if name in obj["metadata"]}  # fmt: skip
    status: Json = {"replicas": _get(obj, _scale_path(kind, "statusReplicasPath")) or 0}
    custom = ((kind.crd or {}).get("subresources") or {}).get("scale") or {}
    if custom.get("labelSelectorPath"):
        status["selector"] = _get(obj, custom["labelSelectorPath"].strip(".").split(".")) or ""
    elif kind.crd is None:
        chosen = (obj.get("spec") or {}).get("selector")
        chosen = {"matchLabels": chosen} if kind.resource == "replicationcontrollers" else chosen
        status["selector"] = selectors.written(chosen, "")
    replicas = _get(obj, _scale_path(kind, "specReplicasPath"))
    spec = {"replicas": replicas} if replicas else {}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status}


def _differs(kind: Kind, obj: Json) -> bool:
    return bool(obj.get("apiVersion") != kind.api_version)


def _options(ask: Ask) -> str:
    return {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}.get(ask.asked.verb, "DeleteOptions")


def _warning_headers(warnings: list[str]) -> list[tuple[str, str]]:
    return [("Warning", f'299 - "{_escaped(one)}"') for one in dict.fromkeys(warnings)]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


async def _encoded(entries: list[Stored], make: Callable[[Stored], bytes]) -> list[bytes]:
    """Every entry encoded, giving way to other requests between chunks."""
    parts: list[bytes] = []
    for start in range(0, len(entries), CHUNK):
        parts += [make(entry) for entry in entries[start : start + CHUNK]]
        if len(entries) > CHUNK:
            await asyncio.sleep(0)
    return parts


async def _read(http: web.BaseRequest) -> bytes:
    """The whole body; 413 past the limit."""
    if (http.content_length or 0) > BODY_LIMIT:
        raise errors.too_large(BODY_LIMIT)
    parts, size = [], 0
    async for part in http.content.iter_any():
        size += len(part)
        if size > BODY_LIMIT:
            raise errors.too_large(BODY_LIMIT)
        parts.append(part)
    return b"".join(parts)


def _respond(
    body: bytes, status: int, media: str, headers: Sequence[tuple[str, str]] | Mapping[str, str] = ()
) -> web.StreamResponse:
    response = web.Response(body=body, status=status)
    response.headers["Content-Type"] = media
    response.headers["Cache-Control"] = "no-cache, private"
    response.headers["Date"] = units.now().strftime("%a, %d %b %Y %H:%M:%S GMT")
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        response.headers.add(name, value)
    return response


def json_response(
    body: Json, status: int = 200, *, headers: dict[str, str] | None = None, media: str = "application/json"
) -> web.StreamResponse:
    return _respond(encode(body), status, media, headers or {})


async def _truncated(answer: web.StreamResponse, keep: int, http: web.BaseRequest) -> web.StreamResponse:
    """Send only the first bytes of an answer, then cut the connection."""
    body = answer.body if isinstance(answer, web.Response) else b""
    whole = bytes(body) if isinstance(body, bytes | bytearray) else b""
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.headers["Content-Type"]})
    response.content_length = len(whole)
    await response.prepare(http)
    await response.write(whole[:keep])
    if http.transport is not None:
        http.transport.close()
    return response


__all__ = ["Ask", "Kinds", "Misbehaviour", "Server", "json_response", "scale_of"]
