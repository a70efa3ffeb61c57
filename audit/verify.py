"""Whether an audit log is the one that was written, and if not, what was done to it and where.

What a chain can prove on its own ends with its last row. A tail cut together with the head row, a rewritten table or
a restored backup leave a valid chain behind; those are told from a head remembered elsewhere: the witness file, or
one that the caller knows.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import rfc8785
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from audit import chain
from audit.database import DatabaseUnusable
from audit.keys import DecryptionRefused, Keyring, KeyUnknown
from audit.ledger import AuditUnavailable, Head, Ledger, read_head, records, split_record
from audit.rows import ERASED
from audit.witness import WitnessUnreadable, read_witness

PROGRESS_ROWS = 1000


class Status(StrEnum):
    """What was found."""

    OK = "ok"
    TAMPERED = "tampered"  # a row was edited, removed, inserted or moved
    TRUNCATED = "truncated"  # rows are missing at the end
    FORKED = "forked"  # another history stands in the place of the one that was seen before
    STALE = "stale"  # an older copy stands in its place
    CANNOT_VERIFY = "cannot verify"


EXIT_CODES = {
    Status.OK: 0,
    Status.TAMPERED: 10,
    Status.TRUNCATED: 11,
    Status.FORKED: 12,
    Status.STALE: 13,
    Status.CANNOT_VERIFY: 14,
}
"""Exit statuses of `kubechat audit verify`. 1 and 2 are left to errors of the program and of its usage."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict. `first_bad_seq` is the first row that is wrong or missing, if that can be told."""

    status: Status
    message: str
    first_bad_seq: int | None = None
    rows: int = 0
    head: Head | None = None
    erased: int = 0

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.status]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One row as found. `payload` is its JCS; `problem` says why there is none although one is stored."""

    header: dict[str, Any]
    hash: str
    payload: bytes | None
    salt: bytes | None
    problem: "_Finding | None" = None


@dataclass(frozen=True, slots=True)
class _Origin:
    """What the rows are expected to be: the head that goes with them, and whether all of them are there."""

    head: Head
    after_seq: int = 0
    filtered: bool = False
    payloads: bool = True


class _Finding(Exception):
    """What is wrong, and with which row."""

    def __init__(self, status: Status, seq: int | None, message: str) -> None:
        super().__init__(message)
        self.status, self.seq, self.message = status, seq, message


def verify(
    url: str,
    keys: Keyring | None,
    witness: Path | None = None,
    *,
    expected: Sequence[Head] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Verify the log in a database, from one snapshot, while others may go on writing.

    Args:
        url: see `audit.database.connect`.
        keys: to check the payloads too; without, only the chain of headers is checked, and the answer says so.
        witness: the witness file, if there is one.
        expected: ends of the log known from elsewhere. An empty log id stands for any.
        progress: called with rows done and rows in all, every `PROGRESS_ROWS` rows.
    """
    try:
        known = [*expected, *(read_witness(witness) if witness else [])]
        ledger = Ledger.read(url, keys)
    except (AuditUnavailable, DatabaseUnusable, WitnessUnreadable) as error:
        return Verification(Status.CANNOT_VERIFY, str(error))
    try:
        level = {"isolation_level": "REPEATABLE READ"} if ledger.engine.dialect.name == "postgresql" else {}
        with ledger.engine.connect().execution_options(**level) as connection:
            head = read_head(connection)
            if head is None:
                return Verification(Status.TAMPERED, "the head row of the log is gone")
            with records(connection) as found:
                evidence = (_unsealed(ledger, connection, *split_record(record)) for record in found)
                return check(evidence, _Origin(head, payloads=keys is not None), known, progress)
    except (SQLAlchemyError, DatabaseUnusable) as error:
        cause = getattr(error, "orig", None) or error
        return Verification(Status.CANNOT_VERIFY, f"the database cannot be read: {cause}")
    finally:
        ledger.close()


def verify_bundle(
    path: Path, *, expected: Sequence[Head] = (), progress: Callable[[int, int], None] | None = None
) -> Verification:
    """Verify an export in JSON or JSONL. It needs no database and no keys.

    Args:
        path: the file that `kubechat audit export` wrote.
        expected: ends of the log known from elsewhere. An empty log id stands for any.
        progress: see `verify`.
    """
    try:
        with path.open(encoding="utf-8") as file:
            lines = _parsed(file)
            origin = _origin(next(lines, None))
            return check((_exported(line) for line in lines), origin, expected, progress)
    except _Finding as finding:
        return Verification(finding.status, finding.message, finding.seq)
    except (OSError, UnicodeDecodeError) as error:
        return Verification(Status.CANNOT_VERIFY, f"{path} cannot be read: {error}")


