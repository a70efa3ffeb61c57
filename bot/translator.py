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
from bot.vocabulary import (
    ACTIONS,
    CLUSTER_KINDS,
    FILLER,
    FILLER_OF_QUESTIONS,
    GET,
    KIND_WORDS,
    KINDS_PATTERN,
    NUMBERS,
    UNITS,
    WORKLOADS,
    Action,
)
from k8s.grammar import CommandRefused, parse
from k8s.kinds import find_kind
from k8s.names import ObjectName

Lookup = Callable[[str], Awaitable[Sequence[ObjectName]]]
"""The names of a resource that the asker may list, in all namespaces that they may list."""

NAME = "built-in"

_COPIES = r"(?:replicas?|pods?|instances?)"
_REPLICAS = rf"(?:from (?P<was>\d+) )?(?:up |down |out |in )?(?:to|=|at) ?(?P<n>\d+)(?: {_COPIES})?|(?P<m>\d+) {_COPIES}"
_NAME = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_WHOLE_NAMESPACE = rf"(?:the )?(?:(?:namespace|ns) (?P<a>{_NAME})|(?P<b>{_NAME}) (?:namespace|ns))"
_SEVERAL_SENTENCES = re.compile(r"[.!?]\s+\S")
_RIGHTS_IN = re.compile(rf"\W*what (?:may|can) i do in (?:the )?({_NAME})(?: namespace)?\W*", re.IGNORECASE)
_ABOUT_RIGHTS = re.compile(r"\W*(?:can|may|could|am|are|do) (?:i|we)\b", re.IGNORECASE)


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

    def words(self, filler: frozenset[str]) -> list[str]:
        """The words still there that are not mere filler."""
        found = [word.strip(".,!?\"'`") for word in self.rest.split()]
        return [word for word in found if word and word != "·" and word.lower() not in filler]


@dataclass(frozen=True, slots=True)
class Frame:
    """What was understood before names are linked."""

    action: Action
    kind: str | None
    namespace: str | None
    everywhere: bool
    flags: tuple[str, ...]
    words: tuple[str, ...]
    pronoun: str
    rest: str


async def translate(text: str, *, memory: Mapping[str, Any], namespace: str, lookup: Lookup) -> Plan | None:
    """One sentence → a draft, a question back, or None when it is not understood.

    `memory` is the thread's: `targets`, `namespace`; `namespace` is the asker's default.
    """
    sentence = Sentence(_normalise(text))
    if match := _RIGHTS_IN.fullmatch(sentence.rest):
        return _plan(f"auth can-i --list -n {match[1].lower()}", text)
    frame = await _frame(sentence, lookup)
    if frame is None or (frame.action.changes and (_SEVERAL_SENTENCES.search(text.strip()) or _ABOUT_RIGHTS.match(text))):
        return None
    if frame.pronoun and not frame.words and memory.get("targets"):
        return _remembered(frame, [ObjectName(*target) for target in memory["targets"]], text)
    spoken = frame.namespace or memory.get("namespace")
    if not frame.words:
        return _without_names(frame, spoken or namespace, text)
    return await _linked(frame, spoken, namespace, lookup, text)


def _normalise(text: str) -> str:
    text = re.sub(r"<@[^<>]{0,100}>|@kubechat\b", " ", " ".join(text.split()), flags=re.IGNORECASE)
    text = re.sub(r"[`“”\"]", " ", text.replace("’", "'"))
    text = re.sub(r"[.,!?]+(?=\s|$)", " ,", text).removesuffix(" ,")
    text = re.sub(r"^\s*let's\b", " ", re.sub(r"\b(what|how)'s\b", r"\1 is", text, flags=re.IGNORECASE), flags=re.IGNORECASE)
    return re.sub(r"\b(" + "|".join(NUMBERS) + r")\b", lambda match: NUMBERS[match[0].lower()], text, flags=re.IGNORECASE)


async def _frame(sentence: Sentence, lookup: Lookup) -> Frame | None:
    everywhere = bool(sentence.take(r"(?:in |across |from )?(?:all|every|any) namespaces?|everywhere|cluster-wide"))
    if whole := await _whole_namespace(sentence):
        return whole
    namespace = await _namespace(sentence, lookup)
    flags = _amounts(sentence)
    action = next((action for action in ACTIONS if sentence.take(action.words)), None)
    if action is None:
        bare = Sentence(sentence.rest)
        action = GET if bare.take(KINDS_PATTERN) and not bare.words(FILLER) else None
    if action is None:
        return None
    if action.changes is False and action.verb != "get":
        sentence.take(r"show|get|give|list|see|display|what are|tell")
    kind = _kind(action, sentence)
    flags += _action_flags(action, sentence)
    pronoun = sentence.take(r"it|its|that one|that|this|them|those|the same")
    words = tuple(sentence.words(FILLER if action.changes else FILLER_OF_QUESTIONS))
    return Frame(action, kind, namespace, everywhere, tuple(flags), words, pronoun[0].lower() if pronoun else "", sentence.rest)


