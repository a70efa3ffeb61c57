"""The checks that an object must pass, with the server's own words for what is wrong.

After pkg/apis/*/validation of Kubernetes: not every rule there, but those that people run into.
"""

from __future__ import annotations

from collections.abc import Callable

from k8s.sandbox.objects import names, units
from k8s.sandbox.objects.checks_changes import (
    IMMUTABLE,
    claim_update,
    fixed,
    immutable_data,
    job_update,
    pod_update,
    role_ref,
    secret_update,
    service_update,
    stateful_update,
)
from k8s.sandbox.objects.checks_pods import Causes, labels, notes, pod
from k8s.sandbox.objects.checks_rest import binding, claim, config_map, crd, custom, ingress, rules, secret, service
from k8s.sandbox.objects.checks_workloads import (
    autoscaler,
    budget,
    controller,
    cron_job,
    daemon_set,
    deployment,
    job,
    replica_set,
    stateful_set,
)
from k8s.sandbox.objects.errors import (
    Cause,
    Json,
    invalid,
    invalid_object,
    prohibited,
    required,
)
from k8s.sandbox.objects.kinds import Kind


def created(kind: Kind, obj: Json) -> None:
    """422 where a new object breaks a rule."""
    causes = list(_meta(kind, obj["metadata"]))
    rule = _RULES.get(kind.id)
    if rule:
        causes += rule(obj)
    elif kind.crd is not None:
        causes += custom(obj, (kind.crd.get("schema") or {}).get("openAPIV3Schema") or {}, "")
    _refuse(kind, obj, causes)


def updated(kind: Kind, obj: Json, old: Json, sub: str = "") -> None:
    """422 where a changed object breaks a rule, or changes what cannot be changed."""
    causes = list(_meta_update(kind, obj["metadata"], old["metadata"]))
    if not sub:
        rule = _RULES.get(kind.id)
        if rule:
            causes += rule(obj)
        elif kind.crd is not None:
            causes += custom(obj, (kind.crd.get("schema") or {}).get("openAPIV3Schema") or {}, "")
        changed = _UPDATES.get(kind.id)
        if changed:
            causes += changed(obj, old)
    _refuse(kind, obj, causes)


def _refuse(kind: Kind, obj: Json, causes: list[Cause]) -> None:
    if causes:
        raise invalid_object(kind.kind, kind.group, obj["metadata"].get("name", ""), causes)


# metadata


def _meta(kind: Kind, meta: Json) -> Causes:
    name = meta.get("name", "")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    else:
        for fault in names.RULES.get(kind.id, names.subdomain)(name):
            yield invalid("metadata.name", name, fault)
    yield from labels(meta.get("labels"), "metadata.labels")
    yield from notes(meta.get("annotations"), "metadata.annotations")


def _meta_update(kind: Kind, meta: Json, old: Json) -> Causes:
    if meta.get("uid") != old.get("uid"):
        yield from [invalid("metadata.uid", meta.get("uid"), IMMUTABLE)] * 2  # the real server checks twice
    yield from labels(meta.get("labels"), "metadata.labels")
    yield from notes(meta.get("annotations"), "metadata.annotations")
    added = [one for one in meta.get("finalizers") or () if one not in (old.get("finalizers") or ())]
    if old.get("deletionTimestamp") and added:
        shown = ", ".join(f'"{one}"' for one in added)
        listed = "no new finalizers can be added if the object is being deleted, found new finalizers "
        listed += f"[]string{{{shown}}}"
        yield prohibited("metadata.finalizers", listed)


# what a kind starts with


def _begin_pod(obj: Json) -> None:
    obj["status"] = {"phase": "Pending"}


def _begin_deletable(obj: Json) -> None:
    finalizers = obj["metadata"].setdefault("finalizers", [])
    mark = "kubernetes.io/pvc-protection" if obj["kind"] == "PersistentVolumeClaim" else "kubernetes.io/pv-protection"
    if mark not in finalizers:
        finalizers.append(mark)
    obj["status"] = {"phase": "Pending"}
    if obj["kind"] == "PersistentVolume":
        obj["status"]["lastPhaseTransitionTime"] = units.stamp()


def _begin_status(obj: Json) -> None:
    obj["status"] = {}


BEGIN: dict[str, Callable[[Json], None]] = {
    "pods": _begin_pod,
    "persistentvolumeclaims": _begin_deletable,
    "persistentvolumes": _begin_deletable,
    "services": lambda obj: obj.update(status={"loadBalancer": {}}),
    "ingresses.networking.k8s.io": lambda obj: obj.update(status={"loadBalancer": {}}),
    "deployments.apps": _begin_status,
    "jobs.batch": _begin_status,
    "cronjobs.batch": _begin_status,
    "resourcequotas": _begin_status,
    "replicasets.apps": lambda obj: obj.update(status={"replicas": 0}),
    "replicationcontrollers": lambda obj: obj.update(status={"replicas": 0}),
    "statefulsets.apps": lambda obj: obj.update(status={"replicas": 0, "availableReplicas": 0}),
    "daemonsets.apps": lambda obj: obj.update(
        status=dict.fromkeys(("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"), 0)
    ),
    "poddisruptionbudgets.policy": lambda obj: obj.update(
        status=dict.fromkeys(("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"), 0)
    ),
    "horizontalpodautoscalers.autoscaling": lambda obj: obj.update(status={"currentMetrics": None, "desiredReplicas": 0}),
}
_RULES: dict[str, Callable[[Json], Causes]] = {
    "pods": pod,
    "deployments.apps": deployment,
    "replicasets.apps": replica_set,
    "statefulsets.apps": stateful_set,
    "daemonsets.apps": daemon_set,
    "jobs.batch": job,
    "cronjobs.batch": cron_job,
    "replicationcontrollers": controller,
    "services": service,
    "configmaps": config_map,
    "secrets": secret,
    "persistentvolumeclaims": claim,
    "horizontalpodautoscalers.autoscaling": autoscaler,
    "poddisruptionbudgets.policy": budget,
    "ingresses.networking.k8s.io": ingress,
    "roles.rbac.authorization.k8s.io": rules,
    "clusterroles.rbac.authorization.k8s.io": rules,
    "rolebindings.rbac.authorization.k8s.io": binding,
    "clusterrolebindings.rbac.authorization.k8s.io": binding,
    "customresourcedefinitions.apiextensions.k8s.io": crd,
}
_UPDATES: dict[str, Callable[[Json, Json], Causes]] = {
    "pods": pod_update,
    "deployments.apps": fixed("spec.selector"),
    "replicasets.apps": fixed("spec.selector"),
    "daemonsets.apps": fixed("spec.selector"),
    "statefulsets.apps": stateful_update,
    "jobs.batch": job_update,
    "rolebindings.rbac.authorization.k8s.io": role_ref,
    "clusterrolebindings.rbac.authorization.k8s.io": role_ref,
    "configmaps": immutable_data,
    "secrets": secret_update,
    "persistentvolumeclaims": claim_update,
    "services": service_update,
    "storageclasses.storage.k8s.io": fixed("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"),
    "priorityclasses.scheduling.k8s.io": fixed("value", "preemptionPolicy"),
}
