"""Names of objects that an access may list, for linking words to them. Never more than the asker may read."""

from collections.abc import Iterable
from dataclasses import dataclass

from k8s.client import METADATA, ClusterClient
from k8s.discovery import resolve
from k8s.errors import ApiError, UnknownResource

MAX_NAMES = 20_000
"""Names of one resource that are looked at; a cluster with more is asked namespace by namespace."""


@dataclass(frozen=True, slots=True)
class ObjectName:
    """One object. `namespace` is None where the resource has no namespaces."""

    resource: str
    namespace: str | None
    name: str


async def list_names(client: ClusterClient, resource: str, namespaces: Iterable[str]) -> tuple[ObjectName, ...]:
    """All names of a resource: of the whole cluster where the access may list that, else of `namespaces`.

    What the access may not list is simply not there. Raises ClusterError for anything but a refusal.
    """
    try:
        kind = await resolve(client, resource)
    except UnknownResource:
        return ()
    whole = await _names(client, kind.path(None), resource)
    if whole is not None or not kind.namespaced:
        return whole or ()
    parts = [await _names(client, kind.path(namespace), resource) for namespace in dict.fromkeys(namespaces)]
    return tuple(name for part in parts for name in part or ())


async def _names(client: ClusterClient, path: str, resource: str) -> tuple[ObjectName, ...] | None:
    """The names of one list; None when the access may not read it."""
    found: list[ObjectName] = []
    try:
        async for page in client.pages(path, accept=METADATA, page=2000):
            for item in page.get("items") or ():
                metadata = item["metadata"]
                found.append(ObjectName(resource, metadata.get("namespace"), metadata["name"]))
            if len(found) >= MAX_NAMES:
                break
    except ApiError as error:
        if error.status not in {401, 403, 404}:
            raise
        return None
    return tuple(found)
