"""What a message means: a typed kubectl line goes straight to the grammar, words go to the translator."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.drafts import Draft, Plan, Remark
from bot.translator import Lookup, translate
from bot.types import Message
from k8s.grammar import parse
from k8s.verbs import REFUSED_VERBS, VERBS

TYPED = "typed"

_MENTION = re.compile(r"<@[^<>]{0,100}>|(?<!\S)@kubechat\b", re.IGNORECASE)
_BLOCK = re.compile(r"```[a-zA-Z]*[ \t]*\n?(.*?)```", re.DOTALL)
_VERB_WORDS = frozenset(name.split()[0] for name in (*VERBS, *REFUSED_VERBS))


@dataclass(frozen=True, slots=True)
class Request:
    """A message taken apart: the words, the code block if there was one, attached files by name."""

    words: str
    block: str | None
    files: Mapping[str, str]


def read_request(message: Message) -> Request:
    """The words without the mention and without the code block."""
    text = _MENTION.sub(" ", message.text)
    blocks = [match[1] for match in _BLOCK.finditer(text)]
    words = _BLOCK.sub(" ", text).strip()
    if blocks and not words and is_typed(blocks[0].strip()):
        words, blocks = blocks[0].strip(), blocks[1:]
    return Request(_unwrapped(words), blocks[0] if blocks else None, {file.name: file.text for file in message.files})


def _unwrapped(words: str) -> str:
    """A command in backticks is the command."""
    match = re.fullmatch(r"`([^`]+)`", words)
    return match[1].strip() if match else words


def is_typed(words: str) -> bool:
    """Whether this is kubectl's language and not English: it begins with kubectl, or with a verb and has a flag.

    What names another program or sets a variable before kubectl is typed too: it is then refused with its reason.
    """
    first, *rest = words.split() or [""]
    if first in {"kubectl", "k"} or first.startswith("kubectl-") or re.match(r"(sudo|[A-Z_]+=\S*) ", words):
        return True
    flagged = any(re.match(r"--?[A-Za-z]", word) for word in (first, *rest))
    return flagged and (first in _VERB_WORDS or first.startswith("-"))


async def plan(request: Request, *, memory: Mapping[str, Any], namespace: str, lookup: Lookup) -> Plan:
    """A draft, a question back, or a remark when the words are not understood.

    Raises: k8s.grammar.CommandRefused for a typed command that KubeChat does not take.
    """
    if is_typed(request.words):
        command = parse(request.words, manifest=request.block, files=request.files)
        return Draft((command,), "typed", 1.0, TYPED)
    if (request.block or request.files) and re.fullmatch(
        r"(please )?(apply|deploy)?( this| it| the (file|manifest))?[.!]?", request.words.lower()
    ):
        return Draft((parse("apply", manifest=request.block, files=request.files),), "a manifest", 1.0, TYPED)
    understood = await translate(request.words, memory=memory, namespace=namespace, lookup=lookup)
    return understood or Remark(
        "I did not understand that. Say it another way, such as “restart checkout in shop”, or type the kubectl line. "
        "`help` shows what I can do."
    )
