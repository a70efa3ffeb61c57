"""The three patches that need no memory of owners: JSON (RFC 6902), merge (RFC 7386) and strategic merge.

Strategic merge follows k8s.io/apimachinery/pkg/util/strategicpatch: merge keys come from the type, and the directives
$patch, $deleteFromPrimitiveList/, $setElementOrder/ and $retainKeys are honoured.
"""

from __future__ import annotations

import copy
from typing import Any

from k8s.sandbox.objects import schema
from k8s.sandbox.objects.errors import ApiRefused, Json, bad_request
from k8s.sandbox.objects.schema import Field


class PatchUnfit(ValueError):
    """The patch cannot be applied to the object (422 in the API)."""


class PatchMalformed(ValueError):
    """A strategic merge patch names list entries without their key (500 in the API)."""


# JSON patch


def json_patch(document: Json, operations: Any) -> Json:
    """RFC 6902; PatchUnfit where a path or test fails."""
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp")
    if len(operations) > 10_000:
        raise PatchUnfit("The allowed maximum operations in a JSON patch is 10000, got " + str(len(operations)))
    result: Any = copy.deepcopy(document)
    for one in operations:
        if not isinstance(one, dict) or not all(isinstance(one.get(name, ""), str) for name in ("op", "path", "from")):
            raise bad_request("error decoding patch: json: cannot unmarshal value into Go value of type handlers.jsonPatchOp")
        result = _operate(result, one)
    if not isinstance(result, dict):
        raise PatchUnfit("the patched document is not an object")
    return result


def _operate(document: Any, one: Json) -> Any:
    op, path = one.get("op"), one.get("path", "")
    if op == "test":
        if _look(document, path) != one.get("value"):
            raise PatchUnfit(f"testing value {path} failed: test failed")
        return document
    if op in ("copy", "move"):
        value = copy.deepcopy(_look(document, one["from"]))
        if op == "move":
            document = _change(document, one["from"], "remove", None)
        return _change(document, path, "add", value)
    if op in ("add", "replace", "remove"):
        return _change(document, path, op, copy.deepcopy(one.get("value")))
    raise PatchUnfit(f"Unexpected kind: {op}")


def _tokens(path: str) -> list[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]]


def _look(document: Any, path: str) -> Any:
    for token in _tokens(path):
        try:
            document = document[int(token)] if isinstance(document, list) else document[token]
        except (KeyError, IndexError, ValueError, TypeError) as bad:
            raise PatchUnfit(f"error in test for path: '{path}': missing value") from bad
    return document


_WHAT = {"add": "path", "remove": "path", "replace": "key"}


def _change(document: Any, path: str, op: str, value: Any) -> Any:
    tokens = _tokens(path)
    if not tokens:
        return value
    where = document
    try:
        for token in tokens[:-1]:
            where = where[int(token)] if isinstance(where, list) else where[token]
        _set(where, tokens[-1], op, value)
    except (KeyError, IndexError, ValueError, TypeError) as bad:
        raise PatchUnfit(f'{op} operation does not apply: doc is missing {_WHAT[op]}: "{path}": missing value') from bad
    return document


def _set(where: Any, token: str, op: str, value: Any) -> None:
    if isinstance(where, list):
        place = len(where) if token == "-" and op == "add" else int(token)  # noqa: S105 - a JSON pointer token
        if op == "add":
            if not 0 <= place <= len(where):
                raise IndexError(token)
            where.insert(place, value)
        elif op == "remove":
            del where[place]
        else:
            where[place] = value
    elif op == "remove":
        del where[token]
    else:
        where[token] = value


# merge patch


def merge_patch(document: Any, change: Any) -> Any:
    """RFC 7386."""
    if not isinstance(change, dict):
        return copy.deepcopy(change)
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


# strategic merge patch


def strategic_merge(document: Json, change: Json, field: Field) -> Json:
    """The document with a strategic merge patch applied, along the type's merge keys."""
    result = _merge_object(document, change, field)
    return result if isinstance(result, dict) else {}


