"""Claims are bound to volumes, and volumes freed."""

from __future__ import annotations

from k8s.sandbox.controllers.garbage import without
from k8s.sandbox.controllers.loop import Loop
from k8s.sandbox.objects import units
from k8s.sandbox.objects.errors import Json

# claims and volumes


def claim(loop: Loop, space: str, name: str) -> None:
    """A claim is bound to a volume made for it; a deleted one goes when no pod uses it."""
    body = loop.get("persistentvolumeclaims", space, name)
    if body is None:
        return
    if body["metadata"].get("deletionTimestamp"):
        if not _claim_in_use(loop, space, name) and body["metadata"].get("finalizers"):
            without(loop, "persistentvolumeclaims", body, "kubernetes.io/pvc-protection")
        return
    if (body.get("status") or {}).get("phase") == "Bound":
        _resize(loop, body)
        return
    storage = loop.get("storageclasses.storage.k8s.io", "", body["spec"].get("storageClassName") or "")
    volume = _free_volume(loop, body)
    if volume is None:
        if storage is None:
            _claim_waits(loop, body)
            return
        if storage.get("volumeBindingMode") == "WaitForFirstConsumer" and not _claim_in_use(loop, space, name):
            text = "waiting for first consumer to be created before binding"
            loop.event(body, "Normal", "WaitForFirstConsumer", text, "persistentvolume-controller")
            return
        volume = _provision(loop, body, storage)
    _bind(loop, body, volume)


def _claim_waits(loop: Loop, body: Json) -> None:
    text = "no persistent volumes available for this claim and no storage class is set"
    name = body["spec"].get("storageClassName")
    if name:
        text = f'storageclass.storage.k8s.io "{name}" not found'
        loop.event(body, "Warning", "ProvisioningFailed", text, "persistentvolume-controller")
    else:
        loop.event(body, "Normal", "FailedBinding", text, "persistentvolume-controller")


def _claim_in_use(loop: Loop, space: str, name: str) -> bool:
    for pod in loop.store.each("pods", space):
        for volume in pod["spec"].get("volumes") or ():
            if (volume.get("persistentVolumeClaim") or {}).get("claimName") == name:
                return True
    return False


def _free_volume(loop: Loop, body: Json) -> Json | None:
    wanted = units.quantity(body["spec"]["resources"]["requests"]["storage"])
    storage = body["spec"].get("storageClassName") or ""
    for volume in loop.store.each("persistentvolumes"):
        spec = volume["spec"]
        ref = spec.get("claimRef")
        mine = ref and (ref.get("namespace"), ref.get("name")) == (
            body["metadata"]["namespace"],
            body["metadata"]["name"],
        )
        fits = (spec.get("storageClassName") or "") == storage and set(body["spec"]["accessModes"]) <= set(spec["accessModes"])
        if mine or (not ref and fits and units.quantity(spec["capacity"]["storage"]) >= wanted):
            return volume
    return None


def _provision(loop: Loop, body: Json, storage: Json) -> Json:
    meta = body["metadata"]
    spec: Json = {
        "capacity": {"storage": body["spec"]["resources"]["requests"]["storage"]},
        "accessModes": body["spec"]["accessModes"],
        "persistentVolumeReclaimPolicy": storage.get("reclaimPolicy", "Delete"),
        "storageClassName": storage["metadata"]["name"],
        "volumeMode": body["spec"].get("volumeMode", "Filesystem"),
        "hostPath": {"path": f"/var/local/volumes/pvc-{meta['uid']}", "type": "DirectoryOrCreate"},
    }
    made: Json = {"name": f"pvc-{meta['uid']}", "annotations": {"pv.kubernetes.io/provisioned-by": storage["provisioner"]}}
    volume = loop.create("persistentvolumes", {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": made, "spec": spec})
    text = f"Successfully provisioned volume {volume['metadata']['name']}"
    loop.event(body, "Normal", "ProvisioningSucceeded", text, storage["provisioner"])
    return volume


def _bind(loop: Loop, body: Json, volume: Json) -> None:
    meta = body["metadata"]
    ref = {"kind": "PersistentVolumeClaim", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}
    ref |= {"apiVersion": "v1", "resourceVersion": meta["resourceVersion"]}
    spec = {**volume["spec"], "claimRef": ref}
    loop.status("persistentvolumes", volume, {"phase": "Bound", "lastPhaseTransitionTime": units.stamp()}, spec=spec)
    changed = {**body["spec"], "volumeName": volume["metadata"]["name"]}
    capacity = {"storage": volume["spec"]["capacity"]["storage"]}
    status = {"phase": "Bound", "accessModes": body["spec"]["accessModes"], "capacity": capacity}
    notes = {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
    copied = {**body, "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), **notes}}}
    loop.status("persistentvolumeclaims", copied, status, spec=changed)


def _resize(loop: Loop, body: Json) -> None:
    wanted = body["spec"]["resources"]["requests"]["storage"]
    status: Json = body["status"]
    have = (status.get("capacity") or {}).get("storage")
    if have is None or units.quantity(wanted) <= units.quantity(have):
        return
    volume = loop.get("persistentvolumes", "", body["spec"].get("volumeName", ""))
    if volume is not None:
        spec = {**volume["spec"], "capacity": {**volume["spec"]["capacity"], "storage": wanted}}
        loop.status("persistentvolumes", volume, volume.get("status") or {}, spec=spec)
    loop.status("persistentvolumeclaims", body, {**status, "capacity": {**status["capacity"], "storage": wanted}})


def volume(loop: Loop, _: str, name: str) -> None:
    """A volume whose claim has gone is deleted or released."""
    body = loop.get("persistentvolumes", "", name)
    if body is None:
        return
    if body["metadata"].get("deletionTimestamp"):
        without(loop, "persistentvolumes", body, "kubernetes.io/pv-protection")
        return
    ref = body["spec"].get("claimRef")
    phase = (body.get("status") or {}).get("phase")
    if ref and phase == "Bound" and loop.get("persistentvolumeclaims", ref["namespace"], ref["name"]) is None:
        if body["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            loop.delete("persistentvolumes", "", name)
        else:
            loop.status("persistentvolumes", body, {"phase": "Released", "lastPhaseTransitionTime": units.stamp()})
    elif not ref and phase == "Pending":
        loop.status("persistentvolumes", body, {"phase": "Available", "lastPhaseTransitionTime": units.stamp()})
