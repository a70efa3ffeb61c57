"""One line of kubectl → one `Command`, or a refusal with its reason. Pure: no cluster, no file, no shell.

The line is read as a shell and kubectl would read it, but nothing that a shell would *do* is accepted: no substitution,
no pipe, no second command. What cannot be read with certainty is refused.
"""

import re
from collections.abc import Mapping

from k8s.kinds import find_kind
from k8s.line import MAX_LINE, check_characters, not_ascii, split_words
from k8s.line import CommandRefused as CommandRefused
from k8s.types import Command, Level, Target
from k8s.verbs import (
    FORMS,
    GLOBAL_FLAGS,
    REFUSED_FLAGS,
    REFUSED_OUTPUTS,
    REFUSED_SHORT,
    REFUSED_VERBS,
    SAME_VERB,
    VERBS,
    Flag,
    Operands,
    Reach,
    Refusal,
    Verb,
)


def parse(line: str, *, manifest: str | None = None, files: Mapping[str, str] | None = None) -> Command:
    """Read one kubectl line; the leading `kubectl` may be left out.

    `manifest` is the code block that came with the message, `files` the attached files by name: `-f -` means the one and
    `-f NAME` the other, never a file of the host.

    Raises: CommandRefused, with the rule and the reason.
    """
    line = line.strip()
    if len(line) > MAX_LINE:
        raise CommandRefused(
            "too-long", f"The command has {len(line)} characters; {MAX_LINE} are the most that can be shown whole."
        )
    check_characters(line)
    words = split_words(line)
    if words and words[0] in {"kubectl", "k"}:
        words = words[1:]
    if not words:
        raise CommandRefused("syntax", "There is no command. Try `kubectl get pods`.")
    verb, leading, rest = _find_verb(words)
    flags, operands, remote = _split_flags(verb, leading + rest)
    command = _build(verb, flags, operands, remote, manifest, files or {})
    if len(command.text) > MAX_LINE:
        raise CommandRefused("too-long", f"Written out, the command has more than {MAX_LINE} characters. Split it.")
    return command


# --- the verb -------------------------------------------------------------------------------------------------------------


def _find_verb(words: list[str]) -> tuple[Verb, list[str], list[str]]:
    """The verb, the global flags before and between its words, and all that follows it.

    Flags in front must not hide the verb (`-n x delete pod y`, `create -n x token y`).
    """
    heads: list[str] = []
    leading: list[str] = []
    position = 0
    while position < len(words) and len(heads) < 3:
        if not words[position].startswith("-"):
            heads.append(words[position])
            position += 1
            continue
        if heads and not _is_global(words[position]):
            break
        width = _global_flag_width(words[position])
        leading += words[position : position + width]
        position += width
    if not heads:
        raise CommandRefused("syntax", "There is no verb. Try `kubectl get pods`.")
    rest = heads + words[position:]
    for length in range(len(heads), 0, -1):
        name = " ".join(heads[:length])
        name = SAME_VERB.get(name, name)
        if name in REFUSED_VERBS and name not in VERBS:
            raise _refused(REFUSED_VERBS[name])
        if name in VERBS and not (name == "create" and len(heads) > 1):
            return VERBS[name], leading, rest[length:]
    raise _unknown_verb(rest)


def _is_global(word: str) -> bool:
    name = _long_name(word)
    return any(name == flag.name or (not name and word[1:2] == flag.short) for flag in GLOBAL_FLAGS)


def _long_name(word: str) -> str:
    """`--all_namespaces=true` → `all-namespaces`, as kubectl reads it; empty for letters."""
    return word[2:].partition("=")[0].replace("_", "-") if word.startswith("--") else ""


def _global_flag_width(word: str) -> int:
    """How many words the flag takes: 1 or 2."""
    _, value = _match_flag(word, GLOBAL_FLAGS)
    return 1 if value is not None else 2


def _unknown_verb(rest: list[str]) -> CommandRefused:
    name = rest[0]
    if "=" in name:
        return CommandRefused("environment", "Environment variables have no effect here. Start with `kubectl`.")
    if name.startswith("kubectl-"):
        return CommandRefused("plugin", "Plugins are programs, and KubeChat runs none.")
    subverbs = sorted({verb.removeprefix(f"{name} ") for verb in VERBS if verb.startswith(f"{name} ")})
    if subverbs:
        return CommandRefused("unknown-verb", f"`{name}` needs one of: {', '.join(subverbs)}.")
    return CommandRefused("unknown-verb", f"`{name}` is not a verb that KubeChat knows. `help` lists those it does.")


def _refused(refusal: Refusal) -> CommandRefused:
    return CommandRefused(refusal.rule, refusal.reason[:1].upper() + refusal.reason[1:])


# --- flags ----------------------------------------------------------------------------------------------------------------


