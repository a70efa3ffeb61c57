"""The loop behind the objects: a queue of what may need doing, worked off when something changes and idle otherwise.

A reconciler is a plain function of the loop and a key. It reads the store, writes through the loop, and must be safe
to run again at any time.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import logging
import secrets
from collections.abc import Callable
from typing import Any

from k8s.sandbox.objects import units
from k8s.sandbox.objects.errors import ApiRefused, Json
from k8s.sandbox.objects.registry import BACKGROUND, Objects, Write
from k8s.sandbox.objects.store import Change, Key, controller_of

LOG = logging.getLogger(__name__)
Work = tuple[str, str, str]  # reconciler, namespace, name
Reconciler = Callable[["Loop", str, str], None]
Route = Callable[["Loop", Change], None]
BATCH = 50  # pieces of work between two turns of the event loop
EVENTS_KEPT = 3000
SOON = 2.0  # seconds: what `settle` waits for


class Loop:
    """Runs the reconcilers."""

    def __init__(self, objects: Objects) -> None:
        self.objects, self.store, self.kinds = objects, objects.store, objects.kinds
        self.reconcilers: dict[str, Reconciler] = {}
        self.routes: dict[str, list[Route]] = {}
        self.memory: dict[str, Any] = {}  # what reconcilers keep between runs
        self._queue: dict[Work, None] = {}
        self._timers: dict[Work, tuple[asyncio.TimerHandle, bool]] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._events: dict[tuple[str, ...], Key] = {}
        self.store.listeners.append(self._note)

    # running

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="practice cluster controllers")

    async def stop(self) -> None:
        for handle, _ in self._timers.values():
            handle.cancel()
        self._timers.clear()
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def settle(self) -> None:
        """Wait until nothing is left to do now or within seconds."""
        while self._queue or any(soon for _, soon in self._timers.values()):
            self._idle.clear()
            await self._idle.wait()

    def _note(self, change: Change) -> None:
        for route in self.routes.get(change.resource, ()):
            route(self, change)

    def add(self, reconciler: str, namespace: str, name: str) -> None:
        """Have a reconciler look at an object soon."""
        self._queue[reconciler, namespace, name] = None
        self._wake.set()

    def later(self, seconds: float, reconciler: str, namespace: str, name: str) -> None:
        """Have a reconciler look at an object after so many seconds; the sooner of two wishes wins."""
        work = (reconciler, namespace, name)
        loop = asyncio.get_running_loop()
        old = self._timers.get(work)
        if old is not None:
            if old[0].when() <= loop.time() + seconds:
                return
            old[0].cancel()
        self._timers[work] = (loop.call_later(seconds, self._due, work), seconds <= SOON)

    def _due(self, work: Work) -> None:
        self._timers.pop(work, None)
        self.add(*work)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            done = 0
            while self._queue:
                work = next(iter(self._queue))
                del self._queue[work]
                self._do(work)
                done += 1
                if done % BATCH == 0:
                    await asyncio.sleep(0)
            self._wake.clear()
            self._idle.set()
            await asyncio.sleep(0)

    def _do(self, work: Work) -> None:
        name, namespace, key = work
        try:
            self.reconcilers[name](self, namespace, key)
        except ApiRefused as refused:
            LOG.debug("practice cluster: %s %s/%s waits: %s", name, namespace, key, refused.message)
            self.later(5.0, *work)
        except Exception:
            LOG.exception("practice cluster: %s could not deal with %s/%s", name, namespace, key)

    # writing, as a controller

    def get(self, resource: str, namespace: str, name: str) -> Json | None:
        return self.store.get(resource, namespace, name)

    def create(self, resource: str, obj: Json) -> Json:
        return self.objects.create(self.kinds.stored(resource), obj, Write())

    def put(self, resource: str, obj: Json) -> Json:
        """Keep a changed copy of an object, unless it is the same or its last finalizer is gone."""
        meta = obj["metadata"]
        old = self.store.get(resource, meta.get("namespace", ""), meta["name"])
        if old == obj:
            return obj
        if meta.get("deletionTimestamp") and not meta.get("finalizers") and resource not in ("pods", "namespaces"):
            self.objects.remove(self.kinds.stored(resource), obj)
            return obj
        return self.store.put(resource, obj)

    def status(self, resource: str, obj: Json, status: Json, **more: Any) -> Json:
        """Replace an object's status (and other top-level fields) where it differs."""
        if obj.get("status") == status and all(obj.get(name) == value for name, value in more.items()):
            return obj
        changed = {**obj, **more, "metadata": dict(obj["metadata"]), "status": status}
        return self.put(resource, changed)

    def edit(self, resource: str, obj: Json) -> Json:
        """A copy of an object that may be changed and then `put`."""
        return copy.deepcopy(obj)

    def delete(self, resource: str, namespace: str, name: str, **options: Any) -> None:
        options = {"propagationPolicy": BACKGROUND, **options}
        if self.store.get(resource, namespace, name) is not None:
            self.objects.delete(self.kinds.stored(resource), namespace, name, options)

    # events

    def event(self, about: Json, kind: str, reason: str, message: str, component: str, **more: str) -> None:
        """Record an event about an object, counting up one that says the same."""
        meta = about["metadata"]
        path = more.get("path", "")
        key = (meta.get("uid", ""), reason, message, component, path)
        namespace = meta.get("namespace") or "default"
        known = self.store.get("events", *self._events.get(key, ("", "")))
        now = units.stamp()
        if known:
            again = {**known, "metadata": dict(known["metadata"])}
            self.store.put("events", {**again, "count": known.get("count", 1) + 1, "lastTimestamp": now})
            return
        name = f"{meta['name']}.{secrets.token_hex(8)}"
        self._events[key] = (namespace, name)
        self._forget_events()
        self.store.put("events", _event(name, namespace, about, kind, reason, message, component, now, more))

    def _forget_events(self) -> None:
        if len(self._events) < EVENTS_KEPT:
            return
        oldest = list(self._events)[: EVENTS_KEPT // 4]
        for key in oldest:
            self.store.remove("events", *self._events.pop(key))


def _event(
    name: str, namespace: str, about: Json, kind: str, reason: str, message: str, component: str, now: str, more: dict[str, str]
) -> Json:
    meta = about["metadata"]
    subject = {
        "kind": about["kind"],
        "namespace": meta.get("namespace", ""),
        "name": meta["name"],
        "uid": meta.get("uid", ""),
        "apiVersion": about["apiVersion"],
        "resourceVersion": meta.get("resourceVersion", ""),
        "fieldPath": more.get("path", ""),
    }
    event: Json = {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace, "uid": _uid(name), "creationTimestamp": now},
        "involvedObject": {key: value for key, value in subject.items() if value},
        "reason": reason,
        "message": message,
        "source": {"component": component, **({"host": more["host"]} if more.get("host") else {})},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "type": kind,
        "eventTime": None,
        "reportingComponent": component,
        "reportingInstance": more.get("host", ""),
    }
    if component == "default-scheduler":
        event |= {"source": {}, "firstTimestamp": None, "lastTimestamp": None, "eventTime": units.micro_stamp()}
        event |= {"action": "Binding" if reason == "Scheduled" else "Scheduling"}
        event["reportingInstance"] = "default-scheduler-control-plane"
        del event["count"]
    return event


