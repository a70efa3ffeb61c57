"""Logs to attack and to export."""

from pathlib import Path

from audit.keys import Keyring
from audit.rows import Actor
from audit.store import AuditLog

ALICE = Actor("slack", "T1", "U1")


async def written(url: str, keys: Keyring, witness: Path | None, rows: int = 10) -> None:
    """A log of some rows, written in sittings of two, so that the witness knows ends in between."""
    for _ in range(rows // 2):
        log = await AuditLog.open(url, keys, witness=witness)
        for number in range(2):
            await log.append("test.row", ALICE, {"question": f"how are my pods? {number}"}, approval_id="a1")
        await log.close()
