"""What Services, ConfigMaps, Secrets, claims, Ingresses, Roles, CRDs and custom resources must be."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from k8s.sandbox.objects import names, units
from k8s.sandbox.objects.checks_pods import PROTOCOLS, Causes, labels
from k8s.sandbox.objects.errors import (
    Cause,
    Json,
    duplicate,
    invalid,
    prohibited,
    required,
    too_long,
    unsupported,
)

# the rest

SERVICE_TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]


def service(obj: Json) -> Causes:
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


def config_map(obj: Json) -> Causes:
    total = 0
    for field in ("data", "binaryData"):
        for key, value in (obj.get(field) or {}).items():
            total += len(value)
            for fault in names.config_key(key):
                yield invalid(f"{field}[{key}]", key, fault)
    if total > 1024 * 1024:
        yield too_long("", 1024 * 1024)


def secret(obj: Json) -> Causes:
    needs = {"kubernetes.io/tls": ("tls.crt", "tls.key"), "kubernetes.io/dockerconfigjson": (".dockerconfigjson",)}
    for key in obj.get("data") or ():
        for fault in names.config_key(key):
            yield invalid(f"data[{key}]", key, fault)
    for key in needs.get(obj.get("type", ""), ()):
        if key not in (obj.get("data") or {}):
            yield required(f"data[{key}]")
    if sum(len(value) for value in (obj.get("data") or {}).values()) > 1024 * 1024 * 4 // 3:
        yield too_long("data", 1024 * 1024)


def claim(obj: Json) -> Causes:
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


def ingress(obj: Json) -> Causes:
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


def rules(obj: Json) -> Causes:
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


def binding(obj: Json) -> Causes:
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


def crd(obj: Json) -> Causes:
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


_JSON_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer"}


def _is_of(value: Any, kind: str | None) -> bool:
    """Whether a value is of a JSON schema's type; true for types that need no check."""
    known = {"string": str, "boolean": bool, "integer": int, "array": list, "object": dict}
    if kind not in known:
        return True
    return isinstance(value, known[kind]) and not (kind == "integer" and isinstance(value, bool))


def custom(value: Any, spec: Json, path: str) -> Causes:
    """A CRD's own schema: type, required, enum, bounds and pattern."""
    kind = spec.get("type")
    if value is not None and not spec.get("x-kubernetes-int-or-string") and not _is_of(value, kind):
        shown = _JSON_TYPES.get(type(value), "number")
        yield Cause("FieldValueTypeInvalid", path, f'Invalid value: "{shown}": {path} in body must be of type {kind}: "{shown}"')
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
                yield from custom(value[name], inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from custom(one, spec.get("items") or {}, f"{path}[{place}]")


def _bounds(value: Any, spec: Json, path: str) -> Causes:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in spec and value < spec["minimum"]:
            fault = f"{path} in body should be greater than or equal to {spec['minimum']}"
            yield invalid(path, value, fault)
        if "maximum" in spec and value > spec["maximum"]:
            yield invalid(path, value, f"{path} in body should be less than or equal to {spec['maximum']}")
    elif isinstance(value, str) and "pattern" in spec and not re.search(spec["pattern"], value):
        yield invalid(path, value, f"{path} in body should match '{spec['pattern']}'")
