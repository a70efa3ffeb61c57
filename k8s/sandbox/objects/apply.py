"""Who manages which fields: managedFields, and server-side apply with its conflicts.

After sigs.k8s.io/structured-merge-diff: a set of field paths per manager. A path is a tuple of steps, each written as
FieldsV1 writes it: `f:name` for a field, `k:{"name":"app"}` for an entry of a list with keys, `v:"x"` for a value of
a set. `.` marks an entry or map itself.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from k8s.sandbox.objects import schema, units
from k8s.sandbox.objects.errors import ApiRefused, Json
from k8s.sandbox.objects.kinds import Kind
from k8s.sandbox.objects.schema import Field

Path = tuple[str, ...]
# Fields that nobody manages.
UNMANAGED = frozenset(
    [("f:apiVersion",), ("f:kind",), ("f:metadata",)]
    + [
        ("f:metadata", f"f:{name}")
        for name in [
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ]
    ]
)


# Parts that every object of their type has, even one that says nothing: setting them is not noted by itself.
ALWAYS = frozenset(
    (
        "f:metadata",
        "f:spec",
        "f:status",
        "f:strategy",
        "f:updateStrategy",
        "f:template",
        "f:jobTemplate",
        "f:loadBalancer",
        "f:target",
        "f:podSelector",
        "f:containers",
        "f:backend",
    )
)


def paths(value: Any, field: Field | None, *, updating: bool = False) -> set[Path]:
    """Every path that an object sets. An update also notes the optional parts that it brings in."""
    found: set[Path] = set()
    _walk(value, field or Field("object", ""), (), found)
    if updating:
        parts = {path[:end] for path in found for end in range(1, len(path)) if path[end - 1].startswith("f:")}
        found |= {(*part, ".") for part in parts if part[-1] not in ALWAYS}
        found = {path for path in found if path[-1] not in ALWAYS}
    return {path for path in found if (path not in UNMANAGED and path[-1:] != (".",)) or len(path) > 1} - UNMANAGED


def _walk(value: Any, field: Field, at: Path, found: set[Path]) -> None:
    if isinstance(value, dict) and not field.atomic and (value or not at):
        _walk_map(value, field, at, found)
    elif isinstance(value, list) and (field.keys or field.is_set) and not field.atomic:
        for one in value:
            _walk_item(one, field, at, found)
        if at and not value:
            found.add(at)
    elif at:
        found.add(at)


def _walk_map(value: Json, field: Field, at: Path, found: set[Path]) -> None:
    known = schema.children(field)
    if at and at[-1].startswith("k:"):
        found.add((*at, "."))
    for name, inner in value.items():
        below = field.items if field.shape == "map" and field.items else known.get(name) or _loose(inner)
        _walk(inner, below, (*at, f"f:{name}"), found)


def _loose(value: Any) -> Field:
    """How a value without a schema is managed: maps by field, lists whole."""
    return Field("object", "") if isinstance(value, dict) else Field("scalar", "any", atomic=isinstance(value, list))


def _walk_item(one: Any, field: Field, at: Path, found: set[Path]) -> None:
    step = item_step(one, field)
    if field.is_set or not isinstance(one, dict):
        found.add((*at, step))
    else:
        _walk(one, field.items or Field("object", ""), (*at, step), found)


_KEY_DEFAULTS = {"protocol": "TCP"}


def item_step(one: Any, field: Field) -> str:
    if field.keys and isinstance(one, dict):
        key = {name: one.get(name, _KEY_DEFAULTS.get(name)) for name in sorted(field.keys)}
        return "k:" + json.dumps({name: value for name, value in key.items() if value is not None}, separators=(",", ":"))
    return "v:" + json.dumps(one, separators=(",", ":"))


def to_fields(found: set[Path]) -> Json:
    """FieldsV1 of a set of paths."""
    tree: Json = {}
    for path in sorted(found):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    return tree


def from_fields(tree: Json, at: Path = ()) -> set[Path]:
    """The set of paths of a FieldsV1."""
    found: set[Path] = set()
    for step, inner in tree.items():
        if inner:
            found |= from_fields(inner, (*at, step))
        else:
            found.add((*at, step))
    return found


def at_path(obj: Any, path: Path, field: Field | None = None) -> Any:
    """The value at a path, or None."""
    for step in path:
        if step == ".":
            return obj is not None
        if step.startswith("f:"):
            obj = obj.get(step[2:]) if isinstance(obj, dict) else None
        elif step.startswith("k:"):
            key = json.loads(step[2:])
            listed = obj if isinstance(obj, list) else ()
            obj = next((one for one in listed if _has_key(one, key)), None)
        else:
            wanted = json.loads(step[2:])
            obj = wanted if isinstance(obj, list) and wanted in obj else None
    return obj


def _has_key(one: Any, key: Json) -> bool:
    return isinstance(one, dict) and all(one.get(name, _KEY_DEFAULTS.get(name)) == value for name, value in key.items())


# recording updates


def record(obj: Json, old: Json | None, manager: Json, kind: Kind, field: Field | None, sub: str = "") -> None:
    """Note in obj's managedFields, in place, what a create, update or patch by the manager changed."""
    meta = obj["metadata"]
    entries = copy.deepcopy(((old or {}).get("metadata") or {}).get("managedFields") or [])
    if meta.get("managedFields") == []:
        meta.pop("managedFields")  # the way to clear them
        return
    now = _relevant(paths(obj, field, updating=True), sub, kind)
    before = _relevant(paths(old, field, updating=True), sub, kind) if old else set()
    changed = {path for path in now if path not in before or at_path(obj, path) != at_path(old, path)}
    removed = before - now
    if old is not None and not changed and not removed:
        meta["managedFields"] = entries
        if not entries:
            del meta["managedFields"]
        return
    own = _find(entries, manager)
    for entry in entries:
        kept = from_fields(entry["fieldsV1"]) - removed
        if entry is not own:
            kept -= changed
        entry["fieldsV1"] = to_fields(kept)
    if changed:
        if own is None:
            own = {**manager, "fieldsType": "FieldsV1", "fieldsV1": {}}
            entries.append(own)
        own["fieldsV1"] = to_fields(from_fields(own["fieldsV1"]) | changed)
        own["time"] = units.stamp()
    _keep(meta, entries)


