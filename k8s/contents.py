"""What in a manifest or a patch makes it more than an ordinary change: kinds, fields and labels that matter, in tables.

Sources: Pod Security Standards (baseline) for what touches the host; RBAC good practices for what moves rights; CVE numbers
beside single rules.
"""

import re
from collections.abc import Callable, Iterator, Set
from typing import Any

from k8s.kinds import find_kind
from k8s.types import Level

Finding = tuple[Level, str, str]
"""A level, the rule that gives it and the reason in words."""

RIGHTS = "moves-rights"
HOST = "host-access"
GUARDED: dict[str, Finding] = {
    **dict.fromkeys(
        ("role", "clusterrole", "rolebinding", "clusterrolebinding", "rolebindingrestriction"),
        (Level.DANGEROUS, RIGHTS, "says who may do what"),
    ),
    **dict.fromkeys(
        ("validatingwebhookconfiguration", "mutatingwebhookconfiguration", "validatingadmissionpolicy",
         "validatingadmissionpolicybinding", "mutatingadmissionpolicy", "mutatingadmissionpolicybinding",
         "flowschema", "prioritylevelconfiguration", "constrainttemplate", "clusterpolicy", "policyexception"),
        (Level.DANGEROUS, RIGHTS, "decides which requests the API server takes"),
    ),
    **dict.fromkeys(
        ("podsecuritypolicy", "psp", "securitycontextconstraints", "securitycontextconstraint", "scc"),
        (Level.DANGEROUS, RIGHTS, "says what pods may do"),
    ),
    "apiservice": (Level.DANGEROUS, RIGHTS, "hands a part of the API to another program"),
    "certificatesigningrequest": (Level.DANGEROUS, RIGHTS, "asks for a new identity"),
    "binding": (Level.DANGEROUS, HOST, "puts a pod on a node of its choice"),
    **dict.fromkeys(
        ("endpoints", "endpointslice"),
        (Level.DANGEROUS, "interrupts", "says where traffic goes, past every policy (CVE-2021-25740)"),
    ),
    "eviction": (Level.DANGEROUS, "interrupts", "stops a pod"),
    "tokenrequest": (Level.FORBIDDEN, "identity", "is a credential, and a chat is no place for one"),
}  # fmt: skip
"""Kinds that matter for what they are, whatever is changed in them, in singular. A group does not count: nobody names a kind of
their own `ClusterRole` by accident.
"""
GUARDED_CONFIG = frozenset({"aws-auth", "extension-apiserver-authentication"})
"""ConfigMaps of kube-system that say which cloud identities and which certificates are trusted."""
GUARDED_KEYS = re.compile(
    r"eks\.amazonaws\.com/role-arn|iam\.amazonaws\.com/|iam\.gke\.io/gcp-service-account|azure\.workload\.identity/"
    r"|rbac\.authorization\.k(8s|ubernetes)\.io/|kubernetes\.io/enforce-mountable-secrets"
    r"|pod-security\.kubernetes\.io/|admission\.gatekeeper\.sh/ignore|unsafe-sysctls"
    r"|nginx\.ingress\.kubernetes\.io/[a-z-]*snippet"  # CVE-2021-25742: runs with the rights of the ingress controller
)
"""Labels and annotations that give an identity or lift a restriction."""
TOKEN_TYPES = frozenset({"kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"})
KEY_REASON = "a label or annotation gives an identity or lifts a restriction"


def singular(resource: str) -> str:
    """`rolebindings.rbac`, `rolebinding` and `RoleBinding` are all `rolebinding`. kubectl takes the beginning of a group too."""
    head = resource.partition(".")[0].casefold()
    kind = find_kind(head)
    if kind is not None:
        return kind.singular
    return head[:-3] + "y" if head.endswith("ies") else head.removesuffix("s")


