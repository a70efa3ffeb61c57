"""Finding a node for a pod, and saying why there is none, as kube-scheduler does."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from k8s.sandbox.controllers.loop import Loop, new_condition
from k8s.sandbox.objects import selectors, units
from k8s.sandbox.objects.admission import pod_amount
from k8s.sandbox.objects.errors import Json

TAINTED, UNSCHEDULABLE = "node(s) had untolerated taint(s)", "node(s) were unschedulable"
AFFINITY = "node(s) didn't match Pod's node affinity/selector"
TOO_MANY = "Too many pods"
# What evicting other pods cannot mend.
HOPELESS = (TAINTED, UNSCHEDULABLE, AFFINITY)


def tolerates(pod: Json, taint: Json) -> bool:
    for one in pod["spec"].get("tolerations") or ():
        if one.get("effect") not in (None, "", taint["effect"]):
            continue
        if one.get("operator") == "Exists" and one.get("key") in (None, "", taint["key"]):
            return True
        if one.get("key") == taint["key"] and one.get("value", "") == taint.get("value", ""):
            return True
    return False


def fits_node(pod: Json, node: Json) -> str:
    """Why the pod may not run on the node for rules' sake, or an empty text."""
    spec = node.get("spec") or {}
    if spec.get("unschedulable"):
        taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        if not tolerates(pod, taint):
            return UNSCHEDULABLE
    for taint in spec.get("taints") or ():
        kept_out = taint["effect"] in ("NoSchedule", "NoExecute") and not tolerates(pod, taint)
        if kept_out and taint["key"] != "node.kubernetes.io/unschedulable":
            return TAINTED
    ready = {one["type"]: one["status"] for one in (node.get("status") or {}).get("conditions") or ()}.get("Ready", "True")
    state = {"True": "", "False": "not-ready"}.get(ready, "unreachable")
    if state and not tolerates(pod, {"key": f"node.kubernetes.io/{state}", "effect": "NoSchedule"}):
        return TAINTED
    return "" if _chosen(pod, node) else AFFINITY


def _chosen(pod: Json, node: Json) -> bool:
    labels = node["metadata"].get("labels") or {}
    wanted = pod["spec"].get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(_term(one, node) for one in required.get("nodeSelectorTerms") or ())


def _term(term: Json, node: Json) -> bool:
    names = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}
    labels = node["metadata"].get("labels") or {}
    fields = {"metadata.name": node["metadata"]["name"]}
    pairs = [(one, labels) for one in term.get("matchExpressions") or ()]
    pairs += [(one, fields) for one in term.get("matchFields") or ()]
    return all(
        selectors.Requirement(one["key"], names[one["operator"]], tuple(one.get("values") or ())).matches(values)
        for one, values in pairs
    )


class Room:
    """What is used on each node: cpu in cores, memory in bytes, pods."""

    def __init__(self, loop: Loop) -> None:
        self.used: dict[str, list[Decimal]] = {}
        self._pods: dict[str, tuple[str, list[Decimal]]] = {}
        for pod in loop.store.each("pods"):
            self.note(pod["metadata"]["uid"], pod)

    def note(self, uid: str, pod: Json | None) -> None:
        """Count a pod where it is now; None when it has gone."""
        was = self._pods.pop(uid, None)
        if was:
            self.used[was[0]] = [have - less for have, less in zip(self.used[was[0]], was[1], strict=True)]
        node = pod["spec"].get("nodeName") if pod else None
        if pod is None or not node or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return
        amount = [pod_amount(pod["spec"], "requests", one) for one in ("cpu", "memory")] + [Decimal(1)]
        self._pods[uid] = (node, amount)
        self.used[node] = [have + more for have, more in zip(self.used.get(node, [Decimal(0)] * 3), amount, strict=True)]

    def lacks(self, pod: Json, node: Json) -> list[str]:
        """What the node has too little of for the pod."""
        status = node.get("status") or {}
        offered = status.get("allocatable") or status.get("capacity") or {}
        used = self.used.get(node["metadata"]["name"], [Decimal(0)] * 3)
        faults = []
        if "pods" in offered and used[2] + 1 > units.quantity(offered["pods"]):
            faults.append(TOO_MANY)
        for place, name in enumerate(("cpu", "memory")):
            asked = pod_amount(pod["spec"], "requests", name)
            if asked and name in offered and used[place] + asked > units.quantity(offered[name]):
                faults.append(f"Insufficient {name}")
        return faults


