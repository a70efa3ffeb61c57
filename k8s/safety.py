"""How dangerous is a command? A pure function from `Command` to `Verdict`.

The level in the verb table is the floor; the rules below raise it. No rule lowers it but one: a dry run changes nothing.
Sources: the classes of docs/safety.md; Pod Security Standards (baseline) for what touches the host; RBAC good practices for what
moves rights; CVE and misuse notes beside single rules.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from k8s.grammar import CommandRefused, parse
from k8s.manifests import ManifestBroken, read_manifest
from k8s.types import Command, Level, Verdict
from k8s.verbs import VERBS

Finding = tuple[Level, str, str]
"""A level, the rule that gives it and the reason in words."""


def classify(command: Command) -> Verdict:
    """Judge one command. The highest level wins; every reason at that level is kept."""
    verb = VERBS[command.verb]
    findings: list[Finding] = []
    try:
        findings += _secret_values(command)
        if _only_lists(command):
            findings.append((Level.SAFE, *_FLOOR[Level.SAFE]))
        elif command.dry_run:
            findings.append((Level.SAFE, "dry-run", "It only asks the server what would happen."))
            if command.manifest is not None:
                read_manifest(command.manifest)
        else:
            findings.append((verb.level, *_FLOOR[verb.level if verb.name not in _OWN_FLOOR else verb.name]))
            findings += _changes(command)
    except ManifestBroken as error:
        return Verdict(Level.FORBIDDEN, "manifest", (str(error),))
    worst = max((finding[0] for finding in findings), key=lambda level: level.rank)
    decided = [finding for finding in findings if finding[0] is worst]
    specific = [finding for finding in decided if finding[1] not in _GENERAL] or decided
    return Verdict(worst, specific[0][1], tuple(dict.fromkeys(reason for _, _, reason in specific)))


def judge(line: str, *, manifest: str | None = None) -> tuple[Command | None, Verdict]:
    """Read and judge one line as typed. What cannot be read is forbidden, with the grammar's rule and reason."""
    try:
        command = parse(line, manifest=manifest)
    except CommandRefused as refused:
        return None, Verdict(Level.FORBIDDEN, refused.rule, (refused.reason,))
    return command, classify(command)


_FLOOR: dict[str, tuple[str, str]] = {
    Level.SAFE: ("read", "It only reads."),
    Level.WARNING: (
        "reversible-change",
        "It changes the cluster, can be taken back, and interrupts nothing by itself.",
    ),
    Level.DANGEROUS: ("destroys", "It removes objects that may not come back."),
    "drain": ("interrupts", "It evicts every pod of the node."),
    "exec": ("exec", "It runs a program inside a container, which can do whatever the container may."),
    "set serviceaccount": ("moves-rights", "It gives the pods another identity, with that one's rights."),
    "set subject": ("moves-rights", "It changes who holds a Role."),
    "create role": ("moves-rights", "It makes rights that can be given away."),
    "create clusterrole": ("moves-rights", "It makes rights that can be given away."),
    "create rolebinding": ("moves-rights", "It gives somebody rights."),
    "create clusterrolebinding": ("moves-rights", "It gives somebody rights in every namespace."),
}
_OWN_FLOOR = frozenset(name for name in _FLOOR if name in VERBS)
_GENERAL = frozenset({"read", "reversible-change", "dry-run"})


# --- Secrets --------------------------------------------------------------------------------------------------------------

_VALUE_OUTPUTS = ("yaml", "json", "jsonpath", "custom-columns")


def _secret_values(command: Command) -> Iterator[Finding]:
    """Reading Secret values asks first, whatever form the output has; sorting or waiting on a value tells it bit by bit."""
    names_secret = any(_is_secret(resource) for resource in command.resources) or command.verb.startswith("create secret")
    output = command.flag("output", "") or ""
    if names_secret and output.startswith(_VALUE_OUTPUTS):
        yield Level.WARNING, "secret-values", "It reads the values of Secrets. KubeChat hides them in its answer."
    for flag in ("sort-by", "for"):
        if names_secret and re.search(r"data|last-applied", command.flag(flag, "") or ""):
            yield Level.WARNING, "secret-values", f"--{flag} on a Secret's data would tell its value bit by bit."
    if command.verb == "set env" and command.has("resolve"):
        yield Level.WARNING, "secret-values", "--resolve reads the values of Secrets."


