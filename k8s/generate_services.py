"""Services and Ingresses out of flags."""

import re
from typing import Any

from k8s.change import pod_spec_of
from k8s.errors import CommandInvalid
from k8s.live import Found, dig
from k8s.types import Command

Value = dict[str, Any]


def port_of(text: str) -> int:
    """A port number. Raises CommandInvalid."""
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > 65535:
        raise CommandInvalid(f"{text!r} is not a port: a number up to 65535.")
    return int(text)


def _port_or_name(text: str) -> int | str:
    if text.isdecimal():
        return port_of(text)
    if not re.fullmatch(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*", text):
        raise CommandInvalid(f"{text!r} is neither a port nor the name of one.")
    return text


def split_pairs(text: str, flag: str) -> dict[str, str]:
    """`a=b,c=d`. Raises CommandInvalid."""
    pairs = [part.split("=") for part in text.split(",")]
    if any(len(pair) != 2 or not pair[0] for pair in pairs):
        raise CommandInvalid(f"{flag} takes KEY=VALUE,KEY=VALUE.")
    return dict(pairs)


_REQUIREMENT = re.compile(
    r"(?P<key>[\w./-]+)\s*(?P<op>==|=|!=)\s*(?P<value>[\w.-]*)"
    r"|(?P<set>[\w./-]+)\s+(?P<in>in|notin)\s*\((?P<values>[^()]*)\)|(?P<not>!?)\s*(?P<exists>[\w./-]+)"
)


def label_selector(text: str) -> Value:
    """A label selector as objects write it. Raises CommandInvalid."""
    labels: dict[str, str] = {}
    expressions: list[Value] = []
    for part in re.split(r",(?![^()]*\))", text):
        match = _REQUIREMENT.fullmatch(part.strip())
        if match is None:
            raise CommandInvalid(f"{part.strip()!r} is not a label selector.")
        if match["key"] and match["op"] != "!=":
            labels[match["key"]] = match["value"]
        elif match["key"]:
            expressions.append({"key": match["key"], "operator": "NotIn", "values": [match["value"]]})
        elif match["set"]:
            values = sorted(value.strip() for value in match["values"].split(","))
            expressions.append({"key": match["set"], "operator": "In" if match["in"] == "in" else "NotIn", "values": values})
        else:
            expressions.append({"key": match["exists"], "operator": "DoesNotExist" if match["not"] else "Exists"})
    expressions.sort(key=lambda expression: str(expression["key"]))
    return ({"matchLabels": labels} if labels else {}) | ({"matchExpressions": expressions} if expressions else {})


# --- create service -------------------------------------------------------------------------------------------------------


def service(command: Command, kind: str) -> Value:
    """`create service …`."""
    pairs = [pair for value in command.flag_values("tcp") for pair in value.split(",")]
    headless = command.flag("clusterip") == "None"
    if not pairs and not headless and kind != "ExternalName":
        raise CommandInvalid("At least one --tcp=PORT:TARGETPORT is needed.")
    if kind == "ExternalName" and not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", command.flag("external-name") or ""):
        raise CommandInvalid("--external-name must be a host name, such as db.example.com.")
    labels = {"app": command.args[0]}
    spec: Value = {"type": kind, "selector": labels, "ports": [_tcp(command, pair) for pair in pairs]}
    if cluster_ip := command.flag("clusterip"):
        spec["clusterIP"] = cluster_ip
    if kind == "ExternalName":
        spec["externalName"] = command.flag("external-name")
    return {"metadata": {"name": command.args[0], "labels": labels}, "spec": spec}


def _tcp(command: Command, pair: str) -> Value:
    port, colon, target = pair.partition(":")
    entry: Value = {"name": pair.replace(":", "-"), "port": port_of(port), "protocol": "TCP"}
    entry["targetPort"] = _port_or_name(target) if colon else entry["port"]
    if node_port := int(command.flag("node-port") or 0):
        entry["nodePort"] = node_port
    return entry


# --- expose ---------------------------------------------------------------------------------------------------------------

_EXPOSABLE = frozenset({"services", "pods", "replicationcontrollers", "deployments", "replicasets"})


def exposed(command: Command, found: Found) -> Value:
    """The Service of `expose`, with selector, ports and labels of the object where flags give none."""
    if found.resource.word not in _EXPOSABLE:
        raise CommandInvalid(f"{found.resource.word} cannot be exposed: a Deployment, ReplicaSet, Pod or Service can.")
    own = _ports(found)
    headless = command.flag("cluster-ip") == "None"
    wished = command.flag("port")
    ports = [port_of(port) for port in wished.split(",")] if wished else list(dict.fromkeys(port for port, _ in own))
    if not ports and not headless:
        raise CommandInvalid(f"{found.display} names no port: add --port=….")
    protocols: dict[int, list[str]] = {}
    for port, protocol in own:
        protocols.setdefault(port, []).append(protocol)
    entries = [entry for number, port in enumerate(ports, 1) for entry in _entries(command, port, number, len(ports), protocols)]
    spec: Value = {"selector": _selector(command, found), "ports": entries} | _extras(command)
    metadata: Value = {"name": command.flag("name") or found.name[:63]}
    labels = command.flag("labels")
    metadata["labels"] = split_pairs(labels, "--labels") if labels else dig(found.value, "metadata", "labels", default={})
    return {"metadata": metadata, "spec": spec}


def _ports(found: Found) -> list[tuple[int, str]]:
    """Port and protocol of what the object offers, in order."""
    if found.resource.word == "services":
        entries = [(each["port"], each) for each in dig(found.value, "spec", "ports", default=[])]
    else:
        containers = pod_spec_of(found.resource.word, found.value).get("containers") or ()
        entries = [(each["containerPort"], each) for container in containers for each in container.get("ports") or ()]
    return [(port, each.get("protocol", "TCP")) for port, each in entries]


def _entries(command: Command, port: int, number: int, count: int, protocols: dict[int, list[str]]) -> list[Value]:
    """One port of the Service, or one for each protocol where the object offers several on it."""
    wished = command.flag("protocol")
    offered = [wished] if wished else protocols.get(port) or ["TCP"]
    name = {"name": f"port-{number}"} if count > 1 else {}
    text = command.flag("target-port")
    target: int | str = int(text) if text and text.isdecimal() else text or port
    if len(offered) == 1:
        return [{**name, "port": port, "protocol": offered[0], "targetPort": target}]
    return [
        {"name": f"port-{number}-{protocol.lower()}", "port": port, "protocol": protocol, "targetPort": target}
        for protocol in offered
    ]


def _selector(command: Command, found: Found) -> dict[str, str]:
    if text := command.flag("selector"):
        return split_pairs(text, "--selector")
    paths = {"services": ("spec", "selector"), "replicationcontrollers": ("spec", "selector"), "pods": ("metadata", "labels")}
    path = paths.get(found.resource.word, ("spec", "selector", "matchLabels"))
    selector: dict[str, str] = dig(found.value, *path, default={})
    if not selector or dig(found.value, "spec", "selector", "matchExpressions"):
        raise CommandInvalid(f"{found.display} has no selector that a Service could use: add --selector=….")
    return selector


def _extras(command: Command) -> Value:
    extras: Value = {}
    if kind := command.flag("type"):
        extras["type"] = kind
    if address := command.flag("external-ip"):
        extras["externalIPs"] = [address]
    if kind == "LoadBalancer" and (address := command.flag("load-balancer-ip")):
        extras["loadBalancerIP"] = address
    if affinity := command.flag("session-affinity"):
        if affinity not in {"None", "ClientIP"}:
            raise CommandInvalid("--session-affinity is None or ClientIP.")
        extras["sessionAffinity"] = affinity
    if cluster_ip := command.flag("cluster-ip"):
        extras["clusterIP"] = cluster_ip
    return extras


def service_of_run(command: Command, selector: dict[str, str]) -> Value:
    """The Service that `run --expose` makes beside the pod."""
    port = command.flag("port")
    if port is None:
        raise CommandInvalid("--expose needs --port=….")
    spec = {"selector": selector, "ports": [{"port": int(port), "protocol": "TCP", "targetPort": int(port)}]}
    metadata: Value = {"name": command.args[0]} | ({"labels": selector} if command.flag("labels") else {})
    return {"resource": "services", "metadata": metadata, "spec": spec}


# --- ingress --------------------------------------------------------------------------------------------------------------

_RULE = re.compile(
    r"(?P<host>[\w*.-]*)/(?P<path>[^=,]*)=(?P<service>[\w-]+):(?P<port>[\w-]+)(?P<tls>,tls(=(?P<secret>[\w.-]*))?)?"
)


def ingress(command: Command) -> Value:
    """`create ingress`: rules `HOST/PATH=SERVICE:PORT[,tls[=SECRET]]`; a path that ends in * is a prefix."""
    spec: Value = {}
    if not command.flag("default-backend") and not command.flag("rule"):
        raise CommandInvalid("`create ingress` needs --rule=HOST/PATH=SERVICE:PORT or --default-backend=SERVICE:PORT.")
    if name := command.flag("class"):
        spec["ingressClassName"] = name
    if backend := command.flag("default-backend"):
        name, colon, port = backend.partition(":")
        if not colon or ":" in port:
            raise CommandInvalid("--default-backend takes SERVICE:PORT.")
        spec["defaultBackend"] = _backend(name, port)
    rules: dict[str, list[Value]] = {}
    tls: dict[str, list[str]] = {}
    secured: set[str] = set()
    for text in command.flag_values("rule"):
        match = _RULE.fullmatch(text)
        if match is None:
            raise CommandInvalid(f"The rule {text!r} is not HOST/PATH=SERVICE:PORT[,tls[=SECRET]].")
        path, prefix = "/" + match["path"].removesuffix("*"), match["path"].endswith("*")
        entry = {"path": path, "pathType": "Prefix" if prefix else "Exact", "backend": _backend(match["service"], match["port"])}
        rules.setdefault(match["host"], []).append(entry)
        if match["tls"] and match["host"] not in secured:
            secured.add(match["host"])
            tls.setdefault(match["secret"] or "", []).extend([match["host"]] if match["host"] else [])
    spec["rules"] = [({"host": host} if host else {}) | {"http": {"paths": paths}} for host, paths in rules.items()]
    spec["tls"] = [
        ({"hosts": hosts} if hosts else {}) | ({"secretName": secret} if secret else {})
        for secret, hosts in tls.items()
        if hosts or secret
    ]
    metadata: Value = {"name": command.args[0]}
    if annotations := command.flag_values("annotation"):
        if any("=" not in word for word in annotations):
            raise CommandInvalid("--annotation takes KEY=VALUE.")
        metadata["annotations"] = {key: value for word in annotations for key, _, value in [word.partition("=")]}
    return {"metadata": metadata, "spec": {key: value for key, value in spec.items() if value}}


def _backend(name: str, port: str) -> Value:
    return {"service": {"name": name, "port": {"number": int(port)} if port.isdecimal() else {"name": port}}}
