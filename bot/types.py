"""The words of a conversation: what comes in from a chat, and what goes back."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class User:
    """A person as one platform knows them. Identity is platform, workspace and id; a name or an email never is."""

    platform: str
    workspace: str
    id: str
    name: str = ""

    @property
    def key(self) -> str:
        """`platform/workspace/id`, the form used in settings, in `kubechat users` and in audit rows."""
        return f"{self.platform}/{self.workspace}/{self.id}"


@dataclass(frozen=True, slots=True)
class Thread:
    """Where a conversation happens. `root` is the message that started it."""

    platform: str
    workspace: str
    channel: str
    root: str

    @property
    def key(self) -> str:
        return f"{self.platform}/{self.workspace}/{self.channel}/{self.root}"


@dataclass(frozen=True, slots=True)
class File:
    """A text file that came with a message (a manifest), or goes out with a reply."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody said to KubeChat. `id` is the platform's own and is unique in the thread's workspace."""

    id: str
    user: User
    thread: Thread
    text: str
    at: datetime
    files: tuple[File, ...] = ()


@dataclass(frozen=True, slots=True)
class Click:
    """A button pressed. `button` is the opaque single-use id that the button carried; nothing else is trusted."""

    button: str
    user: User
    thread: Thread
    at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """A short heading of plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph. Only `*bold*` and backticks are marked up; everything else is literal."""

    text: str


@dataclass(frozen=True, slots=True)
class Fields:
    """Short pairs of a label and a value."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Text shown as it is, in a fixed-width face."""

    text: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class TableBlock:
    """Columns and rows of plain text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Context:
    """A line of small print."""

    text: str


@dataclass(frozen=True, slots=True)
class Button:
    """One choice. `id` is opaque, random and single-use; everything else about it is in the database.

    `role` says what pressing it means, so that an adapter can choose a look: `confirm` is for the requester, `approve` and `deny`
    are for an approver, `cancel` withdraws, `undo` proposes the inverse, `choice` answers a question.
    """

    id: str
    label: str
    role: Literal["confirm", "approve", "deny", "cancel", "undo", "choice"] = "choice"
    style: Literal["plain", "primary", "danger"] = "plain"


@dataclass(frozen=True, slots=True)
class Actions:
    """Buttons in one row."""

    buttons: tuple[Button, ...]


Block = Header | Text | Fields | Code | TableBlock | Context | Actions


ReplyKind = Literal[
    "result",  # a command ran and this came of it
    "proposal",  # waits for a button
    "progress",  # a button was pressed or work goes on; takes the proposal's place
    "question",  # which one?
    "answer",  # a sentence: help, who am I, a greeting
    "refusal",  # forbidden, or not approved
    "denial",  # the cluster or the mapping says no
    "failure",  # it was tried and went wrong, or something is out of reach
]


@dataclass(frozen=True, slots=True)
class Reply:
    """What KubeChat says. `text` is the whole in one plain sentence, for notifications and screens without cards.

    `card` names the message, so that a later reply with the same card takes its place; `revision` grows with each, and an adapter
    never lets a lower one overwrite a higher. `commands` and `level` say, for machines, which kubectl lines it is about and how
    they were judged.
    """

    kind: ReplyKind
    text: str
    blocks: tuple[Block, ...] = ()
    files: tuple[File, ...] = ()
    card: str | None = None
    revision: int = 0
    private: bool = False
    commands: tuple[str, ...] = ()
    level: str = ""


Say = Callable[[Reply], Awaitable[None]]
"""How the engine speaks in the thread of the message or click it is handling. Returns when the reply is handed over."""

HandleMessage = Callable[[Message, Say], Awaitable[None]]
HandleClick = Callable[[Click, Say], Awaitable[None]]
