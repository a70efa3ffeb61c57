"""The objects, in memory: resource versions, indexes, and a bounded history that watches start from.

Stored bodies are never changed in place; a write replaces the body. So readers may keep what they were given.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from k8s.sandbox.objects.errors import Json

Key = tuple[str, str]  # namespace ("" for cluster scope) and name
HISTORY = 10_000  # writes that a watch can go back
WATCH_BACKLOG = 20_000  # events a slow watcher may leave unread before it is cut off


class Stored:
    """One object and its JSON, encoded when first asked for."""

    __slots__ = ("_item", "body")

    def __init__(self, body: Json) -> None:
        self.body = body
        self._item: bytes | None = None

    def item(self) -> bytes:
        """As it stands in a list of built-in objects: without kind and apiVersion."""
        if self._item is None:
            self._item = encode({name: value for name, value in self.body.items() if name not in ("kind", "apiVersion")})
        return self._item

    def raw(self) -> bytes:
        """As it stands alone."""
        head = encode({"kind": self.body.get("kind"), "apiVersion": self.body.get("apiVersion")})
        rest = self.item()
        return head[:-1] + (b"," + rest[1:] if len(rest) > 2 else b"}")


def encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Change:
    """One write: what was there, what is there now."""

    version: int
    resource: str
    key: Key
    old: Stored | None
    new: Stored | None
    final: Stored  # the object after the write; for a deletion its last state, with the deletion's version


@dataclass(eq=False, slots=True)
class Watcher:
    """Receives the changes of one resource."""

    resource: str
    queue: deque[Change] = field(default_factory=deque)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False  # it fell too far behind, or what it watched is no longer served

    def give(self, change: Change) -> None:
        if len(self.queue) >= WATCH_BACKLOG:
            self.lost = True
            self.queue.clear()
        else:
            self.queue.append(change)
        self.ready.set()


class Store:
    """All objects of the cluster."""

    def __init__(self) -> None:
        self.version = 1
        self._tables: dict[str, dict[str, dict[str, Stored]]] = {}  # resource → namespace → name
        self._owned: dict[str, dict[tuple[str, Key], None]] = {}  # owner's uid → what it owns
        self._uids: dict[str, tuple[str, Key]] = {}
        self._history: deque[Change] = deque(maxlen=HISTORY)
        self._watchers: dict[str, set[Watcher]] = {}
        self.listeners: list[Callable[[Change], None]] = []

    # reading

    def get(self, resource: str, namespace: str, name: str) -> Json | None:
        found = self._tables.get(resource, {}).get(namespace, {}).get(name)
        return found.body if found else None

    def stored(self, resource: str, namespace: str, name: str) -> Stored | None:
        return self._tables.get(resource, {}).get(namespace, {}).get(name)

    def each(self, resource: str, namespace: str | None = None) -> Iterator[Json]:
        """Bodies in no particular order; None is every namespace."""
        return (one.body for one in self.entries(resource, namespace))

    def entries(self, resource: str, namespace: str | None = None) -> Iterable[Stored]:
        spaces = self._tables.get(resource, {})
        if namespace is not None:
            return list(spaces.get(namespace, {}).values())
        return [one for space in spaces.values() for one in space.values()]

    def ordered(self, resource: str, namespace: str | None) -> list[tuple[Key, Stored]]:
        """Entries in the order that etcd keeps them: by namespace, then name."""
        spaces = self._tables.get(resource, {})
        names = sorted(spaces) if namespace is None else [namespace]
        return [((space, name), one) for space in names for name, one in sorted(spaces.get(space, {}).items())]

    def owned(self, uid: str, resource: str | None = None) -> list[Json]:
        """Objects with an owner reference to the uid."""
        keys = self._owned.get(uid, {})
        found = (self.get(kind, *key) for kind, key in list(keys) if resource in (None, kind))
        return [body for body in found if body is not None]

    def owned_keys(self, uid: str) -> list[tuple[str, Key]]:
        return list(self._owned.get(uid, {}))

    def by_uid(self, uid: str) -> tuple[str, Key] | None:
        return self._uids.get(uid)

    # writing

    def put(self, resource: str, body: Json) -> Json:
        """Create or replace; sets metadata.resourceVersion and tells watchers and listeners."""
        meta = body["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        space = self._tables.setdefault(resource, {}).setdefault(key[0], {})
        old = space.get(key[1])
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        new = space[key[1]] = Stored(body)
        self._index(resource, key, old, new)
        self._tell(Change(self.version, resource, key, old, new, new))
        return body

    def remove(self, resource: str, namespace: str, name: str) -> None:
        old = self._tables.get(resource, {}).get(namespace, {}).pop(name, None)
        if old is None:
            return
        self.version += 1
        last = Stored({**old.body, "metadata": {**old.body["metadata"], "resourceVersion": str(self.version)}})
        self._index(resource, (namespace, name), old, None)
        self._tell(Change(self.version, resource, (namespace, name), old, None, last))

    def drop_resource(self, resource: str) -> None:
        """End the watches of a resource that is served no longer."""
        for watcher in self._watchers.pop(resource, set()):
            watcher.lost = True
            watcher.ready.set()

    def _index(self, resource: str, key: Key, old: Stored | None, new: Stored | None) -> None:
        place = (resource, key)
        for owner in _owners(old):
            kept = self._owned.get(owner, {})
            kept.pop(place, None)
            if not kept:
                self._owned.pop(owner, None)
        for owner in _owners(new):
            self._owned.setdefault(owner, {})[place] = None
        if old:
            self._uids.pop(old.body["metadata"].get("uid", ""), None)
        if new:
            self._uids[new.body["metadata"].get("uid", "")] = place

    def _tell(self, change: Change) -> None:
        self._history.append(change)
        for watcher in self._watchers.get(change.resource, ()):
            watcher.give(change)
        for listener in self.listeners:
            listener(change)

    # watching

    @property
    def oldest(self) -> int:
        """The oldest version that a watch can start from."""
        return self._history[0].version - 1 if len(self._history) == HISTORY else 1

    def watch(self, resource: str, version: int) -> Watcher:
        """A watcher that has already been given every change after the version."""
        watcher = Watcher(resource)
        newer: list[Change] = []
        for change in reversed(self._history):
            if change.version <= version:
                break
            if change.resource == resource:
                newer.append(change)
        for change in reversed(newer):
            watcher.give(change)
        self._watchers.setdefault(resource, set()).add(watcher)
        return watcher

    def unwatch(self, watcher: Watcher) -> None:
        self._watchers.get(watcher.resource, set()).discard(watcher)


def _owners(entry: Stored | None) -> list[str]:
    refs = entry.body["metadata"].get("ownerReferences") if entry else None
    return [ref["uid"] for ref in refs or () if ref.get("uid")]


def controller_of(obj: Json) -> Json | None:
    """The owner reference marked as controller."""
    refs = obj["metadata"].get("ownerReferences") or ()
    return next((ref for ref in refs if ref.get("controller")), None)