def object_findings(found: dict[str, Any]) -> Iterator[Finding]:
    """What makes one object of a manifest more than an ordinary change."""
    kind = str(found.get("kind", "")).casefold()
    metadata, spec = _part(found, "metadata"), _part(found, "spec")
    name = f"{found.get('kind', '')} {metadata.get('name') or metadata.get('generateName', '')}".strip()
    if guarded := GUARDED.get(kind):
        yield guarded[0], guarded[1], f"{name} {guarded[2]}."
    if kind == "secret" and str(found.get("type")) in TOKEN_TYPES:
        yield Level.DANGEROUS, RIGHTS, f"{name} is a credential that works without a password."
    if kind == "configmap" and metadata.get("name") in GUARDED_CONFIG:
        yield Level.DANGEROUS, RIGHTS, f"{name} says whose identity the cluster believes."
    if kind == "persistentvolume" and "local" in spec:
        yield Level.DANGEROUS, "host-access", f"{name} is a folder of a node."
    if kind == "job" and _on(spec.get("suspend")):
        yield Level.DANGEROUS, "interrupts", f"{name} is suspended, which stops its pods."
    texts = kind in _TEXT_KINDS
    scanned = {key: item for key, item in found.items() if not (texts and key in _TEXT_FIELDS)}
    for level, rule, reason in _field_findings(scanned):
        yield level, rule, f"{name}: {reason}."


_TEXT_KINDS = frozenset({"configmap", "secret"})
_TEXT_FIELDS = frozenset({"data", "stringData", "binaryData"})
"""Text of ConfigMaps and Secrets may talk of anything."""


def _part(found: dict[str, Any], field: str) -> dict[str, Any]:
    part = found.get(field)
    return part if isinstance(part, dict) else {}


def _on(value: Any) -> bool:
    return value not in (None, False, "", [], {}, "false")


def _zero(value: Any) -> bool:
    return value in (0, "0") and value is not False


def _empty(value: Any) -> bool:
    return value in (None, [])


def _is(word: str) -> Callable[[Any], bool]:
    return lambda value: str(value).casefold() == word


def _other_than(*usual: Any) -> Callable[[Any], bool]:
    return lambda value: value not in usual


