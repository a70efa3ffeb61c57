"""`kubechat safety`: the classifier as a command."""

import json
from collections.abc import Iterable

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.text import one_line
from k8s.safety import judge

_COLOURS = {"safe": "green", "warning": "yellow", "dangerous": "red", "forbidden": "bold red"}


def check(lines: Iterable[str], *, as_json: bool) -> None:
    """Judge each line that is not empty, and print the verdicts in the same order."""
    table = Table("verdict", "rule", "command", "reasons")
    for line in lines:
        command = line.rstrip("\n")
        if not command.strip():
            continue
        _, verdict = judge(command)
        if as_json:
            said = {"command": command, "verdict": verdict.level.value, "rule": verdict.rule, "reasons": list(verdict.reasons)}
            click.echo(json.dumps(said))
        else:
            colour = _COLOURS[verdict.level.value]
            reasons = one_line(" ".join(verdict.reasons))
            table.add_row(Text(verdict.level.value, colour), verdict.rule, Text(one_line(command)), Text(reasons))
    if not as_json:
        Console(highlight=False).print(table)
