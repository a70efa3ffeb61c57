"""What nodes do with their pods: take them, bring their containers up, and end them, with the events that tell of it.

Pods that were loaded with a status are left alone until they are deleted.
"""

from __future__ import annotations

import time

from k8s.sandbox.controllers.containers import (
    KUBELET,
    advance,
    config_trouble,
    crash,
    fault_of,
    pinned,
    say,
    state_of,
    step,
    wait_for,
)
from k8s.sandbox.controllers.loop import Loop
from k8s.sandbox.controllers.scheduler import pod_condition, schedule
from k8s.sandbox.objects import units
from k8s.sandbox.objects.errors import Json

START_AFTER, END_AFTER = 0.05, 0.1  # seconds


def reconcile(loop: Loop, namespace: str, name: str) -> None:
    pod = loop.get("pods", namespace, name)
    if pod is None:
        return
    if pod["metadata"].get("deletionTimestamp"):
        _end(loop, pod)
        return
    phase = (pod.get("status") or {}).get("phase", "Pending")
    if pod["metadata"]["uid"] in pinned(loop) or phase in ("Succeeded", "Failed"):
        return
    if not pod["spec"].get("nodeName"):
        if not pod["spec"].get("schedulingGates") and schedule(loop, pod):
            loop.later(START_AFTER, "pod", namespace, name)
        return
    if not (pod.get("status") or {}).get("containerStatuses"):
        _accept(loop, pod)
    elif _due(loop, pod):
        _run(loop, pod)


def _due(loop: Loop, pod: Json) -> bool:
    """Whether the pod's next step has come; if not, it is waited for."""
    at = loop.memory.setdefault("due", {}).get(pod["metadata"]["uid"])
    if at is None:
        return False
    left = at - time.monotonic()
    if left > 0.001:
        loop.later(left, "pod", pod["metadata"]["namespace"], pod["metadata"]["name"])
        return False
    del loop.memory["due"][pod["metadata"]["uid"]]
    return True


def forget(loop: Loop, uid: str) -> None:
    """Drop what was kept about a pod that has gone."""
    loop.memory.setdefault("due", {}).pop(uid, None)
    pinned(loop).discard(uid)


# ending


def _end(loop: Loop, pod: Json) -> None:
    meta = pod["metadata"]
    key = f"ending {meta['uid']}"
    if key not in loop.memory:
        loop.memory[key] = time.monotonic() + min(END_AFTER, meta.get("deletionGracePeriodSeconds") or 0)
        for one in pod["spec"]["containers"]:
            if "running" in (state_of(pod, one["name"]).get("state") or {}):
                say(loop, pod, one, "Normal", "Killing", f"Stopping container {one['name']}")
    left = loop.memory[key] - time.monotonic()
    if left > 0:
        loop.later(left, "pod", meta["namespace"], meta["name"])
        return
    held = _node_is_down(loop, pod) or meta["uid"] in loop.memory.get("stuck", ())
    if held and meta.get("deletionGracePeriodSeconds"):
        return
    if meta.get("finalizers"):
        _stopped(loop, pod)
        return
    del loop.memory[key]
    loop.store.remove("pods", meta["namespace"], meta["name"])


def _stopped(loop: Loop, pod: Json) -> None:
    """A pod held by a finalizer no longer runs."""
    status = dict(pod.get("status") or {})
    if not any("running" in (one.get("state") or {}) for one in status.get("containerStatuses") or ()):
        return
    ended = {"exitCode": 0, "reason": "Completed", "finishedAt": units.stamp(), "startedAt": units.stamp()}
    listed = status["containerStatuses"]
    status["containerStatuses"] = [{**one, "ready": False, "started": False, "state": {"terminated": ended}} for one in listed]
    listed = status.get("conditions") or []
    for kind in ("Ready", "ContainersReady"):
        listed = pod_condition(pod, listed, kind, "False", "PodCompleted")
    loop.status("pods", pod, {**status, "conditions": listed, "phase": "Succeeded"})


def _node_is_down(loop: Loop, pod: Json) -> bool:
    return pod["spec"].get("nodeName") in loop.memory.get("down", ())


