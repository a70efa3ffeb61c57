"""Exports: what they hold, how they are verified offline, and what a spreadsheet makes of them."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit import chain
from audit.export import export
from audit.keys import Keyring
from audit.ledger import Ledger
from audit.rows import KUBECHAT, Actor
from audit.store import AuditLog
from audit.verify import Status, Verification, verify_bundle
from tests.audit.logs import ALICE, written

Lines = list[dict[str, Any]]


def bundle_edit_payload(lines: Lines) -> None:
    lines[5]["payload"]["question"] = "what did I ask?"


def bundle_edit_header(lines: Lines) -> None:
    lines[5]["header"]["actor"]["user"] = "U2"


def bundle_add_to_header(lines: Lines) -> None:
    lines[5]["header"]["note"] = "x"


def bundle_delete(lines: Lines) -> None:
    del lines[5]


def bundle_swap(lines: Lines) -> None:
    lines[4], lines[5] = lines[5], lines[4]


def bundle_repeat(lines: Lines) -> None:
    lines.insert(5, lines[5])


def bundle_cut(lines: Lines) -> None:
    del lines[9:]


def bundle_erase(lines: Lines) -> None:
    lines[5] |= {"payload": None, "salt": None, "payload_state": "erased"}


def bundle_blind(lines: Lines) -> None:
    lines[5] |= {"payload": None, "salt": None, "payload_state": "unreadable"}


def bundle_claim_a_later_start(lines: Lines) -> None:
    lines[0]["after_seq"] = 5
    del lines[1:6]


def bundle_claim_a_filter(lines: Lines) -> None:
    lines[0]["filtered"] = True
    del lines[5]


def bundle_without_manifest(lines: Lines) -> None:
    del lines[0]


def bundle_row_without_fields(lines: Lines) -> None:
    del lines[5]["header"]["prev_hash"]


def bundle_row_of_another_shape(lines: Lines) -> None:
    lines[5] = {"header": []}


def bundle_newer_format(lines: Lines) -> None:
    header = lines[10]["header"] | {"version": 2}
    lines[10] |= {"header": header, "hash": chain.header_hash(header)}
    lines[0]["head"]["hash"] = lines[10]["hash"]


BUNDLE_CASES: list[tuple[Callable[[Lines], None], Status, int | None]] = [
    (lambda lines: None, Status.OK, None),
    (bundle_edit_payload, Status.TAMPERED, 5),
    (bundle_edit_header, Status.TAMPERED, 5),
    (bundle_add_to_header, Status.TAMPERED, 5),
    (bundle_delete, Status.TAMPERED, 5),
    (bundle_swap, Status.TAMPERED, 4),
    (bundle_repeat, Status.FORKED, 5),
    (bundle_cut, Status.TRUNCATED, 9),
    (bundle_erase, Status.TAMPERED, 5),
    (bundle_blind, Status.CANNOT_VERIFY, 5),
    (bundle_claim_a_later_start, Status.OK, None),
    (bundle_claim_a_filter, Status.CANNOT_VERIFY, None),
    (bundle_without_manifest, Status.CANNOT_VERIFY, None),
    (bundle_row_without_fields, Status.CANNOT_VERIFY, None),
    (bundle_row_of_another_shape, Status.CANNOT_VERIFY, None),
    (bundle_newer_format, Status.CANNOT_VERIFY, 10),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("export")
    url, keys = f"sqlite:///{folder / 'kubechat.db'}", Keyring.load(folder / "keyring")
    written(url, keys, None)
    ledger = Ledger.read(url, keys)
    content = "".join(export(ledger.rows(), "jsonl", ledger.head()))
    ledger.close()
    return content


@pytest.mark.parametrize(("attack", "status", "first_bad"), BUNDLE_CASES, ids=[case[0].__name__ for case in BUNDLE_CASES])
def test_verify_names_the_attack_on_an_export(
    tmp_path: Path, exported: str, attack: Callable[[Lines], None], status: Status, first_bad: int | None
) -> None:
    lines = [json.loads(line) for line in exported.splitlines()]
    attack(lines)
    path = tmp_path / "bundle.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    verdict = verify_bundle(path)
    assert (verdict.status, verdict.first_bad_seq) == (status, first_bad), verdict.message


@pytest.mark.parametrize("content", ["", "not json\n", "[1]\n", '{"a": 1}\n', "\x00", "[" * 100_000, '"\\ud800"'])
def test_what_is_no_export_cannot_be_verified(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bundle"
    path.write_text(content)
    assert verify_bundle(path).status is Status.CANNOT_VERIFY
    assert verify_bundle(tmp_path / "missing").status is Status.CANNOT_VERIFY


async def test_an_export_with_erased_payloads_verifies(database_url: str, keys: Keyring, tmp_path: Path) -> None:
    log = await AuditLog.open(database_url, keys)
    for _ in range(4):
        await log.append("test.row", ALICE, {})
    await log.erase([2], KUBECHAT, "asked")
    await log.close()
    ledger = Ledger.read(database_url, keys)
    verdicts: list[Verification] = []
    for form in ("jsonl", "json"):
        path = tmp_path / f"bundle.{form}"
        save(path, "".join(export(ledger.rows(), form, ledger.head())))
        verdicts.append(verify_bundle(path))
    ledger.close()
    assert verdicts[0] == verdicts[1] == replace(verdicts[0], status=Status.OK, rows=5, erased=1)


def save(path: Path, content: str) -> None:
    path.write_text(content)


HOSTILE = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\u202e=1", "\x1b[2J", "a\nb", 'quote"', "\ud800"]


async def test_no_cell_of_a_csv_export_is_a_formula_or_moves_a_terminal(database_url: str, keys: Keyring) -> None:
    log = await AuditLog.open(database_url, keys)
    for text in HOSTILE:
        await log.append("test.row", Actor("slack", "T1", text), {text: text}, approval_id=text)
    await log.close()
    ledger = Ledger.read(database_url, keys)
    content = "".join(export(ledger.rows(), "csv", ledger.head()))
    ledger.close()
    content.encode()
    lines = list(csv.DictReader(io.StringIO(content)))
    assert [line["seq"] for line in lines] == [str(number + 1) for number in range(len(HOSTILE))]
    cells = [cell for line in lines for cell in line.values()]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert all(cell.isprintable() for cell in cells)
    assert lines[0]["user"] == "'=1+1"
    assert json.loads(lines[0]["payload"]) == {"=1+1": "=1+1"}
