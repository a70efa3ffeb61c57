"""What goes when something else goes: dependents of a deleted owner, and what a deleted namespace held."""

from __future__ import annotations

from k8s.sandbox.controllers.loop import Loop
from k8s.sandbox.objects.errors import Json

# garbage

FOREGROUND, ORPHANED = "foregroundDeletion", "orphan"


def garbage(loop: Loop, resource: str, uid: str) -> None:
    """An owner has gone: what it alone owned goes too. (`resource` is unused; the key is the owner's uid.)"""
    if loop.store.by_uid(uid) is not None:
        return
    for kind, (namespace, name) in loop.store.owned_keys(uid):
        body = loop.get(kind, namespace, name)
        if body is None:
            continue
        left = [ref for ref in body["metadata"]["ownerReferences"] if loop.store.by_uid(ref["uid"])]
        if left:
            loop.put(kind, {**body, "metadata": {**body["metadata"], "ownerReferences": left}})
        else:
            loop.delete(kind, namespace, name)


def finalize(loop: Loop, namespace: str, name: str) -> None:
    """An object waits to be deleted in the foreground, or with its dependents left behind. Key: `resource name`."""
    resource, _, name = name.partition(" ")
    body = loop.get(resource, namespace, name)
    if body is None or not body["metadata"].get("deletionTimestamp"):
        return
    finalizers = body["metadata"].get("finalizers") or []
    uid = body["metadata"]["uid"]
    if ORPHANED in finalizers:
        for kind, (space, other) in loop.store.owned_keys(uid):
            _disown(loop, kind, space, other, uid)
        without(loop, resource, body, ORPHANED)
    elif FOREGROUND in finalizers:
        waiting = False
        for kind, (space, other) in loop.store.owned_keys(uid):
            one = loop.get(kind, space, other)
            refs = one["metadata"]["ownerReferences"] if one else []
            waiting = waiting or any(ref["uid"] == uid and ref.get("blockOwnerDeletion") for ref in refs)
            if one is not None and not one["metadata"].get("deletionTimestamp"):
                loop.delete(kind, space, other, propagationPolicy="Foreground")
        if not waiting:
            without(loop, resource, body, FOREGROUND)


def _disown(loop: Loop, kind: str, namespace: str, name: str, uid: str) -> None:
    body = loop.get(kind, namespace, name)
    if body is None:
        return
    meta = dict(body["metadata"])
    meta["ownerReferences"] = [ref for ref in meta["ownerReferences"] if ref["uid"] != uid]
    if not meta["ownerReferences"]:
        del meta["ownerReferences"]
    loop.put(kind, {**body, "metadata": meta})


def without(loop: Loop, resource: str, body: Json, finalizer: str) -> None:
    meta = dict(body["metadata"])
    meta["finalizers"] = [one for one in meta["finalizers"] if one != finalizer]
    if not meta["finalizers"]:
        del meta["finalizers"]
    loop.put(resource, {**body, "metadata": meta})


# namespaces


def namespace(loop: Loop, _: str, name: str) -> None:
    """A live namespace has its service account and root certificate; a deleted one is emptied, then removed."""
    body = loop.get("namespaces", "", name)
    if body is None:
        return
    if not body["metadata"].get("deletionTimestamp"):
        _furnish(loop, name)
        return
    left = 0
    for resource in loop.kinds.stored_ids():
        for one in list(loop.store.each(resource, name)):
            meta = one["metadata"]
            if not meta.get("deletionTimestamp"):
                loop.delete(resource, name, meta["name"])
            left += loop.get(resource, name, meta["name"]) is not None
    if not left:
        loop.store.remove("namespaces", "", name)
        return
    loop.later(0.05, "namespace", "", name)


def _furnish(loop: Loop, name: str) -> None:
    if loop.get("serviceaccounts", name, "default") is None:
        account: Json = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
        loop.create("serviceaccounts", account)
    if loop.get("configmaps", name, "kube-root-ca.crt") is None:
        note = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as "
        note += "the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
        note += "Kubernetes clusters."
        meta: Json = {"name": "kube-root-ca.crt", "namespace": name, "annotations": {"kubernetes.io/description": note}}
        data = {"ca.crt": loop.memory.get("authority", "")}
        loop.create("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