def room(loop: Loop) -> Room:
    if "room" not in loop.memory:
        loop.memory["room"] = Room(loop)
    found: Room = loop.memory["room"]
    return found


def schedule(loop: Loop, pod: Json) -> bool:
    """Bind the pod to the node with most room; else say why there is none."""
    nodes = list(loop.store.each("nodes"))
    reasons: Counter[str] = Counter()
    open_nodes = []
    blocked = _volumes_missing(loop, pod)
    for node in nodes if not blocked else ():
        fault = fits_node(pod, node)
        faults = [fault] if fault else room(loop).lacks(pod, node)
        reasons.update(faults)
        if not faults:
            open_nodes.append(node)
    if not open_nodes:
        _refuse(loop, pod, blocked or _why(len(nodes), reasons))
        return False
    best = min(open_nodes, key=lambda node: (*_load(loop, node), node["metadata"]["name"]))
    _bind(loop, pod, best["metadata"]["name"])
    return True


def _load(loop: Loop, node: Json) -> tuple[float, float]:
    used = room(loop).used.get(node["metadata"]["name"], [Decimal(0)] * 3)
    offered = (node.get("status") or {}).get("allocatable") or {}
    cpu = float(used[0] / units.quantity(offered["cpu"])) if offered.get("cpu") else float(used[0])
    return round(cpu, 2), float(used[2])


def _volumes_missing(loop: Loop, pod: Json) -> str:
    for volume in pod["spec"].get("volumes") or ():
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if name and loop.get("persistentvolumeclaims", pod["metadata"]["namespace"], name) is None:
            return f'persistentvolumeclaim "{name}" not found'
    return ""


def _why(total: int, reasons: Counter[str]) -> str:
    if not total:
        return "no nodes available to schedule pods"
    listed = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    hopeless = sum(count for reason, count in reasons.items() if reason in HOPELESS)
    rest = total - hopeless
    preemption = [f"{hopeless} Preemption is not helpful for scheduling"] if hopeless else []
    preemption += [f"{rest} No preemption victims found for incoming pod"] if rest else []
    text = ", ".join(preemption)
    return f"0/{total} nodes are available: {listed}. preemption: 0/{total} nodes are available: {text}."


def _refuse(loop: Loop, pod: Json, why: str) -> None:
    status: Json = dict(pod.get("status") or {})
    old = status.get("conditions") or []
    status["conditions"] = pod_condition(pod, old, "PodScheduled", "False", "Unschedulable", why)
    text = why if why.startswith(("no nodes", "0/")) else f"0/{_count(loop)} nodes are available: {why}. not found"
    text = text.removesuffix(". not found") + ("" if text == why else ".")
    loop.event(pod, "Warning", "FailedScheduling", text, "default-scheduler")
    loop.status("pods", pod, status)


def _count(loop: Loop) -> int:
    return sum(1 for _ in loop.store.each("nodes"))


def _bind(loop: Loop, pod: Json, node: str) -> None:
    status: Json = dict(pod.get("status") or {})
    status["conditions"] = pod_condition(pod, status.get("conditions") or [], "PodScheduled", "True")
    meta = pod["metadata"]
    text = f"Successfully assigned {meta['namespace']}/{meta['name']} to {node}"
    loop.event(pod, "Normal", "Scheduled", text, "default-scheduler")
    loop.status("pods", pod, status, spec={**pod["spec"], "nodeName": node})


def pod_condition(pod: Json, listed: list[Json], kind: str, status: str, reason: str = "", message: str = "") -> list[Json]:
    """A pod's conditions with one set, in the form that the kubelet writes."""
    made = new_condition(listed, kind, status, reason, message, updates=False)
    extra: dict[str, Any] = {"lastProbeTime": None}
    if pod["metadata"].get("generation"):
        extra["observedGeneration"] = pod["metadata"]["generation"]
    return [{**extra, **one} if one["type"] == kind else one for one in made]
