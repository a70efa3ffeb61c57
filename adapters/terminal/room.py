"""The room of a terminal chat: who speaks, in which thread, which choices are on the screen.

One interpreter serves the keyboard, scripts and command lines. An entry is a message, a number (a choice) or a slash command.
"""

import asyncio
import logging
import re
import secrets
import stat
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path, PurePath

from bot.types import Actions, Button, Click, File, HandleClick, HandleMessage, Message, Reply, Say, Thread, User

logger = logging.getLogger(__name__)

MAX_FILE = 1024 * 1024
"""Bytes of an attached file. Nothing much larger can be stored in a cluster: etcd takes requests up to 1.5 MiB."""

_NAME = re.compile(r"[A-Za-z0-9][\w.@+-]{0,62}", re.ASCII)  # no slash: it parts the three pieces of an identity
_NUMBER = re.compile(r"[0-9]{1,9}")


class EntryRefused(Exception):
    """An entry that cannot be done here, with what to do instead. It never reached KubeChat."""


@dataclass(slots=True)
class Exchange:
    """Something said or pressed, and what came of it. `ms` is the time from handing it over to the last word, in milliseconds."""

    id: str
    user: User
    thread: Thread | None
    text: str
    replies: list[Reply] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    """The number shown before each button, by button id."""
    pressed: list[tuple[User, Button]] = field(default_factory=list)
    ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """A button on the screen. Its number is never given to another one."""

    number: int
    button: Button
    thread: Thread
    card: str | None


Show = Callable[[Reply, Mapping[str, int], bool], None]
"""Draws a reply: the reply, the number before each of its buttons, whether it takes an earlier card's place."""


