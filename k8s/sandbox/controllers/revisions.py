"""ControllerRevisions: the templates that StatefulSets and DaemonSets have had."""

from __future__ import annotations

import copy

from k8s.sandbox.controllers.deployments import template_hash
from k8s.sandbox.controllers.loop import Loop, owned, owner_ref
from k8s.sandbox.objects.errors import Json

REVISION_LABEL = "controller-revision-hash"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
REVISIONS = "controllerrevisions.apps"


# revisions of StatefulSets and DaemonSets


def revision(loop: Loop, owner: Json) -> tuple[str, list[Json]]:
    """The ControllerRevision of the present template, made if need be, and all of them."""
    data = {"spec": {"template": {**copy.deepcopy(owner["spec"]["template"]), "$patch": "replace"}}}
    listed = sorted(owned(loop, owner, REVISIONS), key=lambda one: int(one["revision"]))
    same = next((one for one in listed if one.get("data") == data), None)
    number = max((one["revision"] for one in listed), default=0) + 1
    if same is not None:
        if same is not listed[-1]:
            same = loop.put(REVISIONS, {**same, "metadata": dict(same["metadata"]), "revision": number})
        return same["metadata"]["name"].removeprefix(f"{owner['metadata']['name']}-"), listed
    mark = template_hash(owner["spec"]["template"])
    meta = owner["metadata"]
    label = "controller.kubernetes.io/hash" if owner["kind"] == "StatefulSet" else REVISION_LABEL
    notes = {key: value for key, value in (meta.get("annotations") or {}).items() if key != LAST_APPLIED}
    head: Json = {
        "name": f"{meta['name']}-{mark}",
        "namespace": meta["namespace"],
        "labels": {**(owner["spec"]["template"]["metadata"].get("labels") or {}), label: mark},
        "ownerReferences": [owner_ref(owner)],
    }
    body: Json = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {**head, "annotations": notes} if notes else head,
        "data": data,
        "revision": number,
    }
    listed.append(loop.create(REVISIONS, body))
    limit = owner["spec"].get("revisionHistoryLimit", 10)
    for one in listed[: max(len(listed) - limit - 1, 0)]:
        loop.delete(REVISIONS, meta["namespace"], one["metadata"]["name"])
    return mark, listed


def marked(pod: Json) -> str:
    return str((pod["metadata"].get("labels") or {}).get(REVISION_LABEL, ""))


def adopt_marks(loop: Loop, owner: Json, mark: str) -> None:
    """Pods that came with a manifest carry no revision; they count as the present one."""
    for pod in owned(loop, owner, "pods"):
        if not marked(pod):
            changed = loop.edit("pods", pod)
            changed["metadata"].setdefault("labels", {})[REVISION_LABEL] = mark
            loop.put("pods", changed)
