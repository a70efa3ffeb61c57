"""One container of a pod: started, crashing, waiting for its image or settings; and the faults that befall it."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import timedelta

from k8s.sandbox.controllers.faults import Fault, exit_code, image_fault, signature
from k8s.sandbox.controllers.loop import Loop
from k8s.sandbox.objects import units
from k8s.sandbox.objects.errors import Json

FINISH_AFTER = 0.1  # seconds that a command which ends by itself runs
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


def step(loop: Loop, pod: Json, seconds: float) -> None:
    meta = pod["metadata"]
    loop.memory.setdefault("due", {})[meta["uid"]] = time.monotonic() + seconds
    loop.later(seconds, "pod", meta["namespace"], meta["name"])


# starting


def state_of(pod: Json, name: str) -> Json:
    listed = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((one for one in listed if one["name"] == name), {})


def say(loop: Loop, pod: Json, container: Json, kind: str, reason: str, message: str) -> None:
    listed = "initContainers" if container in (pod["spec"].get("initContainers") or ()) else "containers"
    path = f"spec.{listed}{{{container['name']}}}"
    loop.event(pod, kind, reason, message, KUBELET, host=pod["spec"].get("nodeName", ""), path=path)


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


def wait_for(loop: Loop, pod: Json) -> None:
    """Look again when a ConfigMap or Secret of the namespace changes."""
    meta = pod["metadata"]
    loop.memory.setdefault("waiting", {}).setdefault(meta["namespace"], set()).add(meta["name"])


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


# one container


def advance(loop: Loop, pod: Json, container: Json, state: Json | None = None, *, init: bool = False) -> Json:
    """The container's next state."""
    was = state if state is not None else state_of(pod, container["name"])
    if "terminated" in was["state"] and not _restarts(pod, was["state"]["terminated"]):
        return was
    trouble = _image_trouble(loop, pod, container, was) or config_trouble(loop, pod, container, was)
    if trouble:
        return trouble
    fault = fault_of(loop, pod, container)
    if fault and fault.exit_code:
        return crash(loop, pod, container, was, fault)
    code = exit_code(container)
    finite = (init and container.get("restartPolicy") != "Always") or _job(pod)
    if finite or code is not None:
        return _finite(loop, pod, container, was, code or 0)
    ready = not (fault and fault.reason == "readiness")
    if not ready:
        say(loop, pod, container, "Warning", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")
    return _running(loop, pod, container, was, ready)


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
        say(loop, pod, container, "Normal", "Pulling", f'Pulling image "{image}"')
        text = f'Successfully pulled image "{image}" in {took}ms ({took}ms including waiting). Image size: {size} bytes.'
    else:
        text = f'Container image "{image}" already present on machine and can be accessed by the pod'
    say(loop, pod, container, "Normal", "Pulled", text)
    say(loop, pod, container, "Normal", "Created", "Container created")
    say(loop, pod, container, "Normal", "Started", "Container started")


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
        step(loop, pod, FINISH_AFTER)
        return _running(loop, pod, container, was, ready=True)
    fault = Fault("exit", "", code, "Completed" if code == 0 else "Error")
    if _restarts(pod, {"exitCode": code}):
        return crash(loop, pod, container, was, fault)
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


def crash(loop: Loop, pod: Json, container: Json, was: Json, fault: Fault) -> Json:
    """The container has ended and waits to be started again, longer each time."""
    meta = pod["metadata"]
    restarts = was["restartCount"] + (1 if was["state"].keys() & {"running", "waiting"} else 0)
    if "running" in was["state"]:
        if fault.name == "liveness":
            text = 'Liveness probe failed: Get "http://10.244.1.7:8080/healthz": context deadline exceeded'
            say(loop, pod, container, "Warning", "Unhealthy", text)
            text = f"Container {container['name']} failed liveness probe, will be restarted"
            say(loop, pod, container, "Normal", "Killing", text)
    else:
        _started(loop, pod, container)
    wait = min(BACKOFF_FIRST * 2 ** max(restarts - 1, 0), BACKOFF_MOST)
    place = f"{meta['name']}_{meta['namespace']}({meta['uid']})"
    text = f"Back-off restarting failed container {container['name']} in pod {place}"
    say(loop, pod, container, "Warning", "BackOff", text)
    step(loop, pod, wait)
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
        say(loop, pod, container, "Warning", "InspectFailed", text)
        say(loop, pod, container, "Warning", "Failed", "Error: InvalidImageName")
        return {**was, "state": {"waiting": {"reason": fault, "message": text}}}
    full = full_image(image)
    host = full.split("/", 1)[0]
    why = f"{full}: not found"
    if host.split(":")[0].endswith(".invalid"):
        why = f'failed to do request: Head "https://{host}/v2/": dial tcp: lookup {host}: no such host'
    why = f'failed to pull and unpack image "{full}": failed to resolve reference "{full}": {why}'
    code = "NotFound" if why.endswith("not found") else "Unknown"
    error = f"rpc error: code = {code} desc = {why}"
    if (was["state"].get("waiting") or {}).get("reason") == "ErrImagePull":
        say(loop, pod, container, "Normal", "BackOff", f'Back-off pulling image "{image}"')
        say(loop, pod, container, "Warning", "Failed", "Error: ImagePullBackOff")
        text = f'Back-off pulling image "{image}": ErrImagePull: {error}'
        return {**was, "state": {"waiting": {"reason": "ImagePullBackOff", "message": text}}}
    if (was["state"].get("waiting") or {}).get("reason") == "ImagePullBackOff":
        return was
    say(loop, pod, container, "Normal", "Pulling", f'Pulling image "{image}"')
    say(loop, pod, container, "Warning", "Failed", f'Failed to pull image "{image}": {error}')
    say(loop, pod, container, "Warning", "Failed", "Error: ErrImagePull")
    step(loop, pod, FINISH_AFTER)
    return {**was, "state": {"waiting": {"reason": "ErrImagePull", "message": error}}}


def config_trouble(loop: Loop, pod: Json, container: Json, was: Json) -> Json | None:
    if "running" in was["state"]:
        return None
    why = _env_missing(loop, pod, container)
    fault = fault_of(loop, pod, container)
    if not why and fault and fault.reason == "CreateContainerConfigError":
        why = f'configmap "{container["name"]}-settings" not found'
    if not why:
        return None
    say(loop, pod, container, "Warning", "Failed", f"Error: {why}")
    wait_for(loop, pod)
    return {**was, "state": {"waiting": {"reason": "CreateContainerConfigError", "message": why}}}
