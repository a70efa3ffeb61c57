"""The small controllers: quotas, aggregated roles, CRDs, autoscalers, nodes."""

from __future__ import annotations

from typing import Any

from k8s.sandbox.controllers.loop import Loop
from k8s.sandbox.objects import rbac, units
from k8s.sandbox.objects.errors import Json

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
    conditions = []
    for kind, why, text in rows:
        state = "False" if kind == "ScalingLimited" else "True"
        conditions.append({"type": kind, "status": state, "lastTransitionTime": now, "reason": why, "message": text})
    counts = {"currentReplicas": replicas, "desiredReplicas": replicas, "currentMetrics": metrics}
    return {"conditions": conditions, **counts}


def node(loop: Loop, _: str, name: str) -> None:
    """Pods leave a node that has gone, and one with a NoExecute taint that they do not bear."""
    from k8s.sandbox.controllers.scheduler import tolerates

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
