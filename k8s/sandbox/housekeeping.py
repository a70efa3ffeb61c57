"""The small controllers: garbage, namespaces, endpoints, budgets, claims, quotas, aggregated roles, CRDs."""

from __future__ import annotations

import math
from typing import Any

from k8s.sandbox import rbac, selectors, units
from k8s.sandbox.admission import usage
from k8s.sandbox.controllers import Loop, new_condition, owner_ref, pod_is_active, pod_is_ready
from k8s.sandbox.errors import Json
from k8s.sandbox.store import controller_of

FOREGROUND, ORPHANED = "foregroundDeletion", "orphan"


# garbage


def garbage(loop: Loop, resource: str, uid: str) -> None:
    """An owner has gone: what it alone owned goes too. (`resource` is unused; the key is the owner's uid.)"""
    if loop.store.by_uid(uid) is not None:
        return
    for kind, (namespace, name) in loop.store.owned_keys(uid):
        body = loop.get(kind, namespace, name)
        if body is None:
            continue
        left = [ref for ref in body["metadata"]["ownerReferences"] if loop.store.by_uid(ref["uid"])]
        if left:
            loop.put(kind, {**body, "metadata": {**body["metadata"], "ownerReferences": left}})
        else:
            loop.delete(kind, namespace, name)


def finalize(loop: Loop, namespace: str, name: str) -> None:
    """An object waits to be deleted in the foreground, or with its dependents left behind. Key: `resource name`."""
    resource, _, name = name.partition(" ")
    body = loop.get(resource, namespace, name)
    if body is None or not body["metadata"].get("deletionTimestamp"):
        return
    finalizers = body["metadata"].get("finalizers") or []
    uid = body["metadata"]["uid"]
    if ORPHANED in finalizers:
        for kind, (space, other) in loop.store.owned_keys(uid):
            _disown(loop, kind, space, other, uid)
        _without(loop, resource, body, ORPHANED)
    elif FOREGROUND in finalizers:
        waiting = False
        for kind, (space, other) in loop.store.owned_keys(uid):
            one = loop.get(kind, space, other)
            refs = one["metadata"]["ownerReferences"] if one else []
            waiting = waiting or any(ref["uid"] == uid and ref.get("blockOwnerDeletion") for ref in refs)
            if one is not None and not one["metadata"].get("deletionTimestamp"):
                loop.delete(kind, space, other, propagationPolicy="Foreground")
        if not waiting:
            _without(loop, resource, body, FOREGROUND)


def _disown(loop: Loop, kind: str, namespace: str, name: str, uid: str) -> None:
    body = loop.get(kind, namespace, name)
    if body is None:
        return
    meta = dict(body["metadata"])
    meta["ownerReferences"] = [ref for ref in meta["ownerReferences"] if ref["uid"] != uid]
    if not meta["ownerReferences"]:
        del meta["ownerReferences"]
    loop.put(kind, {**body, "metadata": meta})


def _without(loop: Loop, resource: str, body: Json, finalizer: str) -> None:
    meta = dict(body["metadata"])
    meta["finalizers"] = [one for one in meta["finalizers"] if one != finalizer]
    if not meta["finalizers"]:
        del meta["finalizers"]
    loop.put(resource, {**body, "metadata": meta})


# namespaces


def namespace(loop: Loop, _: str, name: str) -> None:
    """A live namespace has its service account and root certificate; a deleted one is emptied, then removed."""
    body = loop.get("namespaces", "", name)
    if body is None:
        return
    if not body["metadata"].get("deletionTimestamp"):
        _furnish(loop, name)
        return
    left = 0
    for resource in loop.kinds.stored_ids():
        for one in list(loop.store.each(resource, name)):
            meta = one["metadata"]
            if not meta.get("deletionTimestamp"):
                loop.delete(resource, name, meta["name"])
            left += loop.get(resource, name, meta["name"]) is not None
    if not left:
        loop.store.remove("namespaces", "", name)
        return
    loop.later(0.05, "namespace", "", name)


