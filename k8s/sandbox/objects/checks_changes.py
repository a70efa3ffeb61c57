"""What cannot be changed once it is set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from k8s.sandbox.objects import units
from k8s.sandbox.objects.checks_pods import Causes
from k8s.sandbox.objects.errors import (
    Json,
    invalid,
    prohibited,
)

IMMUTABLE = "field is immutable"


# what cannot change


def fixed(*paths: str) -> Callable[[Json, Json], Causes]:
    def check(obj: Json, old: Json) -> Causes:
        for path in paths:
            new, was = _at(obj, path), _at(old, path)
            if new != was:
                yield invalid(path, new, IMMUTABLE)

    return check


def _at(obj: Any, path: str) -> Any:
    for part in path.split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


MUTABLE_STATEFUL: tuple[str, ...] = ("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit")
MUTABLE_STATEFUL += ("persistentVolumeClaimRetentionPolicy", "minReadySeconds")
STATEFUL_FAULT = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def stateful_update(obj: Json, old: Json) -> Causes:
    new = {key: value for key, value in obj["spec"].items() if key not in MUTABLE_STATEFUL}
    if new != {key: value for key, value in old["spec"].items() if key not in MUTABLE_STATEFUL}:
        yield prohibited("spec", STATEFUL_FAULT)


POD_FAULT = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod_update(obj: Json, old: Json) -> Causes:
    if _pod_core(obj) != _pod_core(old):
        yield prohibited("spec", POD_FAULT)


def _pod_core(pod: Json) -> Json:
    spec = {key: value for key, value in pod["spec"].items() if key not in ("activeDeadlineSeconds", "tolerations")}
    for listed in ("containers", "initContainers"):
        kept = [{key: value for key, value in one.items() if key != "image"} for one in spec.get(listed) or ()]
        spec[listed] = kept
    spec.pop("schedulingGates", None)
    return spec


def role_ref(obj: Json, old: Json) -> Causes:
    if obj.get("roleRef") != old.get("roleRef"):
        yield invalid("roleRef", obj.get("roleRef"), "cannot change roleRef")


def immutable_data(obj: Json, old: Json) -> Causes:
    if not old.get("immutable"):
        return
    if not obj.get("immutable"):
        yield prohibited("immutable", "field is immutable when `immutable` is set")
    for field in ("data", "binaryData"):
        if obj.get(field) != old.get(field):
            yield prohibited(field, "field is immutable when `immutable` is set")


def secret_update(obj: Json, old: Json) -> Causes:
    yield from immutable_data(obj, old)
    if obj.get("type") != old.get("type"):
        yield invalid("type", obj.get("type"), IMMUTABLE)


def claim_update(obj: Json, old: Json) -> Causes:
    new = {key: value for key, value in obj["spec"].items() if key not in ("resources", "volumeAttributesClassName")}
    was = {key: value for key, value in old["spec"].items() if key not in ("resources", "volumeAttributesClassName")}
    if new != was and not (was.get("volumeName") is None and {**was, "volumeName": new.get("volumeName")} == new):
        fault = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        yield prohibited("spec", fault)
    before, after = (units.quantity(one["spec"]["resources"]["requests"]["storage"]) for one in (old, obj))
    if after < before:
        yield prohibited("spec.resources.requests.storage", "field can not be less than previous value")


def service_update(obj: Json, old: Json) -> Causes:
    new, was = obj["spec"].get("clusterIP"), old["spec"].get("clusterIP")
    if was not in (None, "", "None") and new != was and obj["spec"].get("type") != "ExternalName":
        yield invalid("spec.clusterIPs[0]", [new], "may not change once set")


def job_update(obj: Json, old: Json) -> Causes:
    yield from fixed("spec.selector", "spec.completionMode")(obj, old)
    if not old["spec"].get("suspend") and obj["spec"].get("template") != old["spec"].get("template"):
        yield invalid("spec.template", obj["spec"].get("template"), IMMUTABLE)
    if obj["spec"].get("completions") != old["spec"].get("completions"):
        yield invalid("spec.completions", obj["spec"].get("completions"), IMMUTABLE)