class Room:
    """The state of one terminal conversation, and the only way from it to the handlers."""

    def __init__(
        self,
        handle_message: HandleMessage,
        handle_click: HandleClick,
        show: Show,
        note: Callable[[str], None],
        *,
        user: str,
        workspace: str,
    ) -> None:
        self._handle_message = handle_message
        self._handle_click = handle_click
        self._show = show
        self.note = note
        self._workspace = workspace
        self.user = self.person(user)
        self.thread: Thread | None = None
        self.threads: list[tuple[Thread, str]] = []
        """Every thread of this session, with the words that opened it."""
        self.choices: dict[int, Choice] = {}
        self.attached: list[File] = []
        """Files that go with the next message."""
        self.files: dict[str, File] = {}
        """The latest file of each name that came with a reply."""
        self.closed = False
        self._numbers = count(1)
        self._revisions: dict[str, int] = {}
        self._asked_in_words: set[Thread] = set()

    async def enter(self, entry: str) -> Exchange | None:
        """Do one entry. None for what stays in the room. Raises `EntryRefused`."""
        entry = entry.strip()
        if entry.startswith("/"):
            word, *rest = entry.split(maxsplit=1)
            if word not in COMMANDS:
                raise EntryRefused(f"{word} is no command of this chat. /help lists them.")
            return await COMMANDS[word].do(self, rest[0] if rest else "")
        if _NUMBER.fullmatch(entry) and self.thread not in self._asked_in_words:
            return await self._press(self._numbered(int(entry)), entry)
        return await self._say(entry) if entry else None

    async def approve(self, exchange: Exchange, approver: User) -> None:
        """Go through with what the exchange proposed: confirm as the person who asked, approve as `approver`, each once."""
        # Once only: a card that comes back with new buttons says that something changed, and that is for a person to read.
        people = {"confirm": exchange.user, "approve": approver}
        while choice := next((each for each in self.choices.values() if _is_open(each, exchange, people)), None):
            await self._click(choice, people.pop(choice.button.role), "", exchange)

    def person(self, name: str) -> User:
        """A person of this room by name. Raises `EntryRefused` for what is no name."""
        if not _NAME.fullmatch(name):
            raise EntryRefused(f"{name!r} is no name: letters, digits and . _ @ + -, 63 at most, a letter or digit first.")
        return User("terminal", self._workspace, name, name)

    async def _say(self, text: str) -> Exchange:
        identifier = secrets.token_hex(8)
        if self.thread is None:
            self.thread = Thread(self.user.platform, self._workspace, "local", identifier)
            self.threads.append((self.thread, text))
        files, self.attached = tuple(self.attached), []
        exchange = Exchange(identifier, self.user, self.thread, text)
        message = Message(identifier, self.user, self.thread, text, datetime.now(UTC), files)
        self._asked_in_words.discard(self.thread)
        await self._run(exchange, self.thread, lambda say: self._handle_message(message, say))
        return exchange

    async def _press(self, choice: Choice, entry: str, reason: str = "") -> Exchange:
        exchange = Exchange(secrets.token_hex(8), self.user, choice.thread, entry)
        await self._click(choice, self.user, reason, exchange)
        return exchange

    async def _click(self, choice: Choice, user: User, reason: str, exchange: Exchange) -> None:
        self.note(f"{user.name} presses [{choice.number}] {choice.button.label}")
        exchange.pressed.append((user, choice.button))
        click = Click(choice.button.id, user, choice.thread, datetime.now(UTC), reason)
        await self._run(exchange, choice.thread, lambda say: self._handle_click(click, say))

    async def _run(self, exchange: Exchange, thread: Thread, handle: Callable[[Say], Awaitable[None]]) -> None:
        async def say(reply: Reply) -> None:
            self._take(reply, thread, exchange)

        began = time.perf_counter()
        try:
            await handle(say)
        except Exception as error:  # the edge of the loop: one failed message must not end the chat
            logger.exception("a message could not be handled")
            name = type(error).__name__
            await say(Reply("failure", f"Something went wrong inside KubeChat ({name}). What was done is unknown; see its log."))
        exchange.ms += (time.perf_counter() - began) * 1000

    def _take(self, reply: Reply, thread: Thread, exchange: Exchange) -> None:
        """Number the reply's buttons and show it, unless a newer revision of its card is on the screen."""
        newest = self._revisions.get(reply.card) if reply.card else None
        if newest is not None and reply.revision < newest:
            return
        buttons = [button for block in reply.blocks if isinstance(block, Actions) for button in block.buttons]
        numbers = {each.button.id: each.number for each in self.choices.values()}
        if reply.card:
            self._revisions[reply.card] = reply.revision
            self.choices = {number: each for number, each in self.choices.items() if each.card != reply.card}
        for button in buttons:
            number = numbers.get(button.id) or next(self._numbers)
            self.choices[number] = Choice(number, button, thread, reply.card)
            exchange.numbers[button.id] = number
        if reply.kind == "question" and not buttons:
            self._asked_in_words.add(thread)
        self.files.update((PurePath(file.name).name, file) for file in reply.files)
        exchange.replies.append(reply)
        self._show(reply, exchange.numbers, newest is not None)

    def _numbered(self, number: int) -> Choice:
        if number in self.choices:
            return self.choices[number]
        here = [each for each in self.choices.values() if each.thread == self.thread][-6:]
        on_screen = ", ".join(f"[{each.number}] {each.button.label}" for each in here) or "none"
        raise EntryRefused(f"Choice {number} is gone, or never was. Choices now: {on_screen}.")

    # What the slash commands do. Each takes what follows the command's name.

    async def be(self, name: str) -> None:
        self.user = self.person(name)
        self.note(f"You are {name} now.")

    async def leave_thread(self, _: str) -> None:
        self.thread = None
        self.note("The next message starts a new thread.")

    async def list_threads(self, _: str) -> None:
        if not self.threads:
            self.note("No thread yet: the first message starts one.")
        for number, (thread, opening) in enumerate(self.threads, 1):
            first = opening.partition("\n")[0]
            self.note(f"{'→' if thread == self.thread else ' '} {number}  {first[:70]}{'…' if len(first) > 70 else ''}")

    async def return_to_thread(self, number: str) -> None:
        if not _NUMBER.fullmatch(number) or not 1 <= int(number) <= len(self.threads):
            raise EntryRefused(f"There is no thread {number or '?'}: /threads lists them.")
        self.thread, opening = self.threads[int(number) - 1]
        self.note(f"Back in thread {number}: {opening.partition(chr(10))[0]}")

    async def press(self, words: str) -> Exchange:
        target, _, reason = words.partition(" ")
        if _NUMBER.fullmatch(target):
            return await self._press(self._numbered(int(target)), f"/press {words}", reason.strip())
        if target not in _ROLES:
            raise EntryRefused(f"Press what? A number on the screen, or one of {', '.join(_ROLES)}.")
        here = [each for each in self.choices.values() if each.button.role == target and each.thread == self.thread]
        if not here:
            raise EntryRefused(f"Nothing in this thread waits for {target}.")
        return await self._press(max(here, key=lambda each: each.number), f"/press {words}", reason.strip())

    async def attach(self, name: str) -> None:
        if not name:
            raise EntryRefused("Which file? /attach FILE")
        file = await asyncio.to_thread(_read, Path(name))
        self.attached.append(file)
        self.note(f"{file.name} goes with the next message.")

    async def save(self, name: str) -> None:
        name = PurePath(name).name
        if name not in self.files:
            raise EntryRefused(f"No reply carried a file of that name. Files: {', '.join(sorted(self.files)) or 'none yet'}.")
        await asyncio.to_thread(_write, Path(name), self.files[name].text)
        self.note(f"Saved {name} in this directory.")

    async def help(self, _: str) -> None:
        self.note(f"{'N':<24}press the choice with the number N")
        for command in COMMANDS.values():
            self.note(f"{command.usage:<24}{command.help}")

    async def leave(self, _: str) -> None:
        self.closed = True


