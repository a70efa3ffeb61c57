"""ReplicaSets, StatefulSets, DaemonSets, Jobs and ReplicationControllers: they keep the pods that they should have."""

from __future__ import annotations

import copy
from typing import Any

from k8s.sandbox import selectors, units
from k8s.sandbox.controllers import (
    Loop,
    adopt,
    new_condition,
    owned,
    owner_ref,
    pod_from,
    pod_is_active,
    pod_is_ready,
)
from k8s.sandbox.deployments import template_hash
from k8s.sandbox.errors import ApiRefused, Json
from k8s.sandbox.kubelet import fits_node
from k8s.sandbox.objects import random_suffix

REVISION_LABEL = "controller-revision-hash"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
REVISIONS = "controllerrevisions.apps"


def _make(loop: Loop, owner: Json, pod: Json, component: str) -> bool:
    """Create a pod for its owner, with the event that says so; False when it was refused."""
    try:
        made = loop.create("pods", pod)
    except ApiRefused as refused:
        loop.event(owner, "Warning", "FailedCreate", f"Error creating: {refused.message}", component)
        return False
    loop.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}", component)
    return True


def _drop(loop: Loop, owner: Json, pod: Json, component: str) -> None:
    loop.delete("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
    loop.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}", component)


def _generated(pod: Json, owner: Json) -> Json:
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
    pods = [pod for pod in owned(loop, owner, "pods")]
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
    for _ in range(max(missing, 0)):
        pod = _generated(pod_from(owner["spec"]["template"], owner), owner)
        try:
            made = loop.create("pods", pod)
        except ApiRefused as refused:
            loop.event(owner, "Warning", "FailedCreate", f"Error creating: {refused.message}", component)
            meta = owner["metadata"]
            loop.later(5.0, "replicaset" if owner["kind"] == "ReplicaSet" else "controller", meta["namespace"], meta["name"])
            return refused.message
        loop.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}", component)
    for pod in sorted(active, key=_rank)[: max(-missing, 0)]:
        _drop(loop, owner, pod, component)
    return None


# revisions of StatefulSets and DaemonSets


def _revision(loop: Loop, owner: Json) -> tuple[str, list[Json]]:
    """The ControllerRevision of the present template, made if need be, and all of them."""
    data = {"spec": {"template": {**copy.deepcopy(owner["spec"]["template"]), "$patch": "replace"}}}
    listed = sorted(owned(loop, owner, REVISIONS), key=lambda one: int(one["revision"]))
    same = next((one for one in listed if one.get("data") == data), None)
    number = max((one["revision"] for one in listed), default=0) + 1
    if same is not None:
        if same is not listed[-1]:
            same = loop.put(REVISIONS, {**same, "metadata": dict(same["metadata"]), "revision": number})
        return same["metadata"]["name"].removeprefix(f"{owner['metadata']['name']}-"), listed
    mark = template_hash(owner["spec"]["template"])
    meta = owner["metadata"]
    label = "controller.kubernetes.io/hash" if owner["kind"] == "StatefulSet" else REVISION_LABEL
    notes = {key: value for key, value in (meta.get("annotations") or {}).items() if key != LAST_APPLIED}
    head: Json = {
        "name": f"{meta['name']}-{mark}",
        "namespace": meta["namespace"],
        "labels": {**(owner["spec"]["template"]["metadata"].get("labels") or {}), label: mark},
        "ownerReferences": [owner_ref(owner)],
    }
    body: Json = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {**head, "annotations": notes} if notes else head,
        "data": data,
        "revision": number,
    }
    listed.append(loop.create(REVISIONS, body))
    limit = owner["spec"].get("revisionHistoryLimit", 10)
    for one in listed[: max(len(listed) - limit - 1, 0)]:
        loop.delete(REVISIONS, meta["namespace"], one["metadata"]["name"])
    return mark, listed


def _marked(pod: Json) -> str:
    return str((pod["metadata"].get("labels") or {}).get(REVISION_LABEL, ""))


# StatefulSets