def _accept(loop: Loop, pod: Json) -> None:
    """The node has taken the pod: its containers are being created."""
    waiting = "PodInitializing" if pod["spec"].get("initContainers") else "ContainerCreating"
    status: Json = dict(pod.get("status") or {})
    listed = status.get("conditions") or []
    listed = pod_condition(pod, listed, "PodReadyToStartContainers", "False")
    if pod["spec"].get("initContainers"):
        text = f"containers with incomplete status: [{' '.join(_names(pod, 'initContainers'))}]"
        listed = pod_condition(pod, listed, "Initialized", "False", "ContainersNotInitialized", text)
    else:
        listed = pod_condition(pod, listed, "Initialized", "True")
    text = f"containers with unready status: [{' '.join(_names(pod, 'containers'))}]"
    for kind in ("Ready", "ContainersReady"):
        listed = pod_condition(pod, listed, kind, "False", "ContainersNotReady", text)
    listed = pod_condition(pod, listed, "PodScheduled", "True")
    status |= {
        "conditions": listed,
        "phase": "Pending",
        "hostIP": _host(loop, pod),
        "hostIPs": [{"ip": _host(loop, pod)}],
        "startTime": units.stamp(),
        "containerStatuses": [_blank(one, waiting) for one in pod["spec"]["containers"]],
    }
    if pod["metadata"].get("generation"):
        status["observedGeneration"] = pod["metadata"]["generation"]
    if pod["spec"].get("initContainers"):
        status["initContainerStatuses"] = [_blank(one, "PodInitializing") for one in pod["spec"]["initContainers"]]
    pod = loop.status("pods", pod, status)
    step(loop, pod, START_AFTER)


def _names(pod: Json, listed: str) -> list[str]:
    return [one["name"] for one in pod["spec"].get(listed) or ()]


def _host(loop: Loop, pod: Json) -> str:
    node = loop.get("nodes", "", pod["spec"]["nodeName"]) or {}
    listed = (node.get("status") or {}).get("addresses") or ()
    return next((str(one["address"]) for one in listed if one["type"] == "InternalIP"), "192.168.0.10")


def _blank(container: Json, waiting: str) -> Json:
    return {
        "name": container["name"],
        "state": {"waiting": {"reason": waiting}},
        "lastState": {},
        "ready": False,
        "restartCount": 0,
        "image": container["image"],
        "imageID": "",
        "started": False,
    }


def _run(loop: Loop, pod: Json) -> None:
    """Bring every container to where it belongs now."""
    if _node_is_down(loop, pod) or _mounts_missing(loop, pod) or not _initialized(loop, pod):
        return
    pod = loop.get("pods", pod["metadata"]["namespace"], pod["metadata"]["name"]) or pod
    status: Json = dict(pod["status"])
    status["containerStatuses"] = [advance(loop, pod, one) for one in pod["spec"]["containers"]]
    finish(loop, pod, status)


def finish(loop: Loop, pod: Json, status: Json) -> None:
    """Phase, conditions and address that follow from the containers' states."""
    listed = status["containerStatuses"]
    running = [one for one in listed if "running" in one["state"]]
    over = [one["state"]["terminated"] for one in listed if "terminated" in one["state"]]
    if len(over) == len(listed):
        status["phase"] = "Failed" if any(one["exitCode"] for one in over) else "Succeeded"
    elif running or any(one["restartCount"] or one["lastState"] for one in listed):
        status["phase"] = "Running"
    if running or over or status["phase"] == "Running":
        status["podIP"] = status.get("podIP") or _address(loop, pod)
        status["podIPs"] = [{"ip": status["podIP"]}]
    status["conditions"] = _conditions(pod, status)
    loop.status("pods", pod, status)


def _address(loop: Loop, pod: Json) -> str:
    if pod["spec"].get("hostNetwork"):
        return _host(loop, pod)
    nodes = sorted(one["metadata"]["name"] for one in loop.store.each("nodes"))
    node = nodes.index(pod["spec"]["nodeName"]) if pod["spec"]["nodeName"] in nodes else 0
    count = loop.memory["addresses"] = loop.memory.get("addresses", 3) + 1
    return f"10.{244 + count // 64000}.{node % 250}.{count % 250 + 2}" if count < 60000 else f"10.250.{count % 250}.9"


