"""ReplicaSets and ReplicationControllers keep their number of pods."""

from __future__ import annotations

import time

from k8s.sandbox.controllers.loop import Loop, adopt, new_condition, owned, pod_from, pod_is_active, pod_is_ready
from k8s.sandbox.objects import selectors
from k8s.sandbox.objects.errors import ApiRefused, Json
from k8s.sandbox.objects.registry import random_suffix

RETRY = 5.0  # seconds after a refused pod


def make(loop: Loop, owner: Json, pod: Json, component: str) -> bool:
    """Create a pod for its owner, with the event that says so; False when it was refused."""
    try:
        made = loop.create("pods", pod)
    except ApiRefused as refused:
        loop.event(owner, "Warning", "FailedCreate", f"Error creating: {refused.message}", component)
        return False
    loop.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}", component)
    return True


def drop(loop: Loop, owner: Json, pod: Json, component: str) -> None:
    loop.delete("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
    loop.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}", component)


def generated(pod: Json, owner: Json) -> Json:
    name = owner["metadata"]["name"]
    pod["metadata"]["generateName"] = f"{name}-"
    pod["metadata"]["name"] = f"{name}-{random_suffix()}"
    return pod


def _rank(pod: Json) -> tuple[bool, bool, bool, str]:
    """Pods to delete first: not scheduled, not running, not ready, youngest."""
    status = pod.get("status") or {}
    placed = bool((pod.get("spec") or {}).get("nodeName"))
    return (placed, status.get("phase") == "Running", pod_is_ready(pod), _reverse(pod["metadata"]["creationTimestamp"]))


def _reverse(text: str) -> str:
    return "".join(chr(255 - ord(one)) for one in text)


# ReplicaSets and ReplicationControllers


def replica_set(loop: Loop, namespace: str, name: str) -> None:
    _replicas(loop, "replicasets.apps", namespace, name, "replicaset-controller")


def replication_controller(loop: Loop, namespace: str, name: str) -> None:
    _replicas(loop, "replicationcontrollers", namespace, name, "replication-controller")


def _replicas(loop: Loop, resource: str, namespace: str, name: str, component: str) -> None:
    owner = loop.get(resource, namespace, name)
    if owner is None:
        return
    chosen = owner["spec"].get("selector") or {}
    terms = selectors.from_object(chosen if "apps" in resource else {"matchLabels": chosen})
    failed = None
    if not owner["metadata"].get("deletionTimestamp"):
        adopt(loop, owner, "pods", lambda pod: pod_is_active(pod) and selectors.matches(terms, pod["metadata"].get("labels")))
        failed = _keep_count(loop, owner, component)
    pods = owned(loop, owner, "pods")
    active = [pod for pod in pods if pod_is_active(pod)]
    ready = sum(pod_is_ready(pod) for pod in active)
    labels = owner["spec"]["template"]["metadata"].get("labels") or {}
    counts = {
        "fullyLabeledReplicas": sum(labels.items() <= (pod["metadata"].get("labels") or {}).items() for pod in active),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "observedGeneration": owner["metadata"].get("generation", 0),
    }
    status: Json = {"replicas": len(active), **{key: value for key, value in counts.items() if value}}
    if "apps" in resource:
        status["terminatingReplicas"] = sum(bool(pod["metadata"].get("deletionTimestamp")) for pod in pods)
    old = (owner.get("status") or {}).get("conditions") or []
    kept = [one for one in old if one["type"] != "ReplicaFailure"]
    if failed:
        kept = new_condition(old, "ReplicaFailure", "True", "FailedCreate", failed, updates=False)
    if kept:
        status["conditions"] = kept
    loop.status(resource, loop.get(resource, namespace, name) or owner, status)


def _keep_count(loop: Loop, owner: Json, component: str) -> str | None:
    """Create or delete pods to reach spec.replicas; the message of a refusal."""
    active = [pod for pod in owned(loop, owner, "pods") if pod_is_active(pod)]
    missing = owner["spec"]["replicas"] - len(active)
    refusals: dict[str, tuple[float, str]] = loop.memory.setdefault("refusals", {})
    until, before = refusals.get(owner["metadata"]["uid"], (0.0, ""))
    if missing > 0 and time.monotonic() < until:
        return before  # its own status has changed, not what stands in the way
    for _ in range(max(missing, 0)):
        pod = generated(pod_from(owner["spec"]["template"], owner), owner)
        try:
            made = loop.create("pods", pod)
        except ApiRefused as refused:
            loop.event(owner, "Warning", "FailedCreate", f"Error creating: {refused.message}", component)
            meta = owner["metadata"]
            refusals[meta["uid"]] = (time.monotonic() + RETRY - 0.1, refused.message)
            loop.later(RETRY, "replicaset" if owner["kind"] == "ReplicaSet" else "controller", meta["namespace"], meta["name"])
            return refused.message
        loop.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}", component)
    for pod in sorted(active, key=_rank)[: max(-missing, 0)]:
        drop(loop, owner, pod, component)
    return None
