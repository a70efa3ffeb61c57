"""Kinds that are kept in one version and shown in two: events.k8s.io Events, and autoscaling/v1 autoscalers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from k8s.sandbox.objects import selectors
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.kinds import Kind

# events.k8s.io/v1 field → core/v1 field
_EVENT = {
    "note": "message",
    "regarding": "involvedObject",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_CORE = {core: new for new, core in _EVENT.items()}
_OTHERS = "autoscaling.alpha.kubernetes.io/metrics"


def _event_in(obj: Json) -> Json:
    return {_EVENT.get(name, name): value for name, value in obj.items()}


def _event_out(obj: Json) -> Json:
    return {_CORE.get(name, name): value for name, value in obj.items()}


def _scaler_in(obj: Json) -> Json:
    spec = dict(obj.get("spec") or {})
    wanted = spec.pop("targetCPUUtilizationPercentage", None)
    metrics = json.loads((obj["metadata"].get("annotations") or {}).get(_OTHERS, "[]"))
    if wanted is not None:
        target = {"type": "Utilization", "averageUtilization": wanted}
        metrics.insert(0, {"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        spec["metrics"] = metrics
    found = {**obj, "spec": spec}
    if isinstance(obj.get("status"), dict):
        status = dict(obj["status"])
        status.pop("currentCPUUtilizationPercentage", None)
        found["status"] = status
    return found


def _scaler_out(obj: Json) -> Json:
    spec = dict(obj.get("spec") or {})
    for one in spec.pop("metrics", None) or ():
        resource = one.get("resource") or {}
        if resource.get("name") == "cpu" and (resource.get("target") or {}).get("averageUtilization") is not None:
            spec["targetCPUUtilizationPercentage"] = resource["target"]["averageUtilization"]
    spec.pop("behavior", None)
    status = dict(obj.get("status") or {})
    for one in status.pop("currentMetrics", None) or ():
        resource = one.get("resource") or {}
        if resource.get("name") == "cpu" and (resource.get("current") or {}).get("averageUtilization") is not None:
            status["currentCPUUtilizationPercentage"] = resource["current"]["averageUtilization"]
    status.pop("conditions", None)
    status.setdefault("currentReplicas", 0)
    return {**obj, "spec": spec, "status": status}


TO_STORED: dict[tuple[str, str, str], Callable[[Json], Json]] = {
    ("events.k8s.io", "v1", "Event"): _event_in,
    ("autoscaling", "v1", "HorizontalPodAutoscaler"): _scaler_in,
}
FROM_STORED: dict[tuple[str, str, str], Callable[[Json], Json]] = {
    ("events.k8s.io", "v1", "Event"): _event_out,
    ("autoscaling", "v1", "HorizontalPodAutoscaler"): _scaler_out,
}


# the Scale of what has replicas


def scale_path(kind: Kind, field_name: str) -> list[str]:
    """Where a kind keeps its replicas."""
    custom = ((kind.crd or {}).get("subresources") or {}).get("scale") or {}
    usual = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    return str(custom.get(field_name) or usual.get(field_name, "")).strip(".").split(".")


def _at(obj: Any, path: list[str]) -> Any:
    for part in path:
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


def scale_of(obj: Json, kind: Kind) -> Json:
    """The Scale of an object that has replicas."""
    meta = {name: obj["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
            if name in obj["metadata"]}  # fmt: skip
    status: Json = {"replicas": _at(obj, scale_path(kind, "statusReplicasPath")) or 0}
    custom = ((kind.crd or {}).get("subresources") or {}).get("scale") or {}
    if custom.get("labelSelectorPath"):
        status["selector"] = _at(obj, custom["labelSelectorPath"].strip(".").split(".")) or ""
    elif kind.crd is None:
        chosen = (obj.get("spec") or {}).get("selector")
        chosen = {"matchLabels": chosen} if kind.resource == "replicationcontrollers" else chosen
        status["selector"] = selectors.written(chosen, "")
    replicas = _at(obj, scale_path(kind, "specReplicasPath"))
    spec = {"replicas": replicas} if replicas else {}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status}
