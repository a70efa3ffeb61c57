"""The other side of the adapter's port: handlers that answer by a script, as the engine would."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.types import (
    Actions,
    Button,
    Click,
    Code,
    Context,
    Fields,
    File,
    Header,
    Message,
    Reply,
    Say,
    TableBlock,
    Text,
    User,
)

PODS = TableBlock(
    ("NAME", "READY", "STATUS", "RESTARTS", "AGE"),
    (
        ("checkout-7d9f8b6c5d-2xkqp", "1/1", "Running", "0", "5d3h"),
        ("checkout-7d9f8b6c5d-9wv4m", "1/1", "Running", "2 (3h ago)", "5d3h"),
        ("ledger-6c8b7f5d4-lm2zr", "0/1", "CrashLoopBackOff", "41 (2m ago)", "12h"),
    ),
)


def proposal(card: str = "card", revision: int = 1, role: str = "confirm") -> Reply:
    """A scale to zero that waits for a button of this role."""
    first = Button(f"{card}-yes", "Run it", "confirm", "primary")
    if role == "approve":
        first = Button(f"{card}-yes", "Approve", "approve", "danger")
    return Reply(
        "proposal",
        "Scale checkout in shop to 0? This waits for a choice.",
        (
            Header("Scale checkout in shop to 0"),
            Code("kubectl scale deployment/checkout --replicas=0 --namespace=shop", "sh"),
            Fields(
                (("Cluster", "practice"), ("What happens", "all 3 pods of checkout stop, and nothing answers in their place"))
            ),
            Code("-  replicas: 3\n+  replicas: 0", "diff"),
            Context("Another person has to approve within 15 minutes."),
            Actions((first, Button(f"{card}-no", "Deny", "deny"), Button(f"{card}-stop", "Cancel", "cancel"))),
        ),
        card=card,
        revision=revision,
        commands=("kubectl scale deployment/checkout --replicas=0 --namespace=shop",),
        level="dangerous",
    )


def progress(card: str = "card", revision: int = 2) -> Reply:
    return Reply("progress", "On its way.", (Text("On its way."),), card=card, revision=revision)


RESULT = Reply(
    "result",
    "checkout in shop is scaled to 0.",
    (Text("checkout in `shop` is scaled to *0*."), Actions((Button("undo", "Undo: scale back to 3", "undo"),))),
    commands=("kubectl scale deployment/checkout --replicas=0 --namespace=shop",),
    level="dangerous",
)

ANSWERS: dict[str, tuple[Reply, ...]] = {
    "pods": (
        Reply(
            "result", "3 pods", (Text("Pods in `shop`"), PODS, Context("3 pods")), commands=("kubectl get pods",), level="safe"
        ),
    ),
    "scale": (proposal(),),
    "scale more": (proposal(card="more"),),
    "delete": (proposal(role="approve"),),
    "help": (Reply("answer", "Ask me about pods."),),
    "forbidden": (Reply("refusal", "No approval can allow that.", level="forbidden"),),
    "denied": (Reply("denial", "You may not read secrets.", private=True),),
    "broken": (Reply("failure", "The cluster does not answer."),),
    "working": (progress(),),
    "which": (
        Reply("question", "Which one?", (Text("Which one?"), Actions((Button("w1", "checkout"), Button("w2", "ledger"))))),
    ),
    "how many": (Reply("question", "How many replicas?"),),
    "stale": (proposal(revision=5), proposal(revision=4), progress(revision=6)),
    "logs": (Reply("result", "Logs.", files=(File("ledger.log", "one\ntwo\n"),)),),
    "silent": (),
}


@dataclass
class Script:
    """Both handlers, and what they were handed. `decide` says what a click does, by button and person."""

    decide: Callable[[Click], tuple[Reply, ...]] = lambda click: (progress(), RESULT)
    messages: list[Message] = field(default_factory=list)
    clicks: list[Click] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_message(self, message: Message, say: Say) -> None:
        self.messages.append(message)
        if message.text == "crash":
            raise KeyError("spec")
        if message.text == "slow":
            await self.go_on.wait()
            await say(Reply("result", "Slow, and done."))
            return
        if message.text == "go on":
            self.go_on.set()
        for reply in ANSWERS.get(message.text, (_echo(message),)):
            await say(reply)

    async def handle_click(self, click: Click, say: Say) -> None:
        self.clicks.append(click)
        for reply in self.decide(click):
            await say(reply)


def _echo(message: Message) -> Reply:
    files = "".join(f" with {file.name}" for file in message.files)
    return Reply("answer", f"{message.user.id} said {message.text!r}{files}")


def only_others_approve(requester: User) -> Callable[[Click], tuple[Reply, ...]]:
    """What the engine does for a dangerous command."""

    def decide(click: Click) -> tuple[Reply, ...]:
        if click.user.key == requester.key:
            return (Reply("refusal", "You asked for it: somebody else has to approve."),)
        return (progress(), RESULT)

    return decide
