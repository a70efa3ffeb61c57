r"""The chat without a keyboard: one message, a script, or a program that reads JSON.

A script has an entry a line: a message, a slash command (`/as bob`, `/new`, `/press approve`, `/press 1 because …`), or a number,
which presses that choice. Empty lines and lines that begin with `#` are skipped. A code block between lines of three backticks
belongs to the message before it.

With JSON, each message and each press becomes one line of UTF-8 on the standard output; invisible characters are escaped:

    {"id": "5c0b…",                        the message's id, or the press's
     "user": "alice",                      who said or pressed it
     "thread": "5c0b…",                    id of the message that started the thread; null before the first
     "text": "scale checkout to 5",        the entry as it was given
     "outcome": "done",                    done waiting question answer refused denied failed
     "kind": "result",                     kind of the reply that decided the outcome; null if none came
     "commands": ["kubectl scale …"],      the kubectl lines it was about, if any
     "level": "warning",                   safe warning dangerous forbidden, or "" where nothing was judged
     "pressed": [{"user", "role", "label"}],     what was pressed, by `/press`, a number or `approve_as`
     "replies": [{"kind", "text", "commands", "level", "card", "revision", "private",
                  "blocks": [{"type": "header", "text"}, {"type": "text", "text"}, {"type": "context", "text"},
                             {"type": "fields", "pairs": [[label, value], …]}, {"type": "code", "text", "language"},
                             {"type": "table", "columns", "rows"}],
                  "buttons": [{"number", "label", "role"}],
                  "files": [{"name", "text"}]}],
     "ms": 12.3}                           milliseconds from handing it over to the last reply

Replies come in order; one with the `card` of an earlier one takes its place. An entry that cannot be done here (`/press approve`
where nothing waits for it) is a line whose one reply is a failure. What concerns the chat alone (`/as`, `/new`) is no line.
"""

import json
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from rich.console import Console

from adapters.terminal.render import echo, new_console, note, render
from adapters.terminal.room import EntryRefused, Exchange, Room
from bot.types import Actions, HandleClick, HandleMessage, Reply, ReplyKind

Outcome = Literal["done", "waiting", "question", "answer", "refused", "denied", "failed"]

EXIT_CODES: Mapping[Outcome, int] = {
    "done": 0,
    "answer": 0,
    "waiting": 3,
    "question": 4,
    "refused": 5,
    "denied": 6,
    "failed": 7,
}
"""The exit code for each outcome. 1 and 2 are left to crashes and to wrong command lines."""

_OUTCOMES: Mapping[ReplyKind, Outcome] = {
    "result": "done",
    "proposal": "waiting",
    "progress": "waiting",
    "question": "question",
    "answer": "answer",
    "refusal": "refused",
    "denial": "denied",
    "failure": "failed",
}


class ScriptNotUnderstood(ValueError):
    """A script whose code blocks do not belong to a message or do not end; says the line."""


def script_entries(script: str) -> list[str]:
    """The entries of a script. Raises `ScriptNotUnderstood`."""
    entries: list[str] = []
    opened = 0  # the line on which a code block began that is still open
    for number, line in enumerate(script.split("\n"), 1):
        line = line.removesuffix("\r")
        fences = line.count("```") % 2
        if opened:
            entries[-1] += f"\n{line}"
            opened = 0 if fences else opened
        elif line.lstrip().startswith("```"):
            if not entries or entries[-1].startswith("/"):
                raise ScriptNotUnderstood(f"Line {number}: a code block needs a message on the line before it.")
            entries[-1] += f"\n{line}"
            opened = number if fences else 0
        elif line.strip() and not line.startswith("#"):
            entries.append(line.strip())
            opened = number if fences else 0
    if opened:
        raise ScriptNotUnderstood(f"Line {opened}: the code block that begins here does not end. Close it with a line of ```.")
    return entries


