"""What somebody's words may mean: commands, a question back, or a sentence."""

from dataclasses import dataclass
from typing import Literal

from k8s.types import Command


@dataclass(frozen=True, slots=True)
class Draft:
    """Commands that somebody's words may mean. `confidence` runs from 0 to 1; `translator` says who made it."""

    commands: tuple[Command, ...]
    why: str
    confidence: float
    translator: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question back, with the commands each answer would mean. `choices` pairs a label with a kubectl line."""

    text: str
    choices: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence that needs no cluster: a greeting, a pointer to help, a refusal."""

    text: str
    kind: Literal["answer", "refusal"] = "answer"


Plan = Draft | Question | Remark
