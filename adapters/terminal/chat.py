"""The chat of a person at a keyboard."""

import asyncio
import os
import signal
import sys
import termios
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.shortcuts import CompleteStyle
from rich.console import Console
from rich.text import Text as Styled

from adapters.terminal.render import new_console, note, render
from adapters.terminal.room import COMMANDS, EntryRefused, Room
from bot.types import HandleClick, HandleMessage

_PATIENCE = 0.2
"""Seconds before the spinner is shown: quick answers should not flicker."""


async def chat(
    handle_message: HandleMessage,
    handle_click: HandleClick,
    *,
    user: str,
    workspace: str,
    home: Path,
    people: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Talk until Ctrl-D or /quit.

    `home` holds the history of lines (mode 0600; neither lines with a code block nor lines that begin with a space are kept, as
    they may hold secrets). `people` are offered when `/as` is completed. Raises `EntryRefused` for a user that is no name.
    """
    console = console or new_console()
    room = Room(
        handle_message,
        handle_click,
        lambda reply, numbers, updated: render(reply, console, numbers, updated=updated),
        lambda text: note(text, console),
        user=user,
        workspace=workspace,
    )
    with _quiet_keys():
        await _talk(room, _session(home, people, console), console)


async def _talk(room: Room, session: PromptSession[str], console: Console) -> None:
    note("KubeChat. Say what you need; /help lists what this chat itself can do, Ctrl-D leaves.", console)
    at_work: set[asyncio.Task[None]] = set()
    while not room.closed:
        try:
            with patch_stdout(raw=True):  # an answer that comes late is printed above the line being typed
                entry = await session.prompt_async(_prompt(room))
        except KeyboardInterrupt:
            continue
        except EOFError:
            break
        task = asyncio.create_task(_enter(room, entry))
        at_work.add(task)
        task.add_done_callback(at_work.discard)
        await _wait(task, console)
    if at_work:
        note("Still at work; Ctrl-C leaves at once.", console)
        await _wait(asyncio.gather(*at_work), console)


async def _enter(room: Room, entry: str) -> None:
    try:
        await room.enter(entry)
    except EntryRefused as refused:
        room.note(str(refused))


async def _wait(work: asyncio.Future[Any], console: Console) -> None:
    """Wait for the work with a spinner. Ctrl-C ends the waiting, not the work: a change half made is worse than a late answer."""
    with _interrupts() as interrupted:
        stop = asyncio.create_task(interrupted.wait())
        await asyncio.wait({stop, work}, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not work.done() and not stop.done():
            with console.status(Styled("at work… (Ctrl-C: do not wait)", style="dim")):
                await asyncio.wait({stop, work}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
    if work.done():
        work.result()
    else:
        note("Not waiting any longer.", console)


@contextmanager
def _interrupts() -> Iterator[asyncio.Event]:
    """An event set by Ctrl-C, in place of the KeyboardInterrupt that would end the program."""
    pressed = asyncio.Event()
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, pressed.set)
    try:
        yield pressed
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)


@contextmanager
def _quiet_keys() -> Iterator[None]:
    """Keys pressed while an answer is on its way wait for the next prompt; the terminal neither echoes nor interprets them."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    quiet = [*before]
    quiet[3] &= ~(termios.ECHO | termios.ICANON)  # 3: the local modes; ISIG among them stays, so that Ctrl-C is a signal
    termios.tcsetattr(sys.stdin, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _prompt(room: Room) -> FormattedText:
    place = next((f"thread {number}" for number, (each, _) in enumerate(room.threads, 1) if each == room.thread), "new thread")
    files = f" · {len(room.attached)} attached" if room.attached else ""
    return FormattedText([("bold", room.user.name), ("", f" · {place}{files} "), ("bold", "› ")])


def _session(home: Path, people: Sequence[str], console: Console) -> PromptSession[str]:
    return PromptSession(
        history=_history(home, console),
        multiline=True,
        key_bindings=_keys(),
        prompt_continuation=FormattedText([("", "… ")]),
        completer=_Completer(people),
        complete_while_typing=False,
        complete_style=CompleteStyle.READLINE_LIKE,
        reserve_space_for_menu=0,
        enable_open_in_editor=False,
    )


def _keys() -> KeyBindings:
    """Enter sends, unless a code block is open; Alt-Enter always starts a new line."""
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.text.count("```") % 2:
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    return keys


class _Completer(Completer):
    """Slash commands, people after `/as`, paths after `/attach`."""

    def __init__(self, people: Sequence[str]) -> None:
        self._people = people
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        word, space, rest = document.text_before_cursor.partition(" ")
        if word == "/attach" and space:
            yield from self._paths.get_completions(Document(rest), complete_event)
            return
        options, typed = (COMMANDS, word) if not space else (self._people, rest)
        if word.startswith("/") and (not space or word == "/as"):
            yield from (Completion(option, -len(typed)) for option in options if option.startswith(typed))


class _DiscreetHistory(FileHistory):
    def store_string(self, string: str) -> None:
        if "```" not in string and not string.startswith(" "):
            super().store_string(string)


def _history(home: Path, console: Console) -> History:
    path = home / "history"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)
    except OSError as error:
        note(f"Lines are not kept for the next time: {path} cannot be used ({error.strerror}).", console)
        return InMemoryHistory()
    return _DiscreetHistory(str(path))
