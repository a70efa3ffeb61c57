"""The cells of all other kinds' rows."""

from __future__ import annotations

from collections.abc import Callable

from k8s.sandbox.api.cells_workloads import NONE, UNKNOWN, UNSET, Cells, age_of, look, name_of, spec_of, status_of
from k8s.sandbox.objects import selectors, units
from k8s.sandbox.objects.errors import Json


def _more(listed: list[str], count: int, limit: int = 3, empty: str = UNSET) -> str:
    shown = ",".join(listed[:limit])
    return f"{shown} + {count - limit} more..." if count > limit else shown or empty


# network


def service(obj: Json) -> Cells:
    spec = obj.get("spec") or {}
    ports = ",".join(_port(one) for one in spec.get("ports") or ())
    inner = (spec.get("clusterIPs") or [NONE])[0]
    chosen = selectors.labels_text(spec.get("selector"))
    return [name_of(obj), spec.get("type"), inner, _external(obj, spec), ports or NONE, age_of(obj), chosen]


def _port(one: Json) -> str:
    node = f":{one['nodePort']}" if one.get("nodePort") else ""
    return f"{one['port']}{node}/{one.get('protocol', 'TCP')}"


def _balancer(obj: Json) -> str:
    found = status_of(obj, "loadBalancer", "ingress") or ()
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
    rules = spec_of(obj, "rules") or []
    hosts = [one["host"] for one in rules[:3] if one.get("host")]
    shown = ",".join(hosts) or "*"
    if hosts and len(rules) > 3:
        shown += f" + {len(rules) - 3} more..."
    ports = "80, 443" if spec_of(obj, "tls") else "80"
    return [name_of(obj), spec_of(obj, "ingressClassName") or NONE, shown, _balancer(obj), ports, age_of(obj)]


def ingress_class(obj: Json) -> Cells:
    parameters = spec_of(obj, "parameters")
    shown = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        shown = f"{parameters['kind']}{group}/{parameters['name']}"
    return [_default(obj, "ingressclass.kubernetes.io/is-default-class"), spec_of(obj, "controller"), shown, age_of(obj)]


def _default(obj: Json, annotation: str) -> str:
    marked = (obj["metadata"].get("annotations") or {}).get(annotation) == "true"
    return name_of(obj) + (" (default)" if marked else "")


def network_policy(obj: Json) -> Cells:
    return [name_of(obj), selectors.written(spec_of(obj, "podSelector")), age_of(obj)]


def endpoints(obj: Json) -> Cells:
    listed, count = [], 0
    for subset in obj.get("subsets") or ():
        addresses = [one["ip"] for one in subset.get("addresses") or ()]
        for port in subset.get("ports") or [None]:
            count += len(addresses)
            listed += [f"{one}:{port['port']}" if port else one for one in addresses]
    return [name_of(obj), _more(listed, count, empty=NONE) if obj.get("subsets") else NONE, age_of(obj)]


def endpoint_slice(obj: Json) -> Cells:
    ports = [str(one.get("port") or one.get("name") or "*") for one in obj.get("ports") or ()]
    addresses = [address for one in obj.get("endpoints") or () for address in one.get("addresses") or ()]
    return [name_of(obj), obj.get("addressType"), _more(ports, len(ports)), _more(addresses, len(addresses)), age_of(obj)]


# cluster and storage


def node(obj: Json) -> Cells:
    conditions = {one["type"]: one["status"] for one in status_of(obj, "conditions") or ()}
    state = {"True": "Ready", None: "Unknown"}.get(conditions.get("Ready"), "NotReady")
    if spec_of(obj, "unschedulable"):
        state += ",SchedulingDisabled"
    info = status_of(obj, "nodeInfo") or {}
    kernel = info.get("kernelVersion") or UNKNOWN
    if info.get("architecture"):
        kernel += f" ({info['architecture']})"
    return [
        name_of(obj), state, _roles(obj), age_of(obj), info.get("kubeletVersion", ""), _address(obj, "InternalIP"),
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
    return next((one["address"] for one in status_of(obj, "addresses") or () if one["type"] == kind), NONE)


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(found: list[str] | None) -> str:
    return ",".join(short for long, short in _MODES.items() if long in (found or ()))


def volume(obj: Json) -> Cells:
    claim = spec_of(obj, "claimRef")
    state = "Terminating" if obj["metadata"].get("deletionTimestamp") else status_of(obj, "phase") or ""
    return [
        name_of(obj), spec_of(obj, "capacity", "storage") or "0", _modes(spec_of(obj, "accessModes")),
        spec_of(obj, "persistentVolumeReclaimPolicy"), state, f"{claim.get('namespace')}/{claim.get('name')}" if claim else "",
        spec_of(obj, "storageClassName") or "", spec_of(obj, "volumeAttributesClassName") or UNSET,
        status_of(obj, "reason") or "", age_of(obj), spec_of(obj, "volumeMode") or UNSET,
    ]  # fmt: skip


def claim(obj: Json) -> Cells:
    bound = spec_of(obj, "volumeName") or ""
    state = "Terminating" if obj["metadata"].get("deletionTimestamp") else status_of(obj, "phase") or ""
    size = status_of(obj, "capacity", "storage") or "0" if bound else ""
    return [
        name_of(obj), state, bound, size, _modes(status_of(obj, "accessModes")) if bound else "",
        spec_of(obj, "storageClassName") or "", spec_of(obj, "volumeAttributesClassName") or UNSET, age_of(obj),
        spec_of(obj, "volumeMode") or UNSET,
    ]  # fmt: skip


def storage_class(obj: Json) -> Cells:
    name = _default(obj, "storageclass.kubernetes.io/is-default-class")
    mode = obj.get("volumeBindingMode", "Immediate")
    grows = bool(obj.get("allowVolumeExpansion"))
    return [name, obj.get("provisioner"), obj.get("reclaimPolicy", "Delete"), mode, grows, age_of(obj)]


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
        f"{who}, {where}" if where else who, obj.get("message", "").strip(), first, count, name_of(obj),
    ]  # fmt: skip


