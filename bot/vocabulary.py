"""The words that the built-in translator knows: for actions, for kinds, and those that add nothing."""

import re
from dataclasses import dataclass

from k8s.kinds import KINDS

WORKLOADS = ("deployments", "statefulsets", "daemonsets")
SCALABLE = ("deployments", "statefulsets", "replicasets")
ANYTHING = ("pods", *WORKLOADS, "services", "jobs", "cronjobs", "configmaps", "ingresses", "nodes", "persistentvolumeclaims")


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that people ask for: the words for it, the verb, and which kinds it speaks of when none is said."""

    verb: str
    words: str
    kinds: tuple[str, ...]
    changes: bool = True


ACTIONS = (
    Action("rollout undo", r"roll(?:ing)? ?back|rollback|undo the (?:last )?(?:rollout|deploy(?:ment)?) of|revert", WORKLOADS),
    Action("rollout restart", r"restart|bounce|recycle|reboot|kick|rolling restart(?: of)?", WORKLOADS),
    Action("rollout pause", r"pause", ("deployments",)),
    Action("rollout resume", r"resume|unpause", ("deployments",)),
    Action("rollout history", r"(?:rollout |revision )?history(?: of| for)?|revisions(?: of| for)?", WORKLOADS, changes=False),
    Action("rollout status", r"rollout status(?: of| for)?|how is the rollout(?: of)?", WORKLOADS, changes=False),
    Action(
        "scale", r"scale|resize|set(?= .*\breplicas?\b)|(?:increase|raise|bump|grow|reduce|lower|shrink)(?= .*\bto \d)", SCALABLE
    ),
    Action("delete", r"delete|remove|kill|destroy|get rid of", ()),
    Action("uncordon", r"uncordon|make .*schedulable", ("nodes",)),
    Action("cordon", r"cordon", ("nodes",)),
    Action("logs", r"(?:logs?|log lines|log output|output)(?: of| for| from)?", ("pods", *WORKLOADS, "jobs"), changes=False),
    Action(
        "top",
        r"(?:resource |cpu |memory )(?:and (?:cpu|memory) )?(?:usage|use|consumption)|top",
        ("pods", "nodes"),
        changes=False,
    ),
    Action("events", r"events?(?: of| for| from)?|what happened(?: to| in)?", ANYTHING, changes=False),
    Action("describe", r"describe|inspect|details?(?: of| on| about| for)?|tell me about|look at", ANYTHING, changes=False),
    Action("get", r"list|show|get|display|give|find|see|which|what|how many|count|are there|is there", ANYTHING, changes=False),
)
GET = ACTIONS[-1]

_KIND_PHRASES = {
    "config maps": "configmaps", "config map": "configmaps", "stateful sets": "statefulsets", "stateful set": "statefulsets",
    "daemon sets": "daemonsets", "daemon set": "daemonsets", "replica sets": "replicasets", "replica set": "replicasets",
    "cron jobs": "cronjobs", "cron job": "cronjobs", "persistent volume claims": "persistentvolumeclaims", "volumes claims":
    "persistentvolumeclaims", "service accounts": "serviceaccounts", "service account": "serviceaccounts", "network policies":
    "networkpolicies", "role bindings": "rolebindings", "machines": "nodes", "apps": "deployments", "containers": "pods",
    "instances": "pods", "pdbs": "poddisruptionbudgets", "pvcs": "persistentvolumeclaims", "pvs": "persistentvolumes",
    "hpas": "horizontalpodautoscalers", "crds": "customresourcedefinitions", "svcs": "services",
}  # fmt: skip
_AMBIGUOUS_KIND_WORDS = frozenset({"no", "all", "limits", "quota", "events", "event", "bindings", "binding"})
KIND_WORDS: dict[str, str] = {
    **{word: kind.plural for kind in KINDS for word in (kind.plural, kind.singular, *kind.short_names)},
    **_KIND_PHRASES,
}
KINDS_PATTERN = "|".join(
    sorted((re.escape(word) for word in KIND_WORDS if word not in _AMBIGUOUS_KIND_WORDS), key=len, reverse=True)
)

FILLER = frozenset([
    "a", "an", "the", "please", "kindly", "can", "could", "you", "would", "i", "we", "want", "need", "to", "me", "my",
    "our", "us", "of", "for", "in", "on", "from", "with", "at", "by", "and", "now", "just", "all", "any", "every", "hey",
    "hi", "kubechat", "thanks", "cluster", "kubernetes", "k8s", "some", "replicas", "replica", "up", "down", "back",
    "again", "right",
])  # fmt: skip
FILLER_OF_QUESTIONS = FILLER | frozenset([
    "is", "are", "there", "be", "being", "do", "does", "running", "have", "has", "it's", "its", "show", "list", "get",
    "latest", "current", "currently", "status", "state", "deployment's", "pods'",
])  # fmt: skip
"""Words that add nothing to a question. In a request for a change they may say that it is not one (“do I need to …”)."""

NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
}
UNITS = {"second": "s", "sec": "s", "minute": "m", "min": "m", "hour": "h", "hr": "h", "day": "d"}

CLUSTER_KINDS = frozenset(kind.plural for kind in KINDS if not kind.namespaced)