@dataclass(frozen=True, slots=True)
class _Command:
    usage: str
    help: str
    do: Callable[[Room, str], Awaitable[Exchange | None]]


COMMANDS: Mapping[str, _Command] = {
    command.usage.split()[0]: command
    for command in (
        _Command("/as NAME", "speak as another person", Room.be),
        _Command("/new", "start a new thread", Room.leave_thread),
        _Command("/threads", "list this session's threads", Room.list_threads),
        _Command("/thread N", "go back to a thread", Room.return_to_thread),
        _Command("/press N|ROLE [REASON]", "press by number, or confirm, approve, deny, cancel, undo", Room.press),
        _Command("/attach FILE", f"send a text file of up to {MAX_FILE // 1024} KiB with the next message", Room.attach),
        _Command("/save NAME", "save a file that came with a reply", Room.save),
        _Command("/help", "show this list", Room.help),
        _Command("/quit", "leave; Ctrl-D does the same", Room.leave),
    )
}
"""The slash commands by name. What is said to KubeChat itself has no slash."""

_ROLES = ("confirm", "approve", "deny", "cancel", "undo", "choice")


def _is_open(choice: Choice, exchange: Exchange, people: Mapping[str, User]) -> bool:
    return choice.button.id in exchange.numbers and choice.button.role in people


def _read(path: Path) -> File:
    try:
        path = path.expanduser()
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe or a device could wait for ever
            raise EntryRefused(f"{path} is not a file.")
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE + 1)
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the path; a home that is not known
        raise EntryRefused(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if len(data) > MAX_FILE:
        raise EntryRefused(f"{path} is larger than {MAX_FILE // 1024} KiB, the most that can be attached.")
    try:
        return File(path.name, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise EntryRefused(f"{path} is not UTF-8 text.") from error


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8", errors="replace") as stream:
            stream.write(text)
    except OSError as error:
        raise EntryRefused(f"{path} was not written: {error.strerror}.") from error
