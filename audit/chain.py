"""The arithmetic of the audit chain: pure functions, no database and no keys.

A row is a header and a payload. The header is hashed and chained; the payload is only committed to, so that it
can be erased later while header and chain stay verifiable:

    payload_commit = HMAC-SHA256(salt, JCS(payload))        salt: 32 random bytes of that row
    hash           = SHA-256(0x00 || JCS(header))           the leaf hash of RFC 6962, section 2.1

JCS is RFC 8785. It has no form for some values that Python and chat platforms produce, so those are escaped first
(`escape`), in a way that can be undone and maps different values to different texts.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any

import rfc8785

VERSION = 1
"""The version of the row format, the first field of every header."""

GENESIS = "0" * 64
"""`prev_hash` of the first row."""

SALT_BYTES = 32
PAYLOAD_LIMIT = 256 * 1024
"""Longest payload stored whole, in bytes of JCS. What is longer is cut by `bounded`."""
EXCERPT_CHARACTERS = 1024
_EXCERPT_BYTES = 4 * EXCERPT_CHARACTERS
MAX_DEPTH = 64
"""Deepest nesting of a payload; well under the recursion limit of any JSON parser."""

_LEAF = b"\x00"
_MARK = "\u241b"  # SYMBOL FOR ESCAPE: printable, and hardly ever met in real text
_REFUSED = re.compile(r"[\x00\ud800-\udfff\u241b]")
_ESCAPED = re.compile(r"\u241b([0-9a-f]{4})")
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
_SAFE_INTEGER = 2**53  # RFC 8785 takes integers strictly between -2^53 and 2^53


class InvalidPayload(ValueError):
    """The payload is not JSON: a key that is no text, an unknown type, or nesting beyond `MAX_DEPTH`."""


def escape(value: object, depth: int = MAX_DEPTH) -> Any:
    """Write a value so that RFC 8785 and PostgreSQL's `text` take it; `unescape` undoes it.

    In text, NUL, lone surrogates and the mark U+241B itself become U+241B and four hexadecimal digits. A number that
    JCS refuses becomes a text of U+241B, `#` and its Python form (integers in hexadecimal, which has no length
    limit). No escaped text can begin like that, since `#` is no hexadecimal digit. Floats from 2^53 up are escaped
    too: JCS would print some of them as integers that no parser reads back exactly.

    Raises:
        InvalidPayload: the value has no JSON form.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _REFUSED.sub(lambda found: f"{_MARK}{ord(found[0]):04x}", value)
    if isinstance(value, int):
        return value if -_SAFE_INTEGER < value < _SAFE_INTEGER else f"{_MARK}#{int(value):#x}"
    if isinstance(value, float):
        return value if abs(value) < _SAFE_INTEGER else f"{_MARK}#{float(value)!r}"
    if depth == 0:
        raise InvalidPayload(f"the payload is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        return {_escaped_key(key): escape(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [escape(item, depth - 1) for item in value]
    raise InvalidPayload(f"a payload holds text, numbers, booleans, lists and mappings, not {type(value).__name__}")


def unescape(value: Any) -> Any:
    """Undo `escape`. Tuples come back as lists, and whole floats below 2^53 as integers, as in any JSON."""
    if isinstance(value, str):
        if value.startswith(f"{_MARK}#"):
            number = value[2:]
            return int(number, 16) if "0x" in number else float(number)
        return unescape_text(value)
    if isinstance(value, dict):
        return {unescape_text(key): unescape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unescape(item) for item in value]
    return value


def unescape_text(text: str) -> str:
    """Undo `escape` for what is known to have been a text."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def _escaped_key(key: object) -> str:
    if not isinstance(key, str):
        raise InvalidPayload(f"the keys of a payload are texts, not {type(key).__name__}")
    return str(escape(key))


def canonical(value: object) -> bytes:
    """The JCS bytes of a value, escaped.

    Raises:
        InvalidPayload: the value has no JSON form.
    """
    return rfc8785.dumps(escape(value))


def parse(text: bytes) -> Any:
    """The value whose `canonical` form this is."""
    return unescape(json.loads(text))


def bounded(payload: Mapping[str, object]) -> bytes:
    """The JCS bytes to store for a payload: itself, or cut when longer than `PAYLOAD_LIMIT`.

    The longest top-level values are cut first, so that the short ones beside them (who, what, why) stay readable.
    A cut value is replaced by `{"truncated": true, "bytes", "sha256", "head"}`: length and digest of its JCS, and
    its first `EXCERPT_CHARACTERS` characters.

    Raises:
        InvalidPayload: the payload has no JSON form.
    """
    if not isinstance(payload, Mapping):
        raise InvalidPayload(f"a payload is a mapping, not {type(payload).__name__}")
    parts = {_escaped_key(key): canonical(item) for key, item in payload.items()}
    whole = _joined(parts)
    size = len(whole)
    for key in sorted(parts, key=lambda key: -len(parts[key])):
        if size <= PAYLOAD_LIMIT or len(parts[key]) <= _EXCERPT_BYTES:
            break
        cut = _excerpt(parts[key])
        size += len(cut) - len(parts[key])
        parts[key] = cut
    return _joined(parts) if size <= PAYLOAD_LIMIT else _excerpt(whole)


def _joined(parts: Mapping[str, bytes]) -> bytes:
    """The JCS of a mapping whose values are JCS already. RFC 8785 orders keys by their UTF-16 code units."""
    keys = sorted(parts, key=lambda key: key.encode("utf-16-be"))
    return b"{" + b",".join(rfc8785.dumps(key) + b":" + parts[key] for key in keys) + b"}"


def _excerpt(part: bytes) -> bytes:
    head = part[:_EXCERPT_BYTES].decode(errors="ignore")[:EXCERPT_CHARACTERS]
    digest = hashlib.sha256(part).hexdigest()
    return canonical({"truncated": True, "bytes": len(part), "sha256": digest, "head": head})


def payload_commit(salt: bytes, payload: bytes) -> str:
    """HMAC-SHA256 of a payload's JCS bytes, in lower-case hexadecimal."""
    return hmac.digest(salt, payload, "sha256").hex()


def header_hash(header: Mapping[str, Any]) -> str:
    """SHA-256 of 0x00 and the header's JCS bytes, in lower-case hexadecimal. The header's texts are already escaped.

    A header holds escaped texts, integers below 2^53, nulls and one mapping of the same, under ASCII keys. For those
    the standard library's encoder writes the bytes of RFC 8785, five times faster; a test holds the two together.

    Raises:
        ValueError, TypeError: the header is not JSON, so that it cannot be one that was written here.
    """
    return hashlib.sha256(_LEAF + _ENCODER.encode(header).encode()).hexdigest()
