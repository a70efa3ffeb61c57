"""`create KIND`, `run`, `expose` and `autoscale`: the objects that kubectl makes out of flags, each a POST.

Reference: kubectl 1.36; tests/k8s/test_differential.py compares every kind with it.
"""

import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from k8s.change import Change
from k8s.client import ClusterClient
from k8s.discovery import resolve
from k8s.errors import CommandInvalid
from k8s.generate_rights import cluster_role, cluster_role_binding, role, role_binding
from k8s.generate_services import exposed, ingress, label_selector, service, service_of_run, split_pairs
from k8s.live import Found, dig, namespace_of, read_one
from k8s.manifests import ManifestBroken, read_patch
from k8s.setting import QUANTITY, quantities
from k8s.types import Command, ObjectRef

Value = dict[str, Any]
Builder = Callable[[ClusterClient, Command], Awaitable[list[Value]]]


async def plan_generated(client: ClusterClient, command: Command) -> list[Change]:
    """A POST for each object that the flags describe; the server refuses one that exists."""
    if command.has("save-config"):
        raise CommandInvalid(
            "--save-config is for kubectl's own apply; KubeChat applies on the server and needs none: leave it out."
        )
    word, build, done = GENERATORS[command.verb]
    return [await _made(client, command, word, value, done) for value in await build(client, command)]


async def _made(client: ClusterClient, command: Command, word: str, value: Value, done: str) -> Change:
    resource = await resolve(client, str(value.pop("resource", word)))
    namespace = namespace_of(client, command) if resource.namespaced else None
    name = value["metadata"]["name"]
    metadata = value["metadata"] | ({"namespace": namespace} if namespace else {})
    body = {"apiVersion": resource.api_version, "kind": resource.kind, **value, "metadata": metadata}
    display = f"{resource.display}/{name}"
    target = ObjectRef(resource.word, namespace, name)
    return Change("POST", resource.path(namespace), target, f"{display} {done}", body=body, display=display)


def named(command: Command, **fields: Any) -> Value:
    """An object of the name that the command gives."""
    return {"metadata": {"name": command.args[0]}, **fields}


def simple(build: Callable[[Command], Value]) -> Builder:
    """A builder of one object that needs no look at the cluster."""

    async def builder(client: ClusterClient, command: Command) -> list[Value]:
        return [build(command)]

    return builder


# --- configuration --------------------------------------------------------------------------------------------------------

_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


def _literals(command: Command) -> dict[str, str]:
    found: dict[str, str] = {}
    for literal in command.flag_values("from-literal"):
        key, equals, value = literal.partition("=")
        if not equals or not _KEY.fullmatch(key):
            raise CommandInvalid("--from-literal takes KEY=VALUE, with letters, digits, -, _ and . in the key.")
        if key in found:
            raise CommandInvalid(f"The key {key} is given twice.")
        found[key] = value
    return found


def _config_map(command: Command) -> Value:
    data = _literals(command)
    value = named(command, data=data)
    return _hashed(command, value, {"kind": "ConfigMap", "name": command.args[0], "data": data})


def _generic_secret(command: Command) -> Value:
    return _secret(command, _literals(command), command.flag("type") or "")


def _docker_secret(command: Command) -> Value:
    server = command.flag("docker-server", "https://index.docker.io/v1/") or ""
    user, password = command.flag("docker-username"), command.flag("docker-password")
    if not user or not password or not server:
        raise CommandInvalid("--docker-username, --docker-password and --docker-server are all needed.")
    email = {"email": text} if (text := command.flag("docker-email")) else {}
    entry = {"username": user, "password": password, **email, "auth": _base64(f"{user}:{password}")}
    return _secret(command, {".dockerconfigjson": go_json({"auths": {server: entry}})}, "kubernetes.io/dockerconfigjson")


def _secret(command: Command, texts: dict[str, str], type_: str) -> Value:
    data = {key: _base64(text) for key, text in texts.items()}
    value = named(command, data=data) | ({"type": type_} if type_ else {})
    return _hashed(command, value, {"kind": "Secret", "type": type_, "name": command.args[0], "data": data})


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _hashed(command: Command, value: Value, content: Value) -> Value:
    """With --append-hash the name ends in a digest of the content. Source: kubectl pkg/util/hash."""
    if command.has("append-hash"):
        digest = hashlib.sha256(go_json(dict(sorted(content.items())), sort_keys=True).encode()).hexdigest()[:10]
        value["metadata"]["name"] += "-" + digest.translate(str.maketrans("013ae", "ghkmt"))
    return value


