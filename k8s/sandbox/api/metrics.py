"""metrics.k8s.io: what nodes and pods use. Made up, but the same each time, and below requests and limits."""

from __future__ import annotations

import hashlib
from decimal import Decimal

from aiohttp import web

from k8s.sandbox.api import answers
from k8s.sandbox.api.reading import chosen_by
from k8s.sandbox.api.requests import Ask
from k8s.sandbox.api.server import Server
from k8s.sandbox.controllers.containers import fault_of
from k8s.sandbox.controllers.loop import Loop
from k8s.sandbox.objects import errors, units
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.store import Stored

WINDOW = "15.034s"
API = "metrics.k8s.io/v1beta1"


def install(server: Server, loop: Loop) -> None:
    async def pods(ask: Ask) -> web.StreamResponse:
        return await _answer(server, loop, ask, "pods")

    async def nodes(ask: Ask) -> web.StreamResponse:
        return await _answer(server, loop, ask, "nodes")

    for verb in ("get", "list"):
        server.special[f"{verb} pods.metrics.k8s.io"] = pods
        server.special[f"{verb} nodes.metrics.k8s.io"] = nodes


async def _answer(server: Server, loop: Loop, ask: Ask, resource: str) -> web.StreamResponse:
    asked = ask.asked
    make = pod_metrics if resource == "pods" else node_metrics
    if asked.verb == "get":
        found = server.store.get(resource, asked.namespace, asked.name)
        shown = make(loop, found) if found else None
        if shown is None:
            name = f"{asked.namespace}/{asked.name}" if asked.namespace else asked.name
            raise errors.not_found(f"{resource[:-1]}metrics" if resource == "pods" else "nodemetrics", "metrics.k8s.io", name)
        return answers.reply(ask, shown)
    fits = chosen_by(ask)
    listed = [one.body for _, one in server.store.ordered(resource, asked.namespace or None)]
    chosen = [make(loop, one) for one in listed if fits is None or fits(one)]
    entries = [Stored(one) for one in chosen if one is not None]
    return await answers.list_reply(ask, entries, {})


def _share(seed: str, low: int, high: int) -> Decimal:
    """A part between two percentages, always the same for the seed."""
    number = int(hashlib.sha256(seed.encode()).hexdigest()[:8], 16)
    return Decimal(low + number % (high - low)) / 100


def pod_metrics(loop: Loop, pod: Json) -> Json | None:
    """A running pod's usage; None for one that does not run."""
    status = pod.get("status") or {}
    if status.get("phase") != "Running":
        return None
    meta = pod["metadata"]
    running = {one["name"] for one in status.get("containerStatuses") or () if "running" in (one.get("state") or {})}
    known = bool(status.get("containerStatuses"))
    listed = [one for one in pod["spec"].get("containers") or () if not known or one["name"] in running]
    if not listed:
        return None
    head: Json = {"name": meta["name"], "namespace": meta["namespace"], "creationTimestamp": units.stamp()}
    if meta.get("labels"):
        head["labels"] = meta["labels"]
    usage = [{"name": one["name"], "usage": _usage(loop, pod, one)} for one in listed]
    return {
        "kind": "PodMetrics",
        "apiVersion": API,
        "metadata": head,
        "timestamp": units.stamp(),
        "window": WINDOW,
        "containers": usage,
    }


def _usage(loop: Loop, pod: Json, container: Json) -> Json:
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    seed = f"{pod['metadata']['name']}/{container['name']}"
    cpu = units.quantity(requests.get("cpu") or limits.get("cpu") or "100m") * _share(seed, 5, 60)
    memory = units.quantity(requests.get("memory") or limits.get("memory") or "64Mi") * _share(seed + "m", 35, 85)
    fault = fault_of(loop, pod, container)
    if fault and fault.name == "oom" and limits.get("memory"):
        memory = units.quantity(limits["memory"]) * Decimal("0.97")
    return {"cpu": f"{max(int(cpu * 10**9), 1_000_000)}n", "memory": f"{max(int(memory) // 1024, 1024)}Ki"}


def node_metrics(loop: Loop, node: Json) -> Json | None:
    """What the pods of a node use together, and a little for the system."""
    name = node["metadata"]["name"]
    ready = {one["type"]: one["status"] for one in (node.get("status") or {}).get("conditions") or ()}.get("Ready")
    if ready not in (None, "True"):
        return None
    cpu, memory = Decimal("0.12") + _share(name, 0, 20), Decimal(900 * 1024**2)
    for pod in loop.store.each("pods"):
        shown = pod_metrics(loop, pod) if pod["spec"].get("nodeName") == name else None
        for one in shown["containers"] if shown else ():
            cpu += units.quantity(one["usage"]["cpu"])
            memory += units.quantity(one["usage"]["memory"])
    head: Json = {"name": name, "creationTimestamp": units.stamp(), "labels": node["metadata"].get("labels") or {}}
    usage = {"cpu": f"{int(cpu * 10**9)}n", "memory": f"{int(memory) // 1024}Ki"}
    return {
        "kind": "NodeMetrics",
        "apiVersion": API,
        "metadata": head,
        "timestamp": units.stamp(),
        "window": WINDOW,
        "usage": usage,
    }