def _is_secret(resource: str) -> bool:
    return resource == "secrets" or resource.startswith("secrets.")


# --- changes --------------------------------------------------------------------------------------------------------------

RBAC = frozenset({"roles", "rolebindings", "clusterroles", "clusterrolebindings"})
_RBAC_KINDS = frozenset({"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"})
_SERVER_KINDS = {
    "ValidatingWebhookConfiguration": "a webhook that can stop or change every request",
    "MutatingWebhookConfiguration": "a webhook that can stop or change every request",
    "ValidatingAdmissionPolicy": "a rule that can stop every request",
    "ValidatingAdmissionPolicyBinding": "a rule that can stop every request",
    "MutatingAdmissionPolicy": "a rule that can change every request",
    "MutatingAdmissionPolicyBinding": "a rule that can change every request",
    "APIService": "a part of the API served by another program",
    "CertificateSigningRequest": "a request for a new identity",
    "PodSecurityPolicy": "a rule for what pods may do",
    "SecurityContextConstraints": "a rule for what pods may do",
    "TokenRequest": "a credential",
    "Eviction": "an eviction",
    "Binding": "a placement of a pod",
}
_SERVER_RESOURCES = frozenset(
    {"validatingwebhookconfigurations", "mutatingwebhookconfigurations", "validatingadmissionpolicies", "apiservices",
     "validatingadmissionpolicybindings", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
     "certificatesigningrequests", "podsecuritypolicies", "securitycontextconstraints"}
)  # fmt: skip
_IDENTITY_KEYS = re.compile(
    r"eks\.amazonaws\.com/role-arn|iam\.gke\.io/gcp-service-account|azure\.workload\.identity/|"
    r"rbac\.authorization\.k(8s\.io|ubernetes\.io)/|pod-security\.kubernetes\.io/|"
    r"iam\.amazonaws\.com/role|kubernetes\.io/enforce-mountable-secrets"
)
"""Labels and annotations that give an identity or lift a restriction."""


def _only_lists(command: Command) -> bool:
    """`label`, `annotate` and `set env` with --list and nothing to set."""
    return command.has("list") and not command.args and not command.flag("env") and not command.flag("from")


def _changes(command: Command) -> Iterator[Finding]:
    if VERBS[command.verb].level is Level.SAFE:
        return
    yield from _rights(command)
    rule = _VERB_RULES.get(command.verb)
    if rule is not None:
        yield from rule(command)
    if command.manifest is not None:
        for found in read_manifest(command.manifest):
            yield from object_findings(found)
    for name in ("overrides", "patch"):
        if value := command.flag(name):
            yield from _inline_findings(command, name, value)


def _rights(command: Command) -> Iterator[Finding]:
    """Any change to Roles, Bindings and what decides about requests moves rights, labels and annotations included."""
    heads = {resource.partition(".")[0] for resource in command.resources}
    if heads & RBAC:
        yield Level.DANGEROUS, "moves-rights", "It changes who may do what."
    if heads & _SERVER_RESOURCES:
        yield Level.DANGEROUS, "moves-rights", "It changes how the API server decides about requests."
    if heads & {"configmaps"} and "aws-auth" in command.names:
        yield Level.DANGEROUS, "moves-rights", "aws-auth says which cloud identities are administrators."
    if any(_IDENTITY_KEYS.search(word) for word in command.args):
        yield Level.DANGEROUS, "moves-rights", "This label or annotation gives an identity or lifts a restriction."


def _scale(command: Command) -> Iterator[Finding]:
    if command.flag("replicas") == "0":
        yield Level.DANGEROUS, "interrupts", "With no replicas left, it serves nobody."


def _taint(command: Command) -> Iterator[Finding]:
    if any(word.endswith(":NoExecute") for word in command.args):
        yield Level.DANGEROUS, "interrupts", "NoExecute evicts the pods that do not tolerate it, at once."


