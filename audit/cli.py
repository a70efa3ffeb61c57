"""`kubechat audit`: read, verify and export the audit log. Database modules load only when a command runs."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from audit.text import neutral

if TYPE_CHECKING:
    from audit.keys import Keyring
    from audit.ledger import Head, Ledger
    from audit.rows import AuditRow
    from audit.verify import Verification

FOLLOW_SECONDS = 1.0
Command = TypeVar("Command", bound=Callable[..., Any])


def default_database(home: Path) -> str:
    """The database of an installation whose settings name none."""
    return f"sqlite:///{home / 'kubechat.db'}"


def key_file(home: Path) -> Path:
    """The key file of an installation."""
    return home / "keys" / "keyring"


@click.group()
def audit() -> None:
    """Read, verify and export the audit log.

    Every row is chained to the one before it by a hash, so that a change behind KubeChat's back is noticed.
    """


def _place(command: Command) -> Command:
    """The options that say which log is meant."""
    home = click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="KUBECHAT_HOME",
        default=lambda: Path.home() / ".kubechat",
        show_default="~/.kubechat",
        help="Folder of keys and witness.",
    )
    database = click.option(
        "--database",
        metavar="URL",
        envvar="KUBECHAT_DATABASE",
        help="sqlite:///FILE or postgresql://…  [default: of the settings, else kubechat.db in the home folder]",
    )
    return home(database(command))


def _filters(command: Command) -> Command:
    """The options that choose rows."""
    moment = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])
    for option in (
        click.option("--kind", help="Only rows of this kind, such as execution.started."),
        click.option("--actor", metavar="USER", help="Only rows of this user id, or of platform/workspace/user."),
        click.option("--approval", "approval_id", metavar="ID", help="Only rows of this approval."),
        click.option("--since", type=moment, help="From this time on (UTC unless it says otherwise)."),
        click.option("--until", type=moment, help="Before this time."),
    ):
        command = option(command)
    return command


_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@audit.command()
@_place
@_filters
@click.option("-n", "--lines", type=click.IntRange(min=0), default=20, show_default=True, help="How many rows.")
@click.option("-f", "--follow", is_flag=True, help="Go on as rows come, until interrupted.")
@_as_json
def tail(home: Path, database: str | None, lines: int, follow: bool, as_json: bool, **filters: Any) -> None:
    """Show the last rows."""
    wanted = _wanted(filters)
    with _ledger(home, database) as ledger:
        rows = ledger.tail(lines, **wanted)
        _print_rows(rows, as_json=as_json)
        after = rows[-1].seq if rows else ledger.head().seq
        while follow:
            fresh = list(ledger.rows(after_seq=after, **wanted))
            _print_rows(fresh, as_json=as_json)
            after = fresh[-1].seq if fresh else after
            time.sleep(FOLLOW_SECONDS)


@audit.command()
@_place
@click.argument("seq", type=click.IntRange(min=1))
@_as_json
def show(home: Path, database: str | None, seq: int, as_json: bool) -> None:
    """Show one row whole: its header as it was hashed, and its payload."""
    with _ledger(home, database) as ledger:
        row = ledger.get(seq)
        end = ledger.head().seq
    if row is None:
        raise click.ClickException(f"there is no row {seq}; the log ends at row {end}")
    if as_json:
        _print_rows([row], as_json=True)
        return
    _print_object("header", row.header | {"hash": row.hash})
    if row.payload is None:
        click.echo(f"payload: {row.payload_state}")
    else:
        _print_object("payload", row.payload)


_EXIT_STATUSES = """\b
Exit status:
   0  ok
  10  tampered: a row was edited, removed, inserted or moved
  11  truncated: rows are missing at the end
  12  forked: another history stands in its place
  13  stale: an older copy stands in its place
  14  cannot verify: the database, the keys or the bundle cannot be read
