"""Endpoints of Services, and the disruptions that budgets allow."""

from __future__ import annotations

import math

from k8s.sandbox.controllers.loop import Loop, new_condition, owner_ref, pod_is_active, pod_is_ready
from k8s.sandbox.objects import selectors
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.store import controller_of

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
