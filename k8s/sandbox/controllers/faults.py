"""What can go wrong on purpose: the table of faults, and which of them a container suffers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from k8s.sandbox.objects.errors import Json


class FaultUnknown(ValueError):
    """There is no such fault, or nothing of that name to break."""


@dataclass(frozen=True, slots=True)
class Fault:
    """How a container fails. The log is what its last run wrote before it ended."""

    name: str
    about: str
    exit_code: int = 0
    reason: str = ""  # why the container ended, or why it waits
    log: tuple[str, ...] = ()


FAULTS = {
    one.name: one
    for one in (
        Fault("oom", "the container needs more memory than its limit and is killed", 137, "OOMKilled",
              ("loading the working set", "heap 92% full", "heap 99% full, collecting")),
        Fault("crashloop", "the container ends with an error soon after it starts", 1, "Error",
              ("starting", "FATAL: cannot read configuration: key DB_HOST is missing")),
        Fault("image", "the image's tag does not exist in its registry"),
        Fault("pending", "the pods ask for more cpu than any node has"),
        Fault("notready", "the readiness probe fails, so the pods get no traffic", 0, "readiness"),
        Fault("liveness", "the liveness probe fails, so the container is killed again and again", 137, "Error",
              ("listening on :8080", "deadlock detected: worker pool does not answer")),
        Fault("config", "a ConfigMap that the container needs does not exist", 0, "CreateContainerConfigError"),
        Fault("evicted", "the node ran out of memory and evicted the pods"),
        Fault("node-down", "the node no longer answers (target: nodes/NAME)"),
        Fault("stuck", "the pods do not end when they are deleted: a volume cannot be unmounted"),
    )
}  # fmt: skip

# An image that cannot be pulled: its registry or tag says so.
BROKEN_IMAGE = re.compile(
    r"\.invalid(:\d+)?/|[:/@-](does-not-exist|doesnotexist|nonexistent|non-existent|no-such-\w+|broken|invalid|missing|bad|"
    r"wrong|typo|notfound|not-found)(\b|[-_:])",
    re.IGNORECASE,
)
_IMAGE_NAME = re.compile(r"^[a-z0-9]+([._:/-]+[a-zA-Z0-9_]+)*(@sha256:[a-f0-9]+)?$")


def image_fault(image: str) -> str:
    """Why an image cannot be pulled: ErrImagePull, InvalidImageName, or an empty text."""
    if not _IMAGE_NAME.match(image):
        return "InvalidImageName"
    return "ErrImagePull" if BROKEN_IMAGE.search(image) else ""


def signature(container: Json) -> str:
    """What a fault clings to: it ends when the image, command, environment or resources of the container change."""
    kept = {name: container.get(name) for name in ("image", "command", "args", "env", "envFrom", "resources")}
    return json.dumps(kept, sort_keys=True)


_EXIT = re.compile(r"\bexit (\d+)\b")
_LONG = re.compile(r"\bsleep (infinity|\d{3,})|\bwhile (true|:)|tail -f|\bsleep \d+[hd]\b")
_SHORT_IMAGES = re.compile(r"^(.*/)?(busybox|alpine|hello-world|perl|bash)(:|@|$)")


def exit_code(container: Json) -> int | None:
    """How a container's own command ends, as far as it can be read off it; None when it runs on."""
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    line = " ".join(str(word) for word in words)
    found = _EXIT.search(line)
    if found:
        return int(found[1])
    if words and words[0].rsplit("/", 1)[-1] == "false":
        return 1
    if _LONG.search(line):
        return None
    if not words:
        return 0 if _SHORT_IMAGES.match(container.get("image", "")) else None
    first = words[0].rsplit("/", 1)[-1]
    finite = first in ("echo", "date", "ls", "true", "env", "cat", "printenv", "perl", "id", "whoami", "sleep")
    return 0 if finite or (first in ("sh", "bash") and "-c" in words) else None
