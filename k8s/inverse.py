"""Patches that take patches back: what the touched fields held before, and null for what was not there. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

_BY_NAME = frozenset({"containers", "initContainers", "env", "volumes"})
"""Lists that a strategic merge patch matches by `name`. Source: patchMergeKey in the API's types."""


class NoInverse(Exception):
    """A patch that cannot be taken back by a patch."""


def inverse(before: Mapping[str, Any], patch: Any, kind: str) -> tuple[dict[str, Any], str]:
    """The patch that takes `patch` back, and its type: strategic where lists are touched entry by entry, else merge.

    Raises NoInverse, for directives such as `$patch`.
    """
    if isinstance(patch, dict) and isinstance(patch.get("metadata"), dict):  # the preconditions there touch nothing
        kept = {key: item for key, item in patch["metadata"].items() if key not in {"uid", "resourceVersion"}}
        patch = {**patch, "metadata": kept}
    if kind == "json":
        return _of_merge(before, _touched(before, patch)), "merge"
    if kind == "strategic":
        try:
            return _of_strategic(before, patch), "strategic"
        except NoInverse:
            pass
    return _of_merge(before, patch), "merge"


def _of_merge(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, new, old in _entries(before, patch):
        if not isinstance(new, dict) or not isinstance(old, dict):
            result[key] = old
        elif part := _of_merge(old, new):
            result[key] = part
    return result


def _of_strategic(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, new, old in _entries(before, patch):
        if isinstance(new, dict) and isinstance(old, dict):
            if part := _of_strategic(old, new):
                result[key] = part
        elif not isinstance(new, list) and not isinstance(old, list):
            result[key] = old
        elif key in _BY_NAME and isinstance(old, list):
            result[key] = _of_items(old, new)
        else:
            raise NoInverse
    return result


def _entries(before: Mapping[str, Any], patch: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """What the patch touches: key, new value, old value."""
    if any(key.startswith("$") for key in patch):
        raise NoInverse
    touched = ((key, new, before.get(key)) for key, new in patch.items())
    return [(key, new, old) for key, new, old in touched if new is not None or old is not None]


def _of_items(before: Sequence[Any], items: Any) -> list[dict[str, Any]]:
    old = {item["name"]: item for item in before}
    if not isinstance(items, list) or any(item.get("name") not in old for item in items):
        raise NoInverse  # an entry that is new: only a directive would take it away
    return [{**_of_strategic(old[item["name"]], item), "name": item["name"]} for item in items]


def _touched(before: Mapping[str, Any], operations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The fields that a JSON Patch touches, as a nested object; a list counts whole."""
    touched: dict[str, Any] = {}
    for operation in operations:
        paths = (
            [operation.get("path"), operation.get("from")] if operation.get("op") in {"copy", "move"} else [operation.get("path")]
        )
        for path in paths if operation.get("op") != "test" else ():
            steps = [step.replace("~1", "/").replace("~0", "~") for step in str(path).split("/")[1:]]
            if not steps:
                raise NoInverse
            _touch(touched, before, steps)
    return touched


def _touch(touched: dict[str, Any], before: Any, steps: Sequence[str]) -> None:
    *way, last = steps
    for step in way:
        before = before.get(step)
        if not isinstance(before, dict) or touched.get(step) is True:
            touched[step] = True
            return
        touched = touched.setdefault(step, {})
    touched[last] = True
