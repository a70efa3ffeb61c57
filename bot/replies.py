"""All that KubeChat says, in one place. Text from a cluster is put only where an adapter shows it literally."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from bot.approvals import Approval
from bot.drafts import Question
from bot.settings import ApprovalRule
from bot.types import Actions, Block, Button, Code, Context, Fields, File, Header, Reply, ReplyKind, TableBlock, Text
from k8s.types import Command, ExecutionResult, FieldChange, ObjectRef, Preview, Verdict

MANIFEST_ON_CARD = 4000
"""Characters of a manifest shown on the card itself; a longer one goes along as a file, so that all of it can be read."""

_OBVIOUS = "reversible-change"
"""The rule whose reason says no more than the word warning does."""


def say(text: str, kind: ReplyKind = "answer", *blocks: Block) -> Reply:
    """A sentence, with blocks under it."""
    return Reply(kind, text, (Text(text), *blocks))


def help_reply() -> Reply:
    """What can be asked, by example."""
    examples = (
        ("list pods in shop", "anything kubectl get can list"),
        ("describe checkout · logs of checkout · events in shop", "look closer"),
        ("scale checkout in shop to 5", "you confirm it"),
        ("restart checkout · roll back checkout · pause · resume", "you confirm it"),
        ("delete pod checkout-abc in shop", "somebody else approves it"),
        ("kubectl get deploy -n shop -o wide", "any kubectl line, judged the same way"),
        ("apply, with a manifest in a ``` code block", "previewed on the server first"),
        ("who am I · what may I do · use cluster NAME · cancel · undo it", "about you and this thread"),
    )
    text = "Ask in plain English or in kubectl. I run it with your own access, and write it down."
    return say(text, "answer", Fields(examples))


def question(asked: Question, buttons: Sequence[Button]) -> Reply:
    """A question back, with a button for each answer that is known."""
    blocks: tuple[Block, ...] = (Text(asked.text),)
    if buttons:
        blocks += (Actions(tuple(buttons)),)
    return Reply("question", asked.text, blocks, commands=tuple(line for _, line in asked.choices))


def refused(rule: str, reasons: Iterable[str], line: str = "") -> Reply:
    """What no approval can allow."""
    text = f"Refused: {' '.join(reasons)}"
    return Reply("refusal", text, (Text(text), Context(f"Rule: {rule}")), commands=(line,) if line else (), level="forbidden")


def denied(sentences: Sequence[str], commands: Sequence[Command], level: str) -> Reply:
    """The cluster would not let this person."""
    text = "You may not do that. " + " ".join(sentences)
    return Reply("denial", text, (Text(text), *_lines(commands)), commands=_texts(commands), level=level)


def unmapped(user_key: str, cluster: str, clusters: tuple[str, ...]) -> Reply:
    """No mapping, and how to get one."""
    if clusters and not cluster:
        return say(f"Which cluster? You have access to: {', '.join(clusters)}. Say `use cluster NAME`.", "question")
    text = (
        f"You have no access to {cluster or 'any cluster'} here, so nothing was run. "
        "Ask an administrator of KubeChat to map you: "
        f"`kubechat users add {user_key} --cluster {cluster or 'NAME'} --kubeconfig FILE` "
        "(or --service-account, or --impersonate)."
    )
    more = f" You do have access to: {', '.join(clusters)}; say `use cluster NAME`." if clusters else ""
    return say(text + more, "denial")


def failure(text: str, commands: Sequence[Command] = (), level: str = "") -> Reply:
    """Something went wrong, in one sentence that says what to do."""
    return Reply("failure", text, (Text(text), *_lines(commands)), commands=_texts(commands), level=level)


# --- results --------------------------------------------------------------------------------------------------------------


def result(
    commands: Sequence[Command],
    outcomes: Sequence[ExecutionResult],
    *,
    level: str,
    who: str,
    undo: Button | None = None,
    recorded: bool = True,
    card: str | None = None,
    revision: int = 0,
    heading: str = "",
) -> Reply:
    """What came of the commands."""
    blocks: list[Block] = [Text(heading)] if heading else []
    blocks += _lines(commands)
    for outcome in outcomes:
        blocks += _outcome(outcome)
    seconds = sum(outcome.duration for outcome in outcomes)
    small = f"as {who} · {seconds * 1000:.0f} ms" if seconds < 1 else f"as {who} · {seconds:.1f} s"
    if not recorded:
        blocks.append(
            Text("*The outcome could not be written to the audit log; only the start is recorded.* Tell an administrator.")
        )
    blocks.append(Context(small))
    if undo is not None:
        blocks.append(Actions((undo,)))
    return Reply(
        "result", _summary(outcomes), tuple(blocks), card=card, revision=revision, commands=_texts(commands), level=level
    )


def _outcome(outcome: ExecutionResult) -> list[Block]:
    blocks: list[Block] = [TableBlock(table.columns, table.rows) for table in outcome.tables]
    if outcome.text:
        blocks.append(Code(outcome.text))
    blocks += [Context(note) for note in outcome.notes]
    if outcome.truncated:
        blocks.append(Context(outcome.truncated))
    return blocks


def _summary(outcomes: Sequence[ExecutionResult]) -> str:
    """One line for a notification."""
    parts = []
    for outcome in outcomes:
        rows = sum(len(table.rows) for table in outcome.tables)
        first = outcome.text.strip().splitlines()[0] if outcome.text.strip() else ""
        parts.append(f"{rows} found" if outcome.tables else first or "Done")
    return "; ".join(parts)


# --- proposals ------------------------------------------------------------------------------------------------------------


def card_of(
    commands: Sequence[Command], verdict: Verdict, previews: Sequence[Preview], policy: ApprovalRule, question_text: str
) -> dict[str, Any]:
    """All that a card shows, as JSON, so that it can be drawn again when its state changes."""
    return {
        "question": question_text,
        "level": verdict.level.value,
        "rule": verdict.rule,
        "reasons": list(verdict.reasons),
        "summary": [line for preview in previews for line in preview.summary],
        "warnings": [line for preview in previews for line in preview.warnings],
        "changes": [line for preview in previews for line in _unsaid(preview)],
        "undo": _undo(previews),
        "who": _who_decides(policy),
    }


def _unsaid(preview: Preview) -> list[str]:
    """The field changes that the summary does not tell already."""
    lines = [(ref, change) for ref, changes in preview.changes for change in changes]
    said = " ".join(preview.summary)
    return [
        f"{ref}: {_change(change)}"
        for ref, change in lines
        if f"{change.before} → {change.after}" not in said and change.path.removeprefix("metadata.") not in said
    ]


def _undo(previews: Sequence[Preview]) -> str:
    """How the last command can be taken back, in words."""
    last = previews[-1] if previews else None
    if last is None or last.undo is None:
        return "This cannot be undone with one command."
    if last.undo_manifest is not None:
        return "To undo: an Undo button will apply what was there before."
    return f"To undo: {last.undo}"


def _who_decides(policy: ApprovalRule) -> str:
    minutes = f"{_duration(policy.expires)}"
    if policy.mode == "confirm":
        return f"You asked, so you confirm, within {minutes}."
    people = "one other person" if policy.needed == 1 else f"{policy.needed} other people"
    return f"Needs {people} with the role {policy.approvers}, within {minutes}."


def _duration(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for size, word in ((3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {word}{'s' if seconds != size else ''}"
    return f"{seconds} seconds"


def _change(change: FieldChange) -> str:
    before = "nothing" if change.before is None else change.before
    after = "nothing" if change.after is None else change.after
    return f"{change.path} {before} → {after}"


def proposal(approval: Approval, buttons: Sequence[Button], requester: str) -> Reply:
    """The card that asks for agreement. It shows the whole of every command."""
    card = approval.card
    verb = "confirm" if approval.policy.mode == "confirm" else "approve"
    text = f"{requester} asks: {'; '.join(_texts(approval.commands))}. Please {verb} or decline."
    return Reply(
        "proposal",
        text,
        (*_body(approval), Context(card["who"]), Actions(tuple(buttons))),
        files=_files(approval.commands),
        card=approval.id,
        revision=approval.version,
        commands=_texts(approval.commands),
        level=card["level"],
    )


def decided(approval: Approval, text: str, kind: ReplyKind = "progress", buttons: Sequence[Button] = ()) -> Reply:
    """What became of a card, in its place; buttons only while more people are needed."""
    blocks: tuple[Block, ...] = (Text(f"*{text}*"), *_lines(approval.commands))
    if buttons:
        blocks = (*_body(approval), Text(f"*{text}*"), Actions(tuple(buttons)))
    return Reply(
        kind,
        text,
        blocks,
        card=approval.id,
        revision=approval.version,
        commands=_texts(approval.commands),
        level=str(approval.card["level"]),
    )


def _body(approval: Approval) -> tuple[Block, ...]:
    card = approval.card
    asks = "Please confirm" if approval.policy.mode == "confirm" else "Needs approval"
    blocks: list[Block] = [Header(f"{asks}: {card['level']}"), *_lines(approval.commands)]
    for command in approval.commands:
        if command.manifest is not None and len(command.manifest) <= MANIFEST_ON_CARD:
            blocks.append(Code(command.manifest, "yaml"))
        elif command.manifest is not None:
            blocks.append(Text(f"The manifest ({len(command.manifest)} characters) is attached whole; read it before you agree."))
    if card["summary"] or card["changes"]:
        blocks.append(Code("\n".join([*card["summary"], *card["changes"]])))
    if card["rule"] != _OBVIOUS:
        blocks += [Text(reason) for reason in card["reasons"]]
    blocks += [Text(f"*Beware:* {warning}") for warning in card["warnings"]]
    blocks.append(Context(card["undo"]))
    return tuple(blocks)


def _files(commands: Sequence[Command]) -> tuple[File, ...]:
    long = [command.manifest for command in commands if command.manifest and len(command.manifest) > MANIFEST_ON_CARD]
    return tuple(File(f"manifest-{number}.yaml", text) for number, text in enumerate(long, 1))


def unknown_outcome(lines: Sequence[str], asked_by: str, at: str) -> Reply:
    """Said at a start that finds something begun and not ended."""
    text = (
        f"*Unknown:* {'; '.join(lines)} (asked by {asked_by}) was begun at {at}, and KubeChat stopped before it knew the end. "
        "It may or may not have happened. It will not be tried again by itself: look at the cluster, and ask again if need be."
    )
    return Reply("failure", text, (Text(text),), commands=tuple(lines))


def people(user_keys: Iterable[str]) -> str:
    """Accounts by their ids, for a sentence."""
    return ", ".join(key.rpartition("/")[2] for key in user_keys)


def _lines(commands: Sequence[Command]) -> tuple[Block, ...]:
    return tuple(Code(command.text, "shell") for command in commands)


def _texts(commands: Sequence[Command]) -> tuple[str, ...]:
    return tuple(command.text for command in commands)


def objects(refs: Iterable[ObjectRef]) -> list[str]:
    """Objects in short, for audit rows."""
    return [f"{ref.namespace}/{ref}" if ref.namespace else str(ref) for ref in refs]
