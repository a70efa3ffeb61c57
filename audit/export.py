"""The log as text: JSONL and JSON to verify elsewhere, CSV for a spreadsheet."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from audit import chain
from audit.ledger import Head
from audit.rows import AuditRow
from audit.text import neutral

Format = Literal["jsonl", "json", "csv"]

_COLUMNS = ["seq", "at", "platform", "workspace", "user", "identity", "kind", "command_digest", "approval_id"]
_COLUMNS += ["execution_id", "hash", "payload_state", "payload"]
_FORMULA = ("=", "+", "-", "@")  # OWASP, CSV injection; tab and return are spelt out before


def export(rows: Iterable[AuditRow], form: Format, head: Head, *, after_seq: int = 0, filtered: bool = False) -> Iterator[str]:
    """The lines of an export, each with its newline.

    JSON and JSONL begin with a line that says what follows, so that `kubechat audit verify --bundle` can tell whether
    something is missing. Payloads and salts are in them in the clear: whoever gets the file can read them.

    Args:
        rows: in their order.
        form: jsonl, json or csv.
        head: the end of the log when the rows were read.
        after_seq: the rows begin after this one.
        filtered: rows between were left out.
    """
    if form == "csv":
        yield from _csv(rows)
        return
    manifest = {
        "bundle": "kubechat-audit",
        "version": chain.VERSION,
        "log_id": head.log_id,
        "head": {"seq": head.seq, "hash": head.hash},
        "after_seq": after_seq,
        "filtered": filtered,
    }
    yield from _joined([manifest], rows, "\n" if form == "jsonl" else ",\n", array=form == "json")


def row_object(row: AuditRow) -> dict[str, Any]:
    """A row as JSON: its header as hashed, and its payload as committed to (see `audit.chain.escape`)."""
    return {
        "header": row.header,
        "hash": row.hash,
        "payload_state": row.payload_state,
        "salt": None if row.salt is None else row.salt.hex(),
        "payload": None if row.payload is None else chain.escape(row.payload),
    }


def _joined(first: list[dict[str, Any]], rows: Iterable[AuditRow], separator: str, *, array: bool) -> Iterator[str]:
    yield "[\n" if array else ""
    yield json.dumps(first[0])
    for row in rows:
        yield separator + json.dumps(row_object(row))
    yield "\n]\n" if array else "\n"


def _csv(rows: Iterable[AuditRow]) -> Iterator[str]:
    yield _csv_line(_COLUMNS)
    for row in rows:
        header, payload = row.header, None if row.payload is None else json.dumps(chain.escape(row.payload))
        values = {**header, **header["actor"], "hash": row.hash, "payload_state": row.payload_state, "payload": payload}
        yield _csv_line(["" if values[name] is None else neutral(str(values[name])) for name in _COLUMNS])


def _csv_line(cells: list[str]) -> str:
    """One line. A cell that a spreadsheet would take for a formula is led by an apostrophe."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
    return line.getvalue()
