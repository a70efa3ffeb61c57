"""The cells of pods' and workloads' rows, as pkg/printers/internalversion of Kubernetes prints them."""

from __future__ import annotations

from typing import Any

from k8s.sandbox.objects import selectors, units
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.store import controller_of

Cells = list[Any]
NONE, UNSET, UNKNOWN = "<none>", "<unset>", "<unknown>"


def look(obj: Any, *path: str) -> Any:
    for part in path:
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


def spec_of(obj: Json, *path: str) -> Any:
    return look(obj, "spec", *path)


def status_of(obj: Json, *path: str) -> Any:
    return look(obj, "status", *path)


def name_of(obj: Json) -> str:
    return str(obj["metadata"].get("name", ""))


def age_of(obj: Json) -> str:
    return units.since(obj["metadata"].get("creationTimestamp"))


def _containers(listed: list[Json] | None) -> Cells:
    found = listed or []
    return [",".join(one.get("name", "") for one in found), ",".join(one.get("image", "") for one in found)]


def _template(obj: Json) -> Cells:
    return _containers(spec_of(obj, "template", "spec", "containers"))


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
        name_of(obj), f"{ready}/{total}", reason, shown, age_of(obj), ips[0]["ip"] if ips else NONE,
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
    return str(look(one, "lastState", "terminated", "finishedAt") or "")


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
        if look(state, "waiting", "reason"):
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
    ready = f"{status_of(obj, 'readyReplicas') or 0}/{spec_of(obj, 'replicas') or 0}"
    counts = [status_of(obj, "updatedReplicas") or 0, status_of(obj, "availableReplicas") or 0]
    chosen = selectors.written(spec_of(obj, "selector"), "")
    return [name_of(obj), ready, *counts, age_of(obj), *_template(obj), chosen]


def replica_set(obj: Json) -> Cells:
    counts = [spec_of(obj, "replicas") or 0, status_of(obj, "replicas") or 0, status_of(obj, "readyReplicas") or 0]
    return [name_of(obj), *counts, age_of(obj), *_template(obj), selectors.written(spec_of(obj, "selector"))]


def controller(obj: Json) -> Cells:
    counts = [spec_of(obj, "replicas") or 0, status_of(obj, "replicas") or 0, status_of(obj, "readyReplicas") or 0]
    return [name_of(obj), *counts, age_of(obj), *_template(obj), selectors.labels_text(spec_of(obj, "selector"))]


def stateful_set(obj: Json) -> Cells:
    ready = f"{status_of(obj, 'readyReplicas') or 0}/{spec_of(obj, 'replicas') or 0}"
    return [name_of(obj), ready, age_of(obj), *_template(obj)]


def daemon_set(obj: Json) -> Cells:
    fields = "desiredNumberScheduled currentNumberScheduled numberReady updatedNumberScheduled numberAvailable"
    counts = [status_of(obj, field) or 0 for field in fields.split()]
    nodes = selectors.labels_text(spec_of(obj, "template", "spec", "nodeSelector"))
    return [name_of(obj), *counts, nodes, age_of(obj), *_template(obj), selectors.written(spec_of(obj, "selector"))]


_JOB_STATES = ("Complete", "Failed", "", "Suspended", "FailureTarget", "SuccessCriteriaMet")


def job(obj: Json) -> Cells:
    status = obj.get("status") or {}
    wanted, parallel = spec_of(obj, "completions"), spec_of(obj, "parallelism") or 0
    total = f"{wanted}" if wanted is not None else f"1 of {parallel}" if parallel > 1 else "1"
    state = next((one for one in _JOB_STATES if _job_state(obj, one)), "Running")
    took = ""
    if status.get("startTime"):
        end = status.get("completionTime")
        took = units.since(status["startTime"], units.parse_time(end) if end else None)
    chosen = selectors.written(spec_of(obj, "selector"))
    done = f"{status.get('succeeded', 0)}/{total}"
    return [name_of(obj), state or "Terminating", done, took, age_of(obj), *_template(obj), chosen]


def _job_state(obj: Json, state: str) -> bool:
    if not state:
        return bool(obj["metadata"].get("deletionTimestamp"))
    return _condition(obj.get("status") or {}, state)


def cron_job(obj: Json) -> Cells:
    last = status_of(obj, "lastScheduleTime")
    template = spec_of(obj, "jobTemplate", "spec") or {}
    return [
        name_of(obj), spec_of(obj, "schedule"), spec_of(obj, "timeZone") or NONE,
        {True: "True", False: "False"}.get(spec_of(obj, "suspend"), UNSET), len(status_of(obj, "active") or ()),
        units.since(last) if last else NONE, age_of(obj), *_containers(look(template, "template", "spec", "containers")),
        selectors.written(template.get("selector")),
    ]  # fmt: skip


def pod_template(obj: Json) -> Cells:
    found = obj.get("template") or {}
    labels = selectors.labels_text(look(found, "metadata", "labels"))
    return [name_of(obj), *_containers(look(found, "spec", "containers")), labels]


def controller_revision(obj: Json) -> Cells:
    owner = controller_of(obj)
    name = NONE
    if owner:
        group = owner["apiVersion"].rpartition("/")[0]
        name = f"{owner['kind'].lower()}{'.' + group if group else ''}/{owner['name']}"
    return [name_of(obj), name, obj.get("revision", 0), age_of(obj)]


def autoscaler(obj: Json) -> Cells:
    ref = spec_of(obj, "scaleTargetRef") or {}
    least = spec_of(obj, "minReplicas")
    return [
        name_of(obj), f"{ref.get('kind')}/{ref.get('name')}", _metrics(spec_of(obj, "metrics"), status_of(obj, "currentMetrics")),
        str(least) if least is not None else UNSET, spec_of(obj, "maxReplicas"), status_of(obj, "currentReplicas") or 0,
        age_of(obj),
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
    target = look(spec, field, "target") or {}
    now = look(current[0] if current else {}, field, "current") or {}
    named = f"{look(spec, field, 'name')}: " if "Resource" in kind else ""
    if target.get("averageValue"):
        note = " (avg)" if kind in ("External", "Object") else ""
        return f"{named}{now.get('averageValue', UNKNOWN)}/{target['averageValue']}{note}"
    if named:
        used, wanted = now.get("averageUtilization"), target.get("averageUtilization")
        return f"{named}{UNKNOWN if used is None else f'{used}%'}/{'<auto>' if wanted is None else f'{wanted}%'}"
    return f"{now.get('value', UNKNOWN)}/{target.get('value')}"


def budget(obj: Json) -> Cells:
    least, most = spec_of(obj, "minAvailable"), spec_of(obj, "maxUnavailable")
    shown = ["N/A" if one is None else str(one) for one in (least, most)]
    return [name_of(obj), *shown, status_of(obj, "disruptionsAllowed") or 0, age_of(obj)]
