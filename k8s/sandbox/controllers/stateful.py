"""StatefulSets: pods with names that stay, in order, each with its claims."""

from __future__ import annotations

import copy

from k8s.sandbox.controllers.loop import Loop, adopt, owned, pod_from, pod_is_active, pod_is_ready
from k8s.sandbox.controllers.revisions import REVISION_LABEL, adopt_marks, marked, revision
from k8s.sandbox.objects import selectors
from k8s.sandbox.objects.errors import ApiRefused, Json

# StatefulSets


def stateful_set(loop: Loop, namespace: str, name: str) -> None:
    owner = loop.get("statefulsets.apps", namespace, name)
    if owner is None:
        return
    if owner["metadata"].get("deletionTimestamp"):
        return
    terms = selectors.from_object(owner["spec"]["selector"])
    adopt(loop, owner, "pods", lambda pod: _ordinal(pod, name) >= 0 and selectors.matches(terms, pod["metadata"].get("labels")))
    mark, _ = revision(loop, owner)
    adopt_marks(loop, owner, mark)
    _stateful_pods(loop, owner, mark)
    _stateful_status(loop, owner, mark)


def _ordinal(pod: Json, name: str) -> int:
    prefix, _, number = pod["metadata"]["name"].rpartition("-")
    return int(number) if prefix == name and number.isdigit() else -1


def _stateful_pods(loop: Loop, owner: Json, mark: str) -> None:
    name, spec = owner["metadata"]["name"], owner["spec"]
    first = (spec.get("ordinals") or {}).get("start", 0)
    wanted = range(first, first + spec["replicas"])
    pods = {_ordinal(pod, name): pod for pod in owned(loop, owner, "pods")}
    ordered = spec.get("podManagementPolicy") != "Parallel"
    for number in wanted:
        pod = pods.get(number)
        if pod is not None and (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
            _stateful_drop(loop, owner, pod)
            return
        if pod is None and not _stateful_make(loop, owner, number, mark):
            return
        if ordered and (pod is None or not pod_is_ready(pod) or pod["metadata"].get("deletionTimestamp")):
            return
    extra = sorted((number for number in pods if number not in wanted), reverse=True)
    for number in extra:
        if not pods[number]["metadata"].get("deletionTimestamp"):
            _stateful_drop(loop, owner, pods[number])
        if ordered:
            return
    _stateful_update(loop, owner, pods, mark)


def _stateful_update(loop: Loop, owner: Json, pods: dict[int, Json], mark: str) -> None:
    """Replace pods of older revisions from the last one down, one at a time."""
    strategy = owner["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return
    partition = (strategy.get("rollingUpdate") or {}).get("partition", 0)
    for number in sorted(pods, reverse=True):
        pod = pods[number]
        if pod["metadata"].get("deletionTimestamp"):
            return
        if number >= partition and marked(pod) != mark:
            _stateful_drop(loop, owner, pod)
            return
        if not pod_is_ready(pod):
            return


def _stateful_make(loop: Loop, owner: Json, number: int, mark: str) -> bool:
    name, namespace = owner["metadata"]["name"], owner["metadata"]["namespace"]
    pod = pod_from(owner["spec"]["template"], owner)
    meta, spec = pod["metadata"], pod["spec"]
    meta["name"], meta["generateName"] = f"{name}-{number}", f"{name}-"
    meta["labels"] = {
        **(meta.get("labels") or {}),
        "apps.kubernetes.io/pod-index": str(number),
        REVISION_LABEL: mark,
        "statefulset.kubernetes.io/pod-name": meta["name"],
    }
    spec["hostname"] = meta["name"]
    if owner["spec"].get("serviceName"):
        spec["subdomain"] = owner["spec"]["serviceName"]
    volumes = {one["name"]: one for one in spec.get("volumes") or ()}
    for claim in owner["spec"].get("volumeClaimTemplates") or ():
        made = f"{claim['metadata']['name']}-{meta['name']}"
        volumes[claim["metadata"]["name"]] = {
            "name": claim["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": made},
        }
        _stateful_claim(loop, owner, claim, made, meta["name"])
    if volumes:
        spec["volumes"] = list(volumes.values())
    try:
        loop.create("pods", pod)
    except ApiRefused as refused:
        text = f"Create Pod {meta['name']} in StatefulSet {name} failed error: {refused.message}"
        loop.event(owner, "Warning", "FailedCreate", text, "statefulset-controller")
        loop.later(5.0, "statefulset", namespace, name)
        return False
    text = f"Create Pod {meta['name']} in StatefulSet {name} successful"
    loop.event(owner, "Normal", "SuccessfulCreate", text, "statefulset-controller")
    return True


def _stateful_claim(loop: Loop, owner: Json, claim: Json, name: str, pod: str) -> None:
    namespace = owner["metadata"]["namespace"]
    if loop.get("persistentvolumeclaims", namespace, name) is not None:
        return
    labels = {**(claim["metadata"].get("labels") or {}), **((owner["spec"]["selector"] or {}).get("matchLabels") or {})}
    body: Json = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": copy.deepcopy(claim["spec"]),
    }
    loop.create("persistentvolumeclaims", body)
    text = f"Create Claim {name} Pod {pod} in StatefulSet {owner['metadata']['name']} success"
    loop.event(owner, "Normal", "SuccessfulCreate", text, "statefulset-controller")


def _stateful_drop(loop: Loop, owner: Json, pod: Json) -> None:
    loop.delete("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
    text = f"Delete Pod {pod['metadata']['name']} in StatefulSet {owner['metadata']['name']} successful"
    loop.event(owner, "Normal", "SuccessfulDelete", text, "statefulset-controller")


def _stateful_status(loop: Loop, owner: Json, mark: str) -> None:
    owner = loop.get("statefulsets.apps", owner["metadata"]["namespace"], owner["metadata"]["name"]) or owner
    old = owner.get("status") or {}
    pods = [pod for pod in owned(loop, owner, "pods") if pod_is_active(pod)]
    ready = sum(pod_is_ready(pod) for pod in pods)
    name = owner["metadata"]["name"]
    new = f"{name}-{mark}"
    updated = sum(marked(pod) == mark for pod in pods)
    was = old.get("currentRevision") or new
    finished = updated == len(pods) == owner["spec"]["replicas"] and ready == len(pods)
    present = new if finished or not pods else was
    counts = {
        "observedGeneration": owner["metadata"].get("generation", 0),
        "readyReplicas": ready,
        "currentReplicas": sum(f"{name}-{marked(pod)}" == present for pod in pods),
        "updatedReplicas": updated,
    }
    status: Json = {key: value for key, value in counts.items() if value}
    status |= {"replicas": len(pods), "availableReplicas": ready, "currentRevision": present, "updateRevision": new}
    status["collisionCount"] = old.get("collisionCount", 0)
    loop.status("statefulsets.apps", owner, status)
