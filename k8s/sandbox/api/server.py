"""The HTTP edge: authentication, impersonation, authorization, and which handler answers."""

from __future__ import annotations

import asyncio
import fnmatch
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from aiohttp import web

from k8s.sandbox.api import discovery, openapi, reading, requests, writing
from k8s.sandbox.api.answers import json_response, read_body, truncated
from k8s.sandbox.api.requests import Ask, Asked, Wanted
from k8s.sandbox.objects import errors
from k8s.sandbox.objects.errors import ApiRefused, Json
from k8s.sandbox.objects.people import ADMIN, Caller, People
from k8s.sandbox.objects.rbac import Action, Rights
from k8s.sandbox.objects.registry import Objects


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


LOG = logging.getLogger(__name__)
AUTHENTICATION = "authentication.k8s.io"
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
        except (ConnectionError, asyncio.CancelledError):
            raise
        except RecursionError:
            return json_response(errors.bad_request("the object is nested too deeply").status(), 400)
        except Exception as unforeseen:
            LOG.exception("practice cluster: %s %s failed", http.method, http.path)
            text = f"Internal error occurred: {type(unforeseen).__name__}: {unforeseen}"
            return json_response(ApiRefused(500, "InternalError", text).status(), 500)

    async def _misbehave(self, fault: Misbehaviour, http: web.BaseRequest) -> web.StreamResponse | None:
        fault.times -= 1
        if not fault.times:
            self.misbehaviours.remove(fault)
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.truncate is not None:
            return await truncated(await self._answer(http), fault.truncate, http)
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
        body = await read_body(http) if http.method in ("POST", "PUT", "PATCH", "DELETE") else b""
        ask = Ask(http, asked, caller, wanted, kind, body)
        if kind.id in DEPRECATED:
            ask.warnings.append(DEPRECATED[kind.id])
        return await self._handler(ask)(ask)

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
        handler = VERBS[asked.verb]
        return lambda one: handler(self, one)

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
        for name in http.headers:
            if name.lower().startswith("impersonate-extra-"):
                extra = name.lower().removeprefix("impersonate-extra-")
                self.authorize(caller, Action("impersonate", AUTHENTICATION, "userextras", extra, "", http.headers[name]))
        return self._impersonated(caller, user, groups, http.headers.get("Impersonate-Uid", ""))

    def _impersonated(self, caller: Caller, user: str, groups: list[str], uid: str) -> Caller:
        if user.startswith("system:serviceaccount:") and user.count(":") == 3:
            _, _, namespace, name = user.split(":")
            self.authorize(caller, Action("impersonate", "", "serviceaccounts", "", namespace, name))
            groups = groups or ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
        else:
            self.authorize(caller, Action("impersonate", "", "users", name=user))
        for group in groups:
            self.authorize(caller, Action("impersonate", "", "groups", name=group))
        if uid:
            self.authorize(caller, Action("impersonate", AUTHENTICATION, "uids", name=uid))
        extra = "system:unauthenticated" if user == "system:anonymous" else "system:authenticated"
        return Caller(user, tuple(dict.fromkeys([*groups, extra])), uid)

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
        return json_response(await handler(json.loads(await read_body(http) or b"{}")))

    # documents

    def _document(self, http: web.BaseRequest, asked: Asked) -> web.StreamResponse:
        if asked.verb != "get":
            raise errors.unknown_path()
        path = asked.path.rstrip("/")
        if path in ("/healthz", "/livez", "/readyz") or path.startswith(("/healthz/", "/livez/", "/readyz/")):
            return web.Response(text="ok")
        wanted = requests.wanted(http.headers.get("Accept")) if not path.startswith("/openapi") else Wanted()
        if wanted.shape == "APIGroupDiscoveryList" and wanted.params.get("v") == "v2" and path in ("/api", "/apis"):
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


VERBS: dict[str, Callable[[Server, Ask], Awaitable[web.StreamResponse]]] = {
    "get": reading.get,
    "list": reading.list_,
    "watch": reading.watch,
    "create": writing.create,
    "update": writing.update,
    "patch": writing.patch_,
    "delete": writing.delete,
    "deletecollection": writing.delete_collection,
}
DEPRECATED = {
    "endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    "componentstatuses": "v1 ComponentStatus is deprecated in v1.19+",
}


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
