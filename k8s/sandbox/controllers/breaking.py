"""Injecting faults into what runs."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from datetime import timedelta

from k8s.sandbox.controllers.containers import Injected, faults
from k8s.sandbox.controllers.faults import FAULTS, Fault, FaultUnknown, signature
from k8s.sandbox.controllers.kubelet import afflict
from k8s.sandbox.controllers.loop import Loop, new_condition, owned
from k8s.sandbox.controllers.scheduler import pod_condition
from k8s.sandbox.objects import units
from k8s.sandbox.objects.errors import Json

WORKLOADS = ("deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps", "jobs.batch", "pods")
NODE_FAULTS = ("node-down",)
STUCK_FOR = timedelta(minutes=4)


def inject(loop: Loop, target: str, fault: str) -> str:
    """Break a workload, pod or node; what was done, in a sentence. FaultUnknown."""
    known = FAULTS.get(fault)
    if known is None:
        raise FaultUnknown(f"There is no fault {fault!r}. There are: {', '.join(FAULTS)}.")
    space, _, name = target.partition("/")
    if not name:
        raise FaultUnknown(f"{target!r} names nothing to break. Write NAMESPACE/WORKLOAD, or nodes/NAME.")
    if space in ("node", "nodes"):
        return _node_down(loop, name, known)
    if fault in NODE_FAULTS:
        raise FaultUnknown(f"{fault} befalls a node. Write nodes/NAME.")
    resource, body = _find(loop, space, name)
    special = _SPECIAL.get(fault)
    if special:
        return special(loop, resource, body)
    return _containers(loop, resource, body, known)


def _find(loop: Loop, namespace: str, name: str) -> tuple[str, Json]:
    for resource in WORKLOADS:
        body = loop.get(resource, namespace, name)
        if body is not None:
            return resource, body
    names = [f"{namespace}/{one['metadata']['name']}" for kind in WORKLOADS for one in loop.store.each(kind, namespace)]
    near = difflib.get_close_matches(f"{namespace}/{name}", names, 3) or names[:3]
    raise FaultUnknown(f"There is no workload {namespace}/{name}." + (f" Nearest: {', '.join(near)}." if near else ""))


def pods_of(loop: Loop, resource: str, body: Json) -> list[Json]:
    """The pods that a workload stands for."""
    if resource == "pods":
        return [body]
    pods = owned(loop, body, "pods")
    for one in owned(loop, body, "replicasets.apps"):
        pods += owned(loop, one, "pods")
    return pods


def _template(resource: str, body: Json) -> Json:
    spec: Json = body["spec"] if resource == "pods" else body["spec"]["template"]["spec"]
    return spec


def _containers(loop: Loop, resource: str, body: Json, fault: Fault) -> str:
    """A fault of the first container, in every pod of the workload, until the container changes."""
    meta = body["metadata"]
    container = _template(resource, body)["containers"][0]
    key = (meta["namespace"], f"{body['kind']}/{meta['name']}", container["name"])
    faults(loop)[key] = Injected(fault, signature(container))
    hit = 0
    for pod in pods_of(loop, resource, body):
        own = next(one for one in pod["spec"]["containers"] if one["name"] == container["name"])
        faults(loop)[key] = Injected(fault, signature(own))
        if (pod.get("status") or {}).get("containerStatuses") and not pod["metadata"].get("deletionTimestamp"):
            afflict(loop, pod)
            hit += 1
    return f"{meta['namespace']}/{meta['name']}: {fault.about} (container {container['name']}, {hit} pods)."


def _edit_template(loop: Loop, resource: str, body: Json, change: Callable[[Json], None]) -> None:
    changed = loop.edit(resource, body)
    change(_template(resource, changed))
    changed["metadata"]["generation"] = changed["metadata"].get("generation", 1) + 1
    loop.put(resource, changed)


def _image(loop: Loop, resource: str, body: Json) -> str:
    def change(spec: Json) -> None:
        image = spec["containers"][0]["image"].partition("@")[0]
        repository, _, last = image.rpartition("/")
        plain = last.partition(":")[0]
        spec["containers"][0]["image"] = f"{repository}/{plain}:does-not-exist".lstrip("/")

    _edit_template(loop, resource, body, change)
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}: its image now has a tag that does not exist."


def _pending(loop: Loop, resource: str, body: Json) -> str:
    if resource == "pods":
        raise FaultUnknown("A single pod's requests cannot change. Break the workload that it belongs to.")

    def change(spec: Json) -> None:
        spec["containers"][0].setdefault("resources", {}).setdefault("requests", {})["cpu"] = "64"
        (spec["containers"][0]["resources"].get("limits") or {}).pop("cpu", None)

    _edit_template(loop, resource, body, change)
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}: each pod now asks for 64 cpus, which no node has."


def _evicted(loop: Loop, resource: str, body: Json) -> str:
    pods = [one for one in pods_of(loop, resource, body) if (one.get("status") or {}).get("phase") == "Running"]
    text = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 87Mi. "
    for pod in pods:
        name = pod["spec"]["containers"][0]["name"]
        said = text + f"Container {name} was using 412Mi, request is 128Mi, has larger consumption of memory. "
        status = {**pod["status"], "phase": "Failed", "reason": "Evicted", "message": said}
        listed = pod_condition(pod, status.get("conditions") or [], "DisruptionTarget", "True", "TerminationByKubelet", said)
        for kind in ("Ready", "ContainersReady"):
            listed = pod_condition(pod, listed, kind, "False", "PodFailed")
        status["conditions"] = listed
        status.pop("containerStatuses", None)
        loop.event(pod, "Warning", "Evicted", said, "kubelet", host=pod["spec"].get("nodeName", ""))
        loop.status("pods", pod, status)
    return (
        f"{body['metadata']['namespace']}/{body['metadata']['name']}: {len(pods)} pods were evicted; new ones take their place."
    )


def _stuck(loop: Loop, resource: str, body: Json) -> str:
    """As if the pods had been deleted some minutes ago, and the node could not let go of them."""
    pods = pods_of(loop, resource, body)
    for pod in pods:
        meta = pod["metadata"]
        loop.memory.setdefault("stuck", set()).add(meta["uid"])
        loop.delete("pods", meta["namespace"], meta["name"])
        ending = loop.get("pods", meta["namespace"], meta["name"])
        if ending is not None:
            past = units.stamp(units.now() - STUCK_FOR)
            loop.put("pods", {**ending, "metadata": {**ending["metadata"], "deletionTimestamp": past}})
            text = "Unable to unmount volumes: timed out waiting for the condition"
            loop.event(
                pod, "Warning", "FailedKillPod", f"error killing pod: {text}", "kubelet", host=pod["spec"].get("nodeName", "")
            )
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}: {len(pods)} pods stay in Terminating."


_SPECIAL: dict[str, Callable[[Loop, str, Json], str]] = {
    "image": _image,
    "pending": _pending,
    "evicted": _evicted,
    "stuck": _stuck,
}


def _node_down(loop: Loop, name: str, fault: Fault) -> str:
    node = loop.get("nodes", "", name)
    if node is None:
        names = ", ".join(sorted(one["metadata"]["name"] for one in loop.store.each("nodes")))
        raise FaultUnknown(f"There is no node {name}. There are: {names}.")
    if fault.name not in (*NODE_FAULTS, "notready"):
        raise FaultUnknown(f"{fault.name} befalls a workload. For a node there is: node-down.")
    loop.memory.setdefault("down", set()).add(name)
    status = dict(node["status"])
    listed = status.get("conditions") or []
    text = "Kubelet stopped posting node status."
    for kind in [one["type"] for one in listed]:
        listed = new_condition(listed, kind, "Unknown", "NodeStatusUnknown", text, updates=False)
    status["conditions"] = [{"lastHeartbeatTime": units.stamp(), **one} for one in listed]
    taints = [{"key": "node.kubernetes.io/unreachable", "effect": effect} for effect in ("NoSchedule", "NoExecute")]
    spec = {**(node.get("spec") or {})}
    spec["taints"] = [*(spec.get("taints") or []), *({**one, "timeAdded": units.stamp()} for one in taints)]
    loop.event(node, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady", "node-controller")
    loop.status("nodes", node, status, spec=spec)
    _unready(loop, name)
    return f"Node {name} no longer answers; its pods are not ready."


def _unready(loop: Loop, node: str) -> None:
    for pod in list(loop.store.each("pods")):
        if pod["spec"].get("nodeName") != node or (pod.get("status") or {}).get("phase") != "Running":
            continue
        listed = pod_condition(pod, pod["status"].get("conditions") or [], "Ready", "False")
        loop.event(pod, "Warning", "NodeNotReady", "Node is not ready", "node-controller")
        loop.status("pods", pod, {**pod["status"], "conditions": listed})