async def _whole_namespace(sentence: Sentence) -> Frame | None:
    """`delete namespace shop` speaks of the namespace itself, not of something in it."""
    for action in ACTIONS:
        if action.verb in {"delete", "describe", "get"} and (
            match := re.fullmatch(rf"\W*(?:please )?(?:{action.words}) {_WHOLE_NAMESPACE}\W*", sentence.rest, re.IGNORECASE)
        ):
            return Frame(action, "namespaces", None, False, (), ((match["a"] or match["b"]).lower(),), "", sentence.rest)
    return None


def _kind(action: Action, sentence: Sentence) -> str | None:
    """The kind that is said; for a listing also several (`pods,services`). “What is running” asks for pods."""
    kinds: list[str] = []
    while (match := sentence.take(KINDS_PATTERN)) and KIND_WORDS[match[0].lower()] not in kinds:
        kinds.append(KIND_WORDS[match[0].lower()])
        if action is not GET:
            break
    if not kinds and action is GET and re.match(r"(?:what|which)\b", sentence.taken[-1]) and sentence.take("(?:is )?running"):
        return "pods"
    return ",".join(kinds) or None


async def _namespace(sentence: Sentence, lookup: Lookup) -> str | None:
    """`in shop`, `in the shop namespace`, `-n shop`. A bare `in WORD` counts only when WORD is a namespace, or nothing else."""
    pattern = _NAME
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
        if word in known or (not known and word not in KIND_WORDS and word not in FILLER):
            sentence.take(re.escape(match[0]))
            return word
    return None


def _amounts(sentence: Sentence) -> list[str]:
    flags = []
    if match := sentence.take(
        r"(?:since|in|for|from|over)? ?(?:the )?(?:last|past) (?P<n>\d+)? ?(?P<u>second|sec|minute|min|hour|hr|day)s?"
    ):
        count, unit = int(match["n"] or 1), UNITS[match["u"].lower()]
        flags.append(f"--since={count * 24}h" if unit == "d" else f"--since={count}{unit}")
    if match := sentence.take(r"(?:the )?(?:last|latest|tail) (?P<n>\d+) ?(?:lines?|log lines?|entries)?(?: of| from)?"):
        flags.append(f"--tail={match['n']}")
    return flags


def _action_flags(action: Action, sentence: Sentence) -> list[str]:
    flags = []
    if action.verb == "scale" and (match := sentence.take(_REPLICAS)):
        flags.append(f"--replicas={match['n'] or match['m']}")
        flags += [f"--current-replicas={match['was']}"] if match["was"] else []
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
        thing = _singular(frame.kind)
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
    scope = "" if set(frame.kind.split(",")) <= CLUSTER_KINDS else f" {where}"
    return _plan(f"{action.verb} {frame.kind}{scope} {' '.join(frame.flags)}", text)


def _remembered(frame: Frame, targets: Sequence[ObjectName], text: str) -> Plan | None:
    """“It” is what the thread spoke of last, and only that: not its pods, not its namesake elsewhere, not one of several."""
    strangers = [target for target in targets if frame.kind and target.resource != frame.kind]
    elsewhere = [target for target in targets if frame.namespace and target.namespace not in (frame.namespace, None)]
    many = len(targets) > 1 and frame.pronoun not in {"them", "those", "the same"}
    if strangers or elsewhere or frame.everywhere or (many and frame.action.changes):
        said = ", ".join(_label(target) for target in targets)
        return Question(f"This thread spoke of {said}. Say the name of what you mean, and its namespace.")
    return _draft(frame, targets, text)


async def _linked(frame: Frame, spoken: str | None, default: str, lookup: Lookup, text: str) -> Plan | None:
    kinds = (frame.kind,) if frame.kind else frame.action.kinds or ("pods", *WORKLOADS, "services", "jobs", "configmaps")
    known = [name for kind in kinds for name in await lookup(kind)]
    if frame.action.changes and not FILLER_OF_QUESTIONS.isdisjoint(word.lower() for word in frame.words):
        return None
    if missing := await _missing_namespace(frame, known, lookup):
        return missing
    if frame.everywhere:
        return _in_several(frame, known, text)
    chosen: list[ObjectName] = []
    for word in frame.words:
        found = _match(word, known, spoken, default, changes=frame.action.changes)
        if isinstance(found, ObjectName):
            chosen.append(found)
        elif found is None and len(frame.words) > 1:
            return None
        else:
            return _ask(frame, word, found or [], known, spoken or default)
    if frame.action.changes and not _one_list(frame):
        return None
    return _draft(frame, chosen, text)