def _set_env(command: Command) -> Iterator[Finding]:
    if any(re.match(r"(LD_PRELOAD|LD_LIBRARY_PATH|NODE_OPTIONS|PYTHONPATH|JAVA_TOOL_OPTIONS)=", word) for word in command.args):
        yield Level.WARNING, "loads-code", "This variable makes the program load other code."


def _forced(command: Command) -> Iterator[Finding]:
    if command.has("force"):
        yield Level.DANGEROUS, "destroys", "--force deletes the object and makes it anew."


def _create_secret(command: Command) -> Iterator[Finding]:
    if command.flag("type") == "kubernetes.io/service-account-token":
        yield Level.DANGEROUS, "moves-rights", "It makes a token of a service account that never expires."


def _privileged(command: Command) -> Iterator[Finding]:
    if command.has("privileged"):
        yield Level.DANGEROUS, "host-access", "A privileged container controls its node."


def _external_ip(command: Command) -> Iterator[Finding]:
    """CVE-2020-8554: an external IP can take over traffic meant for somebody else."""
    if command.flag("external-ip"):
        yield Level.DANGEROUS, "interrupts", "--external-ip can take over traffic that is meant for another service."


_VERB_RULES = {
    "scale": _scale,
    "taint": _taint,
    "set env": _set_env,
    "apply": _forced,
    "replace": _forced,
    "create secret generic": _create_secret,
    "run": _privileged,
    "expose": _external_ip,
}


# --- manifests and patches ------------------------------------------------------------------------------------------------


def object_findings(found: dict[str, Any]) -> Iterator[Finding]:
    """What makes one object of a manifest more than an ordinary change."""
    kind = str(found.get("kind", ""))
    name = f"{kind} {_metadata(found).get('name', '')}".strip()
    if kind in _RBAC_KINDS:
        yield Level.DANGEROUS, "moves-rights", f"{name} says who may do what."
    if kind in _SERVER_KINDS:
        yield Level.DANGEROUS, "moves-rights", f"{name} is {_SERVER_KINDS[kind]}."
    if kind == "Secret" and found.get("type") == "kubernetes.io/service-account-token":
        yield Level.DANGEROUS, "moves-rights", f"{name} is a token of a service account that never expires."
    if kind == "ConfigMap" and _metadata(found).get("name") == "aws-auth":
        yield Level.DANGEROUS, "moves-rights", f"{name} says which cloud identities are administrators."
    if kind == "PersistentVolume" and "local" in (_spec(found) or {}):
        yield Level.DANGEROUS, "host-access", f"{name} is a folder of a node."
    for level, rule, reason in _field_findings(found):
        yield level, rule, f"{name}: {reason}"


def _metadata(found: dict[str, Any]) -> dict[str, Any]:
    metadata = found.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _spec(found: dict[str, Any]) -> dict[str, Any] | None:
    spec = found.get("spec")
    return spec if isinstance(spec, dict) else None


def _on(value: Any) -> bool:
    return value not in (None, False, "", [], {}, "false")


def _capabilities(value: Any) -> bool:
    added = value.get("add") if isinstance(value, dict) else None
    return bool(added) and added != ["NET_BIND_SERVICE"]


def _zero(value: Any) -> bool:
    return value in (0, "0") and value is not False


def _named(word: str) -> Any:
    return lambda value: isinstance(value, str) and value.lower() == word


_FIELDS: dict[str, tuple[Any, str, str]] = {
    "privileged": (_on, "host-access", "a privileged container controls its node."),
    "hostPID": (_on, "host-access", "hostPID shows and can stop every process of the node."),
    "hostIPC": (_on, "host-access", "hostIPC shares memory with the node."),
    "hostNetwork": (_on, "host-access", "hostNetwork uses the node's own network."),
    "hostPath": (_on, "host-access", "hostPath opens files of the node."),
    "hostPort": (_on, "host-access", "hostPort takes a port of the node."),
    "hostProcess": (_on, "host-access", "hostProcess runs on the node itself."),
    "allowPrivilegeEscalation": (_on, "host-access", "its processes may gain more rights than they start with."),
    "capabilities": (_capabilities, "host-access", "it adds Linux capabilities."),
    "procMount": (_named("unmasked"), "host-access", "an unmasked /proc opens the node's settings."),
    "ownerReferences": (_on, "destroys", "an object with a missing owner is deleted by the garbage collector."),
    "replicas": (_zero, "interrupts", "with no replicas left, it serves nobody."),
    "effect": (_named("noexecute"), "interrupts", "a NoExecute taint evicts pods at once."),
    "externalIPs": (_on, "interrupts", "externalIPs can take over traffic meant for another service."),
}
"""Field → when it counts, the rule, the reason. Looked for at every depth, so that a template inside a template is seen."""

