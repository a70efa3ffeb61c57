"""What a pod or a pod template must be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from k8s.sandbox.objects import names, units
from k8s.sandbox.objects.errors import (
    Cause,
    Json,
    duplicate,
    invalid,
    missing,
    prohibited,
    required,
    too_long,
    unsupported,
)

NEGATIVE = "must be greater than or equal to 0"
Causes = Iterable[Cause]


def labels(found: Any, path: str) -> Causes:
    for key, value in (found or {}).items():
        for fault in names.qualified_name(key):
            yield invalid(path, key, fault)
        for fault in names.label_value(value):
            yield invalid(path, value, fault)


def notes(found: Any, path: str) -> Causes:
    total = 0
    for key, value in (found or {}).items():
        total += len(key) + len(value)
        for fault in names.qualified_name(key.lower()):
            yield invalid(path, key, fault)
    if total > 262144:
        yield too_long(path, 262144)


# pods and templates

RESTART = ["Always", "OnFailure", "Never"]
PULL = ["Always", "IfNotPresent", "Never"]
PROTOCOLS = ["SCTP", "TCP", "UDP"]


def pod(obj: Json) -> Causes:
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
    yield from notes(meta.get("annotations"), f"{path}.annotations")
    yield from pod_spec(found.get("spec") or {}, f"{path}.spec", claims)