async def _missing_namespace(frame: Frame, known: Sequence[ObjectName], lookup: Lookup) -> Question | None:
    """`in WORD` where WORD is no namespace and nothing else: never answered from another namespace."""
    for word in frame.words:
        if any(name.name == word.lower() for name in known) or not re.fullmatch(_NAME, word, re.IGNORECASE):
            continue
        if re.search(
            rf"\b(?:in|within|inside) (?:the )?{re.escape(word)}(?![\w./-])", frame.rest, re.IGNORECASE
        ) and word.lower() not in {name.name for name in await lookup("namespaces")}:
            return Question(f"There is no namespace called {word} that you can see. `list namespaces` shows those there are.")
    return None


def _in_several(frame: Frame, known: Sequence[ObjectName], text: str) -> Plan | None:
    """A name “in all namespaces”: the one object that bears it, or a question which of them."""
    if len(frame.words) > 1:
        return None
    found = [name for name in known if name.name == frame.words[0].lower()]
    if len(found) == 1:
        return _draft(frame, found, text)
    if not found:
        return Question(f"There is no {_singular(frame.kind)} called {frame.words[0]} in any namespace that you can see.")
    return Question(f"{frame.words[0]} is in several places. One at a time, please: which?", _choices(frame, found))


def _one_list(frame: Frame) -> bool:
    """Whether the names stand together as a list. Words between them (“cart for checkout”) may mean that one is not meant."""
    between = r"(?:[\s,·&]|\b(?:and|the)\b)+"
    return bool(re.search(between.join(re.escape(word) for word in frame.words), frame.rest, re.IGNORECASE))


def _match(
    word: str, known: Sequence[ObjectName], spoken: str | None, default: str, *, changes: bool
) -> ObjectName | list[ObjectName] | None:
    """The one object that a word names exactly; several that it may mean; None when nothing bears the name.

    Of several kinds that bear the name, the first is looked at; what would be changed is asked about.
    """
    exact = [name for name in known if name.name == word.lower()]
    for namespaces in (spoken,) if spoken else (default, None):
        here = [name for name in exact if namespaces is None or name.namespace in (namespaces, None)]
        clear = len(here) == 1 or (not changes and len({name.resource for name in here}) == len(here))
        if here and clear and namespaces is not None:
            return here[0]
        if len(here) >= 1:
            return here
    parts = [name for name in known if name.name.startswith(f"{word.lower()}-") and name.namespace in (spoken or default, None)]
    return parts or (exact or None)


def _ask(frame: Frame, word: str, found: Sequence[ObjectName], known: Sequence[ObjectName], namespace: str) -> Plan:
    """A question back with a button for each thing that may be meant."""
    where = "" if frame.kind in CLUSTER_KINDS else f" in {namespace}"
    here = [name for name in found if name.name == word.lower() and name.namespace in (namespace, None)]
    said = f"{'Several things are' if here else f'There is no {_singular(frame.kind)}'} called {word}{where}."
    if not found:
        near = process.extract(word.lower(), {name.name for name in known}, scorer=fuzz.WRatio, score_cutoff=75, limit=4)
        found = [name for match, _, _ in near for name in known if name.name == match][:4]
    if not found or (frame.action.verb == "scale" and not frame.flags):
        return Question(f"{said} `list {frame.kind or 'pods'}{where}` shows what there is.")
    choices = _choices(frame, found)
    return Question(f"{said} Did you mean {'one of these' if len(choices) > 1 else choices[0][0]}?", choices)


def _choices(frame: Frame, found: Sequence[ObjectName]) -> tuple[tuple[str, str], ...]:
    """A label and a command for each; labels name the kind where two would read the same."""
    labels = [_label(name) for name in found[:5]]
    return tuple(
        (f"{_singular(name.resource)} {label}" if labels.count(label) > 1 else label, f"kubectl {_line(frame, [name])}")
        for name, label in zip(found[:5], labels, strict=True)
    )


def _singular(plural: str | None) -> str:
    kind = find_kind(plural) if plural else None
    return kind.singular if kind else plural or "object"


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
    return " ".join(_spaced(frame, names).split())


def _spaced(frame: Frame, names: Sequence[ObjectName]) -> str:
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