_TOLERATION_FIELDS = frozenset({"tolerations"})


def _field_findings(value: Any, under: str = "") -> Iterator[Finding]:
    waiting: list[tuple[Any, str]] = [(value, under)]
    while waiting:
        current, parent = waiting.pop()
        if isinstance(current, list):
            waiting += [(item, parent) for item in reversed(current)]
        if not isinstance(current, dict):
            continue
        for key, item in current.items():
            counts, rule, reason = _FIELDS.get(key, (None, "", ""))
            if counts is not None and counts(item) and not (key == "effect" and parent in _TOLERATION_FIELDS):
                yield Level.DANGEROUS, rule, reason
            if key in {"labels", "annotations"} and isinstance(item, dict) and any(map(_IDENTITY_KEYS.search, map(str, item))):
                yield Level.DANGEROUS, "moves-rights", "a label or annotation gives an identity or lifts a restriction."
            elif key in {"seccompProfile", "appArmorProfile"} and isinstance(item, dict) and item.get("type") == "Unconfined":
                yield Level.DANGEROUS, "host-access", f"{key} Unconfined lets the container ask anything of the kernel."
        waiting += [(item, key) for key, item in current.items() if key not in _DATA_FIELDS or parent]


_DATA_FIELDS = frozenset({"data", "stringData", "binaryData"})
"""Text of ConfigMaps and Secrets, which may talk of anything."""


def _inline_findings(command: Command, name: str, value: str) -> Iterator[Finding]:
    """`patch -p` and `--overrides` carry a piece of an object."""
    try:
        patch = json.loads(value)
    except ValueError:
        parsed = _yaml_patch(value)
        if parsed is None:
            yield Level.FORBIDDEN, "manifest", f"--{name} is neither JSON nor YAML."
            return
        patch = parsed
    if name == "overrides":
        yield Level.DANGEROUS, "host-access", "--overrides can set any field of the object, past what the flags show."
    if isinstance(patch, list):
        patch = _from_json_patch(patch)
    yield from ((level, rule, f"{command.verb}: {reason}") for level, rule, reason in _field_findings(patch))
    yield from _patch_removals(patch)


def _yaml_patch(value: str) -> Any:
    try:
        return read_manifest(f"apiVersion: v1\nkind: Patch\nmetadata: {{name: patch}}\npatch:\n  {value}\n")[0]["patch"]
    except ManifestBroken:
        return None


def _from_json_patch(operations: Iterable[Any]) -> list[Any]:
    """JSON Patch operations as nested objects, so that the same field rules see them."""
    objects: list[Any] = []
    for operation in operations:
        if not isinstance(operation, dict):
            continue
        steps = [step.replace("~1", "/").replace("~0", "~") for step in str(operation.get("path", "")).split("/")[1:]]
        nested: Any = operation.get("value")
        for step in reversed(steps):
            nested = nested if step.isdecimal() or step == "-" else {step: nested}
        objects.append(nested)
    return objects


def _patch_removals(patch: Any) -> Iterator[Finding]:
    """What a patch takes away can matter as much as what it sets."""
    waiting = [patch]
    while waiting:
        current = waiting.pop()
        if isinstance(current, list):
            waiting += current
        if not isinstance(current, dict):
            continue
        if "finalizers" in current:
            yield Level.DANGEROUS, "destroys", "Finalizers keep an object until its clean-up is done."
        if {"serviceAccountName", "serviceAccount"} & current.keys():
            yield Level.DANGEROUS, "moves-rights", "It gives the pods another identity, with that one's rights."
        if current.get("$patch") in {"delete", "replace"}:
            yield Level.DANGEROUS, "destroys", f"$patch: {current['$patch']} removes what is there."
        waiting += current.values()
