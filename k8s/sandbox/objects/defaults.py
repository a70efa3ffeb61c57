"""What the server fills in when it is not said: per API type, after pkg/apis/*/v1/defaults.go of Kubernetes."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from typing import Any

from k8s.sandbox.objects import schema
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.schema import Field

# type → {field: value}; applied where an object of that type is present.
VALUES: dict[str, Json] = {
    "core.v1.PodSpec": {
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
        "schedulerName": "default-scheduler",
    },
    "core.v1.PodTemplateSpec": {"metadata": {}, "spec": {}},
    "batch.v1.JobTemplateSpec": {"metadata": {}, "spec": {}},
    "core.v1.Container": {
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    },
    "core.v1.ContainerPort": {"protocol": "TCP"},
    "core.v1.Probe": {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
    "core.v1.HTTPGetAction": {"path": "/", "scheme": "HTTP"},
    "core.v1.GRPCAction": {"service": ""},
    "core.v1.SecretVolumeSource": {"defaultMode": 420},
    "core.v1.ConfigMapVolumeSource": {"defaultMode": 420},
    "core.v1.DownwardAPIVolumeSource": {"defaultMode": 420},
    "core.v1.ProjectedVolumeSource": {"defaultMode": 420},
    "core.v1.HostPathVolumeSource": {"type": ""},
    "core.v1.ServiceAccountTokenProjection": {"expirationSeconds": 3600},
    "core.v1.ObjectFieldSelector": {"apiVersion": "v1"},
    "core.v1.ServiceSpec": {"sessionAffinity": "None", "type": "ClusterIP"},
    "core.v1.ServicePort": {"protocol": "TCP"},
    "core.v1.EndpointPort": {"protocol": "TCP"},
    "core.v1.Secret": {"type": "Opaque"},
    "core.v1.Pod": {"spec": {}},
    "batch.v1.Job": {"spec": {}},
    "batch.v1.JobSpec": {"template": {}},
    "batch.v1.CronJob": {"spec": {}},
    "core.v1.PersistentVolumeSpec": {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"},
    "core.v1.PersistentVolumeClaimSpec": {"volumeMode": "Filesystem", "resources": {}},
    "core.v1.ReplicationControllerSpec": {"replicas": 1},
    "apps.v1.Deployment": {"spec": {}},
    "apps.v1.DeploymentSpec": {
        "template": {},
        "replicas": 1,
        "strategy": {},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    },
    "apps.v1.DeploymentStrategy": {"type": "RollingUpdate"},
    "apps.v1.ReplicaSet": {"spec": {}},
    "apps.v1.ReplicaSetSpec": {"replicas": 1, "template": {}},
    "apps.v1.StatefulSet": {"spec": {}},
    "apps.v1.StatefulSetSpec": {
        "template": {},
        "replicas": 1,
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {},
        "revisionHistoryLimit": 10,
        "persistentVolumeClaimRetentionPolicy": {},
    },
    "apps.v1.StatefulSetUpdateStrategy": {"type": "RollingUpdate"},
    "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    "apps.v1.DaemonSet": {"spec": {}},
    "apps.v1.DaemonSetSpec": {"template": {}, "updateStrategy": {}, "revisionHistoryLimit": 10},
    "apps.v1.DaemonSetUpdateStrategy": {"type": "RollingUpdate"},
    "batch.v1.CronJobSpec": {
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    },
    "autoscaling.v2.HorizontalPodAutoscalerSpec": {"minReplicas": 1},
    "autoscaling.v1.HorizontalPodAutoscalerSpec": {"minReplicas": 1},
    "networking.v1.NetworkPolicyPort": {"protocol": "TCP"},
    "discovery.v1.EndpointPort": {"name": "", "protocol": "TCP"},
    "storage.v1.StorageClass": {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
    "scheduling.v1.PriorityClass": {"preemptionPolicy": "PreemptLowerPriority"},
    "storage.v1.CSIDriverSpec": {
        "attachRequired": True,
        "podInfoOnMount": False,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "volumeLifecycleModes": ["Persistent"],
        "storageCapacity": False,
        "requiresRepublish": False,
        "seLinuxMount": False,
    },
}


def _container(one: Json) -> None:
    one.setdefault("imagePullPolicy", "Always" if _tag(one.get("image", "")) == "latest" else "IfNotPresent")


def _tag(image: str) -> str:
    if "@" in image:
        return ""
    last = image.rsplit("/", 1)[-1]
    return last.partition(":")[2] or "latest"


def _pod_spec(spec: Json) -> None:
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        spec["terminationGracePeriodSeconds"] = 1
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    if spec.get("hostNetwork"):
        for one in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
            for port in one.get("ports") or ():
                port.setdefault("hostPort", port.get("containerPort"))


def _pod(pod: Json) -> None:
    spec = pod.get("spec") or {}
    spec.setdefault("enableServiceLinks", True)
    for one in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        limits = (one.get("resources") or {}).get("limits")
        if limits:
            one["resources"]["requests"] = {**limits, **(one["resources"].get("requests") or {})}


def _service(service: Json) -> None:
    spec = service.setdefault("spec", {})
    kind = spec.get("type", "ClusterIP")
    for port in spec.get("ports") or ():
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port")
    if spec.get("sessionAffinity") == "ClientIP":
        spec.setdefault("sessionAffinityConfig", {"clientIP": {"timeoutSeconds": 10800}})
    if kind in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind in ("NodePort", "LoadBalancer", "ClusterIP"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    service.setdefault("status", {}).setdefault("loadBalancer", {})


def _rolling(strategy: Json) -> None:
    if strategy.get("type") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")


def _stateful_rolling(strategy: Json) -> None:
    if strategy.get("type") == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)


def _daemon_rolling(strategy: Json) -> None:
    if strategy.get("type") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)


def _stateful(obj: Json) -> None:
    for claim in (obj.get("spec") or {}).get("volumeClaimTemplates") or ():
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim.setdefault("status", {}).setdefault("phase", "Pending")


def _job(job: Json) -> None:
    spec = job.setdefault("spec", {})
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    for name, value in {
        "parallelism": 1,
        "backoffLimit": 2147483647 if "backoffLimitPerIndex" in spec else 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "podReplacementPolicy": "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed",
        "manualSelector": False,
    }.items():
        spec.setdefault(name, value)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if labels and not job["metadata"].get("labels"):
        job["metadata"]["labels"] = dict(labels)


def _secret(secret: Json) -> None:
    plain = secret.pop("stringData", None)
    if plain:
        coded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        secret["data"] = {**(secret.get("data") or {}), **coded}


def _volume(volume: Json) -> None:
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}


def _daemon(daemon: Json) -> None:
    notes = daemon.setdefault("metadata", {}).setdefault("annotations", {})
    notes.setdefault("deprecated.daemonset.template.generation", "1")


def _replicas_labels(obj: Json) -> None:
    """ReplicationControllers take their labels and selector from the template."""
    template = (obj.get("spec") or {}).get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    if labels:
        obj["spec"].setdefault("selector", dict(labels))
        if not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)


def _binding(binding: Json) -> None:
    role = binding.get("roleRef") or {}
    if not role.get("apiGroup"):
        role["apiGroup"] = "rbac.authorization.k8s.io"
    for subject in binding.get("subjects") or ():
        if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
            subject["apiGroup"] = "rbac.authorization.k8s.io"


def _policy_types(policy: Json) -> None:
    spec = policy.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _limits(item: Json) -> None:
    if item.get("type") != "Container":
        return
    for target, sources in (("default", ("max",)), ("defaultRequest", ("default", "min"))):
        for source in sources:
            for name, value in (item.get(source) or {}).items():
                item.setdefault(target, {}).setdefault(name, value)


def _scaling_rules(obj: Json) -> None:
    spec = obj.get("spec") or {}
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def _namespace(obj: Json) -> None:
    name = obj["metadata"].get("name")
    if name:
        obj["metadata"]["labels"] = {**(obj["metadata"].get("labels") or {}), "kubernetes.io/metadata.name": name}
    obj.setdefault("status", {}).setdefault("phase", "Active")
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])


def _crd(obj: Json) -> None:
    spec = obj.get("spec") or {}
    names = spec.get("names") or {}
    if names.get("kind"):
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})


RULES: dict[str, Callable[[Json], None]] = {
    "core.v1.Container": _container,
    "core.v1.PodSpec": _pod_spec,
    "core.v1.Pod": _pod,
    "core.v1.Secret": _secret,
    "core.v1.Volume": _volume,
    "apps.v1.DaemonSet": _daemon,
    "core.v1.Service": _service,
    "core.v1.ReplicationController": _replicas_labels,
    "core.v1.LimitRangeItem": _limits,
    "core.v1.Namespace": _namespace,
    "apps.v1.DeploymentStrategy": _rolling,
    "apps.v1.StatefulSet": _stateful,
    "apps.v1.StatefulSetUpdateStrategy": _stateful_rolling,
    "apps.v1.DaemonSetUpdateStrategy": _daemon_rolling,
    "batch.v1.Job": _job,
    "rbac.v1.RoleBinding": _binding,
    "rbac.v1.ClusterRoleBinding": _binding,
    "networking.v1.NetworkPolicy": _policy_types,
    "autoscaling.v2.HorizontalPodAutoscaler": _scaling_rules,
    "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition": _crd,
}


def fill(obj: Json, type_name: str) -> None:
    """Fill in, in place, what the server would for an object of a built-in type."""
    spec = schema.fields(type_name).get("spec")
    if spec is not None and spec.shape == "object" and obj.get("spec") is None:
        obj["spec"] = {}  # in Go it is no pointer, so it is always there
    _fill(obj, schema.root(type_name))


def _fill(value: Any, field: Field) -> None:
    if field.shape == "list" and field.items and field.items.shape != "scalar":
        for one in value or ():
            _fill(one, field.items)
    elif field.shape == "map" and field.items and field.items.shape != "scalar":
        for one in (value or {}).values():
            _fill(one, field.items)
    elif field.shape == "object" and isinstance(value, dict):
        _fill_object(value, field)


def _fill_object(value: Json, field: Field) -> None:
    for name, default in VALUES.get(field.type, {}).items():
        if value.get(name) is None:
            value[name] = copy.copy(default)
    known = schema.fields(field.type)
    for name in list(value):
        inner = known.get(name)
        if inner is not None and inner.shape != "scalar":
            _fill(value[name], inner)
    rule = RULES.get(field.type)
    if rule:
        rule(value)


def fill_custom(value: Any, spec: Json) -> Any:
    """A CRD's own defaults, in place; returns the value."""
    if isinstance(value, dict):
        for name, inner in (spec.get("properties") or {}).items():
            if name not in value and "default" in inner:
                value[name] = copy.deepcopy(inner["default"])
            if name in value:
                fill_custom(value[name], inner)
        extra = spec.get("additionalProperties")
        for name in value if isinstance(extra, dict) else ():
            if name not in (spec.get("properties") or {}):
                fill_custom(value[name], extra or {})
    elif isinstance(value, list):
        for one in value:
            fill_custom(one, spec.get("items") or {})
    return value