def _split_flags(verb: Verb, words: list[str]) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """Flags by long name, operands, and what follows `--`."""
    flags: list[tuple[str, str]] = []
    operands: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--":
            return flags, operands, words[position:]
        if word == "-":
            raise CommandRefused("host-file", "A lone `-` means standard input, and there is none here.")
        if not word.startswith("-"):
            operands.append(word)
            continue
        for flag, value in _read_flag(verb, word):
            following = words[position] if position < len(words) else None
            if value is None and flag.bare is None:
                value = _next_word(flag, following)
                position += 1
            elif value is None:
                value = _bare(flag, following)
            _add_flag(flags, flag, value)
    return flags, operands, []


def _next_word(flag: Flag, following: str | None) -> str:
    """The value of `--flag value`. A word that looks like a flag is not taken for one, though kubectl would."""
    if following is None:
        raise CommandRefused("syntax", f"--{flag.name} needs a value: --{flag.name}=…")
    if following.startswith("-") and following != "-" and not following[1:].isdecimal():
        raise CommandRefused("syntax", f"--{flag.name} needs a value, and {following} looks like a flag.")
    return following


def _bare(flag: Flag, following: str | None) -> str:
    """What the flag means without a value; `--dry-run server` is refused, for kubectl takes `server` for a name there."""
    form = flag.form or "bool"
    if following is not None and FORMS[form][0].fullmatch(following):
        raise CommandRefused("syntax", f"Does {following} belong to --{flag.name}? Then write --{flag.name}={following}.")
    return flag.bare or "true"


def _add_flag(flags: list[tuple[str, str]], flag: Flag, value: str) -> None:
    if not flag.repeated and any(name == flag.name for name, _ in flags):
        raise CommandRefused("flag-twice", f"--{flag.name} is given twice, and it is not clear which one is meant.")
    form = flag.form or "bool"
    if form != "text" and not value.isascii():
        raise not_ascii(value)
    if form == "output":
        value = value.lower() if value.isalpha() else value
        for pattern, refusal in REFUSED_OUTPUTS:
            if pattern.fullmatch(value):
                raise _refused(refusal)
    pattern, expected = FORMS[form]
    if not pattern.fullmatch(value):
        raise CommandRefused("flag-value", f"--{flag.name} has the value “{value}”; expected {expected}.")
    if form == "bool" and flag.form is None and value == "false":
        return
    flags.append((flag.name, value))


def _read_flag(verb: Verb, word: str) -> list[tuple[Flag, str | None]]:
    """One word of flags: `--name`, `--name=value`, `-n`, `-nvalue`, `-n=value`, or several letters of switches (`-Aw`)."""
    if word.startswith("--"):
        return [_match_flag(word, verb.flags)]
    found: list[tuple[Flag, str | None]] = []
    letters = word[1:]
    while letters:
        flag = verb.find_short(letters[0])
        if flag is None:
            raise _flag_refused(f"-{letters[0]}", REFUSED_SHORT.get(letters[0]))
        if flag.bare is None:
            value = letters[1:].removeprefix("=")
            found.append((flag, value if letters[1:] else None))
            return found
        if letters[1:2] == "=":
            found.append((flag, letters[2:]))
            return found
        found.append((flag, None))
        letters = letters[1:]
    return found


def _match_flag(word: str, allowed: tuple[Flag, ...]) -> tuple[Flag, str | None]:
    """A long flag, or one letter before the verb."""
    if not word.startswith("--"):
        flag = next((flag for flag in allowed if flag.short == word[1:2]), None)
        if flag is None:
            raise _flag_refused(word[:2], REFUSED_SHORT.get(word[1:2]))
        return flag, word[2:].removeprefix("=") if word[2:] else None
    name = _long_name(word)
    _, equals, value = word.partition("=")
    flag = next((flag for flag in allowed if flag.name == name), None)
    if flag is None:
        raise _flag_refused(f"--{name}", name)
    return flag, value if equals else None


def _flag_refused(shown: str, name: str | None) -> CommandRefused:
    if name in REFUSED_FLAGS:
        return _refused(REFUSED_FLAGS[name])
    return CommandRefused("unknown-flag", f"The flag {shown} is not one that KubeChat allows here.")


# --- operands -------------------------------------------------------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:@-]{0,251}[A-Za-z0-9])?")
_RESOURCE = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\.?")


