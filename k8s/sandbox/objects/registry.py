"""Creating, changing and deleting objects as the API server's registry does: metadata, defaults, checks, conflicts."""

from __future__ import annotations

import copy
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from k8s.sandbox.objects import decode, defaults, errors, schema, units, validate
from k8s.sandbox.objects.admission import Admission
from k8s.sandbox.objects.errors import Json
from k8s.sandbox.objects.kinds import Kind, Kinds
from k8s.sandbox.objects.store import Store

SUFFIX = "bcdfghjklmnpqrstvwxz2456789"  # apimachinery's alphabet for generated names
BACKGROUND, FOREGROUND, ORPHAN = "Background", "Foreground", "Orphan"
FINALIZERS = {FOREGROUND: "foregroundDeletion", ORPHAN: "orphan"}

# Kinds whose metadata.generation counts changes of the spec.
GENERATIONS = frozenset(
    [
        "deployments.apps",
        "replicasets.apps",
        "statefulsets.apps",
        "daemonsets.apps",
        "jobs.batch",
        "cronjobs.batch",
        "ingresses.networking.k8s.io",
        "networkpolicies.networking.k8s.io",
        "poddisruptionbudgets.policy",
        "replicationcontrollers",
        "customresourcedefinitions.apiextensions.k8s.io",
        "priorityclasses.scheduling.k8s.io",
        "pods",
        "ingressclasses.networking.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "flowschemas.flowcontrol.apiserver.k8s.io",
        "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
        "endpointslices.discovery.k8s.io",
    ]
)
# Deleting these at once answers with the object, not with a Status.
RETURNS_DELETED = frozenset(
    [
        "pods",
        "services",
        "serviceaccounts",
        "persistentvolumes",
        "persistentvolumeclaims",
        "resourcequotas",
        "podtemplates",
        "storageclasses.storage.k8s.io",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
    ]
)
ORPHANS_BY_DEFAULT = frozenset(("jobs.batch", "replicationcontrollers"))


@dataclass(slots=True)
class Write:
    """How a write is to be done."""

    dry_run: bool = False
    field_validation: str = "Warn"  # Ignore, Warn or Strict
    warnings: list[str] = field(default_factory=list)


def random_suffix() -> str:
    return "".join(secrets.choice(SUFFIX) for _ in range(5))


def has_status(kind: Kind) -> bool:
    return "status" in kind.subresources


