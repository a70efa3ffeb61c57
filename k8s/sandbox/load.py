"""Reading a folder of manifests into the store, with whatever status they carry."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import re
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from k8s.sandbox.controllers.loop import Loop
from k8s.sandbox.objects import decode, rbac, units, validate
from k8s.sandbox.objects.errors import ApiRefused, Json
from k8s.sandbox.objects.kinds import Kind
from k8s.sandbox.objects.people import PRACTICE, People
from k8s.sandbox.objects.registry import GENERATIONS, Objects, own_selector, random_suffix

SUFFIXES = (".yaml", ".yml", ".json")
AGE = "kubechat.dev/age"  # annotation: how long ago the object was made, such as 3d or 2h30m
SYSTEM = ("default", "kube-system", "kube-public", "kube-node-lease")
_AGE = re.compile(r"(\d+)(y|d|h|m|s)")
_SECONDS = {"y": 365 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}


class ManifestBroken(ValueError):
    """A manifest cannot be used; the text names the file, the document and the fault."""


@dataclass(slots=True)
class Found:
    """What a folder holds."""

    objects: list[tuple[str, Json]] = field(default_factory=list)  # where it was read, the object
    logs: dict[tuple[str, str, str], str] = field(default_factory=dict)  # (namespace, pod, container) → text


def read(folder: Path | None) -> Found:
    """Every object in a folder's manifests, or in the default shop's. Blocking: call it in a thread."""
    found = Found()
    for name, path in _files(folder):
        text = path.read_text(encoding="utf-8")
        if name.endswith(".log"):
            parts = Path(name).name.removesuffix(".log").split(".")
            if len(parts) == 3:
                found.logs[parts[0], parts[1], parts[2]] = text
            continue
        for place, document in enumerate(_documents(name, text), 1):
            found.objects += _items(f"{name}, document {place}", document)
    return found


def _files(folder: Path | None) -> list[tuple[str, Traversable]]:
    if folder is None:
        shop = files("k8s.sandbox").joinpath("shop")
        return sorted(((one.name, one) for one in shop.iterdir()), key=lambda one: one[0])
    if not folder.exists():
        raise ManifestBroken(f"{folder}: there is no such folder. Name a folder with *.yaml, *.yml or *.json in it.")
    if folder.is_file():
        return [(str(folder), folder)]
    wanted = (*SUFFIXES, ".log")
    return [(str(one), one) for one in sorted(folder.rglob("*")) if one.is_file() and one.suffix in wanted]


def _documents(name: str, text: str) -> list[Any]:
    try:
        if name.endswith(".json"):
            return [json.loads(text)]
        return decode.yaml_documents(text)
    except yaml.YAMLError as bad:
        mark = getattr(bad, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ManifestBroken(f"{name}: {where}this is not YAML: {getattr(bad, 'problem', bad)}") from bad
    except ValueError as bad:
        raise ManifestBroken(f"{name}: this is not JSON: {bad}") from bad


def _items(where: str, document: Any) -> list[tuple[str, Json]]:
    if document is None:
        return []
    if not isinstance(document, dict):
        raise ManifestBroken(f"{where}: an object was expected, this is a {type(document).__name__}.")
    for name in ("apiVersion", "kind"):
        if not isinstance(document.get(name), str):
            raise ManifestBroken(f"{where}: {name} is missing.")
    if document["kind"].endswith("List") and isinstance(document.get("items"), list):
        return [pair for at, one in enumerate(document["items"], 1) for pair in _item(f"{where}, item {at}", one, document)]
    return [(where, document)]


def _item(where: str, one: Any, parent: Json) -> list[tuple[str, Json]]:
    """An entry of a List; typed Lists may leave apiVersion and kind out."""
    if isinstance(one, dict) and parent["kind"] != "List":
        one = {"apiVersion": parent["apiVersion"], "kind": parent["kind"].removesuffix("List"), **one}
    return _items(where, one)


class Loader:
    """Puts objects into the store as they are, completed where they say nothing."""

    def __init__(self, objects: Objects, loop: Loop, people: People) -> None:
        self.objects, self.loop, self.people = objects, loop, people
        self.store = objects.store
        self.pinned: set[str] = loop.memory.setdefault("pinned", set())
        self._versions = 0

    async def load(self, found: Found, *, practice: bool) -> None:
        """Load everything: CRDs and namespaces first, then what refers to them."""
        for resource, body in rbac.bootstrap():
            self._keep(resource, copy.deepcopy(body), "built in")
        ordered = sorted(found.objects, key=lambda one: _rank(one[1]))
        for place, (where, body) in enumerate(ordered):
            self._one(where, body)
            if place % 200 == 199:
                await asyncio.sleep(0)
        self._namespaces()
        self._nodes(found)
        self._system()
        self._owners()
        self._events()
        bound = any(body["kind"] in ("RoleBinding", "ClusterRoleBinding") for _, body in found.objects)
        if practice and not bound:
            self.people.everybody = (PRACTICE,)
            subject = [{"kind": "Group", "apiGroup": rbac.GROUP, "name": PRACTICE}]
            ref = {"apiGroup": rbac.GROUP, "kind": "ClusterRole", "name": "cluster-admin"}
            head = {"apiVersion": f"{rbac.GROUP}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": PRACTICE}}
            self._keep(rbac.CLUSTER_BINDINGS, {**head, "roleRef": ref, "subjects": subject}, "built in")

    def _one(self, where: str, body: Json) -> None:
        kinds = self.objects.kinds
        kind = kinds.by_kind(body["apiVersion"], body["kind"])
        if kind is None:
            raise ManifestBroken(
                f"{where}: no kind {body['kind']!r} is served in apiVersion {body['apiVersion']!r}. "
                "If it is a custom one, put its CustomResourceDefinition into the folder."
            )
        if "list" not in kind.verbs:
            raise ManifestBroken(f"{where}: a {kind.kind} is asked for, not kept; take it out of the manifests.")
        try:
            obj = self._typed(kind, body, where)
            self._keep(kind.id, obj, where)
        except ApiRefused as refused:
            raise ManifestBroken(f"{where}: {refused.message}") from refused

    def _typed(self, kind: Kind, body: Json, where: str) -> Json:
        from k8s.sandbox.api.convert import TO_STORED

        root = self.objects.root(kind)
        obj, _ = decode.typed(body, root, kind.kind, kind.version) if root else (body, [])
        convert = TO_STORED.get((kind.group, kind.version, kind.kind))
        stored = convert(obj) if convert else obj
        stored["apiVersion"], stored["kind"] = self.objects.kinds.stored(kind.id).api_version, kind.kind
        meta = stored.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + random_suffix()
        if not meta.get("name"):
            raise ManifestBroken(f"{where}: metadata.name is missing.")
        if kind.id == "events" and isinstance(stored.get("involvedObject"), dict):
            about = stored["involvedObject"]
            meta.setdefault("namespace", about.get("namespace") or "default")
            if about.get("kind") not in ("Node", "Namespace", "PersistentVolume"):
                about.setdefault("namespace", meta["namespace"])
        if kind.namespaced:
            meta.setdefault("namespace", "default")
        else:
            meta.pop("namespace", None)
        return stored

    def _keep(self, resource: str, obj: Json, where: str) -> None:
        """Complete one object and put it into the store."""
        kind = self.objects.kinds.stored(resource)
        meta = obj["metadata"]
        known = self.store.get(resource, meta.get("namespace", ""), meta["name"]) is not None
        if known and where != "built in" and not resource.endswith(rbac.GROUP):
            raise ManifestBroken(f"{where}: there is already a {kind.kind} of the name {meta['name']!r}.")
        given = obj.get("status")
        self._metadata(kind, obj)
        begin = validate.BEGIN.get(kind.id)
        if begin:
            begin(obj)
            if given is not None:
                obj["status"] = {**(obj.get("status") or {}), **given}
        self.objects.complete(kind, obj)
        self._special(kind, obj, given)
        validate.created(kind, obj)
        if resource == "customresourcedefinitions.apiextensions.k8s.io":
            self.objects.on_crd(meta["name"], obj)
        self.store.put(resource, obj)

    def _metadata(self, kind: Kind, obj: Json) -> None:
        meta = obj["metadata"]
        meta.setdefault(
            "uid", str(uuid.UUID(hashlib.sha256(f"{kind.id} {meta.get('namespace')} {meta['name']}".encode()).hexdigest()[:32]))
        )
        age = (meta.get("annotations") or {}).pop(AGE, None)
        if age is not None:
            if not meta["annotations"]:
                del meta["annotations"]
            meta.setdefault("creationTimestamp", units.stamp(units.now() - timedelta(seconds=_age(age))))
        meta.setdefault("creationTimestamp", units.stamp())
        version = meta.pop("resourceVersion", None)
        if isinstance(version, str) and version.isdigit() and int(version) > self.store.version:
            self.store.version = int(version) - 1
        if kind.id in GENERATIONS or kind.crd is not None:
            meta.setdefault("generation", 1)

    def _special(self, kind: Kind, obj: Json, given: Json | None) -> None:
        admission = self.objects.admission
        if kind.id == "pods":
            if (given or {}).get("phase"):
                self.pinned.add(obj["metadata"]["uid"])
            else:
                admission.change(kind, obj)
        elif kind.id in ("services", "persistentvolumeclaims"):
            admission.change(kind, obj)
            admission.allot(kind, obj)
        elif kind.id == "jobs.batch" and not obj["spec"].get("selector"):
            own_selector(obj)
        elif kind.id == "nodes":
            made = node_status(obj["metadata"]["name"], self._next())
            if (given or {}).get("capacity"):
                made["allocatable"] = given["capacity"] if given else {}
            obj["status"] = {**made, **(given or {})}
            labels = obj["metadata"].setdefault("labels", {})
            for name, value in node_labels(obj["metadata"]["name"]).items():
                labels.setdefault(name, value)

    def _next(self) -> int:
        self._versions += 1
        return self._versions

    # what the folder leaves unsaid

    def _namespaces(self) -> None:
        used = set(SYSTEM)
        for resource in self.objects.kinds.stored_ids():
            used |= {one["metadata"].get("namespace", "") for one in self.store.each(resource)}
        for name in sorted(used - {""}):
            if self.store.get("namespaces", "", name) is None:
                body: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
                self._keep("namespaces", body, "built in")

    def _nodes(self, found: Found) -> None:
        if any(True for _ in self.store.each("nodes")):
            return
        pods = sum(1 for _ in self.store.each("pods"))
        for _, body in found.objects:
            replicas = (body.get("spec") or {}).get("replicas", 1) if isinstance(body.get("spec"), dict) else 0
            pods += replicas if body["kind"] in ("Deployment", "StatefulSet", "ReplicaSet") and isinstance(replicas, int) else 0
        for name in ("worker-1", "worker-2", "worker-3"):
            body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
            status = node_status(name, self._next(), most=max(110, pods))
            self._keep("nodes", {**body, "status": status}, "built in")

    def _system(self) -> None:
        """The API server's own Service."""
        if self.store.get("services", "default", "kubernetes") is None:
            spec = {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "targetPort": 6443}]}
            meta = {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}}
            self._keep("services", {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}, "built in")

    def _owners(self) -> None:
        """Owner references written without a uid, or with one from another cluster, find their owner by name."""
        for resource in self.objects.kinds.stored_ids():
            for one in list(self.store.each(resource)):
                refs = one["metadata"].get("ownerReferences") or ()
                if any(self.store.by_uid(ref.get("uid", "")) is None for ref in refs):
                    self._relink(resource, one)

    def _events(self) -> None:
        """Events written without the uid of what they are about find it by name."""
        for event in list(self.store.each("events")):
            about = event.get("involvedObject") or {}
            kind = self.objects.kinds.by_kind(about.get("apiVersion", "v1"), about.get("kind", ""))
            found = (
                self.store.get(kind.id, about.get("namespace", "") if kind.namespaced else "", about.get("name", ""))
                if kind
                else None
            )
            if found is not None and not about.get("uid"):
                known = {**about, "uid": found["metadata"]["uid"]}
                self.store.put("events", {**event, "metadata": dict(event["metadata"]), "involvedObject": known})

    def _relink(self, resource: str, obj: Json) -> None:
        meta = copy.deepcopy(obj["metadata"])
        kept = []
        for ref in meta["ownerReferences"]:
            kind = self.objects.kinds.by_kind(ref.get("apiVersion", ""), ref.get("kind", ""))
            space = meta.get("namespace", "") if kind and kind.namespaced else ""
            owner = self.store.get(kind.id, space, ref.get("name", "")) if kind else None
            if owner is not None:
                ref["uid"] = owner["metadata"]["uid"]
            if self.store.by_uid(ref.get("uid", "")) is not None:
                kept.append(ref)
        meta["ownerReferences"] = kept
        if not kept:
            del meta["ownerReferences"]
        self.store.put(resource, {**obj, "metadata": meta})


