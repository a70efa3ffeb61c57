"""What nodes do with their pods: start, fail, back off, finish and end them, with the events that tell of it.

Pods that were loaded with a status are left alone until they are deleted.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from k8s.sandbox import units
from k8s.sandbox.controllers import Loop, pod_is_ready
from k8s.sandbox.errors import Json
from k8s.sandbox.faults import FAULTS, Fault, exit_code, image_fault, signature
from k8s.sandbox.scheduler import fits_node, pod_condition, room, schedule

START_AFTER, END_AFTER, FINISH_AFTER = 0.05, 0.1, 0.1  # seconds
BACKOFF_FIRST, BACKOFF_MOST = 10.0, 300.0  # seconds, as the kubelet's
KUBELET = "kubelet"


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that was asked for: it holds for containers with this signature."""

    fault: Fault
    signature: str


def faults(loop: Loop) -> dict[tuple[str, str, str], Injected]:
    """(namespace, workload or pod name, container) → fault."""
    found: dict[tuple[str, str, str], Injected] = loop.memory.setdefault("faults", {})
    return found


def pinned(loop: Loop) -> set[str]:
    """Uids of pods whose status came with their manifest."""
    found: set[str] = loop.memory.setdefault("pinned", set())
    return found


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


def _step(loop: Loop, pod: Json, seconds: float) -> None:
    meta = pod["metadata"]
    loop.memory.setdefault("due", {})[meta["uid"]] = time.monotonic() + seconds
    loop.later(seconds, "pod", meta["namespace"], meta["name"])


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
            if "running" in (_state(pod, one["name"]).get("state") or {}):
                _say(loop, pod, one, "Normal", "Killing", f"Stopping container {one['name']}")
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


# starting


def _state(pod: Json, name: str) -> Json:
    listed = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((one for one in listed if one["name"] == name), {})


def _say(loop: Loop, pod: Json, container: Json, kind: str, reason: str, message: str) -> None:
    listed = "initContainers" if container in (pod["spec"].get("initContainers") or ()) else "containers"
    path = f"spec.{listed}{{{container['name']}}}"
    loop.event(pod, kind, reason, message, KUBELET, host=pod["spec"].get("nodeName", ""), path=path)


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
    _step(loop, pod, START_AFTER)


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


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def full_image(image: str) -> str:
    """An image's name as a node's runtime knows it."""
    first = image.split("/", 1)[0]
    if "/" not in image:
        image = f"docker.io/library/{image}"
    elif "." not in first and ":" not in first and first != "localhost":
        image = f"docker.io/{image}"
    return image if ":" in image.rsplit("/", 1)[-1] or "@" in image else f"{image}:latest"


def fault_of(loop: Loop, pod: Json, container: Json) -> Fault | None:
    """The fault injected into a container, if it still holds."""
    for name in _workloads(loop, pod):
        found = faults(loop).get((pod["metadata"]["namespace"], name, container["name"]))
        if found and found.signature == signature(container):
            return found.fault
    return None


def _workloads(loop: Loop, pod: Json) -> list[str]:
    """The pod's name and those of its owners, as kind/name."""
    names, obj, namespace = [f"Pod/{pod['metadata']['name']}"], pod, pod["metadata"]["namespace"]
    for _ in range(3):
        owner = next((one for one in obj["metadata"].get("ownerReferences") or () if one.get("controller")), None)
        if owner is None:
            break
        names.append(f"{owner['kind']}/{owner['name']}")
        place = loop.store.by_uid(owner["uid"])
        above = loop.get(place[0], namespace, owner["name"]) if place else None
        if above is None:
            break
        obj = above
    return names


def _run(loop: Loop, pod: Json) -> None:
    """Bring every container to where it belongs now."""
    if _node_is_down(loop, pod) or _mounts_missing(loop, pod) or not _initialized(loop, pod):
        return
    pod = loop.get("pods", pod["metadata"]["namespace"], pod["metadata"]["name"]) or pod
    status: Json = dict(pod["status"])
    status["containerStatuses"] = [_advance(loop, pod, one) for one in pod["spec"]["containers"]]
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
                _wait_for(loop, pod)
                return True
    return False


