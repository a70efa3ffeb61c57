"""What Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, CronJobs and autoscalers must be."""

from __future__ import annotations

import re

from k8s.sandbox.objects import selectors
from k8s.sandbox.objects.checks_pods import NEGATIVE, RESTART, Causes, labels, template
from k8s.sandbox.objects.errors import (
    Cause,
    Json,
    invalid,
    prohibited,
    required,
    unsupported,
)

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


def deployment(obj: Json) -> Causes:
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


def replica_set(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    yield from _count(spec, "replicas", "minReadySeconds")
    yield from _selected(spec, "replicaset")
    yield from template(spec.get("template") or {}, "spec.template")
    yield from _always(spec)


def stateful_set(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    yield from _count(spec, "replicas", "minReadySeconds")
    yield from _selected(spec, "statefulset")
    claims = [one["metadata"].get("name", "") for one in spec.get("volumeClaimTemplates") or ()]
    yield from template(spec.get("template") or {}, "spec.template", claims)
    yield from _always(spec)
    if spec.get("podManagementPolicy") not in ("OrderedReady", "Parallel"):
        fault = "must be 'OrderedReady' or 'Parallel'"
        yield invalid("spec.podManagementPolicy", spec.get("podManagementPolicy"), fault)


def daemon_set(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    yield from _selected(spec, "daemonset")
    yield from template(spec.get("template") or {}, "spec.template")
    yield from _always(spec)


def job(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    yield from _count(spec, "parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished")
    yield from template(spec.get("template") or {}, "spec.template")
    yield from _ends(spec, "spec")


def _ends(spec: Json, path: str) -> Causes:
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy", "Always")
    if policy == "Always":
        where = f"{path}.template.spec.restartPolicy"
        yield Cause("FieldValueRequired", where, 'Required value: valid values: "OnFailure", "Never"')


def cron_job(obj: Json) -> Causes:
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
    yield from template(inner.get("template") or {}, "spec.jobTemplate.spec.template")
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


def controller(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    yield from _count(spec, "replicas", "minReadySeconds")
    if not spec.get("selector"):
        yield required("spec.selector")
    yield from template(spec.get("template") or {}, "spec.template")


def autoscaler(obj: Json) -> Causes:
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


def budget(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        shown = {"MinAvailable": spec["minAvailable"], "Selector": spec.get("selector"), "MaxUnavailable": spec["maxUnavailable"]}
        shown["UnhealthyPodEvictionPolicy"] = spec.get("unhealthyPodEvictionPolicy")
        yield invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set")
    yield from _int_or_percent(spec, "minAvailable", "spec")
    yield from _int_or_percent(spec, "maxUnavailable", "spec")
