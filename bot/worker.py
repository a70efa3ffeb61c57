"""Which process is at work on something, so that another can tell whether it still lives."""

import os
import socket
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

GRACE = timedelta(minutes=2)
"""How long a process of another host may take over checking and starting what was agreed to, before it counts as gone."""


@cache
def instance() -> str:
    """This process: host, process id, start time."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started_at(os.getpid())}"


def _started_at(pid: int) -> str:
    """The start time of a process in clock ticks since boot (proc_pid_stat(5), field 22); empty where there is no /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def gone(worker: str, until: datetime, now: datetime) -> bool:
    """Whether nobody can still be at work: the process has ended, or `until` is over and nobody here can ask it."""
    host, _, process = worker.partition("/")
    pid, _, started = process.partition("/")
    if host == socket.gethostname() and pid.isdecimal() and started:
        return _started_at(int(pid)) != started
    return now > until
