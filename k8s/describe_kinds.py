"""What `describe` says of each built-in kind: functions from a redacted object to labelled values."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from k8s.jsonpath import shown
from k8s.live import dig
from k8s.logs import label_selector
from k8s.render import label_text
from k8s.types import Table

Field = tuple[str, Any]
"""A label, and a text, a list of texts, a list of fields or a Table."""

Object = Mapping[str, Any]


def _texts(values: Mapping[str, Any] | None, form: str = "{}={}") -> list[str] | str:
    return [form.format(key, shown(value)) for key, value in sorted((values or {}).items())] or "<none>"


def _optional(*fields: tuple[str, Any]) -> list[Field]:
    """Those of the fields that have a value."""
    return [
        (label, shown(value) if not isinstance(value, list | Table) else value)
        for label, value in fields
        if value not in (None, "", [], {})
    ]


def _conditions(value: Object) -> list[Field]:
    conditions = dig(value, "status", "conditions", default=[])
    rows = tuple(
        (
            shown(each.get("type")),
            shown(each.get("status")),
            shown(each.get("reason")),
            shown(each.get("message")).replace("\n", " "),
        )
        for each in conditions
    )
    return [("Conditions", Table(("Type", "Status", "Reason", "Message"), rows))] if rows else []


# --- pods -----------------------------------------------------------------------------------------------------------------


def _pod(value: Object) -> list[Field]:
    spec, status = value.get("spec") or {}, value.get("status") or {}
    fields = _optional(
        ("Priority Class", spec.get("priorityClassName")),
        ("Service Account", spec.get("serviceAccountName")),
        ("Node", f"{spec['nodeName']}/{status.get('hostIP', '')}".rstrip("/") if spec.get("nodeName") else "<none>"),
        ("Start Time", status.get("startTime")),
        ("Status", status.get("phase")),
        ("Reason", status.get("reason")),
        ("Message", status.get("message")),
        ("IP", status.get("podIP")),
    )
    fields += _containers(spec, status)
    fields += _conditions(value)
    fields += [("Volumes", [(volume["name"], _volume(volume)) for volume in spec.get("volumes") or ()] or "<none>")]
    fields += [("QoS Class", shown(status.get("qosClass")))] if status.get("qosClass") else []
    fields += [("Node-Selectors", _texts(spec.get("nodeSelector")))]
    fields += [("Tolerations", [_toleration(each) for each in spec.get("tolerations") or ()] or "<none>")]
    return fields


def _containers(spec: Object, status: Object | None = None) -> list[Field]:
    fields: list[Field] = []
    groups = (("Init Containers", "initContainers", "initContainerStatuses"), ("Containers", "containers", "containerStatuses"))
    for label, group, statuses in (*groups, ("Ephemeral Containers", "ephemeralContainers", "ephemeralContainerStatuses")):
        states = {each["name"]: each for each in (status or {}).get(statuses) or ()}
        own = [(each["name"], _container(each, states.get(each["name"]))) for each in spec.get(group) or ()]
        fields += [(label, own)] if own else []
    return fields


def _container(container: Object, status: Object | None) -> list[Field]:
    fields = _optional(
        ("Image", container.get("image")),
        ("Image ID", (status or {}).get("imageID")),
        ("Ports", ", ".join(_port(port) for port in container.get("ports") or ()) or "<none>"),
        ("Command", [shown(word) for word in container.get("command") or ()]),
        ("Args", [shown(word) for word in container.get("args") or ()]),
    )
    if status is not None:
        fields += [("State", _state(status.get("state") or {}))]
        fields += [("Last State", _state(status["lastState"]))] if status.get("lastState") else []
        fields += [("Ready", shown(bool(status.get("ready")))), ("Restart Count", shown(status.get("restartCount", 0)))]
    resources = container.get("resources") or {}
    fields += _optional(
        ("Limits", _texts(resources["limits"], "{}: {}") if resources.get("limits") else None),
        ("Requests", _texts(resources["requests"], "{}: {}") if resources.get("requests") else None),
        *((label, _probe(container.get(key))) for label, key in _PROBES),
    )
    sources = [_env_source(source) for source in container.get("envFrom") or ()]
    fields += [("Environment Variables from", sources)] if sources else []
    fields += [("Environment", [_env(each) for each in container.get("env") or ()] or "<none>")]
    mounts = [
        f"{m['mountPath']} from {m['name']} ({'ro' if m.get('readOnly') else 'rw'})" for m in container.get("volumeMounts") or ()
    ]
    return [*fields, ("Mounts", mounts or "<none>")]


_PROBES = (("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe"))


def _port(port: Object) -> str:
    name = f" ({port['name']})" if port.get("name") else ""
    return f"{port.get('containerPort')}/{port.get('protocol', 'TCP')}{name}"


def _state(state: Object) -> str | list[str]:
    if running := state.get("running"):
        return ["Running", f"since {running.get('startedAt', 'unknown')}"]
    for word in ("waiting", "terminated"):
        if word in state:
            detail = state[word] or {}
            names = ("reason", "message", "exitCode", "signal", "startedAt", "finishedAt")
            said = [f"{name}: {shown(detail[name])}" for name in names if detail.get(name) not in (None, "")]
            return [word.capitalize(), *said]
    return "Waiting"


def _probe(probe: Object | None) -> str | None:
    if not probe:
        return None
    http = probe.get("httpGet")
    what = "grpc"
    if http:
        what = f"http-get {http.get('scheme', 'HTTP').lower()}://{http.get('host', '')}:{http.get('port')}{http.get('path', '')}"
    elif "exec" in probe:
        what = f"exec [{' '.join(dig(probe, 'exec', 'command', default=[]))}]"
    elif "tcpSocket" in probe:
        what = f"tcp-socket :{dig(probe, 'tcpSocket', 'port')}"
    defaults = {"initialDelaySeconds": 0, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    delay, timeout, period, success, failure = (probe.get(key, default) for key, default in defaults.items())
    return f"{what} delay={delay}s timeout={timeout}s period={period}s #success={success} #failure={failure}"


def _env_source(source: Object) -> str:
    for kind, label in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
        if kind in source:
            return f"{source[kind].get('name')} {label}"
    return "unknown"


def _env(variable: Object) -> str:
    source = variable.get("valueFrom") or {}
    for kind, label in (("secretKeyRef", "secret"), ("configMapKeyRef", "config map")):
        if kind in source:
            ref = source[kind]
            return f"{variable['name']}: <set to the key {ref.get('key')!r} in {label} {ref.get('name')!r}>"
    if field := dig(source, "fieldRef", "fieldPath") or dig(source, "resourceFieldRef", "resource"):
        return f"{variable['name']}: ({field})"
    return f"{variable['name']}: {variable.get('value', '')}"


def _volume(volume: Object) -> str:
    kind = next((key for key in volume if key != "name"), "emptyDir")
    detail = volume.get(kind) or {}
    if kind == "projected":
        return "projected: " + ", ".join(sorted({key for source in detail.get("sources") or () for key in source}))
    named = ("name", "secretName", "claimName", "path", "driver", "server", "image", "reference")
    said = ", ".join(f"{key} {shown(detail[key])}" for key in named if isinstance(detail, dict) and detail.get(key))
    return f"{kind}: {said}" if said else kind


def _toleration(toleration: Object) -> str:
    key, value, effect = (shown(toleration.get(name)) for name in ("key", "value", "effect"))
    text = f"{key}={value}" if value else key
    text = f"{text}:{effect}" if effect else text
    text += " op=Exists" if toleration.get("operator") == "Exists" and not value else ""
    seconds = toleration.get("tolerationSeconds")
    return text.strip() + (f" for {seconds}s" if seconds is not None else "")


# --- workloads ------------------------------------------------------------------------------------------------------------


def _template(template: Object | None) -> list[Field]:
    spec = (template or {}).get("spec") or {}
    fields: list[Field] = [("Labels", label_text(dig(template, "metadata", "labels", default={})))]
    fields += _optional(("Service Account", spec.get("serviceAccountName")))
    fields += _containers(spec)
    volumes = [(volume["name"], _volume(volume)) for volume in spec.get("volumes") or ()]
    return fields + ([("Volumes", volumes)] if volumes else [])


def _selector(value: Object) -> str:
    return label_selector(dig(value, "spec", "selector", default={})) or "<none>"


def _workload(*, strategy: str, replicas: Callable[[Object, Object], str]) -> Callable[[Object], list[Field]]:
    def fields(value: Object) -> list[Field]:
        spec, status = value.get("spec") or {}, value.get("status") or {}
        how = spec.get(strategy) or {}
        detail = ", ".join(f"{key} {shown(item)}" for key, item in (how.get("rollingUpdate") or {}).items())
        return [
            ("Selector", _selector(value)),
            ("Replicas", replicas(spec, status)),
            *_optional(("Strategy", f"{how.get('type')} ({detail})" if detail else how.get("type"))),
            *_optional(("Paused", spec.get("paused")), ("Min Ready Seconds", spec.get("minReadySeconds"))),
            ("Pod Template", _template(spec.get("template"))),
            *_conditions(value),
        ]

    return fields


def _of_deployment(spec: Object, status: Object) -> str:
    counts = [("replicas", "total"), ("updatedReplicas", "updated"), ("availableReplicas", "available")]
    said = [f"{spec.get('replicas', 1)} desired", *(f"{status.get(key) or 0} {word}" for key, word in counts)]
    return " | ".join([*said, f"{status.get('unavailableReplicas') or 0} unavailable"])


def _of_set(spec: Object, status: Object) -> str:
    return f"{status.get('replicas') or 0} current / {spec.get('replicas', 1)} desired, {status.get('readyReplicas') or 0} ready"


def _of_daemon_set(spec: Object, status: Object) -> str:
    keys = {
        "desiredNumberScheduled": "desired",
        "currentNumberScheduled": "current",
        "updatedNumberScheduled": "up to date",
        "numberAvailable": "available",
        "numberReady": "ready",
        "numberMisscheduled": "misscheduled",
    }
    return ", ".join(f"{status.get(key) or 0} {word}" for key, word in keys.items())


def _job(value: Object) -> list[Field]:
    spec, status = value.get("spec") or {}, value.get("status") or {}
    counts = f"{status.get('active') or 0} active / {status.get('succeeded') or 0} succeeded / {status.get('failed') or 0} failed"
    return [
        ("Selector", _selector(value)),
        *_optional(
            ("Parallelism", spec.get("parallelism")),
            ("Completions", spec.get("completions")),
            ("Backoff Limit", spec.get("backoffLimit")),
            ("Suspend", spec.get("suspend")),
            ("Start Time", status.get("startTime")),
            ("Completed At", status.get("completionTime")),
        ),
        ("Pods Statuses", counts),
        ("Pod Template", _template(spec.get("template"))),
        *_conditions(value),
    ]


def _cron_job(value: Object) -> list[Field]:
    spec, status = value.get("spec") or {}, value.get("status") or {}
    active = [job.get("name", "") for job in status.get("active") or ()]
    return [
        *_optional(
            ("Schedule", spec.get("schedule")),
            ("Time Zone", spec.get("timeZone")),
            ("Concurrency Policy", spec.get("concurrencyPolicy")),
            ("Suspend", spec.get("suspend")),
            ("Successful Job History Limit", spec.get("successfulJobsHistoryLimit")),
            ("Failed Job History Limit", spec.get("failedJobsHistoryLimit")),
        ),
        ("Pod Template", _template(dig(spec, "jobTemplate", "spec", "template"))),
        ("Last Schedule Time", shown(status.get("lastScheduleTime")) or "<unset>"),
        ("Active Jobs", active or "<none>"),
    ]


def _autoscaler(value: Object) -> list[Field]:
    spec, status = value.get("spec") or {}, value.get("status") or {}
    target = spec.get("scaleTargetRef") or {}
    current = {_metric_name(metric): metric for metric in status.get("currentMetrics") or ()}
    metrics = [
        f"{name}: {_metric_value(current.get(name), 'current')} / {_metric_value(metric, 'target')}"
        for name, metric in ((_metric_name(metric), metric) for metric in spec.get("metrics") or ())
    ]
    return [
        ("Reference", f"{target.get('kind')}/{target.get('name')}"),
        ("Metrics (current / target)", metrics or "<none>"),
        ("Min replicas", shown(spec.get("minReplicas", 1))),
        ("Max replicas", shown(spec.get("maxReplicas"))),
        ("Replicas", f"{status.get('currentReplicas') or 0} current / {status.get('desiredReplicas') or 0} desired"),
        *_conditions(value),
    ]


def _metric(metric: Object) -> Object:
    kind = str(metric.get("type", ""))
    return metric.get(kind[:1].lower() + kind[1:]) or {}


def _metric_name(metric: Object) -> str:
    part = _metric(metric)
    return shown(part.get("name") or dig(part, "metric", "name") or metric.get("type"))


def _metric_value(metric: Object | None, key: str) -> str:
    values = _metric(metric or {}).get(key) or {}
    if values.get("averageUtilization") is not None:
        return f"{values['averageUtilization']}%"
    return shown(values.get("averageValue") or values.get("value")) or "<unknown>"


# --- network --------------------------------------------------------------------------------------------------------------


def _service(value: Object) -> list[Field]:
    spec = value.get("spec") or {}
    ports = [
        f"{port.get('name') or '<unset>'} {port.get('port')}/{port.get('protocol', 'TCP')} → {shown(port.get('targetPort'))}"
        + (f" (node port {port['nodePort']})" if port.get("nodePort") else "")
        for port in spec.get("ports") or ()
    ]
    return [
        ("Selector", label_text(spec.get("selector") or {})),
        ("Type", shown(spec.get("type"))),
        *_optional(
            ("IP", spec.get("clusterIP")),
            ("External Name", spec.get("externalName")),
            ("External IPs", ", ".join(spec.get("externalIPs") or ())),
            ("LoadBalancer Ingress", ", ".join(_balancers(value))),
            ("Session Affinity", spec.get("sessionAffinity")),
        ),
        ("Ports", ports or "<none>"),
    ]


def _balancers(value: Object) -> list[str]:
    found = dig(value, "status", "loadBalancer", "ingress", default=[])
    return [each.get("ip") or each.get("hostname") or "" for each in found]


def _ingress(value: Object) -> list[Field]:
    spec = value.get("spec") or {}
    rows = tuple(
        (shown(rule.get("host")) or "*", shown(path.get("path")) or "/", _backend(path.get("backend")))
        for rule in spec.get("rules") or ()
        for path in dig(rule, "http", "paths", default=[])
    )
    tls = [
        f"{each.get('secretName') or '<default>'} terminates {', '.join(each.get('hosts') or ())}"
        for each in spec.get("tls") or ()
    ]
    return [
        ("Address", ", ".join(_balancers(value)) or "<none>"),
        ("Ingress Class", shown(spec.get("ingressClassName")) or "<none>"),
        ("Default backend", _backend(spec.get("defaultBackend")) if spec.get("defaultBackend") else "<default>"),
        *_optional(("TLS", tls)),
        ("Rules", Table(("Host", "Path", "Backends"), rows) if rows else "<none>"),
    ]


def _backend(backend: Object | None) -> str:
    service = dig(backend, "service", default={})
    if service:
        port = service.get("port") or {}
        return f"{service.get('name')}:{shown(port.get('number') or port.get('name'))}"
    resource = dig(backend, "resource", default={})
    return f"{resource.get('kind')}/{resource.get('name')}" if resource else "<none>"


# --- configuration, storage, nodes ----------------------------------------------------------------------------------------


def _config_map(value: Object) -> list[Field]:
    binary = [f"{name} (binary)" for name in value.get("binaryData") or {}]
    data = [(name, shown(text)) for name, text in sorted((value.get("data") or {}).items())]
    return [("Data", data or "<none>"), *_optional(("BinaryData", binary))]


def _secret(value: Object) -> list[Field]:
    return [("Type", shown(value.get("type")))]


def secret_sizes(value: Object) -> list[Field] | str:
    """The keys of a Secret with the size of each value, as kubectl tells them; never a value."""
    return [(name, f"{_size(encoded)} bytes") for name, encoded in sorted((value.get("data") or {}).items())] or "<none>"


def _size(encoded: Any) -> int:
    try:
        return len(base64.b64decode(encoded or "", validate=True))
    except (binascii.Error, ValueError, TypeError):
        return 0


def _claim(value: Object) -> list[Field]:
    spec, status = value.get("spec") or {}, value.get("status") or {}
    return [
        ("StorageClass", shown(spec.get("storageClassName")) or "<none>"),
        ("Status", shown(status.get("phase"))),
        ("Volume", shown(spec.get("volumeName")) or "<none>"),
        ("Requested", shown(dig(spec, "resources", "requests", "storage"))),
        ("Capacity", shown(dig(status, "capacity", "storage")) or "<none>"),
        ("Access Modes", ", ".join(spec.get("accessModes") or ()) or "<none>"),
        ("VolumeMode", shown(spec.get("volumeMode"))),
        *_conditions(value),
    ]


def _namespace(value: Object) -> list[Field]:
    return [("Status", shown(dig(value, "status", "phase"))), *_conditions(value)]


def _node(value: Object) -> list[Field]:
    spec, status = value.get("spec") or {}, value.get("status") or {}
    labels = dig(value, "metadata", "labels", default={})
    roles = [key.removeprefix("node-role.kubernetes.io/") for key in labels if key.startswith("node-role.kubernetes.io/")]
    taints = [f"{t['key']}{'=' + t['value'] if t.get('value') else ''}:{t.get('effect')}" for t in spec.get("taints") or ()]
    info = status.get("nodeInfo") or {}
    names = ("kernelVersion", "osImage", "operatingSystem", "architecture", "containerRuntimeVersion", "kubeletVersion")
    return [
        ("Roles", ", ".join(sorted(roles)) or "<none>"),
        ("Taints", taints or "<none>"),
        ("Unschedulable", shown(bool(spec.get("unschedulable")))),
        *_conditions(value),
        ("Addresses", [f"{each.get('type')}: {each.get('address')}" for each in status.get("addresses") or ()] or "<none>"),
        ("Capacity", _texts(status.get("capacity"), "{}: {}")),
        ("Allocatable", _texts(status.get("allocatable"), "{}: {}")),
        ("System Info", [f"{name}: {info[name]}" for name in names if info.get(name)] or "<none>"),
    ]


KIND_FIELDS: Mapping[str, Callable[[Object], Sequence[Field]]] = {
    "pods": _pod,
    "deployments.apps": _workload(strategy="strategy", replicas=_of_deployment),
    "replicasets.apps": _workload(strategy="strategy", replicas=_of_set),
    "replicationcontrollers": _workload(strategy="strategy", replicas=_of_set),
    "statefulsets.apps": _workload(strategy="updateStrategy", replicas=_of_set),
    "daemonsets.apps": _workload(strategy="updateStrategy", replicas=_of_daemon_set),
    "jobs.batch": _job,
    "cronjobs.batch": _cron_job,
    "horizontalpodautoscalers.autoscaling": _autoscaler,
    "services": _service,
    "ingresses.networking.k8s.io": _ingress,
    "configmaps": _config_map,
    "secrets": _secret,
    "persistentvolumeclaims": _claim,
    "namespaces": _namespace,
    "nodes": _node,
}
"""By qualified plural. Any other kind is laid out as it is."""
