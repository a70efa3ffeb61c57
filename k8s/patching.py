"""`patch`, as it is given; and `taint`, which is a patch of a node's taints."""

import re
from dataclasses import replace
from typing import Any

from k8s.change import Change, patch, unchanged
from k8s.client import type_of_patch
from k8s.errors import CommandInvalid
from k8s.live import Found, dig
from k8s.manifests import ManifestBroken, read_patch
from k8s.types import Command


def given_patch(command: Command, found: Found) -> Change:
    """`patch`: what is sent is what was judged, bound to the object seen by its UID."""
    try:
        body = read_patch(command.flag("patch") or "")
    except ManifestBroken as error:
        raise CommandInvalid(str(error)) from error
    kind = command.flag("type") or "strategic"
    if isinstance(body, list) != (kind == "json"):
        wanted = "a list of operations" if kind == "json" else "an object"
        raise CommandInvalid(f"With --type={kind} the patch must be {wanted}.")
    subresource = command.flag("subresource")
    display = f"scale.autoscaling/{found.name}" if subresource == "scale" else found.display
    if isinstance(body, list):
        return _json_patch(found, body, f"{display} patched", subresource)
    if not isinstance(body.get("metadata", {}), dict):
        raise CommandInvalid("metadata in the patch must be an object.")
    change = patch(found, body, "patched", kind=kind, subresource=subresource)
    return replace(change, done=f"{display} patched", done_nothing=f"{display} patched (no change)")


def _json_patch(found: Found, operations: list[dict[str, Any]], done: str, subresource: str | None = None) -> Change:
    """A JSON Patch that fails if another object has taken the name."""
    body = [{"op": "test", "path": "/metadata/uid", "value": found.ref.uid}, *operations]
    return Change(
        method="PATCH",
        path=found.path(subresource),
        target=found.ref,
        done=done,
        body=body,
        content_type=type_of_patch["json"],
        before=found.value,
        display=found.display,
        done_nothing=f"{done} (no change)",
    )


# --- taint ----------------------------------------------------------------------------------------------------------------

_EFFECTS = frozenset({"NoSchedule", "PreferNoSchedule", "NoExecute"})
_KEY = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")

Taint = dict[str, str]


def read_taints(command: Command) -> tuple[list[Taint], list[Taint]]:
    """What to add, and what to take away (without an effect: all of the key). Raises CommandInvalid."""
    added: list[Taint] = []
    removed: list[Taint] = []
    for word in command.args:
        taint = _read_taint(word.removesuffix("-"), word)
        if word.endswith("-"):
            removed.append({name: value for name, value in taint.items() if name != "value"})
        elif "effect" not in taint:
            raise CommandInvalid(f"{word!r} has no effect: KEY=VALUE:NoSchedule, :PreferNoSchedule or :NoExecute.")
        elif any(same_taint(taint, other) for other in added):
            raise CommandInvalid(f"{taint['key']}:{taint['effect']} is given twice.")
        else:
            added.append(taint)
    return added, removed


def _read_taint(text: str, word: str) -> Taint:
    front, colon, effect = text.partition(":")
    key, _, value = front.partition("=")
    if colon and effect not in _EFFECTS:
        raise CommandInvalid(f"{effect!r} is not the effect of a taint: NoSchedule, PreferNoSchedule or NoExecute.")
    if not _VALUE.fullmatch(value) or not _KEY.fullmatch(key):
        raise CommandInvalid(f"{word!r} is not a taint: KEY=VALUE:EFFECT, or KEY:EFFECT- to remove one.")
    return {"key": key} | ({"value": value} if value else {}) | ({"effect": effect} if colon else {})


def taint_word(taint: Taint) -> str:
    """`KEY=VALUE:EFFECT`, as `taint` takes it."""
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint['effect']}"


def same_taint(taint: Taint, other: Taint) -> bool:
    """Whether two taints are the same but for their value: a node has only one of them."""
    return (taint["key"], taint.get("effect")) == (other["key"], other.get("effect"))


def taint(command: Command, found: Found) -> Change:
    """`taint`. The taints seen must still be there: node controllers write them, too."""
    if found.resource.word != "nodes":
        raise CommandInvalid("Only nodes have taints: `kubectl taint nodes NAME KEY=VALUE:EFFECT`.")
    added, removed = read_taints(command)
    before: list[Taint] = dig(found.value, "spec", "taints", default=[])
    overwrite = command.has("overwrite")
    if not overwrite and (both := [each["key"] for each in added if any(same_taint(each, old) for old in before)]):
        raise CommandInvalid(f"{found.display} has the taint {', '.join(both)} with the same effect already: add --overwrite.")
    kept = [old for old in before if not any(same_taint(each, old) for each in added)]
    for each in removed:
        gone = [old for old in (*added, *kept) if old["key"] == each["key"] and each.get("effect") in {None, old["effect"]}]
        if not gone:
            shown = each["key"] + (f":{each['effect']}" if "effect" in each else "")
            raise CommandInvalid(f"{found.display} has no taint {shown}.")
        added = [new for new in added if new not in gone]
        kept = [old for old in kept if old not in gone]
    after = [*added, *kept]
    word = "modified" if overwrite or (added and removed) else "tainted" if added else "untainted"
    if after == before:
        return unchanged(found, word)
    # What is not there cannot be tested for; kubectl tests for nothing.
    tests = [{"op": "test", "path": "/spec/taints", "value": before}] if before else []
    return _json_patch(found, [*tests, {"op": "add", "path": "/spec/taints", "value": after}], f"{found.display} {word}")