def go_json(value: Any, *, sort_keys: bool = False) -> str:
    """JSON byte for byte as Go writes it."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=sort_keys)
    return text.translate({ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


# --- workloads ------------------------------------------------------------------------------------------------------------


def _images(command: Command) -> list[str]:
    return [image for value in command.flag_values("image") for image in value.split(",")]


def _container_name(image: str) -> str:
    """The last part of the image. Where kubectl adds five letters of chance, these come from the image: what is previewed must be
    what is made.
    """
    name = image.rpartition("/")[2].partition(":")[0].partition("@")[0]
    if "_" not in name and "." not in name:
        return name
    return f"{name.replace('_', '-').replace('.', '-')}-{hashlib.sha256(image.encode()).hexdigest()[:5]}"


def _deployment(command: Command) -> Value:
    images, labels = _images(command), {"app": command.args[0]}
    if len(images) > 1 and command.remote:
        raise CommandInvalid("A command after `--` goes with one --image only.")
    containers: list[Value] = [{"name": _container_name(image), "image": image} for image in images]
    if command.remote:
        containers[0]["command"] = list(command.remote)
    if (port := command.flag("port")) is not None and port != "-1":
        containers[0]["ports"] = [{"containerPort": int(port)}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"replicas": int(command.flag("replicas") or 1), "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": command.args[0], "labels": labels}, "spec": spec}


def _job_spec(command: Command, restart: str) -> Value:
    if len(_images(command)) != 1:
        raise CommandInvalid("Exactly one --image is needed.")
    container: Value = {"name": command.args[0], "image": _images(command)[0]}
    if command.remote:
        container["command"] = list(command.remote)
    return {"template": {"spec": {"containers": [container], "restartPolicy": restart}}}


async def _job(client: ClusterClient, command: Command) -> list[Value]:
    source = command.flag("from")
    if source is None:
        return [named(command, spec=_job_spec(command, "Never"))]
    word, _, name = source.partition("/")
    if command.flag("image") or command.remote:
        raise CommandInvalid("--from takes everything of the CronJob: leave --image and the command out.")
    resource = await resolve(client, word)
    if resource.word != "cronjobs" or not name:
        raise CommandInvalid("--from takes cronjob/NAME.")
    found = await read_one(client, resource, namespace_of(client, command), name)
    template = found.value["spec"]["jobTemplate"]
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": name, "uid": found.ref.uid, "controller": True}
    annotations = {"cronjob.kubernetes.io/instantiate": "manual", **dig(template, "metadata", "annotations", default={})}
    metadata = {"name": command.args[0], "annotations": annotations, "ownerReferences": [owner]}
    if labels := dig(template, "metadata", "labels"):
        metadata["labels"] = labels
    return [{"metadata": metadata, "spec": template["spec"]}]


def _cron_job(command: Command) -> Value:
    template = {"metadata": {"name": command.args[0]}, "spec": _job_spec(command, command.flag("restart") or "OnFailure")}
    return named(command, spec={"schedule": command.flag("schedule"), "jobTemplate": template})


_ENV = re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]*=.*", re.DOTALL)
_POLICIES = {"restart": {"Always", "OnFailure", "Never"}, "image-pull-policy": {"Always", "IfNotPresent", "Never"}}


async def _run(client: ClusterClient, command: Command) -> list[Value]:
    """One pod, and with --expose a Service for it."""
    for flag, allowed in _POLICIES.items():
        if command.flag(flag) and command.flag(flag) not in allowed:
            raise CommandInvalid(f"--{flag} is one of {', '.join(sorted(allowed))}.")
    if odd := next((word for word in command.flag_values("env") if not _ENV.fullmatch(word)), None):
        raise CommandInvalid(f"{odd[:100]!r} is not NAME=VALUE.")
    name = command.args[0]
    container: Value = {"name": name, "image": command.flag("image")}
    if command.remote:
        container["command" if command.has("command") else "args"] = list(command.remote)
    if env := command.flag_values("env"):
        container["env"] = [{"name": word.partition("=")[0], "value": word.partition("=")[2]} for word in env]
    if port := command.flag("port"):
        container["ports"] = [{"containerPort": int(port)}]
    if policy := command.flag("image-pull-policy"):
        container["imagePullPolicy"] = policy
    if command.has("privileged"):
        container["securityContext"] = {"privileged": True}
    labels = split_pairs(command.flag("labels") or f"run={name}", "--labels")
    metadata: Value = {"name": name, "labels": labels}
    if annotations := command.flag_values("annotations"):
        metadata["annotations"] = {key: value for word in annotations for key, _, value in [word.partition("=")]}
    spec = {"containers": [container], "restartPolicy": command.flag("restart") or "Always"}
    pod = _overridden(command, {"metadata": metadata, "spec": spec})
    return [pod, service_of_run(command, labels)] if command.has("expose") else [pod]


def _overridden(command: Command, value: Value) -> Value:
    """With --overrides merged in, as JSON Merge Patch does."""
    text = command.flag("overrides")
    if text is None:
        return value
    try:
        patch = read_patch(text)
    except ManifestBroken as error:
        raise CommandInvalid(str(error)) from error
    if not isinstance(patch, dict) or command.flag("override-type") not in {None, "merge"}:
        raise CommandInvalid("--overrides takes one object, merged as JSON Merge Patch: `apply` a manifest for anything else.")
    if {"name", "namespace", "generateName"} & dig(patch, "metadata", default={}).keys():
        raise CommandInvalid("--overrides cannot change the object's name or namespace.")
    merged: Value = _merge(value, {key: item for key, item in patch.items() if key not in {"kind", "apiVersion", "resource"}})
    return merged


def _merge(value: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for key, item in patch.items():
        if item is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), item)
    return merged


# --- limits of many kinds -------------------------------------------------------------------------------------------------


def _quota(command: Command) -> Value:
    spec: Value = {"hard": quantities(command, "hard")} if command.flag("hard") else {}
    if scopes := command.flag("scopes"):
        if "" in scopes.split(","):
            raise CommandInvalid("A scope in --scopes is empty.")
        spec["scopes"] = scopes.split(",")
    return named(command, spec=spec)


def _disruption_budget(command: Command) -> Value:
    given = {flag: value for flag in ("min-available", "max-unavailable") if (value := command.flag(flag)) is not None}
    if not command.flag("selector"):
        raise CommandInvalid("`create poddisruptionbudget` needs --selector=….")
    if len(given) != 1:
        raise CommandInvalid("Give one of --min-available and --max-unavailable.")
    ((flag, amount),) = given.items()
    if not re.fullmatch(r"\d+%?", amount):
        raise CommandInvalid(f"--{flag} is a number or a percentage, such as 1 or 50%.")
    field = "minAvailable" if flag == "min-available" else "maxUnavailable"
    selector = label_selector(command.flag("selector") or "")
    return named(command, spec={"selector": selector, field: int(amount) if amount.isdecimal() else amount})


def _priority_class(command: Command) -> Value:
    value = named(
        command,
        value=int(command.flag("value") or 0),
        preemptionPolicy=command.flag("preemption-policy") or "PreemptLowerPriority",
    )
    if command.has("global-default"):
        value["globalDefault"] = True
    if description := command.flag("description"):
        value["description"] = description
    return value


# --- autoscale, expose ----------------------------------------------------------------------------------------------------

_SCALABLE = frozenset({"deployments", "statefulsets", "replicasets", "replicationcontrollers"})


async def _targets(client: ClusterClient, command: Command) -> list[Found]:
    namespace = namespace_of(client, command)
    return [await read_one(client, await resolve(client, each.resource), namespace, each.name or "") for each in command.targets]


async def _autoscalers(client: ClusterClient, command: Command) -> list[Value]:
    low, high = (int(command.flag(flag) or default) for flag, default in (("min", -1), ("max", -1)))
    if high < 1 or high < low:
        raise CommandInvalid("--max must be at least 1, and not less than --min.")
    if command.flag("cpu") and int(command.flag("cpu-percent") or -1) > 0:
        raise CommandInvalid("--cpu-percent and --cpu are two ways to say one thing: leave one out.")
    cpu = command.flag("cpu") or (f"{percent}%" if int(percent := command.flag("cpu-percent") or "-1") > 0 else None)
    metrics = [_metric(name, text) for name, text in (("cpu", cpu), ("memory", command.flag("memory"))) if text]
    return [_autoscaler(command, found, low, high, metrics) for found in await _targets(client, command)]


def _autoscaler(command: Command, found: Found, low: int, high: int, metrics: list[Value]) -> Value:
    if found.resource.word not in _SCALABLE and "." not in found.resource.word:
        raise CommandInvalid(f"{found.resource.word} cannot be autoscaled: a Deployment, StatefulSet or ReplicaSet can.")
    target = {"apiVersion": found.resource.api_version, "kind": found.resource.kind, "name": found.name}
    spec: Value = {"scaleTargetRef": target, "maxReplicas": high}
    if low > 0:
        spec["minReplicas"] = low
    if metrics:
        spec["metrics"] = metrics
    return {"metadata": {"name": command.flag("name") or found.name}, "spec": spec}


def _metric(name: str, text: str) -> Value:
    """A percentage is of the request; a bare number means millicores or mebibytes."""
    text = text.strip()
    if text.endswith("%") and text[:-1].isdecimal():
        target: Value = {"type": "Utilization", "averageUtilization": int(text[:-1])}
    elif QUANTITY.fullmatch(text):
        unit = {"cpu": "m", "memory": "Mi"}[name] if re.fullmatch(r"[+-]?[\d.]+", text) else ""
        target = {"type": "AverageValue", "averageValue": f"{text}{unit}"}
    else:
        raise CommandInvalid(f"--{name} is a percentage or an amount, such as 70% or 500m.")
    return {"type": "Resource", "resource": {"name": name, "target": target}}


async def _exposed(client: ClusterClient, command: Command) -> list[Value]:
    return [_overridden(command, exposed(command, found)) for found in await _targets(client, command)]


async def _role(client: ClusterClient, command: Command) -> list[Value]:
    return [named(command, **await role(client, command))]


async def _cluster_role(client: ClusterClient, command: Command) -> list[Value]:
    return [named(command, **await cluster_role(client, command))]


GENERATORS: dict[str, tuple[str, Builder, str]] = {
    "create namespace": ("namespaces", simple(named), "created"),
    "create serviceaccount": ("serviceaccounts", simple(named), "created"),
    "create configmap": ("configmaps", simple(_config_map), "created"),
    "create secret generic": ("secrets", simple(_generic_secret), "created"),
    "create secret docker-registry": ("secrets", simple(_docker_secret), "created"),
    "create deployment": ("deployments", simple(_deployment), "created"),
    "create job": ("jobs", _job, "created"),
    "create cronjob": ("cronjobs", simple(_cron_job), "created"),
    "create service clusterip": ("services", simple(lambda command: service(command, "ClusterIP")), "created"),
    "create service nodeport": ("services", simple(lambda command: service(command, "NodePort")), "created"),
    "create service loadbalancer": ("services", simple(lambda command: service(command, "LoadBalancer")), "created"),
    "create service externalname": ("services", simple(lambda command: service(command, "ExternalName")), "created"),
    "create ingress": ("ingresses", simple(ingress), "created"),
    "create quota": ("resourcequotas", simple(_quota), "created"),
    "create poddisruptionbudget": ("poddisruptionbudgets", simple(_disruption_budget), "created"),
    "create priorityclass": ("priorityclasses", simple(_priority_class), "created"),
    "create role": ("roles", _role, "created"),
    "create clusterrole": ("clusterroles", _cluster_role, "created"),
    "create rolebinding": ("rolebindings", simple(lambda command: named(command, **role_binding(command))), "created"),
    "create clusterrolebinding": (
        "clusterrolebindings",
        simple(lambda command: named(command, **cluster_role_binding(command))),
        "created",
    ),
    "run": ("pods", _run, "created"),
    "expose": ("services", _exposed, "exposed"),
    "autoscale": ("horizontalpodautoscalers", _autoscalers, "autoscaled"),
}
"""What each verb makes: the kind, how it is built, and kubectl's word for it."""