def _build(
    verb: Verb,
    flags: list[tuple[str, str]],
    operands: list[str],
    remote: list[str],
    manifest: str | None,
    files: Mapping[str, str],
) -> Command:
    namespace = next((value for name, value in flags if name == "namespace"), None)
    everywhere = ("all-namespaces", "true") in flags
    if namespace is not None and everywhere:
        raise CommandRefused("syntax", "Both a namespace and all namespaces are asked for. Leave one out.")
    body, flags = _manifest(verb, flags, manifest, files)
    targets, args, extra = _operands(verb, operands, flags, body is not None)
    if remote and verb.name not in {"exec", "run", "create deployment", "create job", "create cronjob"}:
        raise CommandRefused("syntax", f"`{verb.name}` takes no command after `--`.")
    if verb.name == "exec" and not remote:
        raise CommandRefused("syntax", "exec needs one command after `--`: kubectl exec POD -- COMMAND.")
    command = Command(
        verb=verb.name,
        targets=targets,
        args=args,
        remote=tuple(remote),
        flags=tuple(flag for flag in flags if flag[0] not in {"namespace", "all-namespaces"}) + extra,
        namespace=namespace,
        all_namespaces=everywhere,
        manifest=body,
    )
    _check_reach(verb, command)
    _check_needed(command)
    return command


def _manifest(
    verb: Verb, flags: list[tuple[str, str]], manifest: str | None, files: Mapping[str, str]
) -> tuple[str | None, list[tuple[str, str]]]:
    """The manifest that `-f` means, and the flags without it. Nothing of the host is ever read."""
    if not verb.manifest:
        return None, flags
    sources = [value for name, value in flags if name == "filename"]
    rest = [flag for flag in flags if flag[0] != "filename"]
    if not sources:
        takes_block = verb.name != "delete"
        if takes_block and manifest is None and len(files) == 1:
            return next(iter(files.values())), rest
        if takes_block and manifest is None:
            raise CommandRefused("no-manifest", f"{verb.name} needs a manifest: put it in a code block, or attach the file.")
        return (manifest if takes_block else None), rest
    source = sources[0]
    if source == "-" and manifest is not None:
        return manifest, rest
    if source in files:
        return files[source], rest
    if "://" in source:
        raise CommandRefused(
            "url", "KubeChat fetches nothing that a command names. Put the manifest in a code block or attach it."
        )
    raise _refused(REFUSED_FLAGS["filename"])


