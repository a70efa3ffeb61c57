"""Which change concerns which reconciler."""

from __future__ import annotations

from k8s.sandbox.controllers import daemons, deployments, garbage, jobs, kubelet, replicas, services, stateful, storage, upkeep
from k8s.sandbox.controllers.loop import Loop, Route, to_itself, to_owner
from k8s.sandbox.controllers.scheduler import room
from k8s.sandbox.objects import rbac, selectors
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.store import Change

QUOTAS, BUDGETS = "resourcequotas", "poddisruptionbudgets.policy"
_COUNTED = ("pods", "services", "secrets", "configmaps", "persistentvolumeclaims", "replicationcontrollers",
            "deployments.apps", "statefulsets.apps", "jobs.batch", "cronjobs.batch", "resourcequotas")  # fmt: skip


def wire(loop: Loop) -> None:
    """Give the loop its reconcilers and routes."""
    loop.reconcilers = {
        "pod": kubelet.reconcile,
        "deployment": deployments.reconcile,
        "replicaset": replicas.replica_set,
        "controller": replicas.replication_controller,
        "statefulset": stateful.stateful_set,
        "daemonset": daemons.daemon_set,
        "job": jobs.job,
        "endpoints": services.endpoints,
        "budget": services.budget,
        "claim": storage.claim,
        "volume": storage.volume,
        "quota": upkeep.quota,
        "namespace": garbage.namespace,
        "garbage": garbage.garbage,
        "finalize": garbage.finalize,
        "role": upkeep.role,
        "crd": upkeep.crd,
        "autoscaler": upkeep.autoscaler,
        "node": upkeep.node,
    }
    loop.routes = {
        "pods": [
            to_itself("pod"),
            to_owner("replicaset", "ReplicaSet"),
            to_owner("controller", "ReplicationController"),
            to_owner("statefulset", "StatefulSet"),
            to_owner("daemonset", "DaemonSet"),
            to_owner("job", "Job"),
            _pod_room,
            _pod_services,
            _pod_orphan,
        ],
        "deployments.apps": [to_itself("deployment")],
        "replicasets.apps": [to_itself("replicaset"), to_owner("deployment", "Deployment")],
        "replicationcontrollers": [to_itself("controller")],
        "statefulsets.apps": [to_itself("statefulset")],
        "daemonsets.apps": [to_itself("daemonset")],
        "jobs.batch": [to_itself("job")],
        "services": [to_itself("endpoints")],
        BUDGETS: [to_itself("budget")],
        "persistentvolumeclaims": [to_itself("claim"), _claim_pods],
        "persistentvolumes": [to_itself("volume")],
        "storageclasses.storage.k8s.io": [_all("claim", "persistentvolumeclaims")],
        QUOTAS: [to_itself("quota")],
        "namespaces": [to_itself("namespace")],
        rbac.CLUSTER_ROLES: [lambda one, change: one.add("role", "", "")],
        "customresourcedefinitions.apiextensions.k8s.io": [to_itself("crd")],
        "horizontalpodautoscalers.autoscaling": [to_itself("autoscaler")],
        "nodes": [to_itself("node"), _node_changed],
        "configmaps": [lambda one, change: kubelet.awaited(one, change.key[0])],
        "secrets": [lambda one, change: kubelet.awaited(one, change.key[0])],
    }
    for resource in _COUNTED:
        loop.routes.setdefault(resource, []).append(_quotas)
    loop.store.listeners.append(lambda change: _owners(loop, change))


def _owners(loop: Loop, change: Change) -> None:
    """Deleted owners leave garbage; owners being deleted may wait for it."""
    if change.new is None:
        uid = change.final.body["metadata"].get("uid", "")
        loop.add("garbage", change.resource, uid)
        _tell_owners(loop, change.final.body)
    elif change.new.body["metadata"].get("deletionTimestamp"):
        loop.add("finalize", change.key[0], f"{change.resource} {change.key[1]}")
        if change.key[0] and not change.new.body["metadata"].get("finalizers"):
            loop.add("namespace", "", change.key[0])


