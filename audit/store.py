"""The audit log for asyncio: many callers append at once, one transaction carries them all.

Rows that wait while a transaction runs are committed together in the next one (group commit), so that throughput
grows with the number of callers while each still returns only when its own row is on the disk.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar, Unpack

from audit.keys import Keyring
from audit.ledger import AuditUnavailable, Clock, Filters, Head, HistoryChanged, Ledger, now
from audit.rows import Actor, AuditRow, Entry
from audit.witness import WitnessUnreadable, advance_witness, read_witness

BATCH_ROWS = 128
"""Most rows in a transaction, so that other processes get their turn and memory stays bounded."""

WITNESS_SECONDS = 0.1
"""How far the witness may be behind. A writer that is killed leaves it there, which is harmless."""

_STOPPED = "the audit log stopped while writing"
_logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
_Waiting = tuple[Entry, "asyncio.Future[AuditRow]"]


class AuditLog:
    """One audit log, for one event loop. Several processes may write to the same one."""

    def __init__(self, ledger: Ledger, thread: ThreadPoolExecutor, witness: Path | None) -> None:
        """Use `open`."""
        self._ledger = ledger
        self._thread = thread
        self._witness = witness
        self._waiting: deque[_Waiting] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(cls, url: str, keys: Keyring, *, witness: Path | None = None, clock: Clock = now) -> "AuditLog":
        """Open the log, making or upgrading its tables when needed.

        Args:
            url: `sqlite:///FILE` or `postgresql://…`.
            keys: hide the payloads.
            witness: a file that remembers the end of the log (see `audit.witness.witness_path`).
            clock: the time now, with its zone.

        Raises:
            HistoryChanged: the log does not contain what the witness remembers. `kubechat audit verify` says more,
                and `kubechat audit accept` goes on from here.
            AuditUnavailable: the database or the witness cannot be used.
            audit.database.DatabaseUnusable: the URL is wrong, or a newer KubeChat wrote the tables.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        log = cls(await _in(thread, Ledger.open, url, keys, clock), thread, witness)
        try:
            await _in(thread, log._compare_with_witness)
        except AuditUnavailable:
            log._witness = None  # what it saw is evidence now, and stays as it is
            await log.close()
            raise
        return log

    async def close(self) -> None:
        """Write what is waiting, then let go of the database."""
        self._closed = True
        if self._writer is not None:
            await self._writer
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        if self._witness is not None:
            await _in(self._thread, self._show_witness, self._witness)
        await _in(self._thread, self._ledger.close)
        self._thread.shutdown()

    async def append(
        self,
        kind: str,
        actor: Actor,
        payload: Mapping[str, object],
        *,
        command_digest: str | None = None,
        approval_id: str | None = None,
        execution_id: str | None = None,
    ) -> AuditRow:
        """Record one row, and return when it is durable.

        A caller that is cancelled while its row is being written leaves the row behind: it is a record, not a lock.

        Args:
            kind: dotted lower-case words, such as `execution.started`.
            actor: who did it.
            payload: any JSON; must not be changed until this returns. Longer than `chain.PAYLOAD_LIMIT`, it is cut.
            command_digest: of the command that this is about.
            approval_id: of the approval that this is about.
            execution_id: ties `execution.started` to its `execution.finished` or `execution.unknown`.

        Raises:
            AuditUnavailable: it is not recorded, or not known to be. Nothing that changes a cluster may run now.
            InvalidPayload: the payload has no JSON form.
            InvalidEntry: the kind or an id is malformed.
        """
        entry = Entry(kind, actor, payload, command_digest, approval_id, execution_id)
        if self._closed:
            raise AuditUnavailable("the audit log is closed")
        recorded: asyncio.Future[AuditRow] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, recorded))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return await recorded

    async def erase(self, seqs: Sequence[int], actor: Actor, reason: str) -> AuditRow:
        """Delete payloads for good and record it; see `Ledger.erase`.

        Raises:
            ErasureRefused: one of the rows records an erasure itself.
            AuditUnavailable: nothing was erased.
        """
        return await _in(self._thread, self._ledger.erase, seqs, actor, reason)

    async def rotate(self) -> str:
        """Hide new payloads with a fresh data key, wrapped by the newest key of the ring. Returns the key's id.

        Raises:
            AuditUnavailable: the database is out of reach.
        """
        return await _in(self._thread, self._ledger.rotate)

    async def rows(self, *, after_seq: int = 0, limit: int = 1000, **filters: Unpack[Filters]) -> list[AuditRow]:
        """Rows in their order; see `audit.ledger.Filters`. Raises AuditUnavailable."""
        return await asyncio.to_thread(lambda: list(self._ledger.rows(after_seq=after_seq, limit=limit, **filters)))

    async def tail(self, count: int, **filters: Unpack[Filters]) -> list[AuditRow]:
        """The last rows, oldest first. Raises AuditUnavailable."""
        return await asyncio.to_thread(lambda: self._ledger.tail(count, **filters))

    async def get(self, seq: int) -> AuditRow | None:
        """One row, None when there is none of that number. Raises AuditUnavailable."""
        return await asyncio.to_thread(self._ledger.get, seq)

    async def unfinished(self) -> list[AuditRow]:
        """Executions that started and of which no end is known; see `Ledger.unfinished`. Raises AuditUnavailable."""
        return await asyncio.to_thread(self._ledger.unfinished)

    async def _write(self) -> None:
        """Commit batch after batch until nobody waits."""
        try:
            while batch := self._next_batch():
                await self._write_batch(batch)
                self._remember()
        finally:
            self._writer = None
            while self._waiting:
                _settle(self._waiting.popleft()[1], AuditUnavailable(_STOPPED))

    def _next_batch(self) -> list[_Waiting]:
        """Those who wait now. Who gave up waiting before the transaction began is not recorded."""
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < BATCH_ROWS:
            entry, recorded = self._waiting.popleft()
            if not recorded.done():
                batch.append((entry, recorded))
        return batch

    async def _write_batch(self, batch: list[_Waiting]) -> None:
        outcomes: Sequence[AuditRow | Exception] = [AuditUnavailable(_STOPPED) for _ in batch]
        try:
            outcomes = await _in(self._thread, self._ledger.append, [entry for entry, _ in batch])
        except AuditUnavailable as error:
            outcomes = [type(error)(str(error)) for _ in batch]  # one each: raising an exception marks it
        finally:
            for (_, recorded), outcome in zip(batch, outcomes, strict=True):
                _settle(recorded, outcome)

    def _remember(self) -> None:
        """Let the witness follow. It is not waited for, and one write covers all rows since the last."""
        if self._witness is not None and self._following is None:
            self._following = asyncio.create_task(self._follow(self._witness))

    async def _follow(self, witness: Path) -> None:
        done: Head | None = None
        try:
            while (head := self._ledger.end) != done:
                await asyncio.to_thread(self._show_witness, witness)
                done = head
                await asyncio.sleep(WITNESS_SECONDS)
        finally:
            self._following = None

    def _show_witness(self, witness: Path) -> None:
        try:
            if self._ledger.end is not None:
                advance_witness(witness, self._ledger.end)
        except (OSError, WitnessUnreadable) as error:
            _logger.warning("the audit log goes on, but its witness cannot be written: %s", error)

    def _compare_with_witness(self) -> None:
        if self._witness is None:
            return
        try:
            known = read_witness(self._witness)
            if known and not self._ledger.has(known[-1]):
                raise HistoryChanged(
                    f"the audit log does not contain row {known[-1].seq} of log {known[-1].log_id}, its last before. "
                    "Run `kubechat audit verify`; if an older copy was restored on purpose, `kubechat audit accept`"
                )
            if self._ledger.end is not None:
                advance_witness(self._witness, self._ledger.end)
        except (OSError, WitnessUnreadable) as error:
            raise AuditUnavailable(f"the witness of the audit log cannot be used: {error}") from error


def _settle(recorded: "asyncio.Future[AuditRow]", outcome: AuditRow | Exception) -> None:
    if recorded.done():  # its caller was cancelled meanwhile
        return
    if isinstance(outcome, Exception):
        recorded.set_exception(outcome)
    else:
        recorded.set_result(outcome)


async def _in(thread: ThreadPoolExecutor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking work in the log's own thread."""
    return await asyncio.get_running_loop().run_in_executor(thread, lambda: work(*args, **kwargs))
