"""The built-in translator: plain English → a kubectl command, with every name linked to what is really in the cluster.

A rule takes the words that it understands out of the sentence. A command comes out only when nothing of weight is left over; else
there is a question back, or nothing. Nothing that changes a cluster is ever guessed: a name must match exactly, or be asked for.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rapidfuzz import fuzz, process

from bot.drafts import Draft, Plan, Question
from k8s.grammar import CommandRefused, parse
from k8s.kinds import KINDS
from k8s.names import ObjectName

Lookup = Callable[[str], Awaitable[Sequence[ObjectName]]]
"""The names of a resource that the asker may list, in all namespaces that they may list."""

NAME = "built-in"

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
    Action("scale", r"scale|resize|set(?= .*\breplicas?\b)", SCALABLE),
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
_KIND_WORDS: dict[str, str] = {
    **{word: kind.plural for kind in KINDS for word in (kind.plural, kind.singular, *kind.short_names)},
    **_KIND_PHRASES,
}
_KINDS_PATTERN = "|".join(
    sorted((re.escape(word) for word in _KIND_WORDS if word not in _AMBIGUOUS_KIND_WORDS), key=len, reverse=True)
)

_FILLER = frozenset(
    [
        "a",
        "an",
        "the",
        "please",
        "can",
        "could",
        "you",
        "would",
        "i",
        "we",
        "want",
        "need",
        "to",
        "me",
        "my",
        "our",
        "us",
        "of",
        "for",
        "in",
        "on",
        "from",
        "with",
        "at",
        "by",
        "and",
        "now",
        "just",
        "all",
        "any",
        "every",
        "is",
        "are",
        "there",
        "be",
        "being",
        "do",
        "does",
        "running",
        "have",
        "has",
        "it's",
        "its",
        "what's",
        "whats",
        "show",
        "me",
        "latest",
        "current",
        "currently",
        "right",
        "hey",
        "hi",
        "kubechat",
        "thanks",
        "deployment's",
        "cluster",
        "kubernetes",
        "k8s",
        "some",
        "status",
        "state",
        "replicas",
        "replica",
        "pods'",
        "up",
        "down",
        "list",
        "get",
        "back",
        "again",
    ]
)

_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
}
_UNITS = {"second": "s", "sec": "s", "minute": "m", "min": "m", "hour": "h", "hr": "h", "day": "d"}


_COPIES = r"(?:replicas?|pods?|instances?)"
_REPLICAS = rf"(?:up |down |out |in )?(?:to|=|at) ?(?P<n>\d+)(?: {_COPIES})?|(?P<m>\d+) {_COPIES}"


@dataclass
class Sentence:
    """What is left of a sentence. A rule takes its part out with `take`."""

    rest: str
    taken: list[str] = field(default_factory=list)

    def take(self, pattern: str) -> re.Match[str] | None:
        """Take the first match out of the sentence, at word ends."""
        match = re.search(rf"(?<![\w./:-])(?:{pattern})(?![\w/:-])", self.rest, re.IGNORECASE)
        if match:
            self.taken.append(match[0])
            self.rest = f"{self.rest[: match.start()]} · {self.rest[match.end() :]}"
        return match

    def words(self) -> list[str]:
        """The words still there that are not mere filler."""
        found = [word.strip(".,!?\"'`") for word in self.rest.split()]
        return [word for word in found if word and word != "·" and word.lower() not in _FILLER]


@dataclass(frozen=True, slots=True)
class Frame:
    """What was understood before names are linked."""

    action: Action
    kind: str | None
    namespace: str | None
    everywhere: bool
    flags: tuple[str, ...]
    words: tuple[str, ...]
    pronoun: bool


async def translate(text: str, *, memory: Mapping[str, Any], namespace: str, lookup: Lookup) -> Plan | None:
    """One sentence → a draft, a question back, or None when it is not understood.

    `memory` is the thread's: `targets`, `namespace`; `namespace` is the asker's default.
    """
    sentence = Sentence(_normalise(text))
    frame = await _frame(sentence, lookup)
    if frame is None:
        return None
    if frame.pronoun and not frame.words and memory.get("targets"):
        return _draft(frame, [ObjectName(*target) for target in memory["targets"]], text)
    spoken = frame.namespace or memory.get("namespace")
    if not frame.words:
        return _without_names(frame, spoken or namespace, text)
    return await _linked(frame, spoken, namespace, lookup, text)


def _normalise(text: str) -> str:
    text = re.sub(r"<@[^>]*>|@kubechat\b", " ", text, flags=re.IGNORECASE)
    text = re.sub(r"[`“”\"]", " ", text)
    return re.sub(r"\b(" + "|".join(_NUMBERS) + r")\b", lambda match: _NUMBERS[match[0].lower()], text, flags=re.IGNORECASE)


async def _frame(sentence: Sentence, lookup: Lookup) -> Frame | None:
    everywhere = bool(sentence.take(r"(?:in |across |from )?(?:all|every|any) namespaces?|everywhere|cluster-wide"))
    namespace = await _namespace(sentence, lookup)
    flags = _amounts(sentence)
    action = next((action for action in ACTIONS if sentence.take(action.words)), None)
    if action is None:
        return None
    if action.changes is False and action.verb != "get":
        sentence.take(r"show|get|give|list|see|display|what are|tell")
    kind_match = sentence.take(_KINDS_PATTERN)
    kind = _KIND_WORDS[kind_match[0].lower()] if kind_match else None
    flags += _action_flags(action, sentence)
    pronoun = bool(sentence.take(r"it|its|that|this|them|those|that one|the same"))
    return Frame(action, kind, namespace, everywhere, tuple(flags), tuple(sentence.words()), pronoun)


async def _namespace(sentence: Sentence, lookup: Lookup) -> str | None:
    """`in shop`, `in the shop namespace`, `-n shop`. A bare `in WORD` counts only when WORD is a namespace, or nothing else."""
    pattern = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
    for form in (
        rf"(?:in|from|of|within|inside|for|on)?\s*(?:the )?(?:namespace|ns) (?P<ns>{pattern})",
        rf"(?:in|from|of|within|inside|for) (?:the )?(?P<ns>{pattern}) (?:namespace|ns)",
        rf"-n (?P<ns>{pattern})",
    ):
        if match := sentence.take(form):
            return match["ns"].lower()
    known = {name.name for name in await lookup("namespaces")}
    for match in reversed(
        list(re.finditer(rf"\b(?:in|from|within|inside) (?:the )?(?P<ns>{pattern})(?![\w./-])", sentence.rest, re.IGNORECASE))
    ):
        word = match["ns"].lower()
        if word in known or (not known and word not in _KIND_WORDS and word not in _FILLER):
            sentence.take(re.escape(match[0]))
            return word
    return None


def _amounts(sentence: Sentence) -> list[str]:
    flags = []
    if match := sentence.take(
        r"(?:since|in|for|from|over)? ?(?:the )?(?:last|past) (?P<n>\d+)? ?(?P<u>second|sec|minute|min|hour|hr|day)s?"
    ):
        count, unit = int(match["n"] or 1), _UNITS[match["u"].lower()]
        flags.append(f"--since={count * 24}h" if unit == "d" else f"--since={count}{unit}")
    if match := sentence.take(r"(?:the )?(?:last|latest|tail) (?P<n>\d+) ?(?:lines?|log lines?|entries)?(?: of| from)?"):
        flags.append(f"--tail={match['n']}")
    return flags


def _action_flags(action: Action, sentence: Sentence) -> list[str]:
    flags = []
    if action.verb == "scale" and (match := sentence.take(_REPLICAS)):
        flags.append(f"--replicas={match['n'] or match['m']}")
    if action.verb == "logs":
        if sentence.take(r"previous|before (?:the|it) (?:crash(?:ed)?|restart(?:ed)?)|crashed"):
            flags.append("--previous")
        if match := sentence.take(r"(?:in |of )?container (?P<c>[a-z0-9-]+)"):
            flags.append(f"--container={match['c']}")
    if action.verb == "rollout undo" and (match := sentence.take(r"(?:to )?(?:revision|version) (?P<n>\d+)")):
        flags.append(f"--to-revision={match['n']}")
    if action.verb == "get":
        if sentence.take(r"wide|with (?:more )?details?|with ips?|with nodes?"):
            flags.append("-o wide")
        if match := sentence.take(r"(?:as |in )?(?P<f>yaml|json)"):
            flags.append(f"-o {match['f'].lower()}")
        if match := sentence.take(r"(?:with |labell?ed )(?:the )?(?:label )?(?P<l>[\w./-]+=[\w.-]+)"):
            flags.append(f"-l {match['l']}")
    return flags


# --- from a frame to commands ---------------------------------------------------------------------------------------------


def _without_names(frame: Frame, namespace: str, text: str) -> Plan | None:
    """Lists, and actions on a whole kind; a change without a name is asked about."""
    where = "-A" if frame.everywhere else f"-n {namespace}"
    action = frame.action
    if (
        action.verb in {"cordon", "uncordon"}
        or (action.changes and action.verb != "rollout restart")
        or (action.changes and not frame.kind)
    ):
        thing = (frame.kind or "object").removesuffix("s")
        return Question(
            f"Which {thing} should I {_plain(action.verb)}? Say its name, and its namespace unless it is {namespace}."
        )
    if action.verb == "top":
        return _plan(f"top {frame.kind or 'pods'}" + ("" if frame.kind == "nodes" else f" {where}"), text)
    if action.verb == "events":
        return _plan(f"events {where}", text)
    if action.verb in {"logs", "rollout history", "rollout status"}:
        return Question(f"Of what? Say the name of a {'pod or workload' if action.verb == 'logs' else 'deployment'}.")
    if frame.kind is None:
        return None
    scope = "" if frame.kind in _CLUSTER_KINDS else f" {where}"
    return _plan(f"{action.verb} {frame.kind}{scope} {' '.join(frame.flags)}", text)


_CLUSTER_KINDS = frozenset(kind.plural for kind in KINDS if not kind.namespaced)


async def _linked(frame: Frame, spoken: str | None, default: str, lookup: Lookup, text: str) -> Plan | None:
    kinds = (frame.kind,) if frame.kind else frame.action.kinds or ("pods", *WORKLOADS, "services", "jobs", "configmaps")
    known = [name for kind in kinds for name in await lookup(kind)]
    chosen: list[ObjectName] = []
    for word in frame.words:
        found = _match(word, known, spoken, default)
        if isinstance(found, ObjectName):
            chosen.append(found)
        elif found is None and len(frame.words) > 1:
            return None
        else:
            return _ask(frame, word, found or [], known, spoken or default)
    return _draft(frame, chosen, text)


def _match(word: str, known: Sequence[ObjectName], spoken: str | None, default: str) -> ObjectName | list[ObjectName] | None:
    """The one object that a word names exactly; several that it may mean; None when nothing bears the name."""
    exact = [name for name in known if name.name == word.lower()]
    for namespaces in (spoken,) if spoken else (default, None):
        here = [name for name in exact if namespaces is None or name.namespace in (namespaces, None)]
        if here and (len(here) == 1 or len({name.resource for name in here}) == len(here)) and namespaces is not None:
            return here[0]
        if len(here) >= 1:
            return here
    parts = [name for name in known if name.name.startswith(f"{word.lower()}-") and name.namespace in (spoken or default, None)]
    return parts or (exact or None)


def _ask(frame: Frame, word: str, found: Sequence[ObjectName], known: Sequence[ObjectName], namespace: str) -> Plan:
    """A question back with a button for each thing that may be meant."""
    said = f"There is no {(frame.kind or 'object').removesuffix('s')} called {word} in {namespace}."
    if not found:
        near = process.extract(word.lower(), {name.name for name in known}, scorer=fuzz.WRatio, score_cutoff=75, limit=4)
        found = [name for match, _, _ in near for name in known if name.name == match][:4]
    if not found:
        return Question(f"{said} `list {frame.kind or 'pods'} in {namespace}` shows what there is.")
    choices = tuple((_label(name), f"kubectl {_line(frame, [name])}") for name in found[:5])
    return Question(
        f"{said} Did you mean one of these?" if len(found) > 1 else f"{said} Did you mean {_label(found[0])}?", choices
    )


def _label(name: ObjectName) -> str:
    return f"{name.name} in {name.namespace}" if name.namespace else name.name


def _draft(frame: Frame, names: Sequence[ObjectName], text: str) -> Plan | None:
    if frame.action.verb == "scale" and not any(flag.startswith("--replicas") for flag in frame.flags):
        return Question(f"To how many replicas should I scale {', '.join(name.name for name in names)}?")
    if len({name.namespace for name in names}) > 1:
        return None
    return _plan(_line(frame, names), text)


def _line(frame: Frame, names: Sequence[ObjectName]) -> str:
    """The kubectl line for these objects, all in one namespace."""
    verb, first = frame.action.verb, names[0]
    where = f"-n {first.namespace}" if first.namespace else ""
    objects = " ".join(f"{name.resource}/{name.name}" for name in names)
    flags = " ".join(flag for flag in frame.flags if verb in _FLAG_VERBS.get(flag.partition("=")[0], {verb}))
    if verb in {"cordon", "uncordon"}:
        return f"{verb} {' '.join(name.name for name in names)}"
    if verb == "top":
        return f"top {first.resource} {first.name} {where}"
    if verb == "events":
        return f"events --for={first.resource}/{first.name} {where}"
    if verb == "logs":
        tail = "" if "--tail" in flags or "--since" in flags else "--tail=100"
        return f"logs {objects} {where} {flags} {tail}"
    return f"{verb} {objects} {where} {flags}"


_FLAG_VERBS = {"--tail": {"logs"}, "--since": {"logs"}}


def _plan(line: str, text: str) -> Plan | None:
    """A line made here goes through the same grammar as one that was typed."""
    try:
        command = parse(" ".join(line.split()))
    except CommandRefused:
        return None
    return Draft((command,), f"“{text.strip()}”", 1.0, NAME)


def _plain(verb: str) -> str:
    return {"rollout undo": "roll back", "rollout restart": "restart", "rollout pause": "pause", "rollout resume": "resume"}.get(
        verb, verb
    )