"""


@audit.command(epilog=_EXIT_STATUSES)
@_place
@click.option("--bundle", type=click.Path(path_type=Path), help="Verify this export instead of a database.")
@click.option("--expect-seq", type=click.IntRange(min=1), help="The log had reached this row.")
@click.option("--expect-hash", metavar="HASH", help="The hash of that row.")
@_as_json
def verify(
    home: Path,
    database: str | None,
    bundle: Path | None,
    expect_seq: int | None,
    expect_hash: str | None,
    as_json: bool,
) -> None:
    """Check that the log is the one that was written, and name the first bad row."""
    from audit.database import DatabaseUnusable
    from audit.ledger import Head
    from audit.verify import Status, Verification, verify_bundle
    from audit.verify import verify as verify_database
    from audit.witness import witness_path

    if expect_hash and not expect_seq:
        raise click.UsageError("--expect-hash needs --expect-seq")
    expected = [Head("", expect_seq, (expect_hash or "").lower())] if expect_seq else []
    with _progress() as progress:
        if bundle is not None:
            verdict = verify_bundle(bundle, expected=expected, progress=progress)
        else:
            url = database or default_database(home)
            try:
                path = witness_path(home, url)
                verdict = verify_database(url, _keys(home), path, expected=expected, progress=progress)
            except DatabaseUnusable as error:
                verdict = Verification(Status.CANNOT_VERIFY, str(error))
    _print_verdict(verdict, as_json=as_json)
    sys.exit(verdict.exit_code)


@audit.command()
@_place
@_filters
@click.option("--format", "form", type=click.Choice(["jsonl", "json", "csv"]), default="jsonl", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file to write; it must not exist yet.")
@click.option("--after", "after_seq", type=click.IntRange(min=0), default=0, help="Only rows after this number.")
def export(home: Path, database: str | None, form: Any, output: Path | None, after_seq: int, **filters: Any) -> None:
    """Write rows as JSONL or JSON, to verify elsewhere with `verify --bundle`, or as CSV.

    The export holds the payloads in the clear. A file is made readable by its owner only.
    """
    from audit.export import export as exported

    wanted = _wanted(filters)
    with _ledger(home, database) as ledger:
        head = ledger.head()
        rows = ledger.rows(after_seq=after_seq, until_seq=head.seq, **wanted)
        _write(exported(rows, form, head, after_seq=after_seq, filtered=bool(wanted)), output)


@audit.command()
@_place
@click.option("--reason", required=True, help="Why the log differs, for the record.")
@click.confirmation_option(prompt="The log will go on from what the database holds now. Is that meant?")
def accept(home: Path, database: str | None, reason: str) -> None:
    """Go on after the database was restored, moved or replaced on purpose.

    The old witness is kept beside the new one, and a row records both.
    """
    from audit.rows import ACCEPTED, KUBECHAT, Entry
    from audit.witness import advance_witness, read_witness, set_witness_aside, witness_path

    url = database or default_database(home)
    path = witness_path(home, url)
    with _failures(), _writable(home, url) as ledger:
        known = read_witness(path)
        now = ledger.head()
        payload = {
            "reason": reason,
            "witness": _fields(known[-1] if known else None),
            "found": _fields(now),
            "login": os.environ.get("USER"),
        }
        ledger.append([Entry(ACCEPTED, KUBECHAT, payload)])
        kept = set_witness_aside(path)
        advance_witness(path, ledger.head())
    click.echo(f"The log goes on from row {now.seq}." + (f" The old witness is kept as {kept}." if kept else ""))


@audit.command()
@_place
def migrate(home: Path, database: str | None) -> None:
    """Make or upgrade the tables, with an account that may. KubeChat's own needs no such right afterwards."""
    url = database or default_database(home)
    with _failures(), _writable(home, url) as ledger:
        head = ledger.head()
    click.echo(f"Audit log {head.log_id} is ready; it ends at row {head.seq}.")


@contextmanager
def _failures() -> Iterator[None]:
    """Errors that a person can do something about become one sentence and exit status 1."""
    from audit.database import DatabaseUnusable
    from audit.keys import KeysUnreadable
    from audit.ledger import AuditUnavailable
    from audit.witness import WitnessUnreadable

    try:
        yield
    except (AuditUnavailable, DatabaseUnusable, KeysUnreadable, WitnessUnreadable, OSError) as error:
        raise click.ClickException(neutral(str(error))) from error


@contextmanager
def _ledger(home: Path, database: str | None) -> Iterator["Ledger"]:
    from audit.ledger import Ledger

    with _failures():
        ledger = Ledger.read(database or default_database(home), _keys(home))
        try:
            yield ledger
        finally:
            ledger.close()


