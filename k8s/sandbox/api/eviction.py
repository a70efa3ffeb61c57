"""pods/eviction: deletion that asks the PodDisruptionBudgets first."""

from __future__ import annotations

from aiohttp import web

from k8s.sandbox.api import bodies
from k8s.sandbox.api.answers import json_response
from k8s.sandbox.api.requests import Ask
from k8s.sandbox.api.server import Server
from k8s.sandbox.controllers.loop import Loop, pod_is_ready
from k8s.sandbox.objects import errors, selectors
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.kinds import Kind
from k8s.sandbox.objects.registry import Write

EVICTION = Kind("policy", "v1", "evictions", "Eviction", True)
DISRUPTED = "Cannot evict pod as it would violate the pod's disruption budget."


def install(server: Server, loop: Loop) -> None:
    async def evict(ask: Ask) -> web.StreamResponse:
        return _evict(server, loop, ask)

    server.special["create pods/eviction"] = evict


def _evict(server: Server, loop: Loop, ask: Ask) -> web.StreamResponse:
    write = bodies.write_options(ask)
    body = bodies.body(server, ask, write, EVICTION)
    asked = ask.asked
    pod = server.store.get("pods", asked.namespace, asked.name)
    if pod is None:
        raise errors.not_found("pods", "", asked.name)
    options = body.get("deleteOptions") or {}
    dry = write.dry_run or options.get("dryRun") == ["All"]
    phase = (pod.get("status") or {}).get("phase")
    if phase not in ("Succeeded", "Failed", "Pending") and not pod["metadata"].get("deletionTimestamp"):
        _ask_budgets(loop, pod, dry)
    server.objects.delete(server.kinds.stored("pods"), asked.namespace, asked.name, options, Write(dry_run=dry))
    return json_response({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)


def _ask_budgets(loop: Loop, pod: Json, dry: bool) -> None:
    labels, namespace = pod["metadata"].get("labels"), pod["metadata"]["namespace"]
    budgets = [
        one
        for one in loop.store.each("poddisruptionbudgets.policy", namespace)
        if selectors.matches(selectors.from_object(one["spec"].get("selector")), labels)
    ]
    if len(budgets) > 1:
        text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise errors.ApiRefused(500, "InternalError", f"Internal error occurred: {text}")
    for budget in budgets:
        status = budget.get("status") or {}
        healthy, wanted = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
        if not pod_is_ready(pod) and healthy >= wanted and wanted > 0:
            return
        if status.get("disruptionsAllowed", 0) <= 0:
            name = budget["metadata"]["name"]
            text = f"The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently"
            raise errors.too_many(DISRUPTED, causes=[{"reason": "DisruptionBudget", "message": text}])
        if not dry:
            left = status["disruptionsAllowed"] - 1
            loop.status("poddisruptionbudgets.policy", budget, {**status, "disruptionsAllowed": left})