def _operands(
    verb: Verb, operands: list[str], flags: list[tuple[str, str]], has_manifest: bool
) -> tuple[tuple[Target, ...], tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Targets, other operands, and flags that operands stand for (`logs POD CONTAINER`)."""
    if verb.operands is Operands.NONE:
        if operands:
            raise CommandRefused("syntax", f"`{verb.name}` takes no “{operands[0]}”.")
        return (), (), ()
    if verb.operands is Operands.FREE:
        return (), tuple(operands), ()
    if verb.operands is Operands.NAME:
        return (), _one_name(verb, operands), ()
    if verb.operands is Operands.POD:
        return _pod_operands(verb, operands, flags)
    if verb.operands is Operands.NODES:
        return tuple(Target("nodes", _name(word.removeprefix("node/"))) for word in operands), (), ()
    if verb.name == "top pods":
        return tuple(Target("pods", _name(word)) for word in operands), (), ()
    if verb.operands is Operands.PAIRS:
        operands, args = _split_pairs(verb, operands)
        return _targets(operands), args, ()
    if has_manifest:
        if operands:
            raise CommandRefused("syntax", "Name the objects or give a manifest, not both.")
        return (), (), ()
    return _targets(operands), (), ()


def _one_name(verb: Verb, operands: list[str]) -> tuple[str, ...]:
    if not operands:
        raise CommandRefused("syntax", f"`{verb.name}` needs a name.")
    if len(operands) > 1 and verb.name != "create quota":
        raise CommandRefused("syntax", f"`{verb.name}` takes one name; “{operands[1]}” is too many.")
    return (_name(operands[0]),)


def _pod_operands(
    verb: Verb, operands: list[str], flags: list[tuple[str, str]]
) -> tuple[tuple[Target, ...], tuple[str, ...], tuple[tuple[str, str], ...]]:
    if not operands:
        if verb.name == "logs" and any(name == "selector" for name, _ in flags):
            return (), (), ()
        raise CommandRefused("syntax", f"`{verb.name}` needs a pod, or TYPE/NAME.")
    first, *others = operands
    target = _slashed(first) if "/" in first else Target("pods", _name(first))
    if verb.name == "logs" and len(others) == 1:
        if any(name == "container" for name, _ in flags):
            raise CommandRefused("flag-twice", "The container is given twice, and it is not clear which one is meant.")
        return (target,), (), (("container", _name(others[0])),)
    if others:
        hint = " Put the command after `--`." if verb.name == "exec" else ""
        raise CommandRefused("syntax", f"`{verb.name}` takes one pod; “{others[0]}” is too many.{hint}")
    return (target,), (), ()


def _split_pairs(verb: Verb, operands: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """kubectl's rule: the first operand with `=` or a trailing `-` begins the pairs, and all after it are pairs."""

    def is_pair(word: str) -> bool:
        return "=" in word or word.endswith("-") or (verb.name == "taint" and ":" in word)

    first = next((index for index, word in enumerate(operands) if is_pair(word)), len(operands))
    if verb.name == "set serviceaccount" and first == len(operands) and operands:
        first = len(operands) - 1
    elif odd := next((word for word in operands[first:] if not is_pair(word)), None):
        raise CommandRefused("syntax", f"“{odd}” stands after the first KEY=VALUE; names come before.")
    return operands[:first], tuple(operands[first:])


def _targets(operands: list[str]) -> tuple[Target, ...]:
    """kubectl's three forms: TYPE[,TYPE], TYPE NAME…, TYPE/NAME…"""
    if not operands:
        raise CommandRefused("syntax", "Which resource? Say a type, such as pods or deployment/checkout.")
    if any("/" in word for word in operands):
        if not all("/" in word for word in operands):
            raise CommandRefused("syntax", "Use TYPE/NAME for all of them, or TYPE NAME NAME.")
        return _distinct([_slashed(word) for word in operands])
    resources = [_resource(word) for word in operands[0].split(",")]
    names = [_name(word) for word in operands[1:]]
    if not names:
        return _distinct([Target(resource) for resource in resources])
    return _distinct([Target(resource, name) for resource in resources for name in names])


def _distinct(targets: list[Target]) -> tuple[Target, ...]:
    return tuple(dict.fromkeys(targets))


def _slashed(word: str) -> Target:
    resource, _, name = word.partition("/")
    if "/" in name or "," in resource:
        raise CommandRefused("syntax", f"“{word}” is not TYPE/NAME. Sub-resources cannot be named this way.")
    return Target(_resource(resource), _name(name))


def _resource(word: str) -> str:
    if not word.isascii():
        raise not_ascii(word)
    kind = find_kind(word)
    if kind is not None:
        return kind.plural
    lowered = word.lower()
    if len(lowered) > 253 or not _RESOURCE.fullmatch(lowered):
        raise CommandRefused("resource-name", f"“{word}” is not the name of a resource type.")
    return lowered


def _name(word: str) -> str:
    if not word.isascii():
        raise not_ascii(word)
    if not _NAME.fullmatch(word) or ".." in word:
        raise CommandRefused("object-name", f"“{word}” is not the name of an object.")
    return word


def _check_reach(verb: Verb, command: Command) -> None:
    """A change without a name, a selector or --all is refused, as kubectl refuses it."""
    selectors = () if verb.name == "expose" else ("selector", "all", "field-selector")  # expose sets the service's own
    by_flag = [name for name in selectors if command.flag(name)]
    chosen = command.names or command.manifest or by_flag
    if verb.operands is Operands.NODES and verb.level is not Level.SAFE and not chosen:
        raise CommandRefused("no-name", f"Which node? `{verb.name}` needs a name or a label selector.")
    if verb.operands in {Operands.TARGETS, Operands.PAIRS} and verb.reach is Reach.ASKED and not chosen:
        raise CommandRefused("no-name", f"Which one? `{verb.name}` needs a name, a label selector (-l) or --all.")
    if command.names and by_flag:
        raise CommandRefused("syntax", f"Both names and --{by_flag[0]} are given. Leave one out.")
    if verb.name == "delete" and command.manifest is not None and (by_flag or command.all_namespaces):
        raise CommandRefused("syntax", "Give a manifest or choose by flags, not both.")
    if "all" in command.resources and command.names:
        raise CommandRefused("syntax", "`all` means several types; name one type to go with a name.")


_NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {
    "scale": (("replicas",),),
    "autoscale": (("max",),),
    "patch": (("patch",),),
    "run": (("image",),),
    "create deployment": (("image",),),
    "create job": (("image", "from"),),
    "create cronjob": (("image",), ("schedule",)),
    "create role": (("verb",), ("resource",)),
    "create rolebinding": (("role", "clusterrole"),),
    "create clusterrolebinding": (("clusterrole",),),
    "wait": (("for",),),
}
"""Flags that a verb cannot do without: one of each group."""
_UNICODE_ARGS = frozenset({"annotate", "set env"})


def _check_needed(command: Command) -> None:
    for group in _NEEDED.get(command.verb, ()):
        if not any(command.flag(name) is not None for name in group):
            raise CommandRefused("syntax", f"`{command.verb}` needs {' or '.join(f'--{name}=…' for name in group)}.")
    sets = command.args or any(command.flag(name) for name in ("list", "env", "from"))
    if VERBS[command.verb].operands is Operands.PAIRS and not sets:
        raise CommandRefused("syntax", f"`{command.verb}` needs at least one KEY=VALUE, or KEY- to remove one.")
    for word in command.args:
        plain = word.partition("=")[0] if command.verb in _UNICODE_ARGS else word
        if not plain.isascii():
            raise not_ascii(plain)
