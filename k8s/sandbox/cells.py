"""The cells of each kind's row, as pkg/printers/internalversion of Kubernetes prints them (always with the wide ones)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from k8s.sandbox import selectors, units
from k8s.sandbox.errors import Json
from k8s.sandbox.store import controller_of

Cells = list[Any]
NONE, UNSET, UNKNOWN = "<none>", "<unset>", "<unknown>"


def _of(obj: Any, *path: str) -> Any:
    for part in path:
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


def _spec(obj: Json, *path: str) -> Any:
    return _of(obj, "spec", *path)


def _status(obj: Json, *path: str) -> Any:
    return _of(obj, "status", *path)


def _name(obj: Json) -> str:
    return str(obj["metadata"].get("name", ""))


def _age(obj: Json) -> str:
    return units.since(obj["metadata"].get("creationTimestamp"))


def _containers(listed: list[Json] | None) -> Cells:
    found = listed or []
    return [",".join(one.get("name", "") for one in found), ",".join(one.get("image", "") for one in found)]


def _template(obj: Json) -> Cells:
    return _containers(_spec(obj, "template", "spec", "containers"))


def _more(listed: list[str], count: int, limit: int = 3, empty: str = UNSET) -> str:
    shown = ",".join(listed[:limit])
    return f"{shown} + {count - limit} more..." if count > limit else shown or empty


# pods


def pod(obj: Json) -> Cells:
    """Name, ready, status, restarts, age; then ip, node, nominated node, readiness gates."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    reason, ready, restarts, last = _pod_state(spec, status)
    if obj["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    shown = f"{restarts} ({units.since(last)} ago)" if restarts and last else str(restarts)
    ips = status.get("podIPs") or ()
    total = len(spec.get("containers") or ()) + sum(_is_sidecar(one) for one in spec.get("initContainers") or ())
    return [
        _name(obj), f"{ready}/{total}", reason, shown, _age(obj), ips[0]["ip"] if ips else NONE,
        spec.get("nodeName") or NONE, status.get("nominatedNodeName") or NONE, _gates(spec, status),
    ]  # fmt: skip


def _is_sidecar(container: Json) -> bool:
    return container.get("restartPolicy") == "Always"


def _gates(spec: Json, status: Json) -> str:
    gates = spec.get("readinessGates") or ()
    if not gates:
        return NONE
    true = {one["type"] for one in status.get("conditions") or () if one["status"] == "True"}
    return f"{sum(one['conditionType'] in true for one in gates)}/{len(gates)}"


def _condition(status: Json, kind: str) -> bool:
    return any(one["type"] == kind and one["status"] == "True" for one in status.get("conditions") or ())


def _last_end(one: Json) -> str:
    return str(_of(one, "lastState", "terminated", "finishedAt") or "")


def _pod_state(spec: Json, status: Json) -> tuple[str, int, int, str]:
    """What the pod is doing, containers ready, restarts, and when the last one was."""
    reason = status.get("reason") or status.get("phase") or ""
    for one in status.get("conditions") or ():
        if one["type"] == "PodScheduled" and one.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    sidecars = {one["name"] for one in spec.get("initContainers") or () if _is_sidecar(one)}
    initial = _init_state(spec, status, sidecars)
    listed = status.get("containerStatuses") or []
    inits = status.get("initContainerStatuses") or []
    ready = sum(1 for one in inits if one.get("name") in sidecars and one.get("ready") and one.get("started"))
    if initial and not _condition(status, "Initialized"):
        counted = inits
        reason = initial
    else:
        counted = [*listed, *(one for one in inits if one.get("name") in sidecars)]
        reason = _running_state(reason, listed, status)
        ready += sum(1 for one in listed if one.get("ready") and "running" in (one.get("state") or {}))
    restarts = sum(one.get("restartCount", 0) for one in counted)
    return reason, ready, restarts, max((_last_end(one) for one in counted), default="")


def _init_state(spec: Json, status: Json, sidecars: set[str]) -> str:
    """`Init:…` while an init container holds the pod up, else an empty text."""
    total = len(spec.get("initContainers") or ())
    for place, one in enumerate(status.get("initContainerStatuses") or ()):
        state = one.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting")
        if (ended and ended.get("exitCode") == 0) or (one.get("name") in sidecars and one.get("started")):
            continue
        if ended:
            return f"Init:{_ended(ended)}"
        if waiting and waiting.get("reason") not in (None, "", "PodInitializing"):
            return f"Init:{waiting['reason']}"
        return f"Init:{place}/{total}"
    return ""


def _ended(ended: Json) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _running_state(reason: str, listed: list[Json], status: Json) -> str:
    running, fault = False, ""
    for one in reversed(listed):
        state = one.get("state") or {}
        if _of(state, "waiting", "reason"):
            reason = state["waiting"]["reason"]
        elif state.get("terminated"):
            reason = _ended(state["terminated"])
            fault = reason if state["terminated"].get("exitCode") else fault
        elif one.get("ready") and "running" in state:
            running = True
    if reason != "Completed":
        return reason
    if running and _condition(status, "Ready"):
        return "Running"
    return fault or ("NotReady" if running else reason)


# workloads


def deployment(obj: Json) -> Cells:
    ready = f"{_status(obj, 'readyReplicas') or 0}/{_spec(obj, 'replicas') or 0}"
    counts = [_status(obj, "updatedReplicas") or 0, _status(obj, "availableReplicas") or 0]
    chosen = selectors.written(_spec(obj, "selector"), "")
    return [_name(obj), ready, *counts, _age(obj), *_template(obj), chosen]


def replica_set(obj: Json) -> Cells:
    counts = [_spec(obj, "replicas") or 0, _status(obj, "replicas") or 0, _status(obj, "readyReplicas") or 0]
    return [_name(obj), *counts, _age(obj), *_template(obj), selectors.written(_spec(obj, "selector"))]


def controller(obj: Json) -> Cells:
    counts = [_spec(obj, "replicas") or 0, _status(obj, "replicas") or 0, _status(obj, "readyReplicas") or 0]
    return [_name(obj), *counts, _age(obj), *_template(obj), selectors.labels_text(_spec(obj, "selector"))]


def stateful_set(obj: Json) -> Cells:
    ready = f"{_status(obj, 'readyReplicas') or 0}/{_spec(obj, 'replicas') or 0}"
    return [_name(obj), ready, _age(obj), *_template(obj)]


def daemon_set(obj: Json) -> Cells:
    fields = "desiredNumberScheduled currentNumberScheduled numberReady updatedNumberScheduled numberAvailable"
    counts = [_status(obj, field) or 0 for field in fields.split()]
    nodes = selectors.labels_text(_spec(obj, "template", "spec", "nodeSelector"))
    return [_name(obj), *counts, nodes, _age(obj), *_template(obj), selectors.written(_spec(obj, "selector"))]


_JOB_STATES = ("Complete", "Failed", "", "Suspended", "FailureTarget", "SuccessCriteriaMet")


def job(obj: Json) -> Cells:
    status = obj.get("status") or {}
    wanted, parallel = _spec(obj, "completions"), _spec(obj, "parallelism") or 0
    total = f"{wanted}" if wanted is not None else f"1 of {parallel}" if parallel > 1 else "1"
    state = next((one for one in _JOB_STATES if _job_state(obj, one)), "Running")
    took = ""
    if status.get("startTime"):
        end = status.get("completionTime")
        took = units.since(status["startTime"], units.parse_time(end) if end else None)
    chosen = selectors.written(_spec(obj, "selector"))
    done = f"{status.get('succeeded', 0)}/{total}"
    return [_name(obj), state or "Terminating", done, took, _age(obj), *_template(obj), chosen]


def _job_state(obj: Json, state: str) -> bool:
    if not state:
        return bool(obj["metadata"].get("deletionTimestamp"))
    return _condition(obj.get("status") or {}, state)


def cron_job(obj: Json) -> Cells:
    last = _status(obj, "lastScheduleTime")
    template = _spec(obj, "jobTemplate", "spec") or {}
    return [
        _name(obj), _spec(obj, "schedule"), _spec(obj, "timeZone") or NONE,
        {True: "True", False: "False"}.get(_spec(obj, "suspend"), UNSET), len(_status(obj, "active") or ()),
        units.since(last) if last else NONE, _age(obj), *_containers(_of(template, "template", "spec", "containers")),
        selectors.written(template.get("selector")),
    ]  # fmt: skip


def pod_template(obj: Json) -> Cells:
    found = obj.get("template") or {}
    labels = selectors.labels_text(_of(found, "metadata", "labels"))
    return [_name(obj), *_containers(_of(found, "spec", "containers")), labels]


def controller_revision(obj: Json) -> Cells:
    owner = controller_of(obj)
    name = NONE
    if owner:
        group = owner["apiVersion"].rpartition("/")[0]
        name = f"{owner['kind'].lower()}{'.' + group if group else ''}/{owner['name']}"
    return [_name(obj), name, obj.get("revision", 0), _age(obj)]


def autoscaler(obj: Json) -> Cells:
    ref = _spec(obj, "scaleTargetRef") or {}
    least = _spec(obj, "minReplicas")
    return [
        _name(obj), f"{ref.get('kind')}/{ref.get('name')}", _metrics(_spec(obj, "metrics"), _status(obj, "currentMetrics")),
        str(least) if least is not None else UNSET, _spec(obj, "maxReplicas"), _status(obj, "currentReplicas") or 0,
        _age(obj),
    ]  # fmt: skip


def _metrics(specs: list[Json] | None, current: list[Json] | None) -> str:
    if not specs:
        return NONE
    shown = [_metric(one, (current or [])[at : at + 1]) for at, one in enumerate(specs)]
    text = ", ".join(shown[:2])
    return f"{text} + {len(shown) - 2} more..." if len(shown) > 2 else text


def _metric(spec: Json, current: list[Json]) -> str:
    kind = str(spec.get("type"))
    field = kind[0].lower() + kind[1:]
    target = _of(spec, field, "target") or {}
    now = _of(current[0] if current else {}, field, "current") or {}
    named = f"{_of(spec, field, 'name')}: " if "Resource" in kind else ""
    if target.get("averageValue"):
        note = " (avg)" if kind in ("External", "Object") else ""
        return f"{named}{now.get('averageValue', UNKNOWN)}/{target['averageValue']}{note}"
    if named:
        used, wanted = now.get("averageUtilization"), target.get("averageUtilization")
        return f"{named}{UNKNOWN if used is None else f'{used}%'}/{'<auto>' if wanted is None else f'{wanted}%'}"
    return f"{now.get('value', UNKNOWN)}/{target.get('value')}"


def budget(obj: Json) -> Cells:
    least, most = _spec(obj, "minAvailable"), _spec(obj, "maxUnavailable")
    shown = ["N/A" if one is None else str(one) for one in (least, most)]
    return [_name(obj), *shown, _status(obj, "disruptionsAllowed") or 0, _age(obj)]


# network


def service(obj: Json) -> Cells:
    spec = obj.get("spec") or {}
    ports = ",".join(_port(one) for one in spec.get("ports") or ())
    inner = (spec.get("clusterIPs") or [NONE])[0]
    chosen = selectors.labels_text(spec.get("selector"))
    return [_name(obj), spec.get("type"), inner, _external(obj, spec), ports or NONE, _age(obj), chosen]


def _port(one: Json) -> str:
    node = f":{one['nodePort']}" if one.get("nodePort") else ""
    return f"{one['port']}{node}/{one.get('protocol', 'TCP')}"


def _balancer(obj: Json) -> str:
    found = _status(obj, "loadBalancer", "ingress") or ()
    return ",".join(sorted({one.get("ip") or one.get("hostname") or "" for one in found} - {""}))


def _external(obj: Json, spec: Json) -> str:
    kind, given = spec.get("type"), spec.get("externalIPs") or []
    if kind == "ExternalName":
        return str(spec.get("externalName"))
    if kind == "LoadBalancer":
        addresses = [one for one in _balancer(obj).split(",") if one]
        return ",".join([*addresses, *given]) or "<pending>"
    return ",".join(given) or NONE


def ingress(obj: Json) -> Cells:
    rules = _spec(obj, "rules") or []
    hosts = [one["host"] for one in rules[:3] if one.get("host")]
    shown = ",".join(hosts) or "*"
    if hosts and len(rules) > 3:
        shown += f" + {len(rules) - 3} more..."
    ports = "80, 443" if _spec(obj, "tls") else "80"
    return [_name(obj), _spec(obj, "ingressClassName") or NONE, shown, _balancer(obj), ports, _age(obj)]


def ingress_class(obj: Json) -> Cells:
    parameters = _spec(obj, "parameters")
    shown = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        shown = f"{parameters['kind']}{group}/{parameters['name']}"
    return [_default(obj, "ingressclass.kubernetes.io/is-default-class"), _spec(obj, "controller"), shown, _age(obj)]


def _default(obj: Json, annotation: str) -> str:
    marked = (obj["metadata"].get("annotations") or {}).get(annotation) == "true"
    return _name(obj) + (" (default)" if marked else "")


def network_policy(obj: Json) -> Cells:
    return [_name(obj), selectors.written(_spec(obj, "podSelector")), _age(obj)]


def endpoints(obj: Json) -> Cells:
    listed, count = [], 0
    for subset in obj.get("subsets") or ():
        addresses = [one["ip"] for one in subset.get("addresses") or ()]
        for port in subset.get("ports") or [None]:
            count += len(addresses)
            listed += [f"{one}:{port['port']}" if port else one for one in addresses]
    return [_name(obj), _more(listed, count, empty=NONE) if obj.get("subsets") else NONE, _age(obj)]


def endpoint_slice(obj: Json) -> Cells:
    ports = [str(one.get("port") or one.get("name") or "*") for one in obj.get("ports") or ()]
    addresses = [address for one in obj.get("endpoints") or () for address in one.get("addresses") or ()]
    return [_name(obj), obj.get("addressType"), _more(ports, len(ports)), _more(addresses, len(addresses)), _age(obj)]


# cluster and storage


def node(obj: Json) -> Cells:
    conditions = {one["type"]: one["status"] for one in _status(obj, "conditions") or ()}
    state = {"True": "Ready", None: "Unknown"}.get(conditions.get("Ready"), "NotReady")
    if _spec(obj, "unschedulable"):
        state += ",SchedulingDisabled"
    info = _status(obj, "nodeInfo") or {}
    kernel = info.get("kernelVersion") or UNKNOWN
    if info.get("architecture"):
        kernel += f" ({info['architecture']})"
    return [
        _name(obj), state, _roles(obj), _age(obj), info.get("kubeletVersion", ""), _address(obj, "InternalIP"),
        _address(obj, "ExternalIP"), info.get("osImage") or UNKNOWN, kernel,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]  # fmt: skip


def _roles(obj: Json) -> str:
    found = set()
    for key, value in (obj["metadata"].get("labels") or {}).items():
        if key.startswith("node-role.kubernetes.io/"):
            found.add(key.partition("/")[2])
        elif key == "kubernetes.io/role":
            found.add(value)
    return ",".join(sorted(found - {""})) or NONE


def _address(obj: Json, kind: str) -> str:
    return next((one["address"] for one in _status(obj, "addresses") or () if one["type"] == kind), NONE)


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(found: list[str] | None) -> str:
    return ",".join(short for long, short in _MODES.items() if long in (found or ()))


def volume(obj: Json) -> Cells:
    claim = _spec(obj, "claimRef")
    state = "Terminating" if obj["metadata"].get("deletionTimestamp") else _status(obj, "phase") or ""
    return [
        _name(obj), _spec(obj, "capacity", "storage") or "0", _modes(_spec(obj, "accessModes")),
        _spec(obj, "persistentVolumeReclaimPolicy"), state, f"{claim.get('namespace')}/{claim.get('name')}" if claim else "",
        _spec(obj, "storageClassName") or "", _spec(obj, "volumeAttributesClassName") or UNSET,
        _status(obj, "reason") or "", _age(obj), _spec(obj, "volumeMode") or UNSET,
    ]  # fmt: skip


def claim(obj: Json) -> Cells:
    bound = _spec(obj, "volumeName") or ""
    state = "Terminating" if obj["metadata"].get("deletionTimestamp") else _status(obj, "phase") or ""
    size = _status(obj, "capacity", "storage") or "0" if bound else ""
    return [
        _name(obj), state, bound, size, _modes(_status(obj, "accessModes")) if bound else "",
        _spec(obj, "storageClassName") or "", _spec(obj, "volumeAttributesClassName") or UNSET, _age(obj),
        _spec(obj, "volumeMode") or UNSET,
    ]  # fmt: skip


def storage_class(obj: Json) -> Cells:
    name = _default(obj, "storageclass.kubernetes.io/is-default-class")
    mode = obj.get("volumeBindingMode", "Immediate")
    grows = bool(obj.get("allowVolumeExpansion"))
    return [name, obj.get("provisioner"), obj.get("reclaimPolicy", "Delete"), mode, grows, _age(obj)]


def event(obj: Json) -> Cells:
    series = obj.get("series")
    first = units.since(obj.get("firstTimestamp") or obj.get("eventTime"))
    last = units.since(obj["lastTimestamp"]) if obj.get("lastTimestamp") else first
    count = obj.get("count") or 1
    if series:
        last, count = units.since(series.get("lastObservedTime")), series.get("count", 0)
    about = obj.get("involvedObject") or {}
    target = about.get("kind", "").lower() + (f"/{about['name']}" if about.get("name") else "")
    source = obj.get("source") or {}
    who = source.get("component") or obj.get("reportingComponent") or ""
    where = source.get("host") or obj.get("reportingInstance") or ""
    return [
        last, obj.get("type", ""), obj.get("reason", ""), target, about.get("fieldPath", ""),
        f"{who}, {where}" if where else who, obj.get("message", "").strip(), first, count, _name(obj),
    ]  # fmt: skip


def quota(obj: Json) -> Cells:
    hard, used = _status(obj, "hard") or {}, _status(obj, "used") or {}
    shown = [(name, f"{name}: {used.get(name, '0')}/{hard[name]}") for name in sorted(hard)]
    requests = ", ".join(text for name, text in shown if not name.startswith("limits."))
    limits = ", ".join(text for name, text in shown if name.startswith("limits."))
    return [_name(obj), requests, limits, _age(obj)]


def binding(obj: Json) -> Cells:
    ref, subjects = obj.get("roleRef") or {}, obj.get("subjects") or ()
    users = ", ".join(one["name"] for one in subjects if one["kind"] == "User")
    groups = ", ".join(one["name"] for one in subjects if one["kind"] == "Group")
    accounts = [one for one in subjects if one["kind"] == "ServiceAccount"]
    shown = ", ".join(f"{one.get('namespace') or ''}/{one['name']}" for one in accounts)
    return [_name(obj), f"{ref.get('kind')}/{ref.get('name')}", _age(obj), users, groups, shown]


def priority_class(obj: Json) -> Cells:
    shown = [obj.get("value", 0), bool(obj.get("globalDefault")), _age(obj), obj.get("preemptionPolicy", "")]
    return [_name(obj), *shown]


def signing_request(obj: Json) -> Cells:
    kinds = {one["type"] for one in _status(obj, "conditions") or ()}
    state = "Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"
    state += ",Failed" * ("Failed" in kinds) + ",Issued" * bool(_status(obj, "certificate"))
    asked = _spec(obj, "expirationSeconds")
    shown = units.human_duration(asked) if asked is not None else NONE
    return [_name(obj), _age(obj), _spec(obj, "signerName") or NONE, _spec(obj, "username") or "", shown, state]


def webhooks(obj: Json) -> Cells:
    return [_name(obj), len(obj.get("webhooks") or ()), _age(obj)]


def csi_driver(obj: Json) -> Cells:
    flags = [bool(_spec(obj, one)) for one in ("attachRequired", "podInfoOnMount", "storageCapacity")]
    tokens = _spec(obj, "tokenRequests")
    shown = UNSET if tokens is None else ",".join(one.get("audience", "") for one in tokens)
    modes = ",".join(_spec(obj, "volumeLifecycleModes") or ()) or NONE
    return [_name(obj), *flags, shown, bool(_spec(obj, "requiresRepublish")), modes, _age(obj)]


def flow_schema(obj: Json) -> Cells:
    how = _spec(obj, "distinguisherMethod", "type") or NONE
    dangling = [one["status"] for one in _status(obj, "conditions") or () if one["type"] == "Dangling"]
    level = _spec(obj, "priorityLevelConfiguration", "name")
    return [_name(obj), level, _spec(obj, "matchingPrecedence"), how, _age(obj), (dangling or ["?"])[0]]


def priority_level(obj: Json) -> Cells:
    limited = _spec(obj, "limited") or {}
    queuing = _of(limited, "limitResponse", "queuing") or {}
    fields = [queuing.get(one, NONE) for one in ("queues", "handSize", "queueLengthLimit")]
    return [_name(obj), _spec(obj, "type"), limited.get("nominalConcurrencyShares", NONE), *fields, _age(obj)]


def api_service(obj: Json) -> Cells:
    service = _spec(obj, "service")
    shown = f"{service.get('namespace')}/{service.get('name')}" if service else "Local"
    available = next((one for one in _status(obj, "conditions") or () if one["type"] == "Available"), None)
    state = "Unknown" if available is None else available["status"]
    if available and state != "True":
        state += f" ({available.get('reason', '')})"
    return [_name(obj), shown, state, _age(obj)]


def _simple(*fields: str, age: bool = True) -> Callable[[Json], Cells]:
    """Name, the values at dotted paths, age."""

    def cells(obj: Json) -> Cells:
        found = [_of(obj, *path.split(".")) for path in fields]
        return [_name(obj), *("" if one is None else one for one in found), *([_age(obj)] if age else [])]

    return cells


def _counted(*fields: str) -> Callable[[Json], Cells]:
    """Name, how many entries the fields have together, age."""
    return lambda obj: [_name(obj), sum(len(_of(obj, *path.split(".")) or ()) for path in fields), _age(obj)]


# resource id → its columns and the function that fills them. A column is `Name[:type][:format]`, wide with a `*`.
_WIDE = "Containers* Images* Selector*"
PRINTERS: dict[str, tuple[str, Callable[[Json], Cells]]] = {
    "pods": ("Name Ready Status Restarts Age IP* Node* Nominated_Node* Readiness_Gates*", pod),
    "podtemplates": ("Name Containers Images Pod_Labels", pod_template),
    "deployments.apps": (f"Name Ready Up-to-date Available Age {_WIDE}", deployment),
    "replicasets.apps": (f"Name Desired:integer Current:integer Ready:integer Age {_WIDE}", replica_set),
    "replicationcontrollers": (f"Name Desired:integer Current:integer Ready:integer Age {_WIDE}", controller),
    "statefulsets.apps": ("Name Ready Age Containers* Images*", stateful_set),
    "daemonsets.apps": (
        "Name Desired:integer Current:integer Ready:integer Up-to-date:integer Available:integer Node_Selector Age " + _WIDE,
        daemon_set,
    ),
    "controllerrevisions.apps": ("Name Controller Revision Age", controller_revision),
    "jobs.batch": (f"Name Status Completions Duration Age {_WIDE}", job),
    "cronjobs.batch": (
        f"Name Schedule Timezone Suspend:boolean Active:integer Last_Schedule Age {_WIDE}",
        cron_job,
    ),
    "horizontalpodautoscalers.autoscaling": ("Name Reference Targets MinPods MaxPods Replicas Age", autoscaler),
    "poddisruptionbudgets.policy": ("Name Min_Available Max_Unavailable Allowed_Disruptions:integer Age", budget),
    "services": ("Name Type Cluster-IP External-IP Port(s) Age Selector*", service),
    "ingresses.networking.k8s.io": ("Name Class Hosts Address Ports Age", ingress),
    "ingressclasses.networking.k8s.io": ("Name Controller Parameters Age", ingress_class),
    "networkpolicies.networking.k8s.io": ("Name Pod-Selector Age", network_policy),
    "endpoints": ("Name Endpoints Age", endpoints),
    "endpointslices.discovery.k8s.io": ("Name AddressType Ports Endpoints Age", endpoint_slice),
    "nodes": (
        "Name Status Roles Age Version Internal-IP* External-IP* OS-Image* Kernel-Version* Container-Runtime*",
        node,
    ),
    "namespaces": ("Name Status Age", _simple("status.phase")),
    "secrets": ("Name Type Data Age", lambda o: [_name(o), o.get("type", ""), len(o.get("data") or ()), _age(o)]),
    "configmaps": ("Name Data Age", _counted("data", "binaryData")),
    "serviceaccounts": ("Name Age", _simple()),
    "persistentvolumes": (
        "Name Capacity Access_Modes Reclaim_Policy Status Claim StorageClass VolumeAttributesClass Reason Age VolumeMode*",
        volume,
    ),
    "persistentvolumeclaims": (
        "Name Status Volume Capacity Access_Modes StorageClass VolumeAttributesClass Age VolumeMode*",
        claim,
    ),
    "storageclasses.storage.k8s.io": (
        "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age",
        storage_class,
    ),
    "volumeattributesclasses.storage.k8s.io": ("Name DriverName Age", _simple("driverName")),
    "volumeattachments.storage.k8s.io": (
        "Name Attacher::name PV Node Attached:boolean Age",
        _simple("spec.attacher", "spec.source.persistentVolumeName", "spec.nodeName", "status.attached"),
    ),
    "csinodes.storage.k8s.io": ("Name Drivers:integer Age", _counted("spec.drivers")),
    "csidrivers.storage.k8s.io": (
        "Name AttachRequired:boolean PodInfoOnMount:boolean StorageCapacity:boolean TokenRequests "
        "RequiresRepublish:boolean Modes Age",
        csi_driver,
    ),
    "apiservices.apiregistration.k8s.io": ("Name Service Available Age", api_service),
    "events": (
        "Last_Seen Type Reason Object Subobject* Source* Message First_Seen* Count* Name*::name",
        event,
    ),
    "resourcequotas": ("Name Request Limit Age", quota),
    "rolebindings.rbac.authorization.k8s.io": ("Name Role Age Users* Groups* ServiceAccounts*", binding),
    "clusterrolebindings.rbac.authorization.k8s.io": ("Name Role Age Users* Groups* ServiceAccounts*", binding),
    "priorityclasses.scheduling.k8s.io": (
        "Name Value:integer Global-Default:boolean Age PreemptionPolicy",
        priority_class,
    ),
    "leases.coordination.k8s.io": ("Name Holder Age", _simple("spec.holderIdentity")),
    "runtimeclasses.node.k8s.io": ("Name Handler Age", _simple("handler")),
    "certificatesigningrequests.certificates.k8s.io": (
        "Name Age SignerName Requestor RequestedDuration Condition",
        signing_request,
    ),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": ("Name Webhooks:integer Age", webhooks),
    "validatingwebhookconfigurations.admissionregistration.k8s.io": ("Name Webhooks:integer Age", webhooks),
    "flowschemas.flowcontrol.apiserver.k8s.io": (
        "Name PriorityLevel MatchingPrecedence DistinguisherMethod Age MissingPL",
        flow_schema,
    ),
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": (
        "Name Type NominalConcurrencyShares Queues HandSize QueueLengthLimit Age",
        priority_level,
    ),
}
# Printed by the default printer: name and creation time.
DEFAULT = "Name Created_At:date"


def created_at(obj: Json) -> Cells:
    return [_name(obj), obj["metadata"].get("creationTimestamp")]
