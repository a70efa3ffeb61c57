"""What a cluster serves: a word such as `widgets.example.com` → its API path. Built-in kinds cost no request."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from k8s.errors import ApiError, ClusterError, CommandInvalid, UnknownResource
from k8s.kinds import Kind, find_kind, kind_of_object
from k8s.redact import clean_line

if TYPE_CHECKING:
    from k8s.client import ClusterClient

AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)
"""One answer for all groups. v2 since Kubernetes 1.30, v2beta1 since 1.26; older servers answer with the plain group list."""

MAX_AGE = 600.0
"""Seconds until what was discovered is asked for again; kubectl keeps it for six hours, a chat lives longer than a shell."""

MIN_AGE = 2.0
"""Seconds. A miss asks again, since the type may be new, but not more often than this."""


def api_path(*segments: str) -> str:
    """`/a/b` with every segment percent-quoted. Raises CommandInvalid for one that could walk to another path."""
    for segment in segments:
        # The rule for every name in Kubernetes: apimachinery's IsValidPathSegmentName.
        if segment in {"", ".", ".."} or "/" in segment or "%" in segment:
            shown = clean_line(segment)
            raise CommandInvalid(f"{shown!r} cannot be a name in Kubernetes: it is empty, `.` or `..`, or holds `/` or `%`.")
    return "".join("/" + quote(segment, safe="") for segment in segments)


@dataclass(frozen=True, slots=True)
class ApiResource:
    """One resource type as the cluster serves it. `verbs` is empty for built-in kinds, which were not asked for."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def qualified(self) -> str:
        """`deployments.apps`; the plural alone in the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def display(self) -> str:
        """`deployment.apps`: how kubectl begins the name of an object in its messages."""
        singular = self.singular or self.kind.lower()
        return f"{singular}.{self.group}" if self.group else singular

    @property
    def word(self) -> str:
        """What `Command.targets` calls it: the plural of a built-in kind, the qualified plural of any other."""
        kind = find_kind(self.plural)
        return self.plural if kind is not None and kind.group == self.group else self.qualified

    @property
    def api_version(self) -> str:
        """`apps/v1`, as manifests write it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of an object or a list; `namespace` counts only where the resource has namespaces, None means all.

        Raises: CommandInvalid, for a name that could walk to another path.
        """
        root = ("apis", self.group, self.version) if self.group else ("api", self.version)
        scope = ("namespaces", namespace) if self.namespaced and namespace is not None else ()
        rest = tuple(part for part in (name, subresource) if part is not None)
        return api_path(*root, *scope, self.plural, *rest)


@dataclass(slots=True)
class DiscoveredResources:
    """What discovery found in one cluster, shared by all who use it. `missing` names groups that did not answer."""

    resources: tuple[ApiResource, ...] = ()
    missing: tuple[str, ...] = ()
    at: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


def of_kind(kind: Kind) -> ApiResource:
    """A built-in kind as a resource."""
    return ApiResource(kind.group, kind.version, kind.plural, kind.kind, kind.namespaced, kind.singular, kind.short_names)


async def resolve(client: "ClusterClient", word: str) -> ApiResource:
    """The resource that a word names. Raises UnknownResource with the nearest words."""
    kind = find_kind(word)
    if kind is not None:
        return of_kind(kind)
    return await discovered(client, word)


async def discovered(client: "ClusterClient", word: str) -> ApiResource:
    """The resource that a word names, as the server says; for built-in kinds too, whose version may differ on old servers."""
    known = client.discovered
    if time.monotonic() - known.at < MAX_AGE and (found := _find(known.resources, word)):
        return found
    await refresh(client)
    if found := _find(known.resources, word):
        return found
    raise UnknownResource(word, client.cluster, _nearest(known.resources, word), known.missing)


async def all_resources(client: "ClusterClient") -> tuple[ApiResource, ...]:
    """Everything that the cluster serves."""
    if time.monotonic() - client.discovered.at >= MAX_AGE:
        await refresh(client)
    return client.discovered.resources


async def resolve_object(client: "ClusterClient", api_version: str, kind: str) -> ApiResource:
    """The resource of a manifest's `apiVersion` and `kind`, in the version that the manifest names."""
    version = api_version.rpartition("/")[2]
    builtin = kind_of_object(api_version, kind)
    if builtin is not None:
        return replace(of_kind(builtin), version=version)
    group = api_version.rpartition("/")[0]
    for attempt in range(2):
        for resource in client.discovered.resources:
            if (resource.group, resource.kind) == (group, kind):
                return replace(resource, version=version)
        if attempt == 0:
            await refresh(client)
    word = f"{kind}.{version}.{group}" if group else kind
    known = client.discovered
    raise UnknownResource(word, client.cluster, _nearest(known.resources, kind.lower()), known.missing)


def forget(client: "ClusterClient") -> None:
    """Have the cluster asked anew at the next word that is not known, however short a while ago it was asked."""
    client.discovered.at = float("-inf")