def _furnish(loop: Loop, name: str) -> None:
    if loop.get("serviceaccounts", name, "default") is None:
        account: Json = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
        loop.create("serviceaccounts", account)
    if loop.get("configmaps", name, "kube-root-ca.crt") is None:
        note = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as "
        note += "the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
        note += "Kubernetes clusters."
        meta: Json = {"name": "kube-root-ca.crt", "namespace": name, "annotations": {"kubernetes.io/description": note}}
        data = {"ca.crt": loop.memory.get("authority", "")}
        loop.create("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})


# services


def endpoints(loop: Loop, space: str, name: str) -> None:
    """A Service's Endpoints and EndpointSlice follow the pods that it selects."""
    service = loop.get("services", space, name)
    if service is None:
        return
    chosen = service["spec"].get("selector")
    if not chosen or service["spec"].get("type") == "ExternalName":
        return
    fits = selectors.from_object({"matchLabels": chosen})
    pods = [
        pod
        for pod in loop.store.each("pods", space)
        if (pod.get("status") or {}).get("podIP")
        and pod["status"].get("phase") not in ("Succeeded", "Failed")
        and selectors.matches(fits, pod["metadata"].get("labels"))
    ]
    pods.sort(key=lambda pod: str(pod["metadata"]["name"]))
    _endpoints(loop, service, pods)
    _slice(loop, service, pods)


def _serves(pod: Json, service: Json) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    return pod_is_ready(pod) or bool(service["spec"].get("publishNotReadyAddresses"))


def _target(pod: Json, port: Json) -> int | None:
    wanted = port.get("targetPort", port["port"])
    if isinstance(wanted, int):
        return wanted
    for one in pod["spec"]["containers"]:
        for listed in one.get("ports") or ():
            if listed.get("name") == wanted:
                return int(listed["containerPort"])
    return None


def _ports(service: Json, pod: Json) -> list[Json]:
    found = []
    for port in service["spec"].get("ports") or ():
        number = _target(pod, port)
        if number is not None:
            one = {"name": port.get("name", ""), "port": number, "protocol": port.get("protocol", "TCP")}
            found.append({key: value for key, value in one.items() if value})
    return found


def _reference(pod: Json) -> Json:
    meta = pod["metadata"]
    return {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}


def _endpoints(loop: Loop, service: Json, pods: list[Json]) -> None:
    meta = service["metadata"]
    groups: dict[str, Json] = {}
    for pod in pods:
        ports = _ports(service, pod)
        group = groups.setdefault(str(ports), {"ports": ports})
        field = "addresses" if _serves(pod, service) else "notReadyAddresses"
        address = {"ip": pod["status"]["podIP"], "nodeName": pod["spec"].get("nodeName"), "targetRef": _reference(pod)}
        group.setdefault(field, []).append(address)
    subsets = [{key: one[key] for key in ("addresses", "notReadyAddresses", "ports") if one.get(key)} for one in groups.values()]
    old = loop.get("endpoints", meta["namespace"], meta["name"])
    if old is None:
        labels = {**(meta.get("labels") or {}), "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
        made: Json = {"name": meta["name"], "namespace": meta["namespace"], "labels": labels}
        body: Json = {"apiVersion": "v1", "kind": "Endpoints", "metadata": made}
        loop.create("endpoints", {**body, "subsets": subsets} if subsets else body)
    elif (old.get("subsets") or []) != subsets:
        changed: Json = {**old, "metadata": dict(old["metadata"]), "subsets": subsets}
        if not subsets:
            del changed["subsets"]
        loop.put("endpoints", changed)


def _slice(loop: Loop, service: Json, pods: list[Json]) -> None:
    meta = service["metadata"]
    listed = []
    for pod in pods:
        ready, ending = _serves(pod, service), bool(pod["metadata"].get("deletionTimestamp"))
        state = {"ready": ready, "serving": pod_is_ready(pod), "terminating": ending}
        one = {"addresses": [pod["status"]["podIP"]], "conditions": state, "targetRef": _reference(pod)}
        listed.append({**one, "nodeName": pod["spec"].get("nodeName")})
    ports: list[Json] = []
    if pods:
        ports = [{"name": "", **port} for port in _ports(service, pods[0])]
    mine = [one for one in loop.store.owned(meta["uid"], "endpointslices.discovery.k8s.io") if controller_of(one)]
    if not mine:
        labels = {**(meta.get("labels") or {}), "kubernetes.io/service-name": meta["name"]}
        labels["endpointslice.kubernetes.io/managed-by"] = "endpointslice-controller.k8s.io"
        made: Json = {"namespace": meta["namespace"], "generateName": f"{meta['name']}-", "labels": labels}
        made["ownerReferences"] = [owner_ref(service)]
        body: Json = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": made}
        filled = {"addressType": "IPv4", "endpoints": listed or None, "ports": ports or None}
        loop.create("endpointslices.discovery.k8s.io", {**body, **filled})
    elif (mine[0].get("endpoints") or [], mine[0].get("ports") or []) != (listed, ports):
        head = {**mine[0]["metadata"], "generation": mine[0]["metadata"].get("generation", 1) + 1}
        changed = {**mine[0], "metadata": head, "endpoints": listed or None, "ports": ports or None}
        loop.put("endpointslices.discovery.k8s.io", changed)


# budgets


def budget(loop: Loop, space: str, name: str) -> None:
    body = loop.get("poddisruptionbudgets.policy", space, name)
    if body is None:
        return
    fits = selectors.from_object(body["spec"].get("selector"))
    pods = [
        pod
        for pod in loop.store.each("pods", space)
        if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        and selectors.matches(fits, pod["metadata"].get("labels"))
    ]
    healthy = sum(pod_is_ready(pod) and pod_is_active(pod) for pod in pods)
    expected, desired = _healthy_wanted(loop, body["spec"], pods)
    allowed = max(healthy - desired, 0) if expected else 0
    how = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    old = (body.get("status") or {}).get("conditions") or []
    listed = new_condition(old, "DisruptionAllowed", *how, "", updates=False)
    generation = body["metadata"].get("generation", 1)
    listed = [{**one, "message": one.get("message", ""), "observedGeneration": generation} for one in listed]
    status = {
        "conditions": listed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "expectedPods": expected,
        "observedGeneration": generation,
    }
    loop.status("poddisruptionbudgets.policy", body, status)


def _scale(loop: Loop, pod: Json) -> tuple[str, int]:
    """The uid and wanted number of what stands above a pod."""
    owner = controller_of(pod)
    place = loop.store.by_uid(owner["uid"]) if owner else None
    body = loop.get(place[0], *place[1]) if place else None
    above = controller_of(body) if body else None
    higher = loop.store.by_uid(above["uid"]) if above else None
    body = (loop.get(higher[0], *higher[1]) if higher else None) or body
    if body is None:
        return pod["metadata"]["uid"], 1
    return body["metadata"]["uid"], int((body.get("spec") or {}).get("replicas", 1))


def _healthy_wanted(loop: Loop, spec: Json, pods: list[Json]) -> tuple[int, int]:
    """How many pods are expected, and how many of them must stay healthy."""
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if isinstance(least, int):
        return len(pods), least
    expected = sum(dict(_scale(loop, pod) for pod in pods).values())
    if isinstance(least, str):
        return expected, math.ceil(expected * int(least.rstrip("%")) / 100)
    gone = most if isinstance(most, int) else math.ceil(expected * int(str(most or "0%").rstrip("%")) / 100)
    return expected, max(expected - gone, 0)


# claims and volumes


def claim(loop: Loop, space: str, name: str) -> None:
    """A claim is bound to a volume made for it; a deleted one goes when no pod uses it."""
    body = loop.get("persistentvolumeclaims", space, name)
    if body is None:
        return
    if body["metadata"].get("deletionTimestamp"):
        if not _claim_in_use(loop, space, name) and body["metadata"].get("finalizers"):
            _without(loop, "persistentvolumeclaims", body, "kubernetes.io/pvc-protection")
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
        _without(loop, "persistentvolumes", body, "kubernetes.io/pv-protection")
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


# quotas, roles, CRDs


def quota(loop: Loop, space: str, name: str) -> None:
    body = loop.get("resourcequotas", space, name)
    if body is None:
        return
    hard: dict[str, Any] = body["spec"].get("hard") or {}
    used = loop.objects.admission.used(space, set(hard))
    shown = {key: units.format_quantity(used[key], hard[key]) for key in hard}
    loop.status("resourcequotas", body, {"hard": hard, "used": shown})


def role(loop: Loop, _: str, name: str) -> None:
    """An aggregated ClusterRole has the rules of those that it gathers."""
    for one in list(loop.store.each(rbac.CLUSTER_ROLES)):
        rules = rbac.aggregated(loop.store, one)
        if rules is not None and rules != (one.get("rules") or []):
            loop.put(rbac.CLUSTER_ROLES, {**one, "metadata": dict(one["metadata"]), "rules": rules})
            loop.add("role", "", name)


def crd(loop: Loop, _: str, name: str) -> None:
    """A new CRD is accepted and established at once; a deleted one takes its objects with it."""
    resource = "customresourcedefinitions.apiextensions.k8s.io"
    body = loop.get(resource, "", name)
    if body is None:
        return
    if (body.get("status") or {}).get("conditions"):
        return
    now = units.stamp()
    accepted = {"type": "NamesAccepted", "status": "True", "lastTransitionTime": now, "reason": "NoConflicts"}
    done = {"type": "Established", "status": "True", "lastTransitionTime": now, "reason": "InitialNamesAccepted"}
    conditions = [
        {**accepted, "message": "no conflicts found"},
        {**done, "message": "the initial names have been accepted"},
    ]
    stored = [one["name"] for one in body["spec"]["versions"] if one.get("storage")]
    loop.status(resource, body, {"conditions": conditions, "acceptedNames": body["spec"]["names"], "storedVersions": stored})


def autoscaler(loop: Loop, space: str, name: str) -> None:
    """An autoscaler shows what it would see; it does not scale by itself."""
    body = loop.get("horizontalpodautoscalers.autoscaling", space, name)
    if body is None or (body.get("status") or {}).get("conditions"):
        return
    ref = body["spec"]["scaleTargetRef"]
    kind = loop.kinds.by_kind(ref.get("apiVersion") or "apps/v1", ref["kind"])
    target = loop.get(kind.id, space, ref["name"]) if kind else None
    if target is None:
        now = units.stamp()
        plural = f"{kind.resource}.{kind.group}" if kind else ref["kind"].lower()
        text = f'the HPA controller was unable to get the target\'s current scale: {plural} "{ref["name"]}" not found'
        failed = {"type": "AbleToScale", "status": "False", "lastTransitionTime": now, "reason": "FailedGetScale"}
        status: Json = {"conditions": [{**failed, "message": text}], "currentMetrics": None, "desiredReplicas": 0}
        loop.status("horizontalpodautoscalers.autoscaling", body, status)
        return
    replicas = (target.get("spec") or {}).get("replicas", 1)
    loop.status("horizontalpodautoscalers.autoscaling", body, _scaler_status(body["spec"], replicas))


def _scaler_status(spec: Json, replicas: int) -> Json:
    now = units.stamp()
    metrics = []
    for one in spec.get("metrics") or ():
        resource = one.get("resource")
        if resource:
            wanted = (resource.get("target") or {}).get("averageUtilization", 80)
            current = {"averageUtilization": max(wanted // 2, 1), "averageValue": f"{max(wanted // 2, 1)}m"}
            metrics.append({"type": "Resource", "resource": {"name": resource["name"], "current": current}})
    rows = (
        ("AbleToScale", "ReadyForNewScale", "recommended size matches current size"),
        ("ScalingActive", "ValidMetricFound", "the HPA was able to successfully calculate a replica count from cpu resource "
         "utilization (percentage of request)"),
        ("ScalingLimited", "DesiredWithinRange", "the desired count is within the acceptable range"),
    )  # fmt: skip
    conditions = [
        {"type": kind, "status": "False" if kind == "ScalingLimited" else "True", "lastTransitionTime": now, "reason": why, "message": text}
        for kind, why, text in rows
    ]  # fmt: skip
    counts = {"currentReplicas": replicas, "desiredReplicas": replicas, "currentMetrics": metrics}
    return {"conditions": conditions, **counts}


def node(loop: Loop, _: str, name: str) -> None:
    """Pods leave a node that has gone, and one with a NoExecute taint that they do not bear."""
    from k8s.sandbox.scheduler import tolerates

    body = loop.get("nodes", "", name)
    if body is None:
        for pod in list(loop.store.each("pods")):
            if pod["spec"].get("nodeName") == name:
                loop.delete("pods", pod["metadata"]["namespace"], pod["metadata"]["name"], gracePeriodSeconds=0)
        return
    driving = [one for one in (body.get("spec") or {}).get("taints") or () if one["effect"] == "NoExecute"]
    for pod in list(loop.store.each("pods")) if driving else ():
        if pod["spec"].get("nodeName") != name or pod["metadata"].get("deletionTimestamp"):
            continue
        if any(not tolerates(pod, one) for one in driving):
            text = f"Marking for deletion Pod {pod['metadata']['namespace']}/{pod['metadata']['name']}"
            loop.event(pod, "Normal", "TaintManagerEviction", text, "taint-eviction-controller")
            loop.delete("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])


__all__ = ["budget", "claim", "crd", "endpoints", "finalize", "garbage", "namespace", "quota", "role", "usage"]