def _tell_owners(loop: Loop, body: Json) -> None:
    for ref in body["metadata"].get("ownerReferences") or ():
        place = loop.store.by_uid(ref["uid"])
        owner = loop.get(place[0], *place[1]) if place else None
        if place and owner and owner["metadata"].get("deletionTimestamp"):
            loop.add("finalize", place[1][0], f"{place[0]} {place[1][1]}")


def _pod_room(loop: Loop, change: Change) -> None:
    body = change.new.body if change.new else None
    uid = change.final.body["metadata"]["uid"]
    room(loop).note(uid, body)
    if body is None:
        kubelet.forget(loop, uid)
        _retry_pending(loop)
        claims = change.final.body["spec"].get("volumes") or ()
        for volume in claims:
            name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if name:
                loop.add("claim", change.key[0], name)


def _retry_pending(loop: Loop) -> None:
    """Room has come free: pods without a node try again."""
    for pod in loop.store.each("pods"):
        if not pod["spec"].get("nodeName"):
            loop.add("pod", pod["metadata"]["namespace"], pod["metadata"]["name"])


def _pod_services(loop: Loop, change: Change) -> None:
    """Services and budgets that select the pod, as it was or as it is."""
    found = [entry.body["metadata"].get("labels") or {} for entry in (change.old, change.new) if entry]
    for service in loop.store.each("services", change.key[0]):
        wanted = (service["spec"].get("selector") or {}).items()
        if wanted and any(wanted <= labels.items() for labels in found):
            loop.add("endpoints", change.key[0], service["metadata"]["name"])
    for budget in loop.store.each(BUDGETS, change.key[0]):
        fits = selectors.from_object(budget["spec"].get("selector"))
        if any(selectors.matches(fits, labels) for labels in found):
            loop.add("budget", change.key[0], budget["metadata"]["name"])
    for volume in change.final.body["spec"].get("volumes") or () if change.old is None else ():
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if name:
            loop.add("claim", change.key[0], name)


def _pod_orphan(loop: Loop, change: Change) -> None:
    """A pod that lost or never had an owner may be adopted by one that selects it."""
    body = change.new.body if change.new else None
    if body is None or body["metadata"].get("ownerReferences") or (change.old and not _relabelled(change)):
        return
    labels = body["metadata"].get("labels") or {}
    for resource, reconciler in (("replicasets.apps", "replicaset"), ("statefulsets.apps", "statefulset")):
        for owner in loop.store.each(resource, change.key[0]) if labels else ():
            if selectors.matches(selectors.from_object(owner["spec"].get("selector")), labels):
                loop.add(reconciler, change.key[0], owner["metadata"]["name"])


def _relabelled(change: Change) -> bool:
    old, new = change.old, change.new
    if old is None or new is None:
        return True
    return any(old.body["metadata"].get(one) != new.body["metadata"].get(one) for one in ("labels", "ownerReferences"))


def _claim_pods(loop: Loop, change: Change) -> None:
    if change.old is None:
        for pod in loop.store.each("pods", change.key[0]):
            if not pod["spec"].get("nodeName"):
                loop.add("pod", change.key[0], pod["metadata"]["name"])


def _all(reconciler: str, resource: str) -> Route:
    def route(loop: Loop, change: Change) -> None:
        for one in loop.store.each(resource):
            loop.add(reconciler, one["metadata"].get("namespace", ""), one["metadata"]["name"])

    return route


def _node_changed(loop: Loop, change: Change) -> None:
    if change.old and change.new and _offers(change.old.body) == _offers(change.new.body):
        return
    _retry_pending(loop)
    _all("daemonset", "daemonsets.apps")(loop, change)


def _offers(body: Json) -> Json:
    """What of a node matters to pods that look for one."""
    status = body.get("status") or {}
    ready = [one["status"] for one in status.get("conditions") or () if one["type"] == "Ready"]
    return {"spec": body.get("spec"), "labels": body["metadata"].get("labels"), "room": status.get("allocatable"), "ready": ready}


def _quotas(loop: Loop, change: Change) -> None:
    for quota in loop.store.each(QUOTAS, change.key[0]):
        if change.resource != QUOTAS:
            loop.add("quota", change.key[0], quota["metadata"]["name"])