def check(
    evidence: Iterable[Evidence],
    origin: _Origin,
    known: Sequence[Head],
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Walk the rows in their order, and compare their end with the head and with the heads known from elsewhere."""
    walk = _Walk(origin, known)
    try:
        for row in evidence:
            walk.step(row)
            if progress and walk.rows % PROGRESS_ROWS == 0:
                progress(walk.rows, origin.head.seq - origin.after_seq)
        walk.finish()
    except _Finding as finding:
        return Verification(finding.status, finding.message, finding.seq, walk.rows, walk.end, walk.erased)
    return Verification(Status.OK, walk.summary(), None, walk.rows, walk.end, walk.erased)


@dataclass(slots=True)
class _Walk:
    """Where the walk stands."""

    origin: _Origin
    known: Sequence[Head]
    rows: int = 0
    end: Head = field(init=False)
    before: str = ""
    unlinked: bool = False
    erased: int = 0
    missing: set[int] = field(default_factory=set)
    unreadable: _Finding | None = None

    def __post_init__(self) -> None:
        start = self.origin.after_seq
        self.end = Head(self.origin.head.log_id, start, chain.GENESIS if start == 0 else "")

    def step(self, row: Evidence) -> None:
        seq = row.header["seq"]
        if not self.origin.filtered:
            self._check_place(seq)
        self._check_insertion(row, seq)
        self._check_header(row, seq)
        self._check_link(row, seq)
        self._check_payload(row, seq)
        for head in self.known:
            if head.seq == seq and head.hash not in ("", row.hash):
                raise _Finding(Status.FORKED, seq, f"row {seq} is not the one that was there before: the log was rewritten")
        self.before, self.end = self.end.hash, Head(self.end.log_id, seq, row.hash)
        self.rows += 1

    def _check_place(self, seq: int) -> None:
        due = self.end.seq + 1
        if seq < due:
            raise _Finding(Status.FORKED, seq, f"two rows have the number {seq}")
        if seq > due:
            gap = f"row {due} is" if seq == due + 1 else f"rows {due} to {seq - 1} are"
            raise _Finding(Status.TAMPERED, due, f"{gap} missing")
        if seq > self.origin.head.seq:
            raise _Finding(Status.TAMPERED, seq, f"row {seq} was added behind the head, not by KubeChat")

    def _check_header(self, row: Evidence, seq: int) -> None:
        try:
            intact = chain.header_hash(row.header) == row.hash
        except (ValueError, TypeError, RecursionError):
            intact = False
        if not intact:
            raise _Finding(Status.TAMPERED, seq, f"row {seq} was changed: its hash does not fit")
        if row.header["log_id"] != self.origin.head.log_id:
            raise _Finding(Status.TAMPERED, seq, f"row {seq} comes from another log")
        if row.header["version"] != chain.VERSION:
            version = row.header["version"]
            raise _Finding(Status.CANNOT_VERIFY, seq, f"row {seq} has format {version}: use a newer KubeChat")

    def _check_insertion(self, row: Evidence, seq: int) -> None:
        """A row that names the row before the last one as its predecessor tells that the last one was put between.

        When the last one was linked to nothing here and this one does not say so, it was the row before that changed.
        """
        if self.origin.filtered:
            return
        if self.before and row.header["prev_hash"] == self.before:
            raise _Finding(Status.TAMPERED, seq - 1, f"row {seq - 1} was put between two others")
        self._check_unlinked()

    def _check_link(self, row: Evidence, seq: int) -> None:
        """A row vouches for the one before it, so a broken link speaks against the earlier row (see above)."""
        if self.origin.filtered or (self.rows == 0 and self.origin.after_seq > 0):
            return
        if row.header["prev_hash"] != self.end.hash:
            if self.rows == 0:
                raise _Finding(Status.TAMPERED, seq, f"row {seq} is not the first row of a log")
            self.unlinked = True

    def _check_unlinked(self) -> None:
        if self.unlinked:
            seq = self.end.seq - 1
            raise _Finding(Status.TAMPERED, seq, f"row {seq} was replaced: row {seq + 1} was chained to another one")

    def _check_payload(self, row: Evidence, seq: int) -> None:
        if row.problem and row.problem.status is Status.TAMPERED:
            raise row.problem
        if row.problem:
            self.unreadable = self.unreadable or row.problem
        elif row.payload is None or row.salt is None:
            self.missing.add(seq)
            self.erased += 1
        elif chain.payload_commit(row.salt, row.payload) != row.header["payload_commit"]:
            raise _Finding(Status.TAMPERED, seq, f"the payload of row {seq} was changed")
        elif row.header["kind"] == ERASED:
            self.missing.difference_update(chain.parse(row.payload)["seqs"])

    def finish(self) -> None:
        self._check_unlinked()
        self._compare_with_head()
        for head in reversed(self.known):
            self._compare_with_known(head)
        if self.origin.payloads and not self.origin.filtered and self.missing:
            seq = min(self.missing)
            raise _Finding(Status.TAMPERED, seq, f"the payload of row {seq} is gone, and no row records its erasure")
        if self.unreadable and self.origin.payloads:
            raise self.unreadable
        if self.origin.filtered:
            raise _Finding(
                Status.CANNOT_VERIFY,
                None,
                f"this export leaves rows out: each of its {self.rows} rows is genuine in itself, "
                "but whether others are missing cannot be told. Export without filters",
            )

    def _compare_with_head(self) -> None:
        head, end = self.origin.head, self.end
        if self.origin.filtered:
            return
        if end.seq < head.seq:
            gone = "every row is gone" if self.rows == 0 else f"rows {end.seq + 1} to {head.seq} are gone"
            raise _Finding(Status.TRUNCATED, end.seq + 1, f"the log was cut: {gone}")
        if self.rows and end.hash != head.hash:
            raise _Finding(Status.TAMPERED, end.seq, f"row {end.seq} was replaced: the head names another one")

    def _compare_with_known(self, known: Head) -> None:
        end = self.end
        if known.log_id not in ("", end.log_id):
            raise _Finding(Status.FORKED, 1, f"another log ({end.log_id}) stands in the place of {known.log_id}")
        if known.seq <= end.seq or self.origin.filtered:
            return
        if end.seq == 0:
            raise _Finding(Status.TRUNCATED, 1, f"the log was emptied: it had {known.seq} rows")
        raise _Finding(
            Status.STALE,
            end.seq + 1,
            f"this is an older copy: it ends at row {end.seq}, and the log had reached row {known.seq}",
        )

    def summary(self) -> str:
        span = f"{self.rows} rows, in order and unchanged"
        notes = [f"{self.erased} payloads were erased and recorded so"] if self.erased and self.origin.payloads else []
        notes += [] if self.origin.payloads else ["payloads were not checked, for want of the keys"]
        notes += [] if self.known else ["nothing outside the database was at hand to compare its end with"]
        return "; ".join([span, *notes])


def _unsealed(ledger: Ledger, connection: Connection, header: dict[str, Any], digest: str, sealed: bytes | None) -> Evidence:
    if sealed is None:
        return Evidence(header, digest, None, None)
    seq = header["seq"]
    try:
        salt, payload = ledger.keys.unseal(connection, header, sealed)
    except KeyUnknown as error:
        problem = _Finding(Status.CANNOT_VERIFY, seq, f"the payload of row {seq} cannot be read: {error}")
        return Evidence(header, digest, None, None, problem)
    except DecryptionRefused as error:
        problem = _Finding(Status.TAMPERED, seq, f"the payload of row {seq} cannot be decrypted: {error}")
        return Evidence(header, digest, None, None, problem)
    return Evidence(header, digest, payload, salt)


def _parsed(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file, or of a JSON array with one object a line."""
    for number, line in enumerate(lines, start=1):
        text = line.strip().removesuffix(",")
        if text in {"", "[", "]"}:
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _Finding(Status.CANNOT_VERIFY, None, f"line {number} of the bundle is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise _Finding(Status.CANNOT_VERIFY, None, f"line {number} of the bundle is not an object")
        yield value


def _origin(manifest: dict[str, Any] | None) -> _Origin:
    try:
        fields = manifest or {}
        head = Head(fields["log_id"], int(fields["head"]["seq"]), fields["head"]["hash"])
        return _Origin(head, int(fields["after_seq"]), filtered=bool(fields["filtered"]))
    except (KeyError, TypeError, ValueError) as error:
        message = "this is no audit bundle: export with `kubechat audit export --format jsonl`"
        raise _Finding(Status.CANNOT_VERIFY, None, message) from error


def _exported(line: dict[str, Any]) -> Evidence:
    try:
        header, salt = line["header"], line["salt"]
        seq = int(header["seq"])
        if not {"log_id", "version", "prev_hash", "kind", "payload_commit"} <= header.keys():
            raise KeyError("header")
        if line["payload_state"] == "unreadable":
            message = f"the payload of row {seq} was exported without its key"
            problem = _Finding(Status.CANNOT_VERIFY, seq, message)
            return Evidence(header, line["hash"], None, None, problem)
        payload = None if line["payload"] is None else rfc8785.dumps(line["payload"])
        return Evidence(header, line["hash"], payload, None if salt is None else bytes.fromhex(salt))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _Finding(Status.CANNOT_VERIFY, None, f"a line of the bundle is not a row: {error}") from error
