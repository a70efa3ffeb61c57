"""The only place that knows all the parts: it reads the settings, builds them and starts them.

This module is the command line. What a command needs is imported when it runs, so that `kubechat --help` answers at once.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from audit.cli import audit

_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(context_settings=_HELP)
@click.version_option(package_name="kubechat")
@click.pass_context
def kubechat(context: click.Context) -> None:
    """ChatOps for Kubernetes: ask, approve, run with your own rights, prove it later.

    \b
    Try it:        kubechat demo
    Talk to it:    kubechat chat --practice
    Your cluster:  kubechat users add terminal/local/$USER --cluster NAME --kubeconfig FILE

    KUBECHAT_HOME (default ~/.kubechat) holds settings, database and keys.
    """  # noqa: D301  (a true \b is what keeps click from refilling the lines)
    context.default_map = {"audit": {name: {"database": _database} for name in audit.commands}}


def _database() -> str:
    """The database of the settings: audit itself knows only its own options."""
    from bot.main.parts import sentence
    from bot.settings import WrongSetting, load_settings

    try:
        return load_settings().database_url
    except (WrongSetting, OSError) as error:
        raise click.ClickException(sentence(error)) from error


kubechat.add_command(audit)

_manifests = click.option(
    "--manifests", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder to fill the practice cluster with."
)


@kubechat.command()
@click.argument("words", nargs=-1)
@click.option("--as", "user", default=None, metavar="NAME", help="Who speaks. [default: alice in practice, else your login name]")
@click.option("--approve-as", metavar="NAME", help="Who presses the button when somebody must agree. Without it, the card waits.")
@click.option("--practice", is_flag=True, help="Use a practice cluster that lives as long as this command.")
@_manifests
@click.option("--script", type=click.File("r", encoding="utf-8"), help="A file with a message a line (- for standard input).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each message, on one line.")
def chat(
    words: tuple[str, ...],
    user: str | None,
    approve_as: str | None,
    practice: bool,
    manifests: Path | None,
    script: Any,
    as_json: bool,
) -> None:
    """Talk in the terminal; with WORDS or --script, say that and leave.

    \b
    kubechat chat --practice
    kubechat chat --practice --as alice "scale checkout in shop to 5"
    kubechat chat --practice --as alice --approve-as bob --json "delete job migrate in shop"

    Leaves with 0 when it was done or answered, else with a status that tells what came of it (see docs/terminal.md).
    """  # noqa: D301
    from bot.main.chat import run_chat

    if manifests is not None and not practice:
        raise click.UsageError("--manifests fills a practice cluster: add --practice.")
    entries = [" ".join(words)] if words else None
    if script is not None and words:
        raise click.UsageError("Give WORDS or --script, not both.")
    _finish(
        run_chat(
            entries, script=script, user=user, approve_as=approve_as, practice=practice, manifests=manifests, as_json=as_json
        )
    )


@kubechat.command()
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Save the conversation as a picture.")
@click.option("--stay/--leave", default=None, help="Go on chatting afterwards. [default: when there is a terminal]")
def demo(svg: Path | None, stay: bool | None) -> None:
    """Play a short conversation on a practice cluster."""
    from bot.main.demo import run_demo

    stay = sys.stdin.isatty() and sys.stdout.isatty() if stay is None else stay
    _finish(run_demo(svg, stay=stay))


# --- users ----------------------------------------------------------------------------------------------------------------


@kubechat.group()
def users() -> None:
    """Whose chat account reaches which cluster with which credentials.

    An account is PLATFORM/WORKSPACE/ID, as `who am I` shows it.
    """


@users.command("add")
@click.argument("account")
@click.option("--cluster", metavar="NAME", help="The cluster, by the name that KubeChat gives it.")
@click.option("--kubeconfig", type=click.File("r", encoding="utf-8"), help="The person's own kubeconfig (- for standard input).")
@click.option("--context", help="The context of that kubeconfig. [default: the current one]")
@click.option("--service-account", metavar="NAMESPACE/NAME", help="A service account; KubeChat asks for its tokens.")
@click.option("--impersonate", metavar="USER", help="A user that KubeChat impersonates.")
@click.option("--group", "groups", multiple=True, help="A group to impersonate; may be given several times.")
@click.option("--namespace", help="Where the person's commands go when they name no namespace.")
@click.option("--person", help="Who this is. Accounts with the same PERSON count as one.")
@click.option(
    "--role", "roles", multiple=True, help="A role, such as approver; may be given several times and replaces those before."
)
@click.option("--untested", is_flag=True, help="Do not ask the cluster whether the credentials work.")
def users_add(**given: Any) -> None:
    """Map an account to a cluster, or set its person and roles. What is stored is encrypted."""
    from bot.main.users import add_user

    _finish(add_user(**given))


@users.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def users_list(as_json: bool) -> None:
    """List accounts with their access. Credentials are not shown."""
    from bot.main.users import list_users

    _finish(list_users(as_json=as_json))


@users.command("test")
@click.argument("account")
@click.option("--cluster", metavar="NAME", help="Only this cluster.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def users_test(account: str, cluster: str | None, as_json: bool) -> None:
    """Connect as the account and say who the cluster takes it for."""
    from bot.main.users import test_user

    _finish(test_user(account, cluster, as_json=as_json))


@users.command("remove")
@click.argument("account")
@click.option("--cluster", metavar="NAME", help="Only this cluster. [default: all of them, and the account itself]")
def users_remove(account: str, cluster: str | None) -> None:
    """Take access away."""
    from bot.main.users import remove_user

    _finish(remove_user(account, cluster))


# --- safety ---------------------------------------------------------------------------------------------------------------


@kubechat.group()
def safety() -> None:
    """How commands are judged: safe, warning, dangerous or forbidden."""


@safety.command("check")
@click.argument("file", type=click.File("r", encoding="utf-8-sig", errors="surrogateescape"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: command, verdict, rule, reasons.")
def safety_check(file: Any, as_json: bool) -> None:
    """Judge a file of commands, one a line (- for standard input). Nothing is run and no cluster is asked."""
    from bot.main.safety import check

    check(file, as_json=as_json)


# --- practice cluster -----------------------------------------------------------------------------------------------------


@kubechat.group()
def sandbox() -> None:
    """A practice cluster: an API server in one process, for learning and for tests."""


@sandbox.command("serve")
@_manifests
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="a free one", help="Port on 127.0.0.1.")
@click.option("--kubeconfigs", type=click.Path(file_okay=False, path_type=Path), help="Folder for a kubeconfig for each person.")
def sandbox_serve(manifests: Path | None, port: int, kubeconfigs: Path | None) -> None:
    """Serve a practice cluster until interrupted. A real kubectl can use it."""
    from bot.main.practice import serve

    _finish(serve(manifests, port, kubeconfigs))


@sandbox.command("break")
@click.argument("target", metavar="NAMESPACE/NAME")
@click.argument("fault")
@click.option("--kubeconfigs", type=click.Path(file_okay=False, path_type=Path), help="Folder that `sandbox serve` wrote to.")
def sandbox_break(target: str, fault: str, kubeconfigs: Path | None) -> None:
    """Break something in a served practice cluster, such as `payments/ledger oom`."""
    from bot.main.practice import break_served

    _finish(break_served(target, fault, kubeconfigs))


# --- running --------------------------------------------------------------------------------------------------------------


def _finish(work: Any) -> None:
    """Run to the end and leave with its status; what the person can mend becomes a sentence."""
    import asyncio

    from bot.main.parts import CANNOT_START, sentence

    try:
        status = asyncio.run(work)
    except CANNOT_START as error:
        raise click.ClickException(sentence(error)) from error
    except KeyboardInterrupt:
        status = 130
    sys.exit(status or 0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `kubechat` command."""
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115  (open for as long as the process)
    kubechat(args=arguments, prog_name="kubechat")
