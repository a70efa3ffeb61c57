"""DaemonSets: one pod on every node that they fit."""

from __future__ import annotations

from k8s.sandbox.controllers.loop import Loop, adopt, owned, pod_from, pod_is_active, pod_is_ready
from k8s.sandbox.controllers.replicas import drop, generated, make
from k8s.sandbox.controllers.revisions import REVISION_LABEL, adopt_marks, marked, revision
from k8s.sandbox.controllers.scheduler import fits_node
from k8s.sandbox.objects import selectors
from k8s.sandbox.objects.errors import Json

# DaemonSets


def daemon_set(loop: Loop, namespace: str, name: str) -> None:
    owner = loop.get("daemonsets.apps", namespace, name)
    if owner is None or owner["metadata"].get("deletionTimestamp"):
        return
    terms = selectors.from_object(owner["spec"]["selector"])
    adopt(loop, owner, "pods", lambda pod: selectors.matches(terms, pod["metadata"].get("labels")))
    mark, _ = revision(loop, owner)
    adopt_marks(loop, owner, mark)
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
                drop(loop, owner, pod, "daemonset-controller")
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
    pod = generated(_daemon_spec(owner, node), owner)
    labels = pod["metadata"].get("labels") or {}
    generation = owner["metadata"].get("generation", 1)
    pod["metadata"]["labels"] = {**labels, REVISION_LABEL: mark, "pod-template-generation": str(generation)}
    if not make(loop, owner, pod, "daemonset-controller"):
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
        if marked(pod) != mark and pod_is_active(pod) and (room > 0 or not pod_is_ready(pod)):
            drop(loop, owner, pod, "daemonset-controller")
            room -= 1


def _daemon_status(loop: Loop, owner: Json, wanted: set[str], mark: str) -> None:
    owner = loop.get("daemonsets.apps", owner["metadata"]["namespace"], owner["metadata"]["name"]) or owner
    pods = [pod for pod in owned(loop, owner, "pods") if not pod["metadata"].get("deletionTimestamp")]
    here = [pod for pod in pods if daemon_node(pod) in wanted]
    ready = sum(pod_is_ready(pod) for pod in here)
    optional = {
        "updatedNumberScheduled": sum(marked(pod) == mark for pod in here),
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
