"""Which columns each kind has, and what fills them (always with the wide ones, as the API server sends them)."""

from __future__ import annotations

from collections.abc import Callable

from k8s.sandbox.api.cells_rest import (
    api_service,
    binding,
    claim,
    counted,
    csi_driver,
    endpoint_slice,
    endpoints,
    event,
    flow_schema,
    ingress,
    ingress_class,
    network_policy,
    node,
    priority_class,
    priority_level,
    quota,
    service,
    signing_request,
    simple,
    storage_class,
    volume,
    webhooks,
)
from k8s.sandbox.api.cells_workloads import (
    Cells,
    age_of,
    autoscaler,
    budget,
    controller,
    controller_revision,
    cron_job,
    daemon_set,
    deployment,
    job,
    name_of,
    pod,
    pod_template,
    replica_set,
    stateful_set,
)
from k8s.sandbox.objects.errors import Json

# resource id → its columns and the function that fills them. A column is `Name[:type][:format]`, wide with a `*`.
_WIDE = "Containers* Images* Selector*"
PRINTERS: dict[str, tuple[str, Callable[[Json], Cells]]] = {
    "pods": ("Name Ready Status Restarts Age IP* Node* Nominated_Node* Readiness_Gates*", pod),
    "podtemplates": ("Name Containers Images Pod_Labels", pod_template),
    "deployments.apps": (f"Name Ready Up-to-date Available Age {_WIDE}", deployment),
    "replicasets.apps": (f"Name Desired:integer Current:integer Ready:integer Age {_WIDE}", replica_set),
    "replicationcontrollers": (f"Name Desired:integer Current:integer Ready:integer Age {_WIDE}", controller),
    "statefulsets.apps": ("Name Ready Age Containers* Images*", stateful_set),
    "daemonsets.apps": (
        "Name Desired:integer Current:integer Ready:integer Up-to-date:integer Available:integer Node_Selector Age " + _WIDE,
        daemon_set,
    ),
    "controllerrevisions.apps": ("Name Controller Revision Age", controller_revision),
    "jobs.batch": (f"Name Status Completions Duration Age {_WIDE}", job),
    "cronjobs.batch": (
        f"Name Schedule Timezone Suspend:boolean Active:integer Last_Schedule Age {_WIDE}",
        cron_job,
    ),
    "horizontalpodautoscalers.autoscaling": ("Name Reference Targets MinPods MaxPods Replicas Age", autoscaler),
    "poddisruptionbudgets.policy": ("Name Min_Available Max_Unavailable Allowed_Disruptions:integer Age", budget),
    "services": ("Name Type Cluster-IP External-IP Port(s) Age Selector*", service),
    "ingresses.networking.k8s.io": ("Name Class Hosts Address Ports Age", ingress),
    "ingressclasses.networking.k8s.io": ("Name Controller Parameters Age", ingress_class),
    "networkpolicies.networking.k8s.io": ("Name Pod-Selector Age", network_policy),
    "endpoints": ("Name Endpoints Age", endpoints),
    "endpointslices.discovery.k8s.io": ("Name AddressType Ports Endpoints Age", endpoint_slice),
    "nodes": (
        "Name Status Roles Age Version Internal-IP* External-IP* OS-Image* Kernel-Version* Container-Runtime*",
        node,
    ),
    "namespaces": ("Name Status Age", simple("status.phase")),
    "secrets": ("Name Type Data Age", lambda o: [name_of(o), o.get("type", ""), len(o.get("data") or ()), age_of(o)]),
    "configmaps": ("Name Data Age", counted("data", "binaryData")),
    "serviceaccounts": ("Name Age", simple()),
    "persistentvolumes": (
        "Name Capacity Access_Modes Reclaim_Policy Status Claim StorageClass VolumeAttributesClass Reason Age VolumeMode*",
        volume,
    ),
    "persistentvolumeclaims": (
        "Name Status Volume Capacity Access_Modes StorageClass VolumeAttributesClass Age VolumeMode*",
        claim,
    ),
    "storageclasses.storage.k8s.io": (
        "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age",
        storage_class,
    ),
    "volumeattributesclasses.storage.k8s.io": ("Name DriverName Age", simple("driverName")),
    "volumeattachments.storage.k8s.io": (
        "Name Attacher::name PV Node Attached:boolean Age",
        simple("spec.attacher", "spec.source.persistentVolumeName", "spec.nodeName", "status.attached"),
    ),
    "csinodes.storage.k8s.io": ("Name Drivers:integer Age", counted("spec.drivers")),
    "csidrivers.storage.k8s.io": (
        "Name AttachRequired:boolean PodInfoOnMount:boolean StorageCapacity:boolean TokenRequests "
        "RequiresRepublish:boolean Modes Age",
        csi_driver,
    ),
    "apiservices.apiregistration.k8s.io": ("Name Service Available Age", api_service),
    "events": (
        "Last_Seen Type Reason Object Subobject* Source* Message First_Seen* Count* Name*::name",
        event,
    ),
    "resourcequotas": ("Name Request Limit Age", quota),
    "rolebindings.rbac.authorization.k8s.io": ("Name Role Age Users* Groups* ServiceAccounts*", binding),
    "clusterrolebindings.rbac.authorization.k8s.io": ("Name Role Age Users* Groups* ServiceAccounts*", binding),
    "priorityclasses.scheduling.k8s.io": (
        "Name Value:integer Global-Default:boolean Age PreemptionPolicy",
        priority_class,
    ),
    "leases.coordination.k8s.io": ("Name Holder Age", simple("spec.holderIdentity")),
    "runtimeclasses.node.k8s.io": ("Name Handler Age", simple("handler")),
    "certificatesigningrequests.certificates.k8s.io": (
        "Name Age SignerName Requestor RequestedDuration Condition",
        signing_request,
    ),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": ("Name Webhooks:integer Age", webhooks),
    "validatingwebhookconfigurations.admissionregistration.k8s.io": ("Name Webhooks:integer Age", webhooks),
    "flowschemas.flowcontrol.apiserver.k8s.io": (
        "Name PriorityLevel MatchingPrecedence DistinguisherMethod Age MissingPL",
        flow_schema,
    ),
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": (
        "Name Type NominalConcurrencyShares Queues HandSize QueueLengthLimit Age",
        priority_level,
    ),
}
# Printed by the default printer: name and creation time.
DEFAULT = "Name Created_At:date"
