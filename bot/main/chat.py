"""`kubechat chat`: the terminal adapter and the engine, on real clusters or a practice one."""

import asyncio
import getpass
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

from adapters.terminal.ask import ask, script_entries
from adapters.terminal.render import new_console, render
from bot.main.parts import Parts, parts
from bot.settings import home, load_settings


@asynccontextmanager
async def _running(
    practice: bool, manifests: Path | None, people: Sequence[str], approvers: Sequence[str]
) -> AsyncIterator[tuple[Parts, str]]:
    """What runs, and the workspace that is spoken in."""
    async with parts(load_settings()) as running:
        if not practice:
            yield running, "local"
            return
        from bot.main.practice import practice_cluster

        async with practice_cluster(running.database, manifests, people, approvers) as workspace:
            yield running, workspace


async def run_chat(
    entries: Sequence[str] | None,
    *,
    script: TextIO | None,
    user: str | None,
    approve_as: str | None,
    practice: bool,
    manifests: Path | None,
    as_json: bool,
) -> int:
    """Talk, or say the entries or the script and leave, with an exit status. Without a terminal, standard input is the script."""
    if entries is None and script is None and not (sys.stdin.isatty() and sys.stdout.isatty()):
        script = sys.stdin
    if script is not None:
        entries = script_entries(await asyncio.to_thread(script.read))
    name = user if user is not None else "alice" if practice else getpass.getuser()
    others = [approve_as] if approve_as else []
    async with _running(practice, manifests, [name, *others], others) as (running, workspace):
        await _tell_unfinished(running, quiet=as_json)
        handlers = (running.engine.handle_message, running.engine.handle_click)
        if entries is None:
            from adapters.terminal.chat import chat

            await chat(*handlers, user=name, workspace=workspace, home=home(), people=("alice", "bob", "carol", "dave"))
            return 0
        return await ask(*handlers, entries, user=name, workspace=workspace, approve_as=approve_as, as_json=as_json)


async def _tell_unfinished(running: Parts, *, quiet: bool) -> None:
    """What an earlier run left in doubt is said before anything else."""
    for thread, reply in await running.engine.recover():
        if thread.platform in ("terminal", "") and not quiet:
            render(reply, new_console())