def _conditions(pod: Json, status: Json) -> list[Json]:
    listed = status.get("conditions") or []
    unready = [one["name"] for one in status["containerStatuses"] if not one["ready"]]
    if status["phase"] in ("Succeeded", "Failed"):
        reason = "PodCompleted" if status["phase"] == "Succeeded" else "PodFailed"
        listed = pod_condition(pod, listed, "PodReadyToStartContainers", "False")
        listed = pod_condition(pod, listed, "Initialized", "True", "PodCompleted" if reason == "PodCompleted" else "")
        for kind in ("Ready", "ContainersReady"):
            listed = pod_condition(pod, listed, kind, "False", reason)
        return listed
    listed = pod_condition(pod, listed, "PodReadyToStartContainers", "True")
    listed = pod_condition(pod, listed, "Initialized", "True")
    for kind in ("Ready", "ContainersReady"):
        if unready:
            text = f"containers with unready status: [{' '.join(unready)}]"
            listed = pod_condition(pod, listed, kind, "False", "ContainersNotReady", text)
        else:
            listed = pod_condition(pod, listed, kind, "True")
    return listed


# what a pod needs before it can start


def _mounts_missing(loop: Loop, pod: Json) -> bool:
    """Whether a ConfigMap or Secret to mount is missing; the pod then waits for it."""
    namespace = pod["metadata"]["namespace"]
    for volume in pod["spec"].get("volumes") or ():
        for source, key, resource in (("configMap", "name", "configmaps"), ("secret", "secretName", "secrets")):
            wanted = volume.get(source) or {}
            name = wanted.get(key)
            if name and not wanted.get("optional") and loop.get(resource, namespace, name) is None:
                kind = resource.removesuffix("s")
                text = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {kind} "{name}" not found'
                loop.event(pod, "Warning", "FailedMount", text, KUBELET, host=pod["spec"]["nodeName"])
                wait_for(loop, pod)
                return True
    return False


def awaited(loop: Loop, namespace: str) -> None:
    """A ConfigMap or Secret has changed: pods that waited for one look again."""
    for name in loop.memory.get("waiting", {}).pop(namespace, ()):
        pod = loop.get("pods", namespace, name)
        if pod is not None:
            step(loop, pod, 0)


def _initialized(loop: Loop, pod: Json) -> bool:
    """Run the init containers in turn; False while one holds the pod up."""
    status: Json = dict(pod["status"])
    listed = [dict(one) for one in status.get("initContainerStatuses") or ()]
    for place, container in enumerate(pod["spec"].get("initContainers") or ()):
        if _done(listed[place], container):
            continue
        listed[place] = advance(loop, pod, container, listed[place], init=True)
        if not _done(listed[place], container):
            status["initContainerStatuses"] = listed
            loop.status("pods", pod, status)
            return False
    if listed:
        loop.status("pods", pod, {**status, "initContainerStatuses": listed})
    return True


def _done(state: Json, container: Json) -> bool:
    if container.get("restartPolicy") == "Always":
        return bool(state.get("started"))
    return bool((state["state"].get("terminated") or {}).get("exitCode") == 0)


# faults, injected


def afflict(loop: Loop, pod: Json, restarts: int = 3) -> None:
    """Let a fault that was just injected show in a running pod at once, as if it had gone on for a while."""
    status: Json = dict(pod["status"])
    listed = []
    for container in pod["spec"]["containers"]:
        was = state_of(pod, container["name"])
        fault = fault_of(loop, pod, container)
        if fault and fault.exit_code:
            was = {**was, "restartCount": was["restartCount"] + restarts}
            was = crash(loop, pod, container, was, fault)
        elif fault and fault.reason == "readiness":
            was = advance(loop, pod, container)
        elif fault and fault.reason == "CreateContainerConfigError":
            blank = {**was, "state": {"waiting": {"reason": "ContainerCreating"}}, "ready": False, "started": False}
            was = config_trouble(loop, pod, container, blank) or was
        listed.append(was)
    finish(loop, pod, {**status, "containerStatuses": listed})