def stateful_set(loop: Loop, namespace: str, name: str) -> None:
    owner = loop.get("statefulsets.apps", namespace, name)
    if owner is None:
        return
    if owner["metadata"].get("deletionTimestamp"):
        return
    terms = selectors.from_object(owner["spec"]["selector"])
    adopt(loop, owner, "pods", lambda pod: _ordinal(pod, name) >= 0 and selectors.matches(terms, pod["metadata"].get("labels")))
    mark, _ = _revision(loop, owner)
    _adopt_marks(loop, owner, mark)
    _stateful_pods(loop, owner, mark)
    _stateful_status(loop, owner, mark)


def _adopt_marks(loop: Loop, owner: Json, mark: str) -> None:
    """Pods that came with a manifest carry no revision; they count as the present one."""
    for pod in owned(loop, owner, "pods"):
        if not _marked(pod):
            changed = loop.edit("pods", pod)
            changed["metadata"].setdefault("labels", {})[REVISION_LABEL] = mark
            loop.put("pods", changed)


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
        if number >= partition and _marked(pod) != mark:
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
    updated = sum(_marked(pod) == mark for pod in pods)
    was = old.get("currentRevision") or new
    finished = updated == len(pods) == owner["spec"]["replicas"] and ready == len(pods)
    present = new if finished or not pods else was
    counts = {
        "observedGeneration": owner["metadata"].get("generation", 0),
        "readyReplicas": ready,
        "currentReplicas": sum(f"{name}-{_marked(pod)}" == present for pod in pods),
        "updatedReplicas": updated,
    }
    status: Json = {key: value for key, value in counts.items() if value}
    status |= {"replicas": len(pods), "availableReplicas": ready, "currentRevision": present, "updateRevision": new}
    status["collisionCount"] = old.get("collisionCount", 0)
    loop.status("statefulsets.apps", owner, status)


# DaemonSets


def daemon_set(loop: Loop, namespace: str, name: str) -> None:
    owner = loop.get("daemonsets.apps", namespace, name)
    if owner is None or owner["metadata"].get("deletionTimestamp"):
        return
    terms = selectors.from_object(owner["spec"]["selector"])
    adopt(loop, owner, "pods", lambda pod: selectors.matches(terms, pod["metadata"].get("labels")))
    mark, _ = _revision(loop, owner)
    _adopt_marks(loop, owner, mark)
    nodes = [node for node in loop.store.each("nodes") if _wants(owner, node)]
    by_node: dict[str, list[Json]] = {}
    for pod in owned(loop, owner, "pods"):
        by_node.setdefault(daemon_node(pod), []).append(pod)
    for node in nodes:
        if not by_node.get(node["metadata"]["name"]):
            _daemon_make(loop, owner, node["metadata"]["name"], mark)
    wanted = {node["metadata"]["name"] for node in nodes}
    for node_name, pods in by_node.items():
        for pod in pods if node_name not in wanted else ():
            if pod_is_active(pod):
                _drop(loop, owner, pod, "daemonset-controller")
    _daemon_roll(loop, owner, mark)
    _daemon_status(loop, owner, wanted, mark)


