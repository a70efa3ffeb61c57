"""Deployments: a ReplicaSet per template, rolled over within maxSurge and maxUnavailable, with revisions and conditions.

After pkg/controller/deployment of Kubernetes.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from typing import Any

from k8s.sandbox.controllers.loop import Loop, adopt, new_condition, owned, owner_ref, pod_is_active
from k8s.sandbox.objects import selectors, units
from k8s.sandbox.objects.errors import ApiRefused, Json
from k8s.sandbox.objects.registry import SUFFIX

SETS = "replicasets.apps"
DEPLOYMENTS = "deployments.apps"
HASH = "pod-template-hash"
PREFIX = "deployment.kubernetes.io/"
REVISION, DESIRED, MOST = f"{PREFIX}revision", f"{PREFIX}desired-replicas", f"{PREFIX}max-replicas"
HISTORY = f"{PREFIX}revision-history"
NOT_COPIED = {"kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MOST}
NOT_COPIED.add("deprecated.deployment.rollback.to")
COMPONENT = "deployment-controller"


def template_hash(template: Json, salt: int = 0) -> str:
    """A short, speakable name for a template."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode() + bytes([salt])).digest()
    number = str(int.from_bytes(digest[:4], "big"))
    return "".join(SUFFIX[ord(one) % len(SUFFIX)] for one in number)


def resolve(value: Any, total: int, *, up: bool) -> int:
    """A count or a percentage of the total, rounded up or down."""
    if isinstance(value, str):
        share = total * int(value.rstrip("%")) / 100
        return math.ceil(share) if up else math.floor(share)
    return int(value)


def bounds(deployment: Json) -> tuple[int, int]:
    """maxSurge and maxUnavailable in pods."""
    spec = deployment["spec"]
    strategy, total = spec.get("strategy") or {}, spec["replicas"]
    if strategy.get("type") == "Recreate":
        return 0, total
    rolling = strategy.get("rollingUpdate") or {}
    surge = resolve(rolling.get("maxSurge", "25%"), total, up=True)
    lacking = resolve(rolling.get("maxUnavailable", "25%"), total, up=False)
    return surge, min(lacking, total) if surge or lacking else 1


def reconcile(loop: Loop, namespace: str, name: str) -> None:
    deployment = loop.get(DEPLOYMENTS, namespace, name)
    if deployment is None:
        return
    chosen = selectors.from_object(deployment["spec"]["selector"])
    if not deployment["metadata"].get("deletionTimestamp"):
        adopt(loop, deployment, SETS, lambda one: selectors.matches(chosen, one["metadata"].get("labels")))
    sets = owned(loop, deployment, SETS)
    current = next((one for one in sets if same_template(one, deployment)), None)
    if deployment["metadata"].get("deletionTimestamp"):
        _status(loop, deployment, sets, current)
        return
    note = ""
    if not deployment["spec"].get("paused"):
        current, note = _current(loop, deployment, sets, current)
        deployment = loop.get(DEPLOYMENTS, namespace, name) or deployment
        if current is not None:
            _roll(loop, deployment, current)
    elif current is not None:
        _scale_paused(loop, deployment, sets)
    sets = owned(loop, deployment, SETS)
    current = next((one for one in sets if same_template(one, deployment)), None)
    _status(loop, deployment, sets, current, note)
    if current is not None and not deployment["spec"].get("paused"):
        _forget(loop, deployment, sets, current)


def same_template(replica_set: Json, deployment: Json) -> bool:
    template = replica_set["spec"]["template"]
    labels = {k: v for k, v in (template["metadata"].get("labels") or {}).items() if k != HASH}
    bare = {**template, "metadata": {**template["metadata"], "labels": labels}}
    wanted = deployment["spec"]["template"]
    wanted_labels = (wanted.get("metadata") or {}).get("labels") or {}
    return _clean(bare) == _clean({**wanted, "metadata": {**(wanted.get("metadata") or {}), "labels": wanted_labels}})


def _clean(template: Json) -> Json:
    meta = {k: v for k, v in template["metadata"].items() if v not in (None, {}, []) and k != "creationTimestamp"}
    return {"metadata": meta, "spec": template["spec"]}