def _keep(meta: Json, entries: list[Json]) -> None:
    order = "manager operation apiVersion time fieldsType fieldsV1 subresource".split()
    kept = [{name: one[name] for name in order if name in one} for one in entries if one["fieldsV1"]]
    meta["managedFields"] = kept
    if not kept:
        del meta["managedFields"]


def _find(entries: list[Json], manager: Json) -> Json | None:
    same = ("manager", "operation", "apiVersion", "subresource")
    return next((one for one in entries if all(one.get(name) == manager.get(name) for name in same)), None)


def _relevant(found: set[Path], sub: str, kind: Kind) -> set[Path]:
    """Main writes do not touch the status of kinds that have a status subresource, and status writes nothing else."""
    if sub == "status":
        return {path for path in found if path[0] == "f:status"}
    if "status" in kind.subresources:
        return {path for path in found if path[0] != "f:status"}
    return found


# server-side apply


def applied(old: Json | None, wanted: Json, manager: str, force: bool, kind: Kind, field: Field | None, sub: str = "") -> Json:
    """The object after an apply: merged, what is no longer applied removed, conflicts refused unless forced."""
    who: Json = {"manager": manager, "operation": "Apply", "apiVersion": kind.api_version}
    if sub:
        who["subresource"] = sub
    wanted = {name: value for name, value in wanted.items() if value is not None}
    config = _relevant(paths(wanted, field), sub, kind)
    entries = copy.deepcopy(((old or {}).get("metadata") or {}).get("managedFields") or [])
    own = _find(entries, who)
    if old is not None:
        _refuse_conflicts(old, wanted, config, entries, own, force)
    formerly = from_fields(own["fieldsV1"]) if own else set()
    others: set[Path] = set().union(*(from_fields(one["fieldsV1"]) for one in entries if one is not own))
    result = _merge(copy.deepcopy(old), wanted, field or Field("object", "")) if old else copy.deepcopy(wanted)
    for path in sorted(formerly - config - others, key=len, reverse=True):
        _drop(result, path)
    if own is None:
        own = {**who, "fieldsType": "FieldsV1", "fieldsV1": {}}
        entries.append(own)
    changed = own["fieldsV1"] != to_fields(config) or old is None or _content(result) != _content(old)
    own["fieldsV1"] = to_fields(config)
    if changed or "time" not in own:
        own["time"] = units.stamp()
    _keep(result["metadata"], entries)
    return result