def _wait_for(loop: Loop, pod: Json) -> None:
    """Look again when a ConfigMap or Secret of the namespace changes."""
    meta = pod["metadata"]
    loop.memory.setdefault("waiting", {}).setdefault(meta["namespace"], set()).add(meta["name"])


def awaited(loop: Loop, namespace: str) -> None:
    """A ConfigMap or Secret has changed: pods that waited for one look again."""
    for name in loop.memory.get("waiting", {}).pop(namespace, ()):
        pod = loop.get("pods", namespace, name)
        if pod is not None:
            _step(loop, pod, 0)


def _env_missing(loop: Loop, pod: Json, container: Json) -> str:
    """The ConfigMap, Secret or key that a container's environment needs and that is missing."""
    namespace = pod["metadata"]["namespace"]
    for one in container.get("envFrom") or ():
        for field, resource in (("configMapRef", "configmap"), ("secretRef", "secret")):
            ref = one.get(field)
            if ref and not ref.get("optional") and loop.get(f"{resource}s", namespace, ref["name"]) is None:
                return f'{resource} "{ref["name"]}" not found'
    for one in container.get("env") or ():
        for field, resource in (("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")):
            ref = (one.get("valueFrom") or {}).get(field)
            if not ref or ref.get("optional"):
                continue
            found = loop.get(f"{resource}s", namespace, ref["name"])
            if found is None:
                return f'{resource} "{ref["name"]}" not found'
            if ref["key"] not in {**(found.get("data") or {}), **(found.get("binaryData") or {})}:
                kind = resource.capitalize() if resource == "secret" else "ConfigMap"
                return f"couldn't find key {ref['key']} in {kind} {namespace}/{ref['name']}"
    return ""


def _initialized(loop: Loop, pod: Json) -> bool:
    """Run the init containers in turn; False while one holds the pod up."""
    status: Json = dict(pod["status"])
    listed = [dict(one) for one in status.get("initContainerStatuses") or ()]
    for place, container in enumerate(pod["spec"].get("initContainers") or ()):
        if _done(listed[place], container):
            continue
        listed[place] = _advance(loop, pod, container, listed[place], init=True)
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


# one container