async def ask(
    handle_message: HandleMessage,
    handle_click: HandleClick,
    entries: Sequence[str],
    *,
    user: str,
    workspace: str,
    approve_as: str | None = None,
    as_json: bool = False,
    with_entries: bool = False,
    console: Console | None = None,
    write: Callable[[str], None] | None = None,
) -> int:
    """Do the entries one after another and return the exit code of the last message or press (`EXIT_CODES`), 0 if there was none.

    `approve_as` goes through with every proposal: the asker confirms, or this person approves, each once a message. `as_json`
    writes lines of JSON by `write` (default: the standard output, as UTF-8) and prints nothing else; otherwise replies are
    printed as cards, and with `with_entries` the messages before them, as in a transcript. Raises `EntryRefused` for a `user`
    or `approve_as` that is no name.
    """
    console = console or new_console()
    write = write or _write

    def show(reply: Reply, numbers: Mapping[str, int], updated: bool) -> None:
        if not as_json:
            render(reply, console, numbers, updated=updated, whole_files=True)

    def say(text: str) -> None:
        if not as_json:
            note(text, console)

    room = Room(handle_message, handle_click, show, say, user=user, workspace=workspace)
    approver = room.person(approve_as) if approve_as is not None else None
    code = 0
    for entry in entries:
        if room.closed:
            break
        if with_entries and not as_json and not entry.startswith("/"):  # what a slash command does is noted anyway
            echo(room.user.name, entry, console)
        try:
            exchange = await room.enter(entry)
        except EntryRefused as refused:
            failure = Reply("failure", str(refused))
            exchange = Exchange(secrets.token_hex(8), room.user, room.thread, entry, [failure])
            show(failure, {}, False)
        if exchange is None:
            continue
        if approver is not None:
            await room.approve(exchange, approver)
        if as_json:
            write(to_json(exchange) + "\n")
        code = EXIT_CODES[outcome(exchange)]
    return code


def outcome(exchange: Exchange) -> Outcome:
    """What became of it, by its last reply that is more than news of progress. No reply at all counts as failed."""
    reply = _deciding(exchange)
    return _OUTCOMES[reply.kind] if reply else "failed"


def to_json(exchange: Exchange) -> str:
    """The exchange as one line of JSON, in the format described above."""
    reply = _deciding(exchange)
    record = {
        "id": exchange.id,
        "user": exchange.user.id,
        "thread": exchange.thread.root if exchange.thread else None,
        "text": exchange.text,
        "outcome": outcome(exchange),
        "kind": reply.kind if reply else None,
        "commands": next((each.commands for each in reversed(exchange.replies) if each.commands), ()),
        "level": next((each.level for each in reversed(exchange.replies) if each.level), ""),
        "pressed": [{"user": user.id, "role": button.role, "label": button.label} for user, button in exchange.pressed],
        "replies": [_reply(each, exchange.numbers) for each in exchange.replies],
        "ms": round(exchange.ms, 1),
    }
    line = json.dumps(record, ensure_ascii=False)
    return line if line.isprintable() else "".join(map(_escaped, line))


def _deciding(exchange: Exchange) -> Reply | None:
    decisive = [reply for reply in exchange.replies if reply.kind != "progress"] or exchange.replies
    return decisive[-1] if decisive else None


def _reply(reply: Reply, numbers: Mapping[str, int]) -> dict[str, Any]:
    actions = [block for block in reply.blocks if isinstance(block, Actions)]
    return {
        "kind": reply.kind,
        "text": reply.text,
        "commands": reply.commands,
        "level": reply.level,
        "card": reply.card,
        "revision": reply.revision,
        "private": reply.private,
        "blocks": [
            {"type": type(block).__name__.removesuffix("Block").lower(), **asdict(block)}
            for block in reply.blocks
            if not isinstance(block, Actions)
        ],
        # Ids stay out: who holds one can press, and a log of this output should not be a ring of keys.
        "buttons": [
            {"number": numbers[button.id], "label": button.label, "role": button.role}
            for block in actions
            for button in block.buttons
        ],
        "files": [asdict(file) for file in reply.files],
    }


def _escaped(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


def _write(text: str) -> None:
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()