def _content(obj: Json) -> Json:
    meta = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    return {**obj, "metadata": meta}


def _refuse_conflicts(old: Json, wanted: Json, config: set[Path], entries: list[Json], own: Json | None, force: bool) -> None:
    conflicts: list[tuple[Json, Path]] = []
    for entry in entries:
        if entry is own:
            continue
        held = from_fields(entry["fieldsV1"])
        clash = [path for path in sorted(config & held) if path[-1] != "." and at_path(old, path) != at_path(wanted, path)]
        conflicts += [(entry, path) for path in clash]
        if force and clash:
            entry["fieldsV1"] = to_fields(held - set(clash))
    if conflicts and not force:
        raise _conflict(conflicts)


def _conflict(conflicts: list[tuple[Json, Path]]) -> ApiRefused:
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {_who(entry)}", "field": path_text(path)}
        for entry, path in conflicts
    ]
    if len(conflicts) == 1:
        text = f"Apply failed with 1 conflict: conflict with {_who(conflicts[0][0])}: {path_text(conflicts[0][1])}"
    else:
        parts = []
        for name in dict.fromkeys(_who(entry) for entry, _ in conflicts):
            mine = [path for entry, path in conflicts if _who(entry) == name]
            shown = "".join(f"\n- {path_text(path)}" for path in mine)
            parts.append(f"conflicts with {name}:{shown}" if len(mine) > 1 else f"conflict with {name}: {path_text(mine[0])}")
        text = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(parts)
    return ApiRefused(409, "Conflict", text, {"causes": causes})


def _who(entry: Json) -> str:
    text = f'"{entry["manager"]}"'
    if entry.get("subresource"):
        text += f' with subresource "{entry["subresource"]}"'
    if entry["operation"] == "Update":
        text += f" using {entry['apiVersion']}"
    return text


def path_text(path: Path) -> str:
    text = ""
    for step in path:
        if step.startswith("f:"):
            text += f".{step[2:]}"
        elif step.startswith("k:"):
            shown = ",".join(f"{name}={json.dumps(value)}" for name, value in json.loads(step[2:]).items())
            text += f"[{shown}]"
        elif step.startswith("v:"):
            text += f"[={step[2:]}]"
    return text


def _merge(old: Any, wanted: Any, field: Field) -> Any:
    """What was there with what is applied laid over it, along list keys."""
    if isinstance(wanted, dict) and isinstance(old, dict) and not field.atomic:
        known = schema.children(field)
        for name, value in wanted.items():
            below = field.items if field.shape == "map" and field.items else known.get(name) or _loose(value)
            old[name] = _merge(old[name], value, below) if name in old else copy.deepcopy(value)
        return old
    if isinstance(wanted, list) and isinstance(old, list) and not field.atomic and (field.keys or field.is_set):
        return _merge_items(old, wanted, field)
    return copy.deepcopy(wanted)


def _merge_items(old: list[Any], wanted: list[Any], field: Field) -> list[Any]:
    steps = {item_step(one, field): place for place, one in enumerate(old)}
    result = list(old)
    for one in wanted:
        place = steps.get(item_step(one, field))
        if place is None:
            result.append(copy.deepcopy(one))
        elif isinstance(one, dict):
            result[place] = _merge(result[place], one, field.items or Field("object", ""))
    return result


def _drop(obj: Any, path: Path) -> None:
    """Remove what is at a path, if it is there."""
    whole = path[:-1] if path[-1] == "." else path
    parent = at_path(obj, whole[:-1]) if len(whole) > 1 else obj
    step = whole[-1]
    if step.startswith("f:") and isinstance(parent, dict):
        held = parent.get(step[2:])
        if path[-1] != "." or not held:
            parent.pop(step[2:], None)
    elif isinstance(parent, list):
        gone = at_path(parent, (step,))
        parent[:] = [one for one in parent if one is not gone and one != gone]