@contextmanager
def _writable(home: Path, url: str) -> Iterator["Ledger"]:
    from audit.keys import keyring
    from audit.ledger import Ledger

    ledger = Ledger.open(url, keyring(key_file(home), os.environ))
    try:
        yield ledger
    finally:
        ledger.close()


def _keys(home: Path) -> "Keyring | None":
    """The keys, None where there are none: headers can be read and verified without."""
    from audit.keys import ENVIRONMENT, keyring

    if not os.environ.get(ENVIRONMENT) and not key_file(home).exists():
        return None
    with _failures():
        return keyring(key_file(home), os.environ, create=False)


def _wanted(filters: dict[str, Any]) -> dict[str, Any]:
    """The filters that were given, as `Ledger.rows` takes them."""
    from datetime import UTC

    from audit.rows import Actor

    wanted = {name: value for name, value in filters.items() if value is not None}
    for name in {"since", "until"} & wanted.keys():
        moment: datetime = wanted[name]
        wanted[name] = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    parts = wanted.get("actor", "").split("/")
    if len(parts) == 3:
        wanted["actor"] = Actor(*parts)
    return wanted


def _fields(head: "Head | None") -> dict[str, Any] | None:
    return None if head is None else {"log_id": head.log_id, "seq": head.seq, "hash": head.hash}


def _print_rows(rows: Iterable["AuditRow"], *, as_json: bool) -> None:
    from audit.export import row_object

    if as_json:
        for row in rows:
            click.echo(json.dumps(row_object(row)))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in rows:
        who = "/".join(filter(None, (row.actor.platform, row.actor.workspace, row.actor.user)))
        what = row.payload_state if row.payload is None else _one_line(row.payload)
        click.echo(neutral(f"{row.seq}  {row.at:%Y-%m-%d %H:%M:%S}  {row.kind}  {who}"))
        click.echo(_cut(neutral(f"    {what}"), width))


_FIRST = ("command", "commands", "outcome", "error", "denials", "rule", "reason", "question", "level")
"""What people look for in a payload; the rest follows."""


def _one_line(payload: dict[str, Any]) -> str:
    keys = [*(key for key in _FIRST if key in payload), *(key for key in payload if key not in _FIRST)]
    said = ((key, payload[key]) for key in keys if payload[key] not in (None, "", []))
    return "  ".join(f"{key}={value if isinstance(value, str) else _readable(value)}" for key, value in said)


def _cut(line: str, width: int | None) -> str:
    """To the width of the terminal; `show` has the whole, and so has a pipe."""
    return line if width is None or len(line) <= width else f"{line[: width - 1]}…"


def _readable(value: Any, indent: int | None = None) -> str:
    from audit.chain import escape

    return json.dumps(escape(value), ensure_ascii=False, indent=indent)


def _print_object(title: str, value: dict[str, Any]) -> None:
    click.echo(f"{title}:")
    for line in _readable(value, indent=2).split("\n"):
        click.echo(f"  {neutral(line)}")


def _print_verdict(verdict: "Verification", *, as_json: bool) -> None:
    if not as_json:
        click.echo(neutral(f"{verdict.status}: {verdict.message}."))
        if verdict.first_bad_seq is not None:
            click.echo(f"First bad row: {verdict.first_bad_seq}")
        if verdict.head and verdict.head.seq:
            ends = "ends at" if verdict.exit_code == 0 else "was followed to"
            click.echo(f"Log {verdict.head.log_id} {ends} row {verdict.head.seq}, hash {verdict.head.hash}")
        return
    fields = {
        "status": verdict.status,
        "exit_code": verdict.exit_code,
        "message": verdict.message,
        "first_bad_seq": verdict.first_bad_seq,
        "rows": verdict.rows,
        "erased": verdict.erased,
        "head": _fields(verdict.head),
    }
    click.echo(json.dumps(fields))


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("verifying", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _write(lines: Iterable[str], output: Path | None) -> None:
    if output is None:
        for line in lines:
            click.echo(line, nl=False)
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise click.ClickException(f"{output} exists already: name another file") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(lines)