def _advance(loop: Loop, pod: Json, container: Json, state: Json | None = None, *, init: bool = False) -> Json:
    """The container's next state."""
    was = state if state is not None else _state(pod, container["name"])
    if "terminated" in was["state"] and not _restarts(pod, was["state"]["terminated"]):
        return was
    trouble = _image_trouble(loop, pod, container, was) or _config_trouble(loop, pod, container, was)
    if trouble:
        return trouble
    fault = fault_of(loop, pod, container)
    if fault and fault.exit_code:
        return _crash(loop, pod, container, was, fault)
    code = exit_code(container)
    finite = init and container.get("restartPolicy") != "Always" or _job(pod)
    if (finite or code is not None) and not _LIVES(container, code, finite):
        return _finite(loop, pod, container, was, code or 0)
    ready = not (fault and fault.reason == "readiness")
    if not ready:
        _say(loop, pod, container, "Warning", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")
    return _running(loop, pod, container, was, ready)


def _LIVES(container: Json, code: int | None, finite: bool) -> bool:  # noqa: N802
    return not finite and code is None


def _job(pod: Json) -> bool:
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(one["kind"] == "Job" for one in owners)


def _restarts(pod: Json, ended: Json) -> bool:
    policy = pod["spec"].get("restartPolicy", "Always")
    return policy == "Always" or (policy == "OnFailure" and bool(ended.get("exitCode")))


def _running(loop: Loop, pod: Json, container: Json, was: Json, ready: bool) -> Json:
    if "running" in was["state"]:
        return {**was, "ready": ready}
    _started(loop, pod, container)
    return {**_known(pod, container, was), "state": {"running": {"startedAt": units.stamp()}}, "ready": ready, "started": True}


def _started(loop: Loop, pod: Json, container: Json) -> None:
    image = container["image"]
    if container.get("imagePullPolicy") == "Always":
        size = 20_000_000 + int(_digest(image)[:6], 16)
        took = 300 + size % 900
        _say(loop, pod, container, "Normal", "Pulling", f'Pulling image "{image}"')
        text = f'Successfully pulled image "{image}" in {took}ms ({took}ms including waiting). Image size: {size} bytes.'
    else:
        text = f'Container image "{image}" already present on machine and can be accessed by the pod'
    _say(loop, pod, container, "Normal", "Pulled", text)
    _say(loop, pod, container, "Normal", "Created", "Container created")
    _say(loop, pod, container, "Normal", "Started", "Container started")


def _known(pod: Json, container: Json, was: Json) -> Json:
    """A container's status with the ids that a started container has."""
    image = full_image(container["image"])
    run = _digest(f"{pod['metadata']['uid']} {container['name']} {was['restartCount']}")
    found: Json = {
        **was,
        "image": image,
        "imageID": f"{image.partition('@')[0].rsplit(':', 1)[0]}@sha256:{_digest(image)}",
        "containerID": f"containerd://{run}",
    }
    if container.get("resources"):
        found["resources"] = container["resources"]
        requests = container["resources"].get("requests")
        if requests:
            found["allocatedResources"] = requests
    mounts = container.get("volumeMounts") or ()
    if mounts:
        found["volumeMounts"] = [_mounted(one) for one in mounts]
    return found


def _mounted(mount: Json) -> Json:
    found = {"name": mount["name"], "mountPath": mount["mountPath"]}
    return {**found, "readOnly": True, "recursiveReadOnly": "Disabled"} if mount.get("readOnly") else found


def _finite(loop: Loop, pod: Json, container: Json, was: Json, code: int) -> Json:
    """A command that ends by itself: it runs for a moment, then is over, or crashes again and again."""
    if "running" not in was["state"] and not (
        _restarts(pod, {"exitCode": code}) and was["restartCount"] == 0 and was["lastState"]
    ):
        _step(loop, pod, FINISH_AFTER)
        return _running(loop, pod, container, was, ready=True)
    fault = Fault("exit", "", code, "Completed" if code == 0 else "Error")
    if _restarts(pod, {"exitCode": code}):
        return _crash(loop, pod, container, was, fault)
    return _ended(pod, container, was, fault)


def _ended(pod: Json, container: Json, was: Json, fault: Fault) -> Json:
    ended = _termination(pod, container, was, fault)
    return {**_known(pod, container, was), "state": {"terminated": ended}, "ready": False, "started": False}


def _termination(pod: Json, container: Json, was: Json, fault: Fault, ago: float = 0.0) -> Json:
    now = units.now() - timedelta(seconds=ago)
    began = ((was["state"].get("running") or {}).get("startedAt")) or units.stamp(now - timedelta(seconds=3))
    run = _digest(f"{pod['metadata']['uid']} {container['name']} {was['restartCount']}")
    ended = {"exitCode": fault.exit_code, "reason": fault.reason, "startedAt": began, "finishedAt": units.stamp(now)}
    return {**ended, "containerID": f"containerd://{run}"}


def _crash(loop: Loop, pod: Json, container: Json, was: Json, fault: Fault) -> Json:
    """The container has ended and waits to be started again, longer each time."""
    meta = pod["metadata"]
    restarts = was["restartCount"] + (1 if was["state"].keys() & {"running", "waiting"} else 0)
    if "running" in was["state"]:
        if fault.name == "liveness":
            text = 'Liveness probe failed: Get "http://10.244.1.7:8080/healthz": context deadline exceeded'
            _say(loop, pod, container, "Warning", "Unhealthy", text)
            text = f"Container {container['name']} failed liveness probe, will be restarted"
            _say(loop, pod, container, "Normal", "Killing", text)
    else:
        _started(loop, pod, container)
    wait = min(BACKOFF_FIRST * 2 ** max(restarts - 1, 0), BACKOFF_MOST)
    place = f"{meta['name']}_{meta['namespace']}({meta['uid']})"
    text = f"Back-off restarting failed container {container['name']} in pod {place}"
    _say(loop, pod, container, "Warning", "BackOff", text)
    _step(loop, pod, wait)
    shown = f"{int(wait)}s" if wait < 60 else f"{int(wait // 60)}m{int(wait % 60)}s"
    text = f"back-off {shown} restarting failed container={container['name']} pod={place}"
    ended = _termination(pod, container, {**was, "restartCount": max(restarts - 1, 0)}, fault)
    return {
        **_known(pod, container, was),
        "restartCount": restarts,
        "ready": False,
        "started": False,
        "lastState": {"terminated": ended},
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": text}},
    }


def _image_trouble(loop: Loop, pod: Json, container: Json, was: Json) -> Json | None:
    image = container["image"]
    fault = image_fault(image)
    if not fault or "running" in was["state"]:
        return None
    if fault == "InvalidImageName":
        text = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": invalid reference format'
        _say(loop, pod, container, "Warning", "InspectFailed", text)
        _say(loop, pod, container, "Warning", "Failed", "Error: InvalidImageName")
        return {**was, "state": {"waiting": {"reason": fault, "message": text}}}
    full = full_image(image)
    host = full.split("/", 1)[0]
    why = (
        f'failed to pull and unpack image "{full}": failed to resolve reference "{full}": '
        + (f"{full}: not found" if not host.split(":")[0].endswith(".invalid") else f'failed to do request: Head "https://{host}/v2/": '
           f"dial tcp: lookup {host}: no such host")
    )  # fmt: skip
    code = "NotFound" if why.endswith("not found") else "Unknown"
    error = f"rpc error: code = {code} desc = {why}"
    if (was["state"].get("waiting") or {}).get("reason") == "ErrImagePull":
        _say(loop, pod, container, "Normal", "BackOff", f'Back-off pulling image "{image}"')
        _say(loop, pod, container, "Warning", "Failed", "Error: ImagePullBackOff")
        text = f'Back-off pulling image "{image}": ErrImagePull: {error}'
        return {**was, "state": {"waiting": {"reason": "ImagePullBackOff", "message": text}}}
    if (was["state"].get("waiting") or {}).get("reason") == "ImagePullBackOff":
        return was
    _say(loop, pod, container, "Normal", "Pulling", f'Pulling image "{image}"')
    _say(loop, pod, container, "Warning", "Failed", f'Failed to pull image "{image}": {error}')
    _say(loop, pod, container, "Warning", "Failed", "Error: ErrImagePull")
    _step(loop, pod, FINISH_AFTER)
    return {**was, "state": {"waiting": {"reason": "ErrImagePull", "message": error}}}


def _config_trouble(loop: Loop, pod: Json, container: Json, was: Json) -> Json | None:
    if "running" in was["state"]:
        return None
    why = _env_missing(loop, pod, container)
    fault = fault_of(loop, pod, container)
    if not why and fault and fault.reason == "CreateContainerConfigError":
        why = f'configmap "{container["name"]}-settings" not found'
    if not why:
        return None
    _say(loop, pod, container, "Warning", "Failed", f"Error: {why}")
    _wait_for(loop, pod)
    return {**was, "state": {"waiting": {"reason": "CreateContainerConfigError", "message": why}}}


# faults, injected


def afflict(loop: Loop, pod: Json, restarts: int = 3) -> None:
    """Let a fault that was just injected show in a running pod at once, as if it had gone on for a while."""
    status: Json = dict(pod["status"])
    listed = []
    for container in pod["spec"]["containers"]:
        was = _state(pod, container["name"])
        fault = fault_of(loop, pod, container)
        if fault and fault.exit_code:
            was = {**was, "restartCount": was["restartCount"] + restarts}
            was = _crash(loop, pod, container, was, fault)
        elif fault and fault.reason == "readiness":
            was = _advance(loop, pod, container)
        elif fault and fault.reason == "CreateContainerConfigError":
            blank = {**was, "state": {"waiting": {"reason": "ContainerCreating"}}, "ready": False, "started": False}
            was = _config_trouble(loop, pod, container, blank) or was
        listed.append(was)
    finish(loop, pod, {**status, "containerStatuses": listed})


def retry(loop: Loop, namespace: str, name: str) -> None:
    """Look at a pod now rather than when its back-off is over."""
    pod = loop.get("pods", namespace, name)
    if pod is not None:
        _step(loop, pod, 0)


__all__ = ["FAULTS", "Any", "afflict", "fits_node", "pod_is_ready", "reconcile", "room"]