class Objects:
    """Writes to the store, checked."""

    def __init__(self, store: Store, kinds: Kinds) -> None:
        self.store, self.kinds = store, kinds
        self.admission = Admission(store)
        self.on_crd: Callable[[str, Json | None], None] = lambda name, crd: None

    # reading a body

    def typed(self, kind: Kind, body: Any, write: Write, extra: list[str] | None = None) -> Json:
        """The body as an object of the kind; strict faults become an error or warnings."""
        root = self.root(kind)
        obj, faults = decode.typed(body, root, kind.kind, kind.version) if root else (body, [])
        faults = [*(extra or ()), *faults]
        if faults and write.field_validation == "Strict":
            raise errors.bad_request(
                f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
                f"strict decoding error: {', '.join(faults)}"
            )
        if write.field_validation == "Warn":
            write.warnings += faults
        obj["apiVersion"], obj["kind"] = kind.api_version, kind.kind
        obj.setdefault("metadata", {})
        return obj

    def root(self, kind: Kind) -> schema.Field | None:
        if kind.crd is not None:
            return schema.custom_root((kind.crd.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"})
        return schema.root(kind.schema) if schema.known(kind.schema) else None

    def complete(self, kind: Kind, obj: Json) -> None:
        """Fill in defaults, in place."""
        if kind.crd is not None:
            defaults.fill_custom(obj, (kind.crd.get("schema") or {}).get("openAPIV3Schema") or {})
        else:
            defaults.fill(obj, kind.schema)

    # writing

    def create(self, kind: Kind, obj: Json, write: Write | None = None) -> Json:
        """Create a typed object. The object given is taken over."""
        write = write or Write()
        meta = obj["metadata"]
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"][:58] + random_suffix()
        self._begin(kind, obj)
        self.admission.namespace_open(kind, obj)
        self.complete(kind, obj)
        self.admission.change(kind, obj)
        name = meta.get("name", "")
        validate.created(kind, obj)
        if name and self.store.get(kind.id, meta.get("namespace", ""), name):
            raise errors.already_exists(kind.resource, kind.group, name)
        self.admission.secure(kind, obj, write.warnings)
        self.admission.check(kind, obj, None)
        if write.dry_run:
            return obj
        self.admission.allot(kind, obj)
        self._before_put(kind, obj)
        return self.store.put(kind.id, obj)

    def _begin(self, kind: Kind, obj: Json) -> None:
        meta = obj["metadata"]
        for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"):
            meta.pop(name, None)
        meta["uid"] = str(uuid.uuid4())
        meta["creationTimestamp"] = units.stamp()
        meta.pop("generation", None)
        if kind.id == "jobs.batch" and not (obj.get("spec") or {}).get("manualSelector"):
            own_selector(obj)
        if kind.id in GENERATIONS or kind.crd is not None:
            meta["generation"] = 1
        if not kind.namespaced:
            meta.pop("namespace", None)
        if has_status(kind):
            obj.pop("status", None)
        begin = validate.BEGIN.get(kind.id)
        if begin:
            begin(obj)

    def _before_put(self, kind: Kind, obj: Json) -> None:
        if kind.id == "customresourcedefinitions.apiextensions.k8s.io":
            self.on_crd(obj["metadata"]["name"], obj)

    def update(self, kind: Kind, obj: Json, write: Write | None = None, sub: str = "") -> Json:
        """Replace an object, or with sub="status" its status. The object given is taken over."""
        write = write or Write()
        meta = obj["metadata"]
        old = self.store.get(kind.id, meta.get("namespace", ""), meta["name"])
        if old is None:
            raise errors.not_found(kind.resource, kind.group, meta["name"])
        self._check_version(kind, obj, old)
        self._carry_over(kind, obj, old, sub)
        self.complete(kind, obj)
        if not sub:
            self.admission.keep(kind, obj, old)
        validate.updated(kind, obj, old, sub)
        if not sub:
            if kind.id != "pods" or obj["spec"] != old["spec"]:
                self.admission.secure(kind, obj, write.warnings)
            self.admission.check(kind, obj, old)
        if self._same(obj, old):
            return old
        if not sub and (kind.id in GENERATIONS or kind.crd is not None) and _spec_changed(obj, old):
            meta["generation"] = old["metadata"].get("generation", 0) + 1
        if write.dry_run:
            meta["resourceVersion"] = old["metadata"]["resourceVersion"]
            return obj
        return self._put_or_remove(kind, obj)

    def _put_or_remove(self, kind: Kind, obj: Json) -> Json:
        meta = obj["metadata"]
        gone = meta.get("deletionTimestamp") and not meta.get("finalizers")
        stays = kind.id == "namespaces" and obj["spec"].get("finalizers")
        if gone and not stays and (kind.id != "pods" or meta.get("deletionGracePeriodSeconds") == 0):
            self.remove(kind, obj)
            return obj
        self._before_put(kind, obj)
        return self.store.put(kind.id, obj)

    def _check_version(self, kind: Kind, obj: Json, old: Json) -> None:
        meta, was = obj["metadata"], old["metadata"]
        if meta.get("resourceVersion") and meta["resourceVersion"] != was["resourceVersion"]:
            raise errors.conflict(kind.resource, kind.group, meta["name"])
        if not meta.get("resourceVersion") and kind.crd is not None:
            cause = errors.invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise errors.invalid_object(kind.kind, kind.group, meta["name"], [cause])

    def _carry_over(self, kind: Kind, obj: Json, old: Json, sub: str) -> None:
        """What a caller cannot change stays as it was."""
        meta, was = obj["metadata"], old["metadata"]
        if not meta.get("uid"):
            meta["uid"] = was["uid"]
        for name in ("creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"):
            meta.pop(name, None)
            if name in was:
                meta[name] = was[name]
        meta["resourceVersion"] = was["resourceVersion"]
        if sub == "status":
            status = obj.get("status")
            managed = meta.get("managedFields")
            for name in [key for key in obj if key not in ("status", "metadata")]:
                del obj[name]
            obj.update({key: value for key, value in copy.deepcopy(old).items() if key not in ("status", "metadata")})
            obj["metadata"] = copy.deepcopy(was)
            if managed is not None:
                obj["metadata"]["managedFields"] = managed
            if status is None:
                obj.pop("status", None)
        elif not sub and has_status(kind):
            obj.pop("status", None)
            if "status" in old:
                obj["status"] = copy.deepcopy(old["status"])

    @staticmethod
    def _same(obj: Json, old: Json) -> bool:
        if {k: v for k, v in obj.items() if k != "metadata"} != {k: v for k, v in old.items() if k != "metadata"}:
            return False
        left = {k: v for k, v in obj["metadata"].items() if k != "managedFields" and v not in ({}, [], None)}
        right = {k: v for k, v in old["metadata"].items() if k != "managedFields" and v not in ({}, [], None)}
        return left == right

    # deleting

    def delete(self, kind: Kind, namespace: str, name: str, options: Json, write: Write | None = None) -> Json:
        """Delete, or begin to. Answers with the object while it stays, and with a Status when it has gone."""
        write = write or Write()
        old = self.store.get(kind.id, namespace, name)
        if old is None:
            raise errors.not_found(kind.resource, kind.group, name)
        self._preconditions(kind, old, options)
        obj = copy.deepcopy(old)
        meta = obj["metadata"]
        grace = self._grace(kind, obj, options)
        self._add_finalizer(kind, meta, options)
        stays = bool(meta.get("finalizers")) or grace > 0 or kind.id == "namespaces"
        already = "deletionTimestamp" in meta
        if already and not self._shortens(meta, grace):
            if meta == old["metadata"] or write.dry_run:
                return obj
            return self.store.put(kind.id, obj)
        if stays:
            meta["deletionTimestamp"] = units.stamp(units.now() + timedelta(seconds=grace))
            meta["deletionGracePeriodSeconds"] = grace
            if "generation" in meta and not already:
                meta["generation"] += 1
            if kind.id == "namespaces":
                meta.pop("deletionGracePeriodSeconds", None)
                obj.setdefault("status", {})["phase"] = "Terminating"
            return obj if write.dry_run else self.store.put(kind.id, obj)
        if not write.dry_run:
            self.remove(kind, obj)
        return obj if kind.id in RETURNS_DELETED else self._deleted(kind, obj)

    @staticmethod
    def _shortens(meta: Json, grace: int) -> bool:
        return grace < int(meta.get("deletionGracePeriodSeconds", 0))

    def remove(self, kind: Kind, obj: Json) -> None:
        """Take an object out of the store."""
        self.store.remove(kind.id, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        if kind.id == "customresourcedefinitions.apiextensions.k8s.io":
            self.on_crd(obj["metadata"]["name"], None)

    def _preconditions(self, kind: Kind, old: Json, options: Json) -> None:
        wanted, meta = options.get("preconditions") or {}, old["metadata"]
        name = meta["name"]
        if wanted.get("uid") and wanted["uid"] != meta["uid"]:
            text = f"the UID in the precondition ({wanted['uid']}) does not match the UID in record ({meta['uid']}). "
            why = text + "The object might have been deleted and then recreated"
            raise errors.conflict(kind.kind, kind.group, name, why)
        version = wanted.get("resourceVersion")
        if version and version != meta["resourceVersion"]:
            found = meta["resourceVersion"]
            text = f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({found}). "
            raise errors.conflict(kind.kind, kind.group, name, text + "The object might have been modified")

    @staticmethod
    def _grace(kind: Kind, obj: Json, options: Json) -> int:
        """Seconds a pod has to end; 0 for all else, and for pods that never ran or have ended."""
        if kind.id != "pods":
            return 0
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
            return 0
        wanted = options.get("gracePeriodSeconds")
        return int(spec.get("terminationGracePeriodSeconds", 30) if wanted is None else max(wanted, 0))

    @staticmethod
    def _add_finalizer(kind: Kind, meta: Json, options: Json) -> None:
        policy = options.get("propagationPolicy")
        if policy is None and options.get("orphanDependents") is not None:
            policy = ORPHAN if options["orphanDependents"] else BACKGROUND
        if policy is None and kind.id in ORPHANS_BY_DEFAULT:
            policy = ORPHAN
        if policy not in (None, BACKGROUND, FOREGROUND, ORPHAN):
            known = ["Foreground", "Background", "Orphan", "nil"]
            cause = errors.unsupported("propagationPolicy", policy, known)
            raise errors.invalid_object("DeleteOptions", "meta.k8s.io", "", [cause])
        kept = [one for one in meta.get("finalizers") or [] if one not in FINALIZERS.values()]
        if policy in FINALIZERS:
            kept.append(FINALIZERS[policy])
        meta["finalizers"] = kept
        if not kept:
            del meta["finalizers"]

    @staticmethod
    def _deleted(kind: Kind, obj: Json) -> Json:
        details = {"name": obj["metadata"]["name"], "group": kind.group, "kind": kind.resource}
        details["uid"] = obj["metadata"]["uid"]
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {key: value for key, value in details.items() if value},
        }


UID_LABELS = ("batch.kubernetes.io/controller-uid", "controller-uid")
NAME_LABELS = ("batch.kubernetes.io/job-name", "job-name")


def own_selector(job: Json) -> None:
    """A Job selects its pods by its own uid: label and selector, in place."""
    uid, name = job["metadata"]["uid"], job["metadata"].get("name", "")
    meta = job.setdefault("spec", {}).setdefault("template", {}).setdefault("metadata", {})
    meta["labels"] = {**(meta.get("labels") or {}), **dict.fromkeys(UID_LABELS, uid), **dict.fromkeys(NAME_LABELS, name)}
    job["spec"].setdefault("selector", {"matchLabels": {UID_LABELS[0]: uid}})


def _spec_changed(obj: Json, old: Json) -> bool:
    """Whether a write counts as a new generation. Deployments pass their annotations on, so these count for them."""
    if obj["kind"] == "Deployment" and obj["metadata"].get("annotations") != old["metadata"].get("annotations"):
        return True
    skip = ("metadata", "status", "apiVersion", "kind")
    return {k: v for k, v in obj.items() if k not in skip} != {k: v for k, v in old.items() if k not in skip}
