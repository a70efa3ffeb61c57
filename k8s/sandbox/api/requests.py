"""What a request asks for: the parts of its path and query, as apiserver's RequestInfo reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from aiohttp import web

from k8s.sandbox.objects.errors import ApiRefused, bad_request
from k8s.sandbox.objects.kinds import Kind
from k8s.sandbox.objects.people import Caller
from k8s.sandbox.objects.rbac import Action

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBS = ("status", "finalize")
MEDIA = ("application/json", "application/yaml")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, read."""

    verb: str
    path: str
    query: Mapping[str, str]
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    sub: str = ""
    rest: tuple[str, ...] = ()

    @property
    def action(self) -> Action:
        if not self.resource:
            return Action(self.verb, path=self.path)
        return Action(self.verb, self.group, self.resource, self.sub, self.namespace, self.name)

    def action_of(self, verb: str) -> Action:
        """The request judged as if it were of another verb."""
        return Action(verb, self.group, self.resource, self.sub, self.namespace, self.name)

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("1", "true", "t")

    def number(self, name: str) -> int | None:
        text = self.query.get(name, "")
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def read(method: str, path: str, query: Mapping[str, str]) -> Asked:
    """The request behind a method, a raw path and a query."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    verb = _VERBS.get(method, method.lower())
    if parts[0] == "api" and len(parts) > 2:
        group, version, parts = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        return Asked("get" if verb == "get" else verb, unquote(path), query)
    watching = False
    if parts[0] == "watch" and len(parts) > 1:
        watching, parts = True, parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBS:
            parts = parts[2:]
    resource, name, sub = [*parts, "", "", ""][:3]
    verb = _collection_verb(verb, name, watching, query)
    if not name and verb in ("list", "watch", "deletecollection"):
        name = _selected_name(query.get("fieldSelector", ""))
    return Asked(verb, path, query, group, version, namespace, resource, name, sub, tuple(parts[3:]))


def _collection_verb(verb: str, name: str, watching: bool, query: Mapping[str, str]) -> str:
    if verb == "get" and (watching or not name):
        wants = watching or query.get("watch", "").lower() in ("1", "true", "t")
        return "watch" if wants else "list"
    return "deletecollection" if verb == "delete" and not name else verb


def _selected_name(selector: str) -> str:
    """Lists narrowed to one name are judged as if the name had been asked for."""
    for term in selector.split(","):
        path, _, value = term.partition("=")
        if path == "metadata.name" and not value.startswith(("=", "!")):
            return value.lstrip("=")
    return ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The form that the answer should take."""

    media: str = "application/json"
    shape: str = ""  # "", Table, PartialObjectMetadata, PartialObjectMetadataList, APIGroupDiscoveryList
    params: dict[str, str] = field(default_factory=dict, hash=False)


def wanted(accept: str | None) -> Wanted:
    """The first acceptable form; 406 when there is none."""
    if not accept:
        return Wanted()
    for one in accept.split(","):
        media, *words = (word.strip() for word in one.split(";"))
        params = dict(word.partition("=")[::2] for word in words)
        if media in ("*/*", "application/*"):
            return Wanted()
        if media in MEDIA and params.get("as", "") in _SHAPES:
            return Wanted(media, params.get("as", ""), params)
    listed = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    more = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
    raise ApiRefused(406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {listed}, {more}", {})


_SHAPES = ("", "Table", "PartialObjectMetadata", "PartialObjectMetadataList", "APIGroupDiscoveryList")


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
