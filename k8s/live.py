"""The live objects that a command means, read in its person's name."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from k8s.client import ClusterClient, Query
from k8s.discovery import ApiResource, resolve, retry_discovered
from k8s.errors import ApiError, CommandInvalid
from k8s.kinds import ALL_CATEGORY
from k8s.types import Command, ObjectRef

MAX_OBJECTS = 200
"""How many objects one changing command may mean; more belong into a pipeline, and no card could show them."""


@dataclass(frozen=True, slots=True)
class Found:
    """One live object and the resource that it was read as."""

    resource: ApiResource
    value: dict[str, Any]

    @property
    def name(self) -> str:
        """The object's name."""
        name: str = self.value["metadata"]["name"]
        return name

    @property
    def namespace(self) -> str | None:
        """The object's namespace, or None for what has none."""
        namespace: str | None = self.value["metadata"].get("namespace")
        return namespace

    @property
    def display(self) -> str:
        """`deployment.apps/checkout`, as kubectl's messages begin."""
        return f"{self.resource.display}/{self.name}"

    @property
    def ref(self) -> ObjectRef:
        """The object as it was when read."""
        return ref_of(self.resource, self.value)

    def path(self, subresource: str | None = None) -> str:
        """The URL path of the object."""
        return self.resource.path(self.namespace, self.name, subresource)


_RESTLESS = frozenset(
    {"pods", "nodes", "namespaces", "endpoints", "events", "leases", "horizontalpodautoscalers", "resourcequotas"}
    | {"persistentvolumes", "persistentvolumeclaims"}
)
"""Kinds without a generation whose resourceVersion moves all the time."""


def ref_of(resource: ApiResource, value: dict[str, Any]) -> ObjectRef:
    """A reference that says which object it is and, as far as the kind tells, whether its wishes have changed.

    Where there is a generation it counts the changes of the spec. Where there is none, the resourceVersion does as much, unless
    the kind has a status that changes by itself.
    """
    metadata = value.get("metadata") or {}
    generation = int(metadata.get("generation") or 0)
    version = "" if generation or resource.word in _RESTLESS else str(metadata.get("resourceVersion") or "")
    return ObjectRef(
        resource.word, metadata.get("namespace"), metadata.get("name", ""), metadata.get("uid", ""), version, generation
    )


def namespace_of(client: ClusterClient, command: Command) -> str | None:
    """The namespace a command acts in: its own, else the access's default; None for all of them."""
    return None if command.all_namespaces else (command.namespace or client.namespace)


def selectors(command: Command) -> Query:
    """The list query of -l and --field-selector."""
    pairs = (("labelSelector", command.flag("selector")), ("fieldSelector", command.flag("field-selector")))
    return tuple((name, value) for name, value in pairs if value)


async def resources_of(client: ClusterClient, command: Command) -> tuple[ApiResource, ...]:
    """The resources that a command names, `all` spread out, in order."""
    words = [word for name in command.resources for word in (ALL_CATEGORY if name == "all" else (name,))]
    return tuple(await asyncio.gather(*(resolve(client, word) for word in dict.fromkeys(words))))


async def read_one(client: ClusterClient, resource: ApiResource, namespace: str | None, name: str) -> Found:
    """One object by name. On a server that has the kind in another version only, that one is taken."""
    try:
        return Found(resource, await client.get(resource.path(namespace, name)))
    except ApiError as error:
        if error.status != 404 or error.details.get("name"):
            raise
        resource = await retry_discovered(client, resource, error)
        return Found(resource, await client.get(resource.path(namespace, name)))


async def read_list(
    client: ClusterClient, resource: ApiResource, namespace: str | None, query: Query = (), *, at_most: int = 5000
) -> list[Found]:
    """A list of objects, up to `at_most`."""
    try:
        values = await client.items(resource.path(namespace), query=query, at_most=at_most)
    except ApiError as error:
        if error.status != 404:
            raise
        resource = await retry_discovered(client, resource, error)
        values = await client.items(resource.path(namespace), query=query, at_most=at_most)
    return [Found(resource, value) for value in values]


async def chosen(client: ClusterClient, command: Command) -> list[Found]:
    """Every object that a changing command means: by name, or by -l, --field-selector or --all.

    Raises: ApiError with status 404 for a name that is not there (unless --ignore-not-found); CommandInvalid for more than
    MAX_OBJECTS.
    """
    namespace = namespace_of(client, command)
    resources = {word: resource for word in command.resources if word != "all" for resource in [await resolve(client, word)]}
    named = [target for target in command.targets if target.name is not None]
    found: list[Found] = []
    if named:
        reads = [
            read_or_none(client, resources[target.resource], namespace, target.name or "", command.has("ignore-not-found"))
            for target in named
        ]
        found = [each for each in await asyncio.gather(*reads) if each is not None]
    else:
        at_most = MAX_OBJECTS + 1
        lists = [
            read_list(client, resource, namespace, selectors(command), at_most=at_most)
            for resource in await resources_of(client, command)
        ]
        found = [each for part in await asyncio.gather(*lists) for each in part]
    if len(found) > MAX_OBJECTS:
        raise CommandInvalid(f"That means more than {MAX_OBJECTS} objects, more than a card can show: narrow it with a selector.")
    return found


async def read_or_none(
    client: ClusterClient, resource: ApiResource, namespace: str | None, name: str, ignore_missing: bool
) -> Found | None:
    """One object by name; None for one that is not there, if that is to be ignored."""
    try:
        return await read_one(client, resource, namespace, name)
    except ApiError as error:
        if ignore_missing and error.status == 404:
            return None
        raise


def dig(value: Any, *keys: str | int, default: Any = None) -> Any:
    """`value[key][key]…`, or `default` where the path ends early."""
    for key in keys:
        if isinstance(key, int):
            value = value[key] if isinstance(value, Sequence) and -len(value) <= key < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            return default
    return value