def revision_of(obj: Json) -> int:
    text = (obj["metadata"].get("annotations") or {}).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def _current(loop: Loop, deployment: Json, sets: list[Json], current: Json | None) -> tuple[Json | None, str]:
    """The ReplicaSet of the present template, made if need be, with its revision; and what became of it."""
    others = [one for one in sets if one is not current]
    revision = max((revision_of(one) for one in others), default=0) + 1
    note = ""
    if current is None:
        try:
            current = loop.create(SETS, _new_set(deployment, revision, sets))
        except ApiRefused as refused:
            _failed_create(loop, deployment, refused)
            return None, ""
        note = f'Created new replica set "{current["metadata"]["name"]}"'
        if current["spec"]["replicas"]:
            text = f"Scaled up replica set {current['metadata']['name']} from 0 to {current['spec']['replicas']}"
            loop.event(deployment, "Normal", "ScalingReplicaSet", text, COMPONENT)
    else:
        current = _annotate(loop, deployment, current, max(revision, revision_of(current)))
        listed = (deployment.get("status") or {}).get("conditions") or ()
        if not any(one["type"] == "Progressing" for one in listed):
            note = f'Found new replica set "{current["metadata"]["name"]}"'
    _set_revision(loop, deployment, revision_of(current))
    return current, note


def _failed_create(loop: Loop, deployment: Json, refused: ApiRefused) -> None:
    status = copy.deepcopy(deployment.get("status") or {})
    text = f"Failed to create new replica set: {refused.message}"
    old = status.get("conditions") or []
    status["conditions"] = new_condition(old, "Progressing", "False", "ReplicaSetCreateError", text, updates=True)
    loop.event(deployment, "Warning", "ReplicaSetCreateError", text, COMPONENT)
    loop.status(DEPLOYMENTS, deployment, status)


def _new_set(deployment: Json, revision: int, sets: list[Json]) -> Json:
    surge, _ = bounds(deployment)
    meta, spec = deployment["metadata"], deployment["spec"]
    template = copy.deepcopy(spec["template"])
    taken = {one["metadata"]["name"] for one in sets}
    mark = next(found for salt in range(100) if f"{meta['name']}-{(found := template_hash(template, salt))}" not in taken)
    template.setdefault("metadata", {})["labels"] = {**(template["metadata"].get("labels") or {}), HASH: mark}
    running = sum(one["spec"]["replicas"] for one in sets)
    recreate = (spec.get("strategy") or {}).get("type") == "Recreate"
    replicas = 0 if recreate and running else min(spec["replicas"], max(spec["replicas"] + surge - running, 0))
    selector = copy.deepcopy(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH: mark}
    notes = _copied(deployment) | _counts(deployment) | {REVISION: str(revision)}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta['name']}-{mark}",
            "namespace": meta["namespace"],
            "labels": dict(template["metadata"]["labels"]),
            "annotations": notes,
            "ownerReferences": [owner_ref(deployment)],
        },
        "spec": {
            "replicas": replicas,
            **({"minReadySeconds": spec["minReadySeconds"]} if spec.get("minReadySeconds") else {}),
            "selector": selector,
            "template": template,
        },
    }


def _copied(deployment: Json) -> dict[str, str]:
    found = deployment["metadata"].get("annotations") or {}
    return {key: value for key, value in found.items() if key not in NOT_COPIED}


def _counts(deployment: Json) -> dict[str, str]:
    surge, _ = bounds(deployment)
    replicas = deployment["spec"]["replicas"]
    return {DESIRED: str(replicas), MOST: str(replicas + surge)}