_ORDER = ("CustomResourceDefinition", "Namespace", "Node", "StorageClass", "PriorityClass", "ServiceAccount")


def _rank(body: Json) -> int:
    """CRDs first, then what others need, then owners before what they own."""
    if body["kind"] in _ORDER:
        return _ORDER.index(body["kind"])
    return {"Deployment": 10, "ReplicaSet": 11, "Pod": 20, "Event": 30}.get(body["kind"], 9)


def _age(text: str) -> float:
    parts = _AGE.findall(text)
    if not parts:
        raise ManifestBroken(f"{AGE}: {text!r} is not an age; write it as 3d, 2h30m or 45s.")
    return float(sum(int(number) * _SECONDS[unit] for number, unit in parts))


def node_labels(name: str) -> dict[str, str]:
    return {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    }


def node_status(name: str, place: int, *, most: int = 110) -> Json:
    """A healthy node's status."""
    now = units.stamp()
    capacity = {"cpu": "8", "ephemeral-storage": "100Gi", "memory": "32Gi", "pods": str(most)}
    rows = (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    )
    times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    return {
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [{"type": a, "status": b, **times, "reason": c, "message": d} for a, b, c, d in rows],
        "addresses": [{"type": "InternalIP", "address": f"192.168.10.{10 + place}"}, {"type": "Hostname", "address": name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "machineID": hashlib.sha256(name.encode()).hexdigest()[:32],
            "systemUUID": str(uuid.UUID(hashlib.sha256(name.encode()).hexdigest()[:32])),
            "bootID": str(uuid.UUID(hashlib.sha256(f"{name} boot".encode()).hexdigest()[:32])),
            "kernelVersion": "6.8.0-63-generic",
            "osImage": "Ubuntu 24.04.2 LTS",
            "containerRuntimeVersion": "containerd://2.1.4",
            "kubeletVersion": "v1.36.3",
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    }
