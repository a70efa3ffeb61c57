"""The kinds that are served: one table, taken from Kubernetes' own discovery documents, and what CRDs add."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from k8s.sandbox.objects.errors import Json, qualified

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
SUBVERBS = ("get", "patch", "update")

# group/version  resource  Kind  Namespaced|Cluster  short names  categories  subresources  [verbs]
TABLE = """
/v1 bindings Binding N - - - create
/v1 componentstatuses ComponentStatus C cs - - get,list
/v1 configmaps ConfigMap N cm - -
/v1 endpoints Endpoints N ep - -
/v1 events Event N ev - -
/v1 limitranges LimitRange N limits - -
/v1 namespaces Namespace C ns - finalize,status create,delete,get,list,patch,update,watch
/v1 nodes Node C no - proxy,status
/v1 persistentvolumeclaims PersistentVolumeClaim N pvc - status
/v1 persistentvolumes PersistentVolume C pv - status
/v1 pods Pod N po all attach,binding,ephemeralcontainers,eviction,exec,log,portforward,proxy,resize,status
/v1 podtemplates PodTemplate N - - -
/v1 replicationcontrollers ReplicationController N rc all scale,status
/v1 resourcequotas ResourceQuota N quota - status
/v1 secrets Secret N - - -
/v1 serviceaccounts ServiceAccount N sa - token
/v1 services Service N svc all proxy,status
apiregistration.k8s.io/v1 apiservices APIService C - api-extensions status
apps/v1 controllerrevisions ControllerRevision N - - -
apps/v1 daemonsets DaemonSet N ds all status
apps/v1 deployments Deployment N deploy all scale,status
apps/v1 replicasets ReplicaSet N rs all scale,status
apps/v1 statefulsets StatefulSet N sts all scale,status
events.k8s.io/v1 events Event N ev - -
authentication.k8s.io/v1 selfsubjectreviews SelfSubjectReview C - - - create
authentication.k8s.io/v1 tokenreviews TokenReview C - - - create
authorization.k8s.io/v1 localsubjectaccessreviews LocalSubjectAccessReview N - - - create
authorization.k8s.io/v1 selfsubjectaccessreviews SelfSubjectAccessReview C - - - create
authorization.k8s.io/v1 selfsubjectrulesreviews SelfSubjectRulesReview C - - - create
authorization.k8s.io/v1 subjectaccessreviews SubjectAccessReview C - - - create
autoscaling/v2 horizontalpodautoscalers HorizontalPodAutoscaler N hpa all status
autoscaling/v1 horizontalpodautoscalers HorizontalPodAutoscaler N hpa all status
batch/v1 cronjobs CronJob N cj all status
batch/v1 jobs Job N - all status
certificates.k8s.io/v1 certificatesigningrequests CertificateSigningRequest C csr - approval,status
networking.k8s.io/v1 ingressclasses IngressClass C - - -
networking.k8s.io/v1 ingresses Ingress N ing - status
networking.k8s.io/v1 ipaddresses IPAddress C ip - -
networking.k8s.io/v1 networkpolicies NetworkPolicy N netpol - -
networking.k8s.io/v1 servicecidrs ServiceCIDR C - - status
policy/v1 poddisruptionbudgets PodDisruptionBudget N pdb - status
rbac.authorization.k8s.io/v1 clusterrolebindings ClusterRoleBinding C - - -
rbac.authorization.k8s.io/v1 clusterroles ClusterRole C - - -
rbac.authorization.k8s.io/v1 rolebindings RoleBinding N - - -
rbac.authorization.k8s.io/v1 roles Role N - - -
storage.k8s.io/v1 csidrivers CSIDriver C - - -
storage.k8s.io/v1 csinodes CSINode C - - -
storage.k8s.io/v1 csistoragecapacities CSIStorageCapacity N - - -
storage.k8s.io/v1 storageclasses StorageClass C sc - -
storage.k8s.io/v1 volumeattachments VolumeAttachment C - - status
storage.k8s.io/v1 volumeattributesclasses VolumeAttributesClass C vac - -
admissionregistration.k8s.io/v1 mutatingadmissionpolicies MutatingAdmissionPolicy C - api-extensions -
admissionregistration.k8s.io/v1 mutatingadmissionpolicybindings MutatingAdmissionPolicyBinding C - api-extensions -
admissionregistration.k8s.io/v1 mutatingwebhookconfigurations MutatingWebhookConfiguration C - api-extensions -
admissionregistration.k8s.io/v1 validatingadmissionpolicies ValidatingAdmissionPolicy C - api-extensions status
admissionregistration.k8s.io/v1 validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding C - api-extensions -
admissionregistration.k8s.io/v1 validatingwebhookconfigurations ValidatingWebhookConfiguration C - api-extensions -
apiextensions.k8s.io/v1 customresourcedefinitions CustomResourceDefinition C crd,crds api-extensions status
scheduling.k8s.io/v1 priorityclasses PriorityClass C pc - -
coordination.k8s.io/v1 leases Lease N - - -
node.k8s.io/v1 runtimeclasses RuntimeClass C - - -
discovery.k8s.io/v1 endpointslices EndpointSlice N - - -
resource.k8s.io/v1 deviceclasses DeviceClass C - - -
resource.k8s.io/v1 resourceclaims ResourceClaim N - - status
resource.k8s.io/v1 resourceclaimtemplates ResourceClaimTemplate N - - -
resource.k8s.io/v1 resourceslices ResourceSlice C - - -
flowcontrol.apiserver.k8s.io/v1 flowschemas FlowSchema C - - status
flowcontrol.apiserver.k8s.io/v1 prioritylevelconfigurations PriorityLevelConfiguration C - - status
metrics.k8s.io/v1beta1 nodes NodeMetrics C - - - get,list
metrics.k8s.io/v1beta1 pods PodMetrics N - - - get,list
"""

# resource/subresource → (group, version, kind, verbs) where it is not the parent's kind with get, patch, update.
SUBRESOURCES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "scale": ("autoscaling", "v1", "Scale", SUBVERBS),
    "pods/attach": ("", "v1", "PodAttachOptions", ("create", "get")),
    "pods/binding": ("", "v1", "Binding", ("create",)),
    "pods/eviction": ("policy", "v1", "Eviction", ("create",)),
    "pods/exec": ("", "v1", "PodExecOptions", ("create", "get")),
    "pods/log": ("", "v1", "Pod", ("get",)),
    "pods/portforward": ("", "v1", "PodPortForwardOptions", ("create", "get")),
    "pods/proxy": ("", "v1", "PodProxyOptions", ("create", "delete", "get", "patch", "update")),
    "services/proxy": ("", "v1", "ServiceProxyOptions", ("create", "delete", "get", "patch", "update")),
    "nodes/proxy": ("", "v1", "NodeProxyOptions", ("create", "delete", "get", "patch", "update")),
    "serviceaccounts/token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
    "namespaces/finalize": ("", "v1", "Namespace", ("update",)),
}

# Served under a second name, kept under the first: (group, version, resource) → resource id.
SHARED = {
    ("events.k8s.io", "v1", "events"): "events",
    ("autoscaling", "v1", "horizontalpodautoscalers"): "horizontalpodautoscalers.autoscaling",
}

# The first part of each group's types in schema.json where it is not the group's first word.
SCHEMA_PREFIX = {
    "": "core",
    "apiextensions.k8s.io": "apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "kube-aggregator.pkg.apis.apiregistration",
    "rbac.authorization.k8s.io": "rbac",
    "flowcontrol.apiserver.k8s.io": "flowcontrol",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One served resource in one version."""

    group: str
    version: str
    resource: str
    kind: str
    namespaced: bool
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    crd: Json | None = field(default=None, hash=False, compare=False)  # the served version of a CRD
    singular: str = ""
    list_kind: str = ""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def id(self) -> str:
        """Where its objects are kept: `deployments.apps`, `pods`."""
        return SHARED.get((self.group, self.version, self.resource)) or qualified(self.resource, self.group)

    @property
    def schema(self) -> str:
        """Its type's name in schema.json."""
        prefix = SCHEMA_PREFIX.get(self.group, self.group.split(".", 1)[0])
        return f"{prefix}.{self.version}.{self.kind}"

    def sub(self, name: str) -> tuple[str, str, str, tuple[str, ...]]:
        """Group, version, kind and verbs of a subresource."""
        special = SUBRESOURCES.get(f"{self.resource}/{name}") or SUBRESOURCES.get(name)
        return special or (self.group, self.version, self.kind, SUBVERBS)


