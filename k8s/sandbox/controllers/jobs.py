"""Jobs: pods until enough have succeeded, or too many have failed."""

from __future__ import annotations

import copy
from typing import Any

from k8s.sandbox.controllers.loop import Loop, new_condition, owned, pod_from, pod_is_active, pod_is_ready
from k8s.sandbox.controllers.replicas import drop, generated, make
from k8s.sandbox.objects import units
from k8s.sandbox.objects.errors import Json

# Jobs

JOB = "job-controller"


def job(loop: Loop, namespace: str, name: str) -> None:
    owner = loop.get("jobs.batch", namespace, name)
    if owner is None or owner["metadata"].get("deletionTimestamp"):
        return
    if _job_over(owner):
        _job_expire(loop, owner)
        return
    status = copy.deepcopy(owner.get("status") or {})
    spec = owner["spec"]
    pods = owned(loop, owner, "pods")
    phases = [(pod.get("status") or {}).get("phase") for pod in pods]
    done = max(phases.count("Succeeded"), status.get("succeeded", 0))
    failed = max(phases.count("Failed"), status.get("failed", 0))
    active = [pod for pod in pods if pod_is_active(pod)]
    wanted = spec.get("completions")
    if spec.get("suspend"):
        _job_suspend(loop, owner, active, status)
        active = []
    else:
        _job_resume(loop, owner, status)
        status.setdefault("startTime", units.stamp())
        ended = _job_end(loop, owner, status, done, failed, active)
        if not ended:
            room = min(spec.get("parallelism", 1), (wanted - done) if wanted is not None else spec.get("parallelism", 1))
            made = sum(_job_make(loop, owner) for _ in range(max(room - len(active), 0)) if wanted is not None or not done)
            active = [pod for pod in owned(loop, owner, "pods") if pod_is_active(pod)] if made else active
    counts = {"active": 0 if _ended(status) else len(active), "succeeded": done, "failed": failed}
    ready = sum(pod_is_ready(pod) for pod in active)
    for key, value in counts.items():
        status.pop(key, None)
        if value:
            status[key] = value
    status |= {"ready": 0 if _ended(status) else ready, "terminating": 0, "uncountedTerminatedPods": {}}
    loop.status("jobs.batch", owner, status)


def _ended(status: Json) -> bool:
    return any(one["type"] in ("Complete", "Failed") for one in status.get("conditions") or ())


def _job_over(owner: Json) -> bool:
    return _ended(owner.get("status") or {})


def _job_make(loop: Loop, owner: Json) -> bool:
    pod = generated(pod_from(owner["spec"]["template"], owner), owner)
    return make(loop, owner, pod, JOB)


def _job_end(loop: Loop, owner: Json, status: Json, done: int, failed: int, active: list[Json]) -> bool:
    """Whether the Job is over; then its condition is set and what still runs is stopped."""
    spec = owner["spec"]
    wanted = spec.get("completions")
    old = status.get("conditions") or []
    enough = done >= wanted if wanted is not None else done > 0 and not active
    if enough:
        status["completionTime"] = units.stamp()
        text = "Reached expected number of succeeded pods"
        listed = new_condition(old, "SuccessCriteriaMet", "True", "CompletionsReached", text, updates=False)
        listed = new_condition(listed, "Complete", "True", "CompletionsReached", text, updates=False)
        status["conditions"] = [{**one, "lastProbeTime": one["lastTransitionTime"]} for one in listed]
        loop.event(owner, "Normal", "Completed", "Job completed", JOB)
        return True
    reason = text = ""
    if failed > spec.get("backoffLimit", 6):
        reason, text = "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    elif _deadline_over(loop, owner, status):
        reason, text = "DeadlineExceeded", "Job was active longer than specified deadline"
    if not reason:
        return False
    listed = new_condition(old, "FailureTarget", "True", reason, text, updates=False)
    listed = new_condition(listed, "Failed", "True", reason, text, updates=False)
    status["conditions"] = [{**one, "lastProbeTime": one["lastTransitionTime"]} for one in listed]
    loop.event(owner, "Warning", reason, text, JOB)
    for pod in active:
        drop(loop, owner, pod, JOB)
    return True


def _deadline_over(loop: Loop, owner: Json, status: Json) -> bool:
    limit = owner["spec"].get("activeDeadlineSeconds")
    if limit is None:
        return False
    left = limit - (units.now() - units.parse_time(status["startTime"])).total_seconds()
    if left > 0:
        loop.later(left, "job", owner["metadata"]["namespace"], owner["metadata"]["name"])
    return bool(left <= 0)


def _job_suspend(loop: Loop, owner: Json, active: list[Json], status: Json) -> None:
    old = status.get("conditions") or []
    if not any(one["type"] == "Suspended" and one["status"] == "True" for one in old):
        loop.event(owner, "Normal", "Suspended", "Job suspended", JOB)
    listed = new_condition(old, "Suspended", "True", "JobSuspended", "Job suspended", updates=False)
    status["conditions"] = [{"lastProbeTime": one["lastTransitionTime"], **one} for one in listed]
    status.pop("startTime", None)
    for pod in active:
        drop(loop, owner, pod, JOB)


def _job_resume(loop: Loop, owner: Json, status: Json) -> None:
    old = status.get("conditions") or []
    if any(one["type"] == "Suspended" and one["status"] == "True" for one in old):
        loop.event(owner, "Normal", "Resumed", "Job resumed", JOB)
        listed = new_condition(old, "Suspended", "False", "JobResumed", "Job resumed", updates=False)
        status["conditions"] = listed


def _job_expire(loop: Loop, owner: Json) -> None:
    """Finished Jobs with ttlSecondsAfterFinished go by themselves."""
    life: Any = owner["spec"].get("ttlSecondsAfterFinished")
    if life is None:
        return
    meta = owner["metadata"]
    ended = next(one for one in owner["status"]["conditions"] if one["type"] in ("Complete", "Failed"))
    left = life - (units.now() - units.parse_time(ended["lastTransitionTime"])).total_seconds()
    if left > 0:
        loop.later(left, "job", meta["namespace"], meta["name"])
    else:
        loop.delete("jobs.batch", meta["namespace"], meta["name"])