_BASELINE_CAPABILITIES = frozenset(
    {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
     "SETPCAP", "SETUID", "SYS_CHROOT"}
)  # fmt: skip
_SAFE_SYSCTLS = frozenset(
    {"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
     "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
     "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
     "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}
)  # fmt: skip
_SELINUX_TYPES = ("", None, "container_t", "container_init_t", "container_kvm_t", "container_engine_t")


def _adds_capabilities(value: Any) -> bool:
    added = value.get("add") if isinstance(value, dict) else None
    return _on(added) and not (isinstance(added, list) and all(name in _BASELINE_CAPABILITIES for name in map(str, added)))


def _unsafe_sysctls(value: Any) -> bool:
    names = [str(item.get("name")) for item in value if isinstance(item, dict)] if isinstance(value, list) else ["?"]
    return any(name not in _SAFE_SYSCTLS for name in names)


def _selinux(value: Any) -> bool:
    return isinstance(value, dict) and bool(value.get("type") not in _SELINUX_TYPES or value.get("user") or value.get("role"))


def _guarded_keys(value: Any) -> bool:
    return isinstance(value, dict) and any(GUARDED_KEYS.search(key) for key in value)


def _unconfined_annotation(value: Any) -> bool:
    return isinstance(value, dict) and any(
        "apparmor" in key and str(item).casefold() == "unconfined" for key, item in value.items()
    )


def _unconfined(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("type")).casefold() == "unconfined"


_FieldRule = tuple[str, Callable[[Any], bool], Level, str, str]
_FIELD_RULES: tuple[_FieldRule, ...] = (
    ("privileged", _on, Level.DANGEROUS, HOST, "a privileged container controls its node"),
    ("hostPID", _on, Level.DANGEROUS, HOST, "hostPID shows and can stop every process of the node"),
    ("hostIPC", _on, Level.DANGEROUS, HOST, "hostIPC shares memory with the node"),
    ("hostNetwork", _on, Level.DANGEROUS, HOST, "hostNetwork uses the node's own network"),
    ("hostPath", _on, Level.DANGEROUS, HOST, "hostPath opens files of the node"),
    ("hostPort", _on, Level.DANGEROUS, HOST, "hostPort takes a port of the node"),
    ("hostProcess", _on, Level.DANGEROUS, HOST, "hostProcess runs on the node itself"),
    ("flexVolume", _on, Level.DANGEROUS, HOST, "flexVolume runs a program of the node"),
    ("gitRepo", _on, Level.DANGEROUS, HOST, "gitRepo runs git on the node (CVE-2024-10220)"),
    ("allowPrivilegeEscalation", _on, Level.DANGEROUS, HOST, "its processes may gain more rights than they start with"),
    ("capabilities", _adds_capabilities, Level.DANGEROUS, HOST, "it adds Linux capabilities beyond the baseline"),
    ("sysctls", _unsafe_sysctls, Level.DANGEROUS, HOST, "it sets kernel parameters that reach past the pod"),
    ("seLinuxOptions", _selinux, Level.DANGEROUS, HOST, "it chooses an SELinux context of its own"),
    ("seccompProfile", _unconfined, Level.DANGEROUS, HOST, "seccomp Unconfined lets it ask anything of the kernel"),
    ("appArmorProfile", _unconfined, Level.DANGEROUS, HOST, "AppArmor Unconfined lifts the node's limits"),
    ("annotations", _unconfined_annotation, Level.DANGEROUS, HOST, "AppArmor unconfined lifts the node's limits"),
    ("procMount", _is("unmasked"), Level.DANGEROUS, HOST, "an unmasked /proc opens the node's settings"),
    ("ephemeralContainers", _on, Level.DANGEROUS, "exec", "an ephemeral container runs a program beside those that are there"),
    ("labels", _guarded_keys, Level.DANGEROUS, RIGHTS, KEY_REASON),
    ("annotations", _guarded_keys, Level.DANGEROUS, RIGHTS, KEY_REASON),
    ("clientConfig", _on, Level.DANGEROUS, RIGHTS, "objects are sent to another program, which may change them"),
    ("ownerReferences", _on, Level.DANGEROUS, "destroys", "an object with a missing owner is deleted by the garbage collector"),
    ("finalizers", _empty, Level.DANGEROUS, "destroys", "finalizers keep an object until its clean-up is done"),
    ("revisionHistoryLimit", _zero, Level.DANGEROUS, "destroys", "with no history kept, there is nothing to go back to"),
    ("replicas", _zero, Level.DANGEROUS, "interrupts", "with no replicas left, it serves nobody"),
    ("minReplicas", _zero, Level.DANGEROUS, "interrupts", "it may scale down to no replicas at all"),
    ("parallelism", _zero, Level.DANGEROUS, "interrupts", "with no parallelism left, the job's pods are stopped"),
    ("externalIPs", _on, Level.DANGEROUS, "interrupts", "externalIPs can take over another service's traffic (CVE-2020-8554)"),
    ("serviceAccountName", _other_than(None, "", "default"), Level.WARNING, "uses-identity",
     "its pods act as the service account that it names, with that one's rights"),
)  # fmt: skip
"""Field → when it counts. Looked for at every depth, so that a template inside a template is seen, and in any case of letters,
since JSON readers differ.
"""


def _by_field() -> dict[str, list[_FieldRule]]:
    rules: dict[str, list[_FieldRule]] = {}
    for rule in _FIELD_RULES:
        rules.setdefault(rule[0].casefold(), []).append(rule)
    return rules


_RULES_OF_FIELD = _by_field()


def _walk(value: Any) -> Iterator[tuple[str, Any, str]]:
    """Every field at every depth: its name without case, its value, and the field around it."""
    waiting: list[tuple[Any, str]] = [(value, "")]
    while waiting:
        current, parent = waiting.pop()
        if isinstance(current, list):
            waiting += [(item, parent) for item in reversed(current)]
        elif isinstance(current, dict):
            for key, item in current.items():
                yield key.casefold(), item, parent
                waiting.append((item, key.casefold()))


def _field_findings(value: Any) -> Iterator[Finding]:
    for key, item, parent in _walk(value):
        for _, counts, level, rule, reason in _RULES_OF_FIELD.get(key, ()):
            if counts(item):
                yield level, rule, reason
        if key == "effect" and parent != "tolerations" and str(item).casefold() == "noexecute":
            yield Level.DANGEROUS, "interrupts", "a NoExecute taint evicts pods at once"
        if key == "host" and parent in {"httpget", "tcpsocket"} and _on(item):
            yield Level.DANGEROUS, HOST, "a probe with a host of its own reaches wherever the node can"


# Fields that in a manifest are ordinary, but in a patch change what runs now.
_PATCH_RULES: tuple[_FieldRule, ...] = (
    ("finalizers", lambda _: True, Level.DANGEROUS, "destroys", "finalizers keep an object until its clean-up is done"),
    ("serviceAccountName", lambda _: True, Level.DANGEROUS, RIGHTS, "it gives the pods another identity"),
    ("serviceAccount", lambda _: True, Level.DANGEROUS, RIGHTS, "it gives the pods another identity"),
    ("activeDeadlineSeconds", _on, Level.DANGEROUS, "interrupts", "a deadline stops the pods that are past it"),
    ("ttlSecondsAfterFinished", _other_than(None), Level.DANGEROUS, "destroys", "finished jobs are deleted with their logs"),
    ("persistentVolumeReclaimPolicy", _is("delete"), Level.DANGEROUS, "destroys", "the data goes with its claim from now on"),
    ("whenDeleted", _is("delete"), Level.DANGEROUS, "destroys", "the data goes with the set from now on"),
    ("whenScaled", _is("delete"), Level.DANGEROUS, "destroys", "the data goes with each replica from now on"),
    ("claimRef", lambda _: True, Level.DANGEROUS, RIGHTS, "the volume and its data may pass to another claim"),
    ("labels", _empty, Level.DANGEROUS, RIGHTS, "it takes away all labels, and with them what they restrict"),
    ("annotations", _empty, Level.DANGEROUS, RIGHTS, "it takes away all annotations, and with them what they restrict"),
    ("$patch", _other_than("merge"), Level.DANGEROUS, "destroys", "$patch removes what is there"),
    ("$retainKeys", lambda _: True, Level.DANGEROUS, "destroys", "$retainKeys removes all other fields"),
)
_WHOLE = frozenset({"", "metadata", "labels", "annotations", "finalizers"})


def patch_findings(patch: dict[str, Any] | list[dict[str, Any]], kinds: Set[str]) -> Iterator[Finding]:
    """`patch -p` and `--overrides` carry a piece of an object; what a patch takes away can matter as much as what it sets.

    `kinds` are those of the objects that are patched, in singular.
    """
    if isinstance(patch, list):
        yield from _operation_findings(patch)
        patch = {"patch": [_as_object(operation) for operation in patch if operation.get("op") != "test"]}
    if kinds and kinds <= _TEXT_KINDS:
        patch = {key: item for key, item in patch.items() if key not in _TEXT_FIELDS}
    yield from ((level, rule, f"In this patch {reason}.") for level, rule, reason in _field_findings(patch))
    for key, item, _ in _walk(patch):
        for field, counts, level, rule, reason in _PATCH_RULES:
            if key == field.casefold() and counts(item):
                yield level, rule, f"In this patch {reason}."
        if key.startswith("$deletefromprimitivelist"):
            yield Level.DANGEROUS, "destroys", "$deleteFromPrimitiveList removes entries."
        if key == "suspend" and "job" in kinds and _on(item):
            yield Level.DANGEROUS, "interrupts", "A suspended job stops its pods."
        if key in {"nodeselector", "nodeaffinity"} and "daemonset" in kinds:
            yield Level.DANGEROUS, "interrupts", "The daemon leaves every node that is no longer selected."


def _operation_findings(operations: list[dict[str, Any]]) -> Iterator[Finding]:
    for operation in operations:
        last = str(operation.get("path", "")).rpartition("/")[2]
        if str(operation.get("op")).casefold() in {"copy", "move"}:
            yield Level.DANGEROUS, "unseen-value", "copy and move set a value that the patch does not show."
        elif operation.get("op") != "test" and last.casefold() in _WHOLE:
            yield Level.DANGEROUS, RIGHTS, f"It replaces the whole of “{last or 'the object'}”, and with it what that restricts."


def _as_object(operation: dict[str, Any]) -> Any:
    """A JSON Patch operation as a nested object, so that the same field rules see it."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in str(operation.get("path", "")).split("/")[1:]]
    nested: Any = operation.get("value")
    for step in reversed(steps):
        nested = nested if step.isdecimal() or step == "-" else {step: nested}
    return nested