def _words(text: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(","))


def _row(line: str) -> Kind:
    gv, resource, kind, scope, short, categories, subs, *verbs = line.split()
    group, _, version = gv.rpartition("/")
    return Kind(
        group, version, resource, kind, scope == "N", _words(short), _words(categories), _words(subs),
        _words(verbs[0]) if verbs else VERBS, None, kind.lower(), f"{kind}List",
    )  # fmt: skip


BUILT_IN = tuple(_row(line) for line in TABLE.strip().splitlines())


class Kinds:
    """What is served now: the built-in kinds, and those of CustomResourceDefinitions."""

    def __init__(self) -> None:
        self._by_path = {(kind.group, kind.version, kind.resource): kind for kind in BUILT_IN}
        self._stored = {kind.id: kind for kind in reversed(BUILT_IN) if kind.group != "metrics.k8s.io"}
        self._stored["events"] = self._by_path["", "v1", "events"]
        self._custom: dict[str, list[Kind]] = {}
        self.changes = 0  # counts up with every CRD
        self.documents: dict[str, Json] = {}  # made from the kinds, and kept until they change

    def __iter__(self) -> Iterator[Kind]:
        """In discovery's order: built-in groups, custom ones, metrics last."""
        metrics = [kind for kind in BUILT_IN if kind.group == "metrics.k8s.io"]
        yield from (kind for kind in BUILT_IN if kind.group != "metrics.k8s.io")
        for name in sorted(self._custom):
            yield from self._custom[name]
        yield from metrics

    def find(self, group: str, version: str, resource: str) -> Kind | None:
        return self._by_path.get((group, version, resource))

    def stored(self, resource_id: str) -> Kind:
        """The kind as which objects of this id are kept."""
        return self._stored[resource_id]

    def stored_ids(self) -> list[str]:
        return [key for key, kind in self._stored.items() if "list" in kind.verbs and key != "componentstatuses"]

    def by_kind(self, api_version: str, kind: str) -> Kind | None:
        group, _, version = api_version.rpartition("/")
        found = (one for one in self._by_path.values() if (one.group, one.version, one.kind) == (group, version, kind))
        return next((one for one in found if one.group != "metrics.k8s.io"), None)

    def groups(self) -> dict[str, list[str]]:
        """Every named group and its versions, preferred first."""
        found: dict[str, list[str]] = {}
        for kind in self:
            if kind.group and kind.version not in found.setdefault(kind.group, []):
                found[kind.group].append(kind.version)
        return found

    def serve(self, crd: Json) -> None:
        """Serve what an established CRD defines, in place of what it defined before."""
        self.withdraw(crd["metadata"]["name"])
        served = [_custom(crd["spec"], version) for version in crd["spec"]["versions"] if version.get("served")]
        self._custom[crd["metadata"]["name"]] = served
        for kind in served:
            self._by_path[kind.group, kind.version, kind.resource] = kind
        storage = next((one for one in crd["spec"]["versions"] if one.get("storage")), crd["spec"]["versions"][0])
        kept = _custom(crd["spec"], storage)
        self._stored[kept.id] = kept
        self._changed()

    def _changed(self) -> None:
        self.changes += 1
        self.documents.clear()

    def withdraw(self, name: str) -> None:
        for kind in self._custom.pop(name, []):
            self._by_path.pop((kind.group, kind.version, kind.resource), None)
            self._stored.pop(kind.id, None)
            self._changed()


def _custom(spec: Json, version: Json) -> Kind:
    names: dict[str, Any] = spec["names"]
    return Kind(
        spec["group"], version["name"], names["plural"], names["kind"], spec["scope"] == "Namespaced",
        tuple(names.get("shortNames") or ()), tuple(names.get("categories") or ()),
        tuple(sorted(version.get("subresources") or ())), VERBS, version,
        names.get("singular") or names["kind"].lower(), names.get("listKind") or f"{names['kind']}List",
    )  # fmt: skip