def _uid(text: str) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"


# what several reconcilers need


def owner_ref(owner: Json) -> Json:
    """A controlling owner reference."""
    meta = owner["metadata"]
    ref = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    return {**ref, "controller": True, "blockOwnerDeletion": True}


def owned(loop: Loop, owner: Json, resource: str) -> list[Json]:
    """What the owner controls, oldest first."""
    uid = owner["metadata"]["uid"]
    found = [one for one in loop.store.owned(uid, resource) if (controller_of(one) or {}).get("uid") == uid]
    return sorted(found, key=lambda one: (one["metadata"].get("creationTimestamp", ""), one["metadata"]["name"]))


def adopt(loop: Loop, owner: Json, resource: str, fits: Callable[[Json], bool]) -> None:
    """Take over objects that match and that nobody controls."""
    namespace = owner["metadata"]["namespace"]
    for one in list(loop.store.each(resource, namespace)):
        if controller_of(one) is None and not one["metadata"].get("deletionTimestamp") and fits(one):
            changed = loop.edit(resource, one)
            changed["metadata"].setdefault("ownerReferences", []).append(owner_ref(owner))
            loop.put(resource, changed)


def to_owner(reconciler: str, kind: str) -> Route:
    """A route that queues the owner of a changed object, before and after the change."""

    def route(loop: Loop, change: Change) -> None:
        for entry in (change.old, change.new):
            owner = controller_of(entry.body) if entry else None
            if owner and owner["kind"] == kind:
                loop.add(reconciler, change.key[0], owner["name"])

    return route


def to_itself(reconciler: str) -> Route:
    return lambda loop, change: loop.add(reconciler, *change.key)


def pod_is_active(pod: Json) -> bool:
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed") and not pod["metadata"].get("deletionTimestamp")


def pod_is_ready(pod: Json) -> bool:
    listed = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in listed)


def new_condition(old: list[Json], kind: str, status: str, reason: str, message: str, *, updates: bool) -> list[Json]:
    """Conditions with one set; its transition time moves only when its status does."""
    now = units.stamp()
    was = next((one for one in old if one["type"] == kind), None)
    if was and (was["status"], was.get("reason"), was.get("message")) == (status, reason, message):
        return old
    since = was["lastTransitionTime"] if was and was["status"] == status else now
    made = {"type": kind, "status": status}
    if updates:
        made["lastUpdateTime"] = now
    made |= {"lastTransitionTime": since, "reason": reason, "message": message}
    kept = [{k: v for k, v in made.items() if v != ""} if one is was else one for one in old]
    return kept if was else [*old, {k: v for k, v in made.items() if v != ""}]


def pod_from(template: Json, owner: Json) -> Json:
    """A pod body made from a template, owned by its controller."""
    meta = copy.deepcopy(template.get("metadata") or {})
    kept = {name: meta[name] for name in ("labels", "annotations", "finalizers") if meta.get(name)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**kept, "namespace": owner["metadata"]["namespace"], "ownerReferences": [owner_ref(owner)]},
        "spec": copy.deepcopy(template.get("spec") or {}),
    }