async def refresh(client: "ClusterClient") -> None:
    """Ask the cluster what it serves, unless that was done a moment ago."""
    known = client.discovered
    async with known.lock:
        if time.monotonic() - known.at < MIN_AGE:
            return
        core, groups = await asyncio.gather(client.get("/api", accept=AGGREGATED), client.get("/apis", accept=AGGREGATED))
        if groups.get("kind") == "APIGroupDiscoveryList":
            found = [*_from_aggregated(core), *_from_aggregated(groups)]
            missing = tuple(_stale_groups(groups))
        else:
            found, missing = await _from_legacy(client, groups)
        known.resources, known.missing, known.at = tuple(found), missing, time.monotonic()


def _from_aggregated(answer: dict[str, Any]) -> Iterable[ApiResource]:
    for group in answer.get("items") or ():
        seen: set[str] = set()
        for version in group.get("versions") or ():  # the preferred version comes first
            for entry in version.get("resources") or ():
                if entry["resource"] in seen:
                    continue
                seen.add(entry["resource"])
                yield ApiResource(
                    group=(group.get("metadata") or {}).get("name", ""),
                    version=version["version"],
                    plural=entry["resource"],
                    kind=(entry.get("responseKind") or {}).get("kind", ""),
                    namespaced=entry.get("scope") == "Namespaced",
                    singular=entry.get("singularResource", ""),
                    short_names=tuple(entry.get("shortNames") or ()),
                    verbs=tuple(entry.get("verbs") or ()),
                    categories=tuple(entry.get("categories") or ()),
                    subresources=tuple(sub["subresource"] for sub in entry.get("subresources") or ()),
                )


def _stale_groups(answer: dict[str, Any]) -> Iterable[str]:
    for group in answer.get("items") or ():
        if any(version.get("freshness") == "Stale" for version in group.get("versions") or ()):
            yield (group.get("metadata") or {}).get("name", "")


async def _from_legacy(client: "ClusterClient", groups: dict[str, Any]) -> tuple[list[ApiResource], tuple[str, ...]]:
    """Group by group, for servers before 1.26. A group that does not answer is named and leaves the others alone."""
    versions = [("", "v1")]
    for group in groups.get("groups") or ():
        preferred = (group.get("preferredVersion") or {}).get("version")
        names = [version["version"] for version in group.get("versions") or ()]
        versions += [(group["name"], name) for name in dict.fromkeys((preferred, *names)) if name]
    answers = await asyncio.gather(*(_legacy_list(client, group, version) for group, version in versions))
    found: dict[tuple[str, str], ApiResource] = {}
    for (group, version), answer in zip(versions, answers, strict=True):
        for resource in _from_resource_list(answer or {}, group, version):
            found.setdefault((resource.group, resource.plural), resource)
    missing = tuple(dict.fromkeys(group for (group, _), answer in zip(versions, answers, strict=True) if answer is None))
    return list(found.values()), missing


async def _legacy_list(client: "ClusterClient", group: str, version: str) -> dict[str, Any] | None:
    try:
        return await client.get(f"/apis/{group}/{version}" if group else f"/api/{version}")
    except ClusterError:
        return None


def _from_resource_list(answer: dict[str, Any], group: str, version: str) -> Iterable[ApiResource]:
    entries = answer.get("resources") or ()
    subresources: dict[str, list[str]] = {}
    for entry in entries:
        parent, slash, name = entry["name"].partition("/")
        if slash:
            subresources.setdefault(parent, []).append(name)
    for entry in entries:
        if "/" in entry["name"]:
            continue
        yield ApiResource(
            group=group,
            version=version,
            plural=entry["name"],
            kind=entry["kind"],
            namespaced=bool(entry.get("namespaced")),
            singular=entry.get("singularName", ""),
            short_names=tuple(entry.get("shortNames") or ()),
            verbs=tuple(entry.get("verbs") or ()),
            categories=tuple(entry.get("categories") or ()),
            subresources=tuple(subresources.get(entry["name"], ())),
        )


def _find(resources: tuple[ApiResource, ...], word: str) -> ApiResource | None:
    """The first resource of that name: `widgets`, `widget`, `wd`, `Widget`, `widgets.example.com`, `widgets.v1.example.com`."""
    name, _, qualifier = word.lower().rstrip(".").partition(".")
    for resource in resources:
        names = (resource.plural, resource.singular, resource.kind.lower(), *resource.short_names)
        if name in names and qualifier in {"", resource.group}:
            return resource
    version, _, group = qualifier.partition(".")
    for resource in resources:
        if name in (resource.plural, resource.singular, resource.kind.lower()) and qualifier and group == resource.group:
            return replace(resource, version=version)
    return None


def _nearest(resources: tuple[ApiResource, ...], word: str) -> tuple[str, ...]:
    from rapidfuzz import fuzz, process

    names = {resource.plural for resource in resources} | {resource.qualified for resource in resources if "." in word}
    found = process.extract(word.lower(), sorted(names), scorer=fuzz.ratio, limit=3, score_cutoff=70)
    return tuple(name for name, _, _ in found)


async def retry_discovered(client: "ClusterClient", resource: ApiResource, error: ApiError) -> ApiResource:
    """After a 404 for a whole resource type: the version that this server has of it. Raises the error when there is no other."""
    try:
        found = await discovered(client, resource.qualified)
    except UnknownResource:
        raise error from None
    if found.version == resource.version:
        raise error
    return found
