"""Which rule decides about a change, where a change reaches, and the digest of all that is agreed to."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import rfc8785

from bot.settings import DEFAULT_RULES, ApprovalRule, Freeze, Settings
from k8s.types import Command, ObjectRef, Preview

Reach = frozenset[str | None] | None
"""The namespaces that a change touches; None among them is what lies outside of all, None itself is any namespace."""

_REACHES_ALL = frozenset(
    {"customresourcedefinitions", "nodes", "clusterroles", "clusterrolebindings", "apiservices"}
    | {"validatingwebhookconfigurations", "mutatingwebhookconfigurations"}
    | {"validatingadmissionpolicies", "validatingadmissionpolicybindings"}
)
"""What lies outside of namespaces and is felt in all of them: pods go with their node, objects with their kind."""
_TOUCHES_ONLY_ITSELF = frozenset({"cordon", "uncordon", "label", "annotate"})
"""Verbs that move no pod of the node that they name."""


def reach_of(commands: Sequence[Command], previews: Sequence[Preview]) -> Reach:
    """Where a change reaches: the namespaces of its objects and of the commands, a deleted namespace itself included."""
    found = {command.namespace for command in commands if command.namespace}
    for command, preview in zip(commands, previews, strict=True):
        spared = {"nodes"} if command.verb in _TOUCHES_ONLY_ITSELF else frozenset[str]()
        if command.all_namespaces or any(ref.resource in _REACHES_ALL - spared for ref in preview.targets):
            return None
    refs = [ref for preview in previews for ref in preview.targets]
    return frozenset({*found, *(ref.name if ref.resource == "namespaces" else ref.namespace for ref in refs)} or {None})


def policy_for(settings: Settings, level: str, cluster: str, reach: Reach) -> ApprovalRule:
    """The rule for a verdict in a place. In each namespace the first rule that covers it counts; of several, the strictest."""
    rules = [rule for rule in (*settings.approvals, *DEFAULT_RULES) if rule.verdict == level]
    if reach is None:
        met = _all_until_general(rules, cluster)
    else:
        met = [next(rule for rule in rules if rule.covers(cluster, name)) for name in reach]
    order = ("none", "confirm", "approve")
    return max(met, key=lambda rule: (order.index(rule.mode), rule.needed, -rule.expires))


def _all_until_general(rules: Sequence[ApprovalRule], cluster: str) -> list[ApprovalRule]:
    """Every rule that holds in some namespace of the cluster: all down to the first that covers the rest."""
    met = []
    for rule in rules:
        if rule.model_copy(update={"namespaces": ("*",)}).covers(cluster, None):
            met.append(rule)
        if rule.covers(cluster, None):
            break
    return met


def freeze_for(settings: Settings, cluster: str, reach: Reach, now: datetime) -> Freeze | None:
    """The freeze that forbids a change here and now, if any."""
    return next((freeze for freeze in settings.freezes if freeze.holds(cluster, reach, now)), None)


def bind(
    commands: Iterable[Command], *, cluster_uid: str, identity: str, policy: ApprovalRule, targets: Iterable[ObjectRef]
) -> str:
    """The digest of all that is agreed to: commands with manifests, the cluster itself, whose hands, the policy, the objects.

    A target counts with its UID and generation: a re-made or re-specified object is another one; a new status is not. Kinds
    without a generation count with their resourceVersion, unless it changes by itself (see `k8s.live`).
    """
    material: dict[str, Any] = {
        "commands": [command.digest for command in commands],
        "cluster": cluster_uid,
        "identity": identity,
        "policy": policy.model_dump(mode="json"),
        "targets": sorted([str(ref), ref.namespace or "", ref.uid, ref.generation, ref.resource_version] for ref in targets),
    }
    return hashlib.sha256(b"kubechat.approval.v1\x00" + rfc8785.dumps(material)).hexdigest()