def quota(obj: Json) -> Cells:
    hard, used = status_of(obj, "hard") or {}, status_of(obj, "used") or {}
    shown = [(name, f"{name}: {used.get(name, '0')}/{hard[name]}") for name in sorted(hard)]
    requests = ", ".join(text for name, text in shown if not name.startswith("limits."))
    limits = ", ".join(text for name, text in shown if name.startswith("limits."))
    return [name_of(obj), requests, limits, age_of(obj)]


def binding(obj: Json) -> Cells:
    ref, subjects = obj.get("roleRef") or {}, obj.get("subjects") or ()
    users = ", ".join(one["name"] for one in subjects if one["kind"] == "User")
    groups = ", ".join(one["name"] for one in subjects if one["kind"] == "Group")
    accounts = [one for one in subjects if one["kind"] == "ServiceAccount"]
    shown = ", ".join(f"{one.get('namespace') or ''}/{one['name']}" for one in accounts)
    return [name_of(obj), f"{ref.get('kind')}/{ref.get('name')}", age_of(obj), users, groups, shown]


def priority_class(obj: Json) -> Cells:
    shown = [obj.get("value", 0), bool(obj.get("globalDefault")), age_of(obj), obj.get("preemptionPolicy", "")]
    return [name_of(obj), *shown]


def signing_request(obj: Json) -> Cells:
    kinds = {one["type"] for one in status_of(obj, "conditions") or ()}
    state = "Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"
    state += ",Failed" * ("Failed" in kinds) + ",Issued" * bool(status_of(obj, "certificate"))
    asked = spec_of(obj, "expirationSeconds")
    shown = units.human_duration(asked) if asked is not None else NONE
    return [name_of(obj), age_of(obj), spec_of(obj, "signerName") or NONE, spec_of(obj, "username") or "", shown, state]


def webhooks(obj: Json) -> Cells:
    return [name_of(obj), len(obj.get("webhooks") or ()), age_of(obj)]


def csi_driver(obj: Json) -> Cells:
    flags = [bool(spec_of(obj, one)) for one in ("attachRequired", "podInfoOnMount", "storageCapacity")]
    tokens = spec_of(obj, "tokenRequests")
    shown = UNSET if tokens is None else ",".join(one.get("audience", "") for one in tokens)
    modes = ",".join(spec_of(obj, "volumeLifecycleModes") or ()) or NONE
    return [name_of(obj), *flags, shown, bool(spec_of(obj, "requiresRepublish")), modes, age_of(obj)]


def flow_schema(obj: Json) -> Cells:
    how = spec_of(obj, "distinguisherMethod", "type") or NONE
    dangling = [one["status"] for one in status_of(obj, "conditions") or () if one["type"] == "Dangling"]
    level = spec_of(obj, "priorityLevelConfiguration", "name")
    return [name_of(obj), level, spec_of(obj, "matchingPrecedence"), how, age_of(obj), (dangling or ["?"])[0]]


def priority_level(obj: Json) -> Cells:
    limited = spec_of(obj, "limited") or {}
    queuing = look(limited, "limitResponse", "queuing") or {}
    fields = [queuing.get(one, NONE) for one in ("queues", "handSize", "queueLengthLimit")]
    return [name_of(obj), spec_of(obj, "type"), limited.get("nominalConcurrencyShares", NONE), *fields, age_of(obj)]


def api_service(obj: Json) -> Cells:
    service = spec_of(obj, "service")
    shown = f"{service.get('namespace')}/{service.get('name')}" if service else "Local"
    available = next((one for one in status_of(obj, "conditions") or () if one["type"] == "Available"), None)
    state = "Unknown" if available is None else available["status"]
    if available and state != "True":
        state += f" ({available.get('reason', '')})"
    return [name_of(obj), shown, state, age_of(obj)]


def simple(*fields: str, age: bool = True) -> Callable[[Json], Cells]:
    """Name, the values at dotted paths, age."""

    def cells(obj: Json) -> Cells:
        found = [look(obj, *path.split(".")) for path in fields]
        return [name_of(obj), *("" if one is None else one for one in found), *([age_of(obj)] if age else [])]

    return cells


def counted(*fields: str) -> Callable[[Json], Cells]:
    """Name, how many entries the fields have together, age."""
    return lambda obj: [name_of(obj), sum(len(look(obj, *path.split(".")) or ()) for path in fields), age_of(obj)]


def created_at(obj: Json) -> Cells:
    return [name_of(obj), obj["metadata"].get("creationTimestamp")]