def _merge_object(document: Json, change: Json, field: Field) -> Json | None:
    directive = change.get("$patch")
    if directive == "replace":
        return {name: _plain(value) for name, value in change.items() if name != "$patch"}
    if directive == "delete":
        return None if field.shape == "item" else {}
    if directive not in (None, "merge"):
        raise bad_request(f"Unknown patch type: {directive}")
    result = dict(document)
    keep = change.get("$retainKeys")
    if keep is not None:
        result = {name: value for name, value in result.items() if name in keep}
    known = schema.children(field)
    for name, value in change.items():
        if name.startswith("$setElementOrder/") or name in ("$retainKeys", "$patch"):
            continue
        if name.startswith("$deleteFromPrimitiveList/"):
            target = name.partition("/")[2]
            result[target] = [one for one in result.get(target) or [] if one not in value]
            continue
        _merge_field(result, name, value, _child(field, known, name), change.get(f"$setElementOrder/{name}"))
    _order_untouched(result, change, known)
    return result


def _child(field: Field, known: dict[str, Field], name: str) -> Field:
    if field.shape == "map" and field.items:
        return field.items
    return known.get(name) or Field("scalar", "any")


def _merge_field(result: Json, name: str, value: Any, field: Field, order: list[Any] | None) -> None:
    if value is None:
        result.pop(name, None)
    elif isinstance(value, dict):
        old = result.get(name)
        result[name] = _merge_object(old if isinstance(old, dict) else {}, value, field)
    elif isinstance(value, list) and field.merge is not None:
        result[name] = _merge_list(result.get(name) or [], value, field, order)
    elif isinstance(value, list):
        result[name] = [_plain(one) for one in value if not (isinstance(one, dict) and set(one) == {"$patch"})]
    else:
        result[name] = value


def _order_untouched(result: Json, change: Json, known: dict[str, Field]) -> None:
    for name, order in change.items():
        target = name.partition("/")[2]
        if name.startswith("$setElementOrder/") and target not in change and isinstance(result.get(target), list):
            merge = known[target].merge if target in known else None
            if merge is not None:
                result[target] = _ordered(result[target], result[target], order, merge)


_DIRECTIVES = ("$patch", "$retainKeys", "$setElementOrder/", "$deleteFromPrimitiveList/")


def _plain(value: Any) -> Any:
    """A value without directives."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if not name.startswith(_DIRECTIVES)}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _go(value: Any) -> str:
    """A value as Go prints a map."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{name}:{_go(inner)}' for name, inner in sorted(value.items()))}]"
    return str(value)


def _merge_list(old: list[Any], change: list[Any], field: Field, order: list[Any] | None) -> list[Any]:
    key = field.merge or ""
    if not key:
        return _ordered(list(dict.fromkeys([*old, *change])), old, order or change, "")
    if any(isinstance(one, dict) and one.get("$patch") == "replace" for one in change):
        return [_plain(one) for one in change if one.get("$patch") != "replace"]
    inner = field.items or Field("scalar", "any")
    result = [one for one in old if isinstance(one, dict)]
    for one in change:
        if not isinstance(one, dict) or key not in one:
            raise PatchMalformed(f"map: {_go(one)} does not contain declared merge key: {key}")
        place = next((at for at, item in enumerate(result) if item.get(key) == one[key]), None)
        if one.get("$patch") == "delete":
            result = [item for item in result if item.get(key) != one[key]]
        elif place is None:
            result.append(_merge_object({}, one, inner) or {})
        else:
            result[place] = _merge_object(result[place], one, inner) or {}
    return _ordered(result, old, order or [one for one in change if one.get("$patch") != "delete"], key)


def _ordered(items: list[Any], old: list[Any], order: list[Any], key: str) -> list[Any]:
    """Items in the order wanted; those it does not name stay before the one that followed them."""

    def name(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    wanted = [name(one) for one in order]
    named = sorted((one for one in items if name(one) in wanted), key=lambda one: wanted.index(name(one)))
    places = {name(one): at for at, one in enumerate(old)}
    rest = [one for one in items if name(one) not in wanted]
    result: list[Any] = []
    while named and rest:
        first, other = named[0], rest[0]
        other_first = name(other) in places and name(first) in places and places[name(other)] < places[name(first)]
        result.append((rest if other_first else named).pop(0))
    return result + named + rest


def patched(old: Json, change: Any, how: str, root: Field) -> Json:
    """The old object with a JSON, merge or strategic merge patch applied."""
    try:
        if how == "json":
            return json_patch(old, change)
        if not isinstance(change, dict):
            raise bad_request("error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}")
        if how == "merge":
            result: Json = merge_patch(copy.deepcopy(old), change)
            return result
        return strategic_merge(copy.deepcopy(old), change, root)
    except PatchUnfit as bad:
        raise ApiRefused(422, "Invalid", "the server rejected our request due to an error in our request", {}) from bad
    except PatchMalformed as bad:
        raise ApiRefused(500, "", str(bad)) from bad