def daemon_node(pod: Json) -> str:
    """The node that a DaemonSet's pod is for."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    try:
        terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        return str(terms["nodeSelectorTerms"][0]["matchFields"][0]["values"][0])
    except (KeyError, IndexError):
        return ""


DAEMON_TOLERATIONS = (
    ("not-ready", "NoExecute"), ("unreachable", "NoExecute"), ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"), ("pid-pressure", "NoSchedule"), ("unschedulable", "NoSchedule"),
)  # fmt: skip


def _daemon_spec(owner: Json, node: str) -> Json:
    """A DaemonSet's pod is bound to its node by affinity and bears the node's ordinary troubles."""
    pod = pod_from(owner["spec"]["template"], owner)
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    required = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    pod["spec"]["affinity"] = {
        **(pod["spec"].get("affinity") or {}),
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required},
    }
    tolerations = pod["spec"].setdefault("tolerations", [])
    for name, effect in DAEMON_TOLERATIONS:
        one = {"key": f"node.kubernetes.io/{name}", "operator": "Exists", "effect": effect}
        if one not in tolerations:
            tolerations.append(one)
    return pod


def _wants(owner: Json, node: Json) -> bool:
    pod = _daemon_spec(owner, node["metadata"]["name"])
    return fits_node(pod, node) == ""


def _daemon_make(loop: Loop, owner: Json, node: str, mark: str) -> None:
    pod = _generated(_daemon_spec(owner, node), owner)
    labels = pod["metadata"].get("labels") or {}
    generation = owner["metadata"].get("generation", 1)
    pod["metadata"]["labels"] = {**labels, REVISION_LABEL: mark, "pod-template-generation": str(generation)}
    if not _make(loop, owner, pod, "daemonset-controller"):
        loop.later(5.0, "daemonset", owner["metadata"]["namespace"], owner["metadata"]["name"])


def _daemon_roll(loop: Loop, owner: Json, mark: str) -> None:
    """Replace pods of older revisions, as many at a time as may be unavailable."""
    strategy = owner["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return
    pods = owned(loop, owner, "pods")
    missing = sum(not pod_is_ready(pod) or bool(pod["metadata"].get("deletionTimestamp")) for pod in pods)
    most = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1)
    room = (most if isinstance(most, int) else max(len(pods) * int(most.rstrip("%")) // 100, 1)) - missing
    for pod in pods:
        if _marked(pod) != mark and pod_is_active(pod) and (room > 0 or not pod_is_ready(pod)):
            _drop(loop, owner, pod, "daemonset-controller")
            room -= 1


def _daemon_status(loop: Loop, owner: Json, wanted: set[str], mark: str) -> None:
    owner = loop.get("daemonsets.apps", owner["metadata"]["namespace"], owner["metadata"]["name"]) or owner
    pods = [pod for pod in owned(loop, owner, "pods") if not pod["metadata"].get("deletionTimestamp")]
    here = [pod for pod in pods if daemon_node(pod) in wanted]
    ready = sum(pod_is_ready(pod) for pod in here)
    optional = {
        "updatedNumberScheduled": sum(_marked(pod) == mark for pod in here),
        "numberAvailable": ready,
        "numberUnavailable": len(wanted) - ready,
        "observedGeneration": owner["metadata"].get("generation", 0),
    }
    status: Json = {
        "currentNumberScheduled": len({daemon_node(pod) for pod in here}),
        "numberMisscheduled": len(pods) - len(here),
        "desiredNumberScheduled": len(wanted),
        "numberReady": ready,
        **{key: value for key, value in optional.items() if value},
    }
    loop.status("daemonsets.apps", owner, status)


# Jobs

JOB = "job-controller"


def job(loop: Loop, namespace: str, name: str) -> None:
    owner = loop.get("jobs.batch", namespace, name)
    if owner is None or owner["metadata"].get("deletionTimestamp"):
        return
    if _job_over(owner):
        _job_expire(loop, owner)
        return
    status = copy.deepcopy(owner.get("status") or {})
    spec = owner["spec"]
    pods = owned(loop, owner, "pods")
    phases = [(pod.get("status") or {}).get("phase") for pod in pods]
    done = max(phases.count("Succeeded"), status.get("succeeded", 0))
    failed = max(phases.count("Failed"), status.get("failed", 0))
    active = [pod for pod in pods if pod_is_active(pod)]
    wanted = spec.get("completions")
    if spec.get("suspend"):
        _job_suspend(loop, owner, active, status)
        active = []
    else:
        _job_resume(loop, owner, status)
        status.setdefault("startTime", units.stamp())
        ended = _job_end(loop, owner, status, done, failed, active)
        if not ended:
            room = min(spec.get("parallelism", 1), (wanted - done) if wanted is not None else spec.get("parallelism", 1))
            made = sum(_job_make(loop, owner) for _ in range(max(room - len(active), 0)) if wanted is not None or not done)
            active = [pod for pod in owned(loop, owner, "pods") if pod_is_active(pod)] if made else active
    counts = {"active": 0 if _ended(status) else len(active), "succeeded": done, "failed": failed}
    ready = sum(pod_is_ready(pod) for pod in active)
    for key, value in counts.items():
        status.pop(key, None)
        if value:
            status[key] = value
    status |= {"ready": 0 if _ended(status) else ready, "terminating": 0, "uncountedTerminatedPods": {}}
    loop.status("jobs.batch", owner, status)


def _ended(status: Json) -> bool:
    return any(one["type"] in ("Complete", "Failed") for one in status.get("conditions") or ())


def _job_over(owner: Json) -> bool:
    return _ended(owner.get("status") or {})


def _job_make(loop: Loop, owner: Json) -> bool:
    pod = _generated(pod_from(owner["spec"]["template"], owner), owner)
    return _make(loop, owner, pod, JOB)


def _job_end(loop: Loop, owner: Json, status: Json, done: int, failed: int, active: list[Json]) -> bool:
    """Whether the Job is over; then its condition is set and what still runs is stopped."""
    spec = owner["spec"]
    wanted = spec.get("completions")
    old = status.get("conditions") or []
    enough = done >= wanted if wanted is not None else done > 0 and not active
    if enough:
        status["completionTime"] = units.stamp()
        text = "Reached expected number of succeeded pods"
        listed = new_condition(old, "SuccessCriteriaMet", "True", "CompletionsReached", text, updates=False)
        listed = new_condition(listed, "Complete", "True", "CompletionsReached", text, updates=False)
        status["conditions"] = [{**one, "lastProbeTime": one["lastTransitionTime"]} for one in listed]
        loop.event(owner, "Normal", "Completed", "Job completed", JOB)
        return True
    reason = text = ""
    if failed > spec.get("backoffLimit", 6):
        reason, text = "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    elif _deadline_over(loop, owner, status):
        reason, text = "DeadlineExceeded", "Job was active longer than specified deadline"
    if not reason:
        return False
    listed = new_condition(old, "FailureTarget", "True", reason, text, updates=False)
    listed = new_condition(listed, "Failed", "True", reason, text, updates=False)
    status["conditions"] = [{**one, "lastProbeTime": one["lastTransitionTime"]} for one in listed]
    loop.event(owner, "Warning", reason, text, JOB)
    for pod in active:
        _drop(loop, owner, pod, JOB)
    return True


def _deadline_over(loop: Loop, owner: Json, status: Json) -> bool:
    limit = owner["spec"].get("activeDeadlineSeconds")
    if limit is None:
        return False
    left = limit - (units.now() - units.parse_time(status["startTime"])).total_seconds()
    if left > 0:
        loop.later(left, "job", owner["metadata"]["namespace"], owner["metadata"]["name"])
    return bool(left <= 0)


def _job_suspend(loop: Loop, owner: Json, active: list[Json], status: Json) -> None:
    old = status.get("conditions") or []
    if not any(one["type"] == "Suspended" and one["status"] == "True" for one in old):
        loop.event(owner, "Normal", "Suspended", "Job suspended", JOB)
    listed = new_condition(old, "Suspended", "True", "JobSuspended", "Job suspended", updates=False)
    status["conditions"] = [{"lastProbeTime": one["lastTransitionTime"], **one} for one in listed]
    status.pop("startTime", None)
    for pod in active:
        _drop(loop, owner, pod, JOB)


def _job_resume(loop: Loop, owner: Json, status: Json) -> None:
    old = status.get("conditions") or []
    if any(one["type"] == "Suspended" and one["status"] == "True" for one in old):
        loop.event(owner, "Normal", "Resumed", "Job resumed", JOB)
        listed = new_condition(old, "Suspended", "False", "JobResumed", "Job resumed", updates=False)
        status["conditions"] = listed


def _job_expire(loop: Loop, owner: Json) -> None:
    """Finished Jobs with ttlSecondsAfterFinished go by themselves."""
    life: Any = owner["spec"].get("ttlSecondsAfterFinished")
    if life is None:
        return
    meta = owner["metadata"]
    ended = next(one for one in owner["status"]["conditions"] if one["type"] in ("Complete", "Failed"))
    left = life - (units.now() - units.parse_time(ended["lastTransitionTime"])).total_seconds()
    if left > 0:
        loop.later(left, "job", meta["namespace"], meta["name"])
    else:
        loop.delete("jobs.batch", meta["namespace"], meta["name"])
