"""The kinds that every cluster serves, as `kubectl api-resources` prints them. Everything else comes from discovery.

Source: Kubernetes API reference; versions are those served by all of 1.24 to the newest.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One built-in kind. `group` is empty for the core group."""

    plural: str
    singular: str
    kind: str
    group: str
    version: str
    namespaced: bool
    short_names: tuple[str, ...] = ()

    @property
    def api_path(self) -> str:
        """`/api/v1` or `/apis/GROUP/VERSION`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def qualified(self) -> str:
        """`deployments.apps`; the plural alone in the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_TABLE = """
bindings                         Binding                         -                             v1  ns
componentstatuses                ComponentStatus                 -                             v1  -  cs
configmaps                       ConfigMap                       -                             v1  ns cm
endpoints                        Endpoints                       -                             v1  ns ep
events                           Event                           -                             v1  ns ev
limitranges                      LimitRange                      -                             v1  ns limits
namespaces                       Namespace                       -                             v1  -  ns
nodes                            Node                            -                             v1  -  no
persistentvolumeclaims           PersistentVolumeClaim           -                             v1  ns pvc
persistentvolumes                PersistentVolume                -                             v1  -  pv
pods                             Pod                             -                             v1  ns po
podtemplates                     PodTemplate                     -                             v1  ns
replicationcontrollers           ReplicationController           -                             v1  ns rc
resourcequotas                   ResourceQuota                   -                             v1  ns quota
secrets                          Secret                          -                             v1  ns
serviceaccounts                  ServiceAccount                  -                             v1  ns sa
services                         Service                         -                             v1  ns svc
mutatingwebhookconfigurations    MutatingWebhookConfiguration    admissionregistration.k8s.io  v1  -
validatingwebhookconfigurations  ValidatingWebhookConfiguration  admissionregistration.k8s.io  v1  -
validatingadmissionpolicies      ValidatingAdmissionPolicy       admissionregistration.k8s.io  v1  -
validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding admissionregistration.k8s.io v1 -
customresourcedefinitions        CustomResourceDefinition        apiextensions.k8s.io          v1  -  crd,crds
apiservices                      APIService                      apiregistration.k8s.io        v1  -
controllerrevisions              ControllerRevision              apps                          v1  ns
daemonsets                       DaemonSet                       apps                          v1  ns ds
deployments                      Deployment                      apps                          v1  ns deploy
replicasets                      ReplicaSet                      apps                          v1  ns rs
statefulsets                     StatefulSet                     apps                          v1  ns sts
selfsubjectreviews               SelfSubjectReview               authentication.k8s.io         v1  -
tokenreviews                     TokenReview                     authentication.k8s.io         v1  -
localsubjectaccessreviews        LocalSubjectAccessReview        authorization.k8s.io          v1  ns
selfsubjectaccessreviews         SelfSubjectAccessReview         authorization.k8s.io          v1  -
selfsubjectrulesreviews          SelfSubjectRulesReview          authorization.k8s.io          v1  -
subjectaccessreviews             SubjectAccessReview             authorization.k8s.io          v1  -
horizontalpodautoscalers         HorizontalPodAutoscaler         autoscaling                   v2  ns hpa
cronjobs                         CronJob                         batch                         v1  ns cj
jobs                             Job                             batch                         v1  ns
certificatesigningrequests       CertificateSigningRequest       certificates.k8s.io           v1  -  csr
leases                           Lease                           coordination.k8s.io           v1  ns
endpointslices                   EndpointSlice                   discovery.k8s.io              v1  ns
flowschemas                      FlowSchema                      flowcontrol.apiserver.k8s.io  v1  -
prioritylevelconfigurations      PriorityLevelConfiguration      flowcontrol.apiserver.k8s.io  v1  -
ingressclasses                   IngressClass                    networking.k8s.io             v1  -
ingresses                        Ingress                         networking.k8s.io             v1  ns ing
networkpolicies                  NetworkPolicy                   networking.k8s.io             v1  ns netpol
runtimeclasses                   RuntimeClass                    node.k8s.io                   v1  -
poddisruptionbudgets             PodDisruptionBudget             policy                        v1  ns pdb
clusterrolebindings              ClusterRoleBinding              rbac.authorization.k8s.io     v1  -
clusterroles                     ClusterRole                     rbac.authorization.k8s.io     v1  -
rolebindings                     RoleBinding                     rbac.authorization.k8s.io     v1  ns
roles                            Role                            rbac.authorization.k8s.io     v1  ns
priorityclasses                  PriorityClass                   scheduling.k8s.io             v1  -  pc
csidrivers                       CSIDriver                       storage.k8s.io                v1  -
csinodes                         CSINode                         storage.k8s.io                v1  -
csistoragecapacities             CSIStorageCapacity              storage.k8s.io                v1  ns
storageclasses                   StorageClass                    storage.k8s.io                v1  -  sc
volumeattachments                VolumeAttachment                storage.k8s.io                v1  -
"""


def _read(line: str) -> Kind:
    plural, kind, group, version, scope, *short = line.split()
    return Kind(
        plural=plural,
        singular=kind.lower(),
        kind=kind,
        group="" if group == "-" else group,
        version=version,
        namespaced=scope == "ns",
        short_names=tuple(short[0].split(",")) if short else (),
    )


KINDS: tuple[Kind, ...] = tuple(_read(line) for line in _TABLE.splitlines() if line)

ALL_CATEGORY = (
    "pods",
    "replicationcontrollers",
    "services",
    "daemonsets",
    "deployments",
    "replicasets",
    "statefulsets",
    "horizontalpodautoscalers",
    "cronjobs",
    "jobs",
)
"""What `kubectl get all` means: the resources that declare the category `all`. Secrets are not among them."""

WORKLOADS = ("deployments", "statefulsets", "daemonsets", "replicasets", "replicationcontrollers", "jobs")
"""What owns pods through a selector or a template."""


def _words() -> dict[str, Kind]:
    words: dict[str, Kind] = {}
    for kind in KINDS:
        for word in (kind.plural, kind.singular, *kind.short_names):
            words.setdefault(word, kind)
    return words


_BY_WORD = _words()
_BY_KIND = {(kind.group, kind.kind): kind for kind in KINDS}


def find_kind(word: str) -> Kind | None:
    """The built-in kind that a word names: plural, singular, short name or kind, in any case, alone or qualified.

    `deployments.apps`, `deployment.v1.apps` and `secrets.v1.` are forms that kubectl takes as well, and so is the beginning of
    a group (`roles.rbac`). A known word qualified with another group (`ingresses.extensions`) is another resource, and None.
    """
    head, dot, qualifier = word.lower().partition(".")
    kind = _BY_WORD.get(head)
    if kind is None or not dot:
        return kind
    version, _, group = qualifier.partition(".")
    core_version = qualifier.endswith(".") or "." not in qualifier
    accepted = (qualifier != "" and kind.group.startswith(qualifier)) or (version in _VERSIONS and group == kind.group)
    if kind.group == "":
        accepted = core_version and version in {"v1", ""}
    return kind if accepted else None


_VERSIONS = frozenset({"v1", "v2", "v1beta1", "v1beta2", "v1beta3", "v2beta1", "v2beta2", "v1alpha1"})


def kind_of_object(api_version: str, kind: str) -> Kind | None:
    """The built-in kind of a manifest's `apiVersion` and `kind`, or None; the version is not compared."""
    group = api_version.rpartition("/")[0]
    return _BY_KIND.get((group, kind))
