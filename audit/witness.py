"""A small file outside the database that remembers where the audit log ended.

The chain alone cannot tell that its tail was cut, that the whole table was rewritten, or that an old backup was
restored: what is left is a valid chain. The witness can, as long as whoever changes the database cannot also change
this file. It is as good as the place it is kept in; it belongs on another disk or host than the database.
"""

import hashlib
import json
from pathlib import Path

from audit.database import place
from audit.files import locked, replace
from audit.ledger import Head


class WitnessUnreadable(Exception):
    """The witness file is not what was written."""


def witness_path(home: Path, url: str) -> Path:
    """The witness of the log at a database URL. It belongs to the place, so that a log put there anew is noticed."""
    name = hashlib.sha256(json.dumps(place(url)).encode()).hexdigest()[:16]
    return home / "audit" / f"witness-{name}.json"


def read_witness(path: Path) -> list[Head]:
    """The ends of the log that the witness remembers, oldest first; empty when there is no witness yet.

    Raises:
        WitnessUnreadable: the file is not what was written, or cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise WitnessUnreadable(f"the witness {path} cannot be read: {error}") from error
    try:
        fields = json.loads(text)
        ends = [Head(str(fields["log_id"]), int(seq), str(digest)) for seq, digest in fields["ends"]]
    except (ValueError, KeyError, TypeError) as error:
        raise WitnessUnreadable(f"the witness {path} was changed; compare it with a copy of yours") from error
    if not ends:
        raise WitnessUnreadable(f"the witness {path} was emptied; compare it with a copy of yours")
    return ends


def advance_witness(path: Path, head: Head) -> None:
    """Remember a later end of the same log. Several processes may do so; the latest end stays.

    It is not forced to the disk: after a power cut it may be behind, which is harmless, and never ahead.

    Raises:
        WitnessUnreadable: the file is not what was written; it is left as it is.
        OSError: it cannot be written.
    """
    with locked(path):
        known = read_witness(path)
        if not known or (known[-1].log_id == head.log_id and known[-1].seq < head.seq):
            ends = [[end.seq, end.hash] for end in _thinned(known, head)]
            replace(path, json.dumps({"log_id": head.log_id, "ends": ends}) + "\n", durable=False)


def _thinned(known: list[Head], newest: Head) -> list[Head]:
    """Of the ends known so far, one for each power of two of distance: dozens, however long the log.

    The older ones tell a log that was rewritten (they differ) from an older copy of it (they agree).
    """
    kept = {(newest.seq - end.seq).bit_length(): end for end in reversed(known)}
    return [*sorted(kept.values(), key=lambda end: end.seq), newest]


def set_witness_aside(path: Path) -> Path | None:
    """Rename the witness, so that a new one begins. Returns where it is kept, None when there was none.

    Raises:
        OSError: it cannot be renamed.
    """
    with locked(path):
        if not path.exists():
            return None
        number = 1
        while (kept := path.with_name(f"{path.stem}.{number}.kept")).exists():
            number += 1
        return path.rename(kept)
