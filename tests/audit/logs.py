"""Logs to attack and to export."""

from pathlib import Path

from audit.keys import Keyring
from audit.ledger import Ledger
from audit.rows import Actor, Entry
from audit.witness import advance_witness

ALICE = Actor("slack", "T1", "U1")


def written(url: str, keys: Keyring, witness: Path | None, rows: int = 10) -> None:
    """A log of some rows, written two at a time, so that the witness knows ends in between."""
    ledger = Ledger.open(url, keys)
    for count in range(0, rows + 1, 2):
        pair = [Entry("test.row", ALICE, {"question": f"how are my pods? {number}"}, None, "a1") for number in range(2)]
        if count > 0:
            ledger.append(pair)
        if witness is not None and ledger.end is not None:
            advance_witness(witness, ledger.end)
    ledger.close()