def _annotate(loop: Loop, deployment: Json, current: Json, revision: int) -> Json:
    changed = loop.edit(SETS, current)
    notes = changed["metadata"].setdefault("annotations", {})
    was = notes.get(REVISION)
    if was and int(was) < revision:
        notes[HISTORY] = ",".join(filter(None, [notes.get(HISTORY, ""), was]))
    notes |= _copied(deployment) | {REVISION: str(revision)}
    if deployment["spec"].get("minReadySeconds"):
        changed["spec"]["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
    return loop.put(SETS, changed)


def _set_revision(loop: Loop, deployment: Json, revision: int) -> None:
    if (deployment["metadata"].get("annotations") or {}).get(REVISION) != str(revision):
        changed = loop.edit(DEPLOYMENTS, deployment)
        changed["metadata"].setdefault("annotations", {})[REVISION] = str(revision)
        loop.put(DEPLOYMENTS, changed)


def _scale(loop: Loop, deployment: Json, one: Json, replicas: int) -> None:
    """Give a ReplicaSet its number of pods, and say so."""
    before = one["spec"]["replicas"]
    changed = loop.edit(SETS, one)
    changed["spec"]["replicas"] = replicas
    changed["metadata"].setdefault("annotations", {}).update(_counts(deployment))
    if changed == one:
        return
    if before != replicas:
        changed["metadata"]["generation"] = changed["metadata"].get("generation", 1) + 1
        way = "up" if replicas > before else "down"
        text = f"Scaled {way} replica set {one['metadata']['name']} from {before} to {replicas}"
        loop.event(deployment, "Normal", "ScalingReplicaSet", text, COMPONENT)
    loop.put(SETS, changed)


def _scale_paused(loop: Loop, deployment: Json, sets: list[Json]) -> None:
    """A paused Deployment is still scaled: its newest active ReplicaSet takes the difference."""
    active = [one for one in sets if one["spec"]["replicas"]] or sets[-1:]
    rest = sum(one["spec"]["replicas"] for one in active[:-1])
    surge, _ = bounds(deployment)
    if len(active) == 1 or rest + active[-1]["spec"]["replicas"] > deployment["spec"]["replicas"] + surge:
        _scale(loop, deployment, active[-1], max(deployment["spec"]["replicas"] - rest, 0))


def _roll(loop: Loop, deployment: Json, current: Json) -> None:
    sets = owned(loop, deployment, SETS)
    current = next((one for one in sets if one["metadata"]["uid"] == current["metadata"]["uid"]), current)
    olds = [one for one in sets if one["metadata"]["uid"] != current["metadata"]["uid"]]
    if (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
        _recreate(loop, deployment, current, olds)
        return
    total = deployment["spec"]["replicas"]
    surge, lacking = bounds(deployment)
    running = sum(one["spec"]["replicas"] for one in sets)
    have = current["spec"]["replicas"]
    if have > total or not any(one["spec"]["replicas"] for one in olds):
        wanted = total
    else:
        wanted = min(total, have + max(total + surge - running, 0))
    _scale(loop, deployment, current, wanted)
    _shrink(loop, deployment, current["metadata"]["uid"], total - lacking)


def _shrink(loop: Loop, deployment: Json, uid: str, least: int) -> None:
    """Scale old ReplicaSets down as far as `least` available pods allow; pods that never came up go first."""
    sets = owned(loop, deployment, SETS)
    olds = [one for one in sets if one["metadata"]["uid"] != uid and one["spec"]["replicas"]]
    if not olds:
        return
    current = next(one for one in sets if one["metadata"]["uid"] == uid)
    available = {one["metadata"]["name"]: (one.get("status") or {}).get("availableReplicas", 0) for one in sets}
    not_up = current["spec"]["replicas"] - available[current["metadata"]["name"]]
    room = sum(one["spec"]["replicas"] for one in sets) - least - not_up
    wanted = {one["metadata"]["name"]: one["spec"]["replicas"] for one in olds}
    for one in olds:
        name = one["metadata"]["name"]
        broken = min(max(wanted[name] - available[name], 0), max(room, 0))
        wanted[name] -= broken
        room -= broken
    spare = sum(available.values()) - least
    for one in olds:
        name = one["metadata"]["name"]
        gone = min(wanted[name], max(spare, 0))
        wanted[name] -= gone
        spare -= gone
    for one in olds:
        _scale(loop, deployment, one, wanted[one["metadata"]["name"]])


def _recreate(loop: Loop, deployment: Json, current: Json, olds: list[Json]) -> None:
    for one in olds:
        _scale(loop, deployment, one, 0)
    left = [pod for one in olds for pod in owned(loop, one, "pods")]
    if not any(pod_is_active(pod) or pod["metadata"].get("deletionTimestamp") for pod in left):
        _scale(loop, deployment, current, deployment["spec"]["replicas"])


def _forget(loop: Loop, deployment: Json, sets: list[Json], current: Json) -> None:
    """Old ReplicaSets beyond revisionHistoryLimit go, oldest first."""
    status = current.get("status") or {}
    if status.get("availableReplicas", 0) < deployment["spec"]["replicas"]:
        return
    limit = deployment["spec"].get("revisionHistoryLimit", 10)
    idle = [one for one in sets if one is not current and not one["spec"]["replicas"]]
    idle = [one for one in idle if not (one.get("status") or {}).get("replicas")]
    for one in sorted(idle, key=revision_of)[: max(len(idle) - limit, 0)]:
        loop.delete(SETS, one["metadata"]["namespace"], one["metadata"]["name"])


def _status(loop: Loop, deployment: Json, sets: list[Json], current: Json | None, note: str = "") -> None:
    deployment = loop.get(DEPLOYMENTS, deployment["metadata"]["namespace"], deployment["metadata"]["name"]) or deployment
    old = deployment.get("status") or {}

    def total(field: str) -> int:
        return sum((one.get("status") or {}).get(field, 0) for one in sets)

    replicas, available = total("replicas"), total("availableReplicas")
    counts = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": replicas,
        "updatedReplicas": ((current or {}).get("status") or {}).get("replicas", 0),
        "readyReplicas": total("readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(sum(one["spec"]["replicas"] for one in sets) - available, 0),
    }
    status: Json = {name: value for name, value in counts.items() if value}
    status["terminatingReplicas"] = total("terminatingReplicas")
    if "collisionCount" in old:
        status["collisionCount"] = old["collisionCount"]
    status["conditions"] = _conditions(loop, deployment, counts, current, old, note)
    loop.status(DEPLOYMENTS, deployment, status)


def _conditions(loop: Loop, deployment: Json, counts: dict[str, int], current: Json | None, old: Json, note: str) -> list[Json]:
    listed = old.get("conditions") or []
    total = deployment["spec"]["replicas"]
    _, lacking = bounds(deployment)
    if counts["availableReplicas"] >= total - lacking:
        how = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        how = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    listed = new_condition(listed, "Available", *how, updates=True)
    progress = _progress(loop, deployment, counts, current, old, note)
    return new_condition(listed, "Progressing", *progress, updates=True) if progress else listed


def _progress(
    loop: Loop, deployment: Json, counts: dict[str, int], current: Json | None, old: Json, note: str
) -> tuple[str, str, str] | None:
    """The Progressing condition, or None to leave it as it is."""
    was = next((one for one in old.get("conditions") or () if one["type"] == "Progressing"), None)
    if deployment["spec"].get("paused"):
        return ("Unknown", "DeploymentPaused", "Deployment is paused")
    if was and was.get("reason") == "DeploymentPaused":
        return ("Unknown", "DeploymentResumed", "Deployment is resumed")
    if current is None:
        return None
    name, total = current["metadata"]["name"], deployment["spec"]["replicas"]
    finished = counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == total
    if was and was.get("reason") == "NewReplicaSetAvailable" and not note and counts["updatedReplicas"] == total:
        same = f'"{name}"' in was.get("message", "")
        if same and counts["replicas"] == total:
            return None
    if finished:
        return ("True", "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.')
    if note.startswith("Created"):
        return ("True", "NewReplicaSetCreated", note)
    if note.startswith("Found"):
        return ("True", "FoundNewReplicaSet", note)
    moved = any(counts[field] != old.get(field, 0) for field in ("updatedReplicas", "readyReplicas", "availableReplicas"))
    if moved or was is None or was.get("reason") in ("DeploymentResumed", "NewReplicaSetAvailable"):
        return ("True", "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
    return _deadline(loop, deployment, was, name)


def _deadline(loop: Loop, deployment: Json, was: Json, name: str) -> tuple[str, str, str] | None:
    """Past progressDeadlineSeconds without progress, the rollout is said to have failed."""
    limit = deployment["spec"].get("progressDeadlineSeconds", 600)
    since = units.parse_time(was.get("lastUpdateTime") or was["lastTransitionTime"])
    left = limit - (units.now() - since).total_seconds()
    if was["status"] == "False" or was.get("reason") == "NewReplicaSetAvailable":
        return None
    if left <= 0:
        return ("False", "ProgressDeadlineExceeded", f'ReplicaSet "{name}" has timed out progressing.')
    loop.later(left + 1, "deployment", deployment["metadata"]["namespace"], deployment["metadata"]["name"])
    return None
