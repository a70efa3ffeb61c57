"""The checks that an object must pass, with the server's own words for what is wrong.

After pkg/apis/*/validation of Kubernetes: not every rule there, but those that people run into.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Any

from k8s.sandbox import names, selectors, units
from k8s.sandbox.errors import (
    Cause,
    Json,
    duplicate,
    invalid,
    invalid_object,
    missing,
    prohibited,
    required,
    too_long,
    unsupported,
)
from k8s.sandbox.kinds import Kind

IMMUTABLE = "field is immutable"
NEGATIVE = "must be greater than or equal to 0"
Causes = Iterable[Cause]


def created(kind: Kind, obj: Json) -> None:
    """422 where a new object breaks a rule."""
    causes = list(_meta(kind, obj["metadata"]))
    rule = _RULES.get(kind.id)
    if rule:
        causes += rule(obj)
    elif kind.crd is not None:
        causes += _custom(obj, (kind.crd.get("schema") or {}).get("openAPIV3Schema") or {}, "")
    _refuse(kind, obj, causes)


def updated(kind: Kind, obj: Json, old: Json, sub: str = "") -> None:
    """422 where a changed object breaks a rule, or changes what cannot be changed."""
    causes = list(_meta_update(kind, obj["metadata"], old["metadata"]))
    if not sub:
        rule = _RULES.get(kind.id)
        if rule:
            causes += rule(obj)
        elif kind.crd is not None:
            causes += _custom(obj, (kind.crd.get("schema") or {}).get("openAPIV3Schema") or {}, "")
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
    yield from _annotations(meta.get("annotations"), "metadata.annotations")


def labels(found: Any, path: str) -> Causes:
    for key, value in (found or {}).items():
        for fault in names.qualified_name(key):
            yield invalid(path, key, fault)
        for fault in names.label_value(value):
            yield invalid(path, value, fault)


def _annotations(found: Any, path: str) -> Causes:
    total = 0
    for key, value in (found or {}).items():
        total += len(key) + len(value)
        for fault in names.qualified_name(key.lower()):
            yield invalid(path, key, fault)
    if total > 262144:
        yield too_long(path, 262144)


def _meta_update(kind: Kind, meta: Json, old: Json) -> Causes:
    if meta.get("uid") != old.get("uid"):
        yield from [invalid("metadata.uid", meta.get("uid"), IMMUTABLE)] * 2  # the real server checks twice
    yield from labels(meta.get("labels"), "metadata.labels")
    yield from _annotations(meta.get("annotations"), "metadata.annotations")
    added = [one for one in meta.get("finalizers") or () if one not in (old.get("finalizers") or ())]
    if old.get("deletionTimestamp") and added:
        listed = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{', '.join(map(_quote, added))}}}"
        yield prohibited("metadata.finalizers", listed)


def _quote(text: str) -> str:
    return f'"{text}"'


# pods and templates

RESTART = ["Always", "OnFailure", "Never"]
PULL = ["Always", "IfNotPresent", "Never"]
PROTOCOLS = ["SCTP", "TCP", "UDP"]


def _pod(obj: Json) -> Causes:
    yield from pod_spec(obj.get("spec") or {}, "spec")


def pod_spec(spec: Json, path: str, claims: Iterable[str] = ()) -> Causes:
    volumes = {*claims, *(one.get("name") for one in spec.get("volumes") or ())}
    yield from _volumes(spec.get("volumes") or [], f"{path}.volumes")
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    seen: set[str] = set()
    for listed in ("containers", "initContainers"):
        for place, one in enumerate(spec.get(listed) or ()):
            where = f"{path}.{listed}[{place}]"
            if one.get("name") in seen:
                yield duplicate(f"{where}.name", one["name"])
            seen.add(one.get("name", ""))
            yield from _container(one, where, volumes)
    if spec.get("restartPolicy") not in RESTART:
        yield unsupported(f"{path}.restartPolicy", spec.get("restartPolicy", ""), RESTART)
    if spec.get("dnsPolicy") not in ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"):
        options = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]
        yield unsupported(f"{path}.dnsPolicy", spec.get("dnsPolicy", ""), options)
    yield from labels(spec.get("nodeSelector"), f"{path}.nodeSelector")


def _volumes(volumes: list[Json], path: str) -> Causes:
    seen: set[str] = set()
    for place, one in enumerate(volumes):
        where, name = f"{path}[{place}]", one.get("name", "")
        if not name:
            yield required(f"{where}.name")
        elif name in seen:
            yield duplicate(f"{where}.name", name)
        else:
            for fault in names.label(name):
                yield invalid(f"{where}.name", name, fault)
        seen.add(name)
        if len(one) > 2:
            extra = sorted(key for key in one if key != "name")[1]
            yield prohibited(f"{where}.{extra}", "may not specify more than 1 volume type")


def _container(one: Json, path: str, volumes: set[Any]) -> Causes:
    name = one.get("name", "")
    if not name:
        yield required(f"{path}.name")
    else:
        for fault in names.label(name):
            yield invalid(f"{path}.name", name, fault)
    image = one.get("image", "")
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from _ports(one.get("ports") or [], f"{path}.ports")
    yield from _env(one.get("env") or [], f"{path}.env")
    yield from _mounts(one.get("volumeMounts") or [], f"{path}.volumeMounts", volumes)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if one.get(probe):
            yield from _probe(one[probe], f"{path}.{probe}", probe)
    yield from resources(one.get("resources") or {}, f"{path}.resources")
    if one.get("imagePullPolicy") not in PULL:
        yield unsupported(f"{path}.imagePullPolicy", one.get("imagePullPolicy", ""), PULL)


def _ports(ports: list[Json], path: str) -> Causes:
    seen: set[str] = set()
    for place, one in enumerate(ports):
        where = f"{path}[{place}]"
        number = one.get("containerPort", 0)
        if one.get("name"):
            for fault in _port_name(one["name"]):
                yield invalid(f"{where}.name", one["name"], fault)
            if one["name"] in seen:
                yield duplicate(f"{where}.name", one["name"])
            seen.add(one["name"])
        if not number:
            yield required(f"{where}.containerPort")
        elif not 0 < number < 65536:
            yield invalid(f"{where}.containerPort", number, "must be between 1 and 65535, inclusive")
        if one.get("protocol") not in PROTOCOLS:
            yield unsupported(f"{where}.protocol", one.get("protocol", ""), PROTOCOLS)


def _port_name(name: str) -> Iterable[str]:
    if len(name) > 15:
        yield "must be no more than 15 characters"
    if not re.fullmatch("[-a-z0-9]+", name):
        yield "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not re.search("[a-z]", name):
        yield "must contain at least one letter (a-z)"
    if "--" in name:
        yield "must not contain consecutive hyphens"
    if name.startswith("-") or name.endswith("-"):
        yield "must not begin or end with a hyphen"


def _env(env: list[Json], path: str) -> Causes:
    for place, one in enumerate(env):
        name = one.get("name", "")
        if not name:
            yield required(f"{path}[{place}].name")
        elif "=" in name or not name.isprintable():
            fault = "a valid environment variable name must consist only of printable ASCII characters other than '='"
            yield invalid(f"{path}[{place}].name", name, fault)
        if one.get("valueFrom") is not None and one.get("value"):
            fault = "may not be specified when `value` is not empty"
            yield invalid(f"{path}[{place}].valueFrom", "", fault)


def _mounts(mounts: list[Json], path: str, volumes: set[Any]) -> Causes:
    seen: set[str] = set()
    for place, one in enumerate(mounts):
        where = f"{path}[{place}]"
        if not one.get("name"):
            yield required(f"{where}.name")
        elif one["name"] not in volumes:
            yield missing(f"{where}.name", one["name"])
        if not one.get("mountPath"):
            yield required(f"{where}.mountPath")
        elif one["mountPath"] in seen:
            yield invalid(f"{where}.mountPath", one["mountPath"], "must be unique")
        seen.add(one.get("mountPath", ""))


def _probe(probe: Json, path: str, name: str) -> Causes:
    handlers = [one for one in ("exec", "httpGet", "tcpSocket", "grpc") if one in probe]
    if not handlers:
        yield required(path, "must specify a handler type")
    elif len(handlers) > 1:
        yield prohibited(f"{path}.{handlers[1]}", "may not specify more than 1 handler type")
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        if probe.get(field, 0) < 0:
            yield invalid(f"{path}.{field}", probe[field], NEGATIVE)
    if name != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        yield invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def resources(found: Json, path: str) -> Causes:
    limits, requests = found.get("limits") or {}, found.get("requests") or {}
    for field, listed in (("limits", limits), ("requests", requests)):
        for name, amount in listed.items():
            if units.quantity(amount) < 0:
                yield invalid(f"{path}.{field}[{name}]", amount, NEGATIVE)
    for name, amount in requests.items():
        limit = limits.get(name)
        if limit is not None and units.quantity(amount) > units.quantity(limit):
            yield invalid(f"{path}.requests", amount, f"must be less than or equal to {name} limit of {limit}")


def template(found: Json, path: str, claims: Iterable[str] = ()) -> Causes:
    meta = found.get("metadata") or {}
    yield from labels(meta.get("labels"), f"{path}.labels")
    yield from _annotations(meta.get("annotations"), f"{path}.annotations")
    yield from pod_spec(found.get("spec") or {}, f"{path}.spec", claims)


# workloads


def _count(spec: Json, *fields: str) -> Causes:
    for field in fields:
        if isinstance(spec.get(field), int) and spec[field] < 0:
            yield invalid(f"spec.{field}", spec[field], NEGATIVE)


def _selected(spec: Json, kind: str) -> Causes:
    selector = spec.get("selector")
    found = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if selector is None:
        yield required("spec.selector")
        if kind != "statefulset" and kind != "daemonset":
            yield invalid("spec.template.metadata.labels", found or None, "`selector` does not match template `labels`")
        return
    for key, value in (selector.get("matchLabels") or {}).items():
        yield from labels({key: value}, "spec.selector.matchLabels")
    for place, one in enumerate(selector.get("matchExpressions") or ()):
        if one.get("operator") not in ("In", "NotIn", "Exists", "DoesNotExist"):
            fault = "not a valid selector operator"
            yield invalid(f"spec.selector.matchExpressions[{place}].operator", one.get("operator", ""), fault)
            return
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid("spec.selector", {}, f"empty selector is invalid for {kind}")
        return
    found = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if not selectors.matches(selectors.from_object(selector), found):
        yield invalid("spec.template.metadata.labels", found or None, "`selector` does not match template `labels`")


def _always(spec: Json) -> Causes:
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy", "Always")
    if policy in RESTART and policy != "Always":
        yield unsupported("spec.template.spec.restartPolicy", policy, ["Always"])


def _deployment(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    yield from _count(spec, "replicas")
    yield from _selected(spec, "deployment")
    yield from template(spec.get("template") or {}, "spec.template")
    yield from _always(spec)
    yield from _strategy(spec.get("strategy") or {})
    yield from _count(spec, "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline = spec.get("progressDeadlineSeconds", 600)
    if deadline <= spec.get("minReadySeconds", 0):
        yield invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _strategy(strategy: Json) -> Causes:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind not in ("Recreate", "RollingUpdate"):
        shown = {"Type": kind or "", "RollingUpdate": rolling}
        yield unsupported("spec.strategy", shown, ["Recreate", "RollingUpdate"])
    elif kind == "Recreate" and rolling is not None:
        fault = "may not be specified when strategy `type` is 'Recreate'"
        yield prohibited("spec.strategy.rollingUpdate", fault)
    elif rolling is not None:
        yield from _int_or_percent(rolling, "maxUnavailable", "spec.strategy.rollingUpdate")
        yield from _int_or_percent(rolling, "maxSurge", "spec.strategy.rollingUpdate")
        if all(str(rolling.get(one)) in ("0", "0%") for one in ("maxUnavailable", "maxSurge")):
            fault = "may not be 0 when `maxSurge` is 0"
            yield invalid("spec.strategy.rollingUpdate.maxUnavailable", rolling["maxUnavailable"], fault)


def _int_or_percent(found: Json, field: str, path: str) -> Causes:
    value = found.get(field)
    if isinstance(value, str) and not re.fullmatch("[0-9]+%", value):
        fault = (
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
            "regex used for validation is '[0-9]+%')"
        )
        yield invalid(f"{path}.{field}", value, fault)
    elif isinstance(value, int) and value < 0:
        yield invalid(f"{path}.{field}", value, NEGATIVE)


def _replica_set(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    yield from _count(spec, "replicas", "minReadySeconds")
    yield from _selected(spec, "replicaset")
    yield from template(spec.get("template") or {}, "spec.template")
    yield from _always(spec)


def _stateful_set(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    yield from _count(spec, "replicas", "minReadySeconds")
    yield from _selected(spec, "statefulset")
    claims = [one["metadata"].get("name", "") for one in spec.get("volumeClaimTemplates") or ()]
    yield from template(spec.get("template") or {}, "spec.template", claims)
    yield from _always(spec)
    if spec.get("podManagementPolicy") not in ("OrderedReady", "Parallel"):
        fault = "must be 'OrderedReady' or 'Parallel'"
        yield invalid("spec.podManagementPolicy", spec.get("podManagementPolicy"), fault)


def _daemon_set(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    yield from _selected(spec, "daemonset")
    yield from template(spec.get("template") or {}, "spec.template")
    yield from _always(spec)


def _job(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    yield from _count(spec, "parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished")
    yield from template(spec.get("template") or {}, "spec.template")
    yield from _ends(spec, "spec")


def _ends(spec: Json, path: str) -> Causes:
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy", "Always")
    if policy == "Always":
        where = f"{path}.template.spec.restartPolicy"
        yield Cause("FieldValueRequired", where, 'Required value: valid values: "OnFailure", "Never"')


def _cron_job(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    if len(obj["metadata"].get("name", "")) > 52:
        yield invalid("metadata.name", obj["metadata"]["name"], "must be no more than 52 characters")
    if not spec.get("schedule"):
        yield required("spec.schedule")
    else:
        fault = _schedule_fault(spec["schedule"])
        if fault:
            yield invalid("spec.schedule", spec["schedule"], fault)
    if spec.get("concurrencyPolicy") not in ("Allow", "Forbid", "Replace"):
        yield unsupported("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ["Allow", "Forbid", "Replace"])
    inner = (spec.get("jobTemplate") or {}).get("spec") or {}
    for cause in template(inner.get("template") or {}, "spec.jobTemplate.spec.template"):
        yield cause
    yield from _ends(inner, "spec.jobTemplate.spec")


_CRON_FIELDS = ((0, 59, ""), (0, 23, ""), (1, 31, ""), (1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"),
                (0, 6, "sun mon tue wed thu fri sat"))  # fmt: skip


def _schedule_fault(schedule: str) -> str:
    """What is wrong with a cron schedule, in the words of the library that the controller reads it with."""
    if schedule.startswith("@"):
        known = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
        ok = schedule in known or schedule.startswith("@every ")
        return "" if ok else f"unrecognized descriptor: {schedule}"
    fields = schedule.split()
    if len(fields) != 5:
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    faults = (_range_fault(part, *_CRON_FIELDS[at]) for at, field in enumerate(fields) for part in field.split(","))
    return next((fault for fault in faults if fault), "")


def _range_fault(text: str, least: int, most: int, words: str) -> str:
    bounds, _, step = text.partition("/")
    if step and (not step.isdigit() or not int(step)):
        return f'failed to parse int from {step}: strconv.Atoi: parsing "{step}": invalid syntax'
    if bounds in ("*", "?"):
        return ""
    ends = []
    for one in bounds.split("-")[:2]:
        named = words.split()
        if one.lower() in named:
            ends.append(named.index(one.lower()) + least)
        elif one.isdigit():
            ends.append(int(one))
        else:
            return f'failed to parse int from {one}: strconv.Atoi: parsing "{one}": invalid syntax'
    if ends[0] < least:
        return f"beginning of range ({ends[0]}) below minimum ({least}): {text}"
    if ends[-1] > most:
        return f"end of range ({ends[-1]}) above maximum ({most}): {text}"
    return f"beginning of range ({ends[0]}) beyond end of range ({ends[-1]}): {text}" if ends[0] > ends[-1] else ""


def _controller(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    yield from _count(spec, "replicas", "minReadySeconds")
    if not spec.get("selector"):
        yield required("spec.selector")
    yield from template(spec.get("template") or {}, "spec.template")


# the rest

SERVICE_TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]


def _service(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    kind, ports = spec.get("type"), spec.get("ports") or []
    if not ports and kind != "ExternalName" and spec.get("clusterIP") != "None":
        yield required("spec.ports")
    if kind not in SERVICE_TYPES:
        yield unsupported("spec.type", kind, SERVICE_TYPES)
    if kind == "ExternalName" and not spec.get("externalName"):
        yield required("spec.externalName")
    yield from labels(spec.get("selector"), "spec.selector")
    if spec.get("clusterIP") not in (None, "", "None") and not _is_ip(spec["clusterIP"]):
        fault = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        yield invalid("spec.clusterIPs[0]", spec["clusterIP"], fault)
    yield from _service_ports(ports, kind)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _service_ports(ports: list[Json], kind: Any) -> Causes:
    seen_names: set[str] = set()
    seen: set[tuple[Any, Any]] = set()
    for place, one in enumerate(ports):
        where = f"spec.ports[{place}]"
        name, number = one.get("name", ""), one.get("port", 0)
        if len(ports) > 1 and not name:
            yield required(f"{where}.name")
        elif name in seen_names and name:
            yield duplicate(f"{where}.name", name)
        seen_names.add(name)
        if not 0 < number < 65536:
            yield invalid(f"{where}.port", number, "must be between 1 and 65535, inclusive")
        if one.get("protocol") not in PROTOCOLS:
            yield unsupported(f"{where}.protocol", one.get("protocol"), PROTOCOLS)
        if (number, one.get("protocol")) in seen:
            shown = {"Name": "", "Protocol": one.get("protocol"), "AppProtocol": None, "Port": number}
            yield duplicate(where, {**shown, "TargetPort": 0, "NodePort": 0})
        seen.add((number, one.get("protocol")))
        target = one.get("targetPort")
        if isinstance(target, int) and not 0 < target < 65536:
            yield invalid(f"{where}.targetPort", target, "must be between 1 and 65535, inclusive")
        if one.get("nodePort") and kind == "ClusterIP":
            yield prohibited(f"{where}.nodePort", "may not be used when `type` is 'ClusterIP'")
        for fault in names.label(name) if name else ():
            yield invalid(f"{where}.name", name, fault)


def _config_map(obj: Json) -> Causes:
    total = 0
    for field in ("data", "binaryData"):
        for key, value in (obj.get(field) or {}).items():
            total += len(value)
            for fault in names.config_key(key):
                yield invalid(f"{field}[{key}]", key, fault)
    if total > 1024 * 1024:
        yield too_long("", 1024 * 1024)


def _secret(obj: Json) -> Causes:
    needs = {"kubernetes.io/tls": ("tls.crt", "tls.key"), "kubernetes.io/dockerconfigjson": (".dockerconfigjson",)}
    for key, _value in (obj.get("data") or {}).items():
        for fault in names.config_key(key):
            yield invalid(f"data[{key}]", key, fault)
    for key in needs.get(obj.get("type", ""), ()):
        if key not in (obj.get("data") or {}):
            yield required(f"data[{key}]")
    if sum(len(value) for value in (obj.get("data") or {}).values()) > 1024 * 1024 * 4 // 3:
        yield too_long("data", 1024 * 1024)


def _claim(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    modes = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]
    if not spec.get("accessModes"):
        yield required("spec.accessModes", "at least 1 access mode is required")
    for mode in spec.get("accessModes") or ():
        if mode not in modes:
            yield unsupported("spec.accessModes", mode, modes)
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if asked is None:
        yield required("spec.resources[storage]")
    elif units.quantity(asked) <= 0:
        yield invalid("spec.resources[storage]", asked, "must be greater than zero")


def _autoscaler(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    if least < 1:
        yield invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        yield required("spec.maxReplicas", "must be set and greater than 0")
    if most < least:
        yield invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    ref = spec.get("scaleTargetRef") or {}
    for field in ("kind", "name"):
        if not ref.get(field):
            yield required(f"spec.scaleTargetRef.{field}")
    if not ref.get("apiVersion"):
        yield invalid("spec.scaleTargetRef.apiVersion", "", "apiVersion must specify API group")
    if least == 0:
        yield prohibited(
            "spec.metrics", "must specify at least one Object or External metric to support scaling to zero replicas"
        )


def _budget(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        shown = {"MinAvailable": spec["minAvailable"], "Selector": spec.get("selector"), "MaxUnavailable": spec["maxUnavailable"]}
        shown["UnhealthyPodEvictionPolicy"] = spec.get("unhealthyPodEvictionPolicy")
        yield invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set")
    yield from _int_or_percent(spec, "minAvailable", "spec")
    yield from _int_or_percent(spec, "maxUnavailable", "spec")


def _ingress(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    if not spec.get("rules") and not spec.get("defaultBackend"):
        yield invalid("spec", None, "either `defaultBackend` or `rules` must be specified")
    kinds = ["Exact", "ImplementationSpecific", "Prefix"]
    for place, rule in enumerate(spec.get("rules") or ()):
        for at, one in enumerate((rule.get("http") or {}).get("paths") or ()):
            where = f"spec.rules[{place}].http.paths[{at}]"
            if not one.get("pathType"):
                yield required(f"{where}.pathType", "pathType must be specified")
            elif one["pathType"] not in kinds:
                yield unsupported(f"{where}.pathType", one["pathType"], kinds)


def _rules(obj: Json) -> Causes:
    for place, rule in enumerate(obj.get("rules") or ()):
        where = f"rules[{place}]"
        if not rule.get("verbs"):
            yield required(f"{where}.verbs", "verbs must contain at least one value")
        if rule.get("nonResourceURLs"):
            continue
        if not rule.get("apiGroups"):
            yield required(f"{where}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield required(f"{where}.resources", "resource rules must supply at least one resource")


def _binding(obj: Json) -> Causes:
    ref = obj.get("roleRef") or {}
    options = ["ClusterRole"] if obj["kind"] == "ClusterRoleBinding" else ["Role", "ClusterRole"]
    if ref.get("kind") not in options:
        yield unsupported("roleRef.kind", ref.get("kind", ""), options)
    if not ref.get("name"):
        yield required("roleRef.name")
    for place, one in enumerate(obj.get("subjects") or ()):
        where = f"subjects[{place}]"
        if not one.get("name"):
            yield required(f"{where}.name")
        if one.get("kind") not in ("ServiceAccount", "User", "Group"):
            yield unsupported(f"{where}.kind", one.get("kind", ""), ["ServiceAccount", "User", "Group"])
        elif one["kind"] == "ServiceAccount" and not one.get("namespace") and obj["kind"] == "ClusterRoleBinding":
            yield required(f"{where}.namespace")


def _crd(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    plural, group = (spec.get("names") or {}).get("plural", ""), spec.get("group", "")
    wanted = f"{plural}.{group}"
    if obj["metadata"].get("name") != wanted:
        fault = 'must be spec.names.plural+"."+spec.group'
        yield invalid("metadata.name", obj["metadata"].get("name", ""), fault)
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        yield unsupported("spec.scope", spec.get("scope", ""), ["Cluster", "Namespaced"])
    for place, one in enumerate(spec.get("versions") or ()):
        if not (one.get("schema") or {}).get("openAPIV3Schema"):
            where = f"spec.versions[{place}].schema.openAPIV3Schema"
            yield required(where, "schemas are required")


def _custom(value: Any, spec: Json, path: str) -> Causes:
    """A CRD's own schema: type, required, enum, bounds and pattern."""
    kinds = {"string": str, "boolean": bool, "integer": int, "array": list, "object": dict}
    kind = spec.get("type")
    if kind in kinds and value is not None and not spec.get("x-kubernetes-int-or-string"):
        if not isinstance(value, kinds[kind]) or (kind == "integer" and isinstance(value, bool)):
            found = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer"}.get(type(value), "number")
            fault = f'Invalid value: "{found}": {path} in body must be of type {kind}: "{found}"'
            yield Cause("FieldValueTypeInvalid", path, fault)
            return
    if "enum" in spec and value not in spec["enum"]:
        yield unsupported(path, value, [str(one) for one in spec["enum"]])
    yield from _bounds(value, spec, path)
    if isinstance(value, dict):
        for name in spec.get("required") or ():
            if name not in value:
                yield required(f"{path}.{name}" if path else name)
        for name, inner in (spec.get("properties") or {}).items():
            if name in value and (path or name != "metadata"):
                yield from _custom(value[name], inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from _custom(one, spec.get("items") or {}, f"{path}[{place}]")


def _bounds(value: Any, spec: Json, path: str) -> Causes:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in spec and value < spec["minimum"]:
            fault = f"{path} in body should be greater than or equal to {spec['minimum']}"
            yield invalid(path, value, fault)
        if "maximum" in spec and value > spec["maximum"]:
            yield invalid(path, value, f"{path} in body should be less than or equal to {spec['maximum']}")
    elif isinstance(value, str) and "pattern" in spec and not re.search(spec["pattern"], value):
        yield invalid(path, value, f"{path} in body should match '{spec['pattern']}'")


# what cannot change


def _fixed(*paths: str) -> Callable[[Json, Json], Causes]:
    def check(obj: Json, old: Json) -> Causes:
        for path in paths:
            new, was = _at(obj, path), _at(old, path)
            if new != was:
                yield invalid(path, new, IMMUTABLE)

    return check


def _at(obj: Any, path: str) -> Any:
    for part in path.split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


MUTABLE_STATEFUL: tuple[str, ...] = ("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit")
MUTABLE_STATEFUL += ("persistentVolumeClaimRetentionPolicy", "minReadySeconds")
STATEFUL_FAULT = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def _stateful_update(obj: Json, old: Json) -> Causes:
    new = {key: value for key, value in obj["spec"].items() if key not in MUTABLE_STATEFUL}
    if new != {key: value for key, value in old["spec"].items() if key not in MUTABLE_STATEFUL}:
        yield prohibited("spec", STATEFUL_FAULT)


POD_FAULT = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def _pod_update(obj: Json, old: Json) -> Causes:
    if _pod_core(obj) != _pod_core(old):
        yield prohibited("spec", POD_FAULT)


def _pod_core(pod: Json) -> Json:
    spec = {key: value for key, value in pod["spec"].items() if key not in ("activeDeadlineSeconds", "tolerations")}
    for listed in ("containers", "initContainers"):
        kept = [{key: value for key, value in one.items() if key != "image"} for one in spec.get(listed) or ()]
        spec[listed] = kept
    spec.pop("schedulingGates", None)
    return spec


def _role_ref(obj: Json, old: Json) -> Causes:
    if obj.get("roleRef") != old.get("roleRef"):
        yield invalid("roleRef", obj.get("roleRef"), "cannot change roleRef")


def _immutable_data(obj: Json, old: Json) -> Causes:
    if not old.get("immutable"):
        return
    if not obj.get("immutable"):
        yield prohibited("immutable", "field is immutable when `immutable` is set")
    for field in ("data", "binaryData"):
        if obj.get(field) != old.get(field):
            yield prohibited(field, "field is immutable when `immutable` is set")


def _secret_update(obj: Json, old: Json) -> Causes:
    yield from _immutable_data(obj, old)
    if obj.get("type") != old.get("type"):
        yield invalid("type", obj.get("type"), IMMUTABLE)


def _claim_update(obj: Json, old: Json) -> Causes:
    new = {key: value for key, value in obj["spec"].items() if key not in ("resources", "volumeAttributesClassName")}
    was = {key: value for key, value in old["spec"].items() if key not in ("resources", "volumeAttributesClassName")}
    if new != was and not (was.get("volumeName") is None and {**was, "volumeName": new.get("volumeName")} == new):
        fault = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        yield prohibited("spec", fault)
    before, after = (units.quantity(one["spec"]["resources"]["requests"]["storage"]) for one in (old, obj))
    if after < before:
        yield prohibited("spec.resources.requests.storage", "field can not be less than previous value")


def _service_update(obj: Json, old: Json) -> Causes:
    new, was = obj["spec"].get("clusterIP"), old["spec"].get("clusterIP")
    if was not in (None, "", "None") and new != was and obj["spec"].get("type") != "ExternalName":
        yield invalid("spec.clusterIPs[0]", [new], "may not change once set")


def _job_update(obj: Json, old: Json) -> Causes:
    yield from _fixed("spec.selector", "spec.completionMode")(obj, old)
    if not old["spec"].get("suspend") and obj["spec"].get("template") != old["spec"].get("template"):
        yield invalid("spec.template", obj["spec"].get("template"), IMMUTABLE)
    if obj["spec"].get("completions") != old["spec"].get("completions"):
        yield invalid("spec.completions", obj["spec"].get("completions"), IMMUTABLE)


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
    "pods": _pod,
    "deployments.apps": _deployment,
    "replicasets.apps": _replica_set,
    "statefulsets.apps": _stateful_set,
    "daemonsets.apps": _daemon_set,
    "jobs.batch": _job,
    "cronjobs.batch": _cron_job,
    "replicationcontrollers": _controller,
    "services": _service,
    "configmaps": _config_map,
    "secrets": _secret,
    "persistentvolumeclaims": _claim,
    "horizontalpodautoscalers.autoscaling": _autoscaler,
    "poddisruptionbudgets.policy": _budget,
    "ingresses.networking.k8s.io": _ingress,
    "roles.rbac.authorization.k8s.io": _rules,
    "clusterroles.rbac.authorization.k8s.io": _rules,
    "rolebindings.rbac.authorization.k8s.io": _binding,
    "clusterrolebindings.rbac.authorization.k8s.io": _binding,
    "customresourcedefinitions.apiextensions.k8s.io": _crd,
}
_UPDATES: dict[str, Callable[[Json, Json], Causes]] = {
    "pods": _pod_update,
    "deployments.apps": _fixed("spec.selector"),
    "replicasets.apps": _fixed("spec.selector"),
    "daemonsets.apps": _fixed("spec.selector"),
    "statefulsets.apps": _stateful_update,
    "jobs.batch": _job_update,
    "rolebindings.rbac.authorization.k8s.io": _role_ref,
    "clusterrolebindings.rbac.authorization.k8s.io": _role_ref,
    "configmaps": _immutable_data,
    "secrets": _secret_update,
    "persistentvolumeclaims": _claim_update,
    "services": _service_update,
    "storageclasses.storage.k8s.io": _fixed("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"),
    "priorityclasses.scheduling.k8s.io": _fixed("value", "preemptionPolicy"),
}
