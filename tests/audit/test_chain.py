"""Hashes, commitments, and the escaping of what JCS has no form for."""

import hashlib
import json
import math
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from audit import chain

TEXT = st.text(st.characters(exclude_categories=()), max_size=8) | st.text("\x00\ud800\udfff\u241b#0af", max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([2.0**53, 2**53, 1e21]) | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


def same(left: Any, right: Any) -> bool:
    """Equal as JSON values: NaN equals itself, and a whole float equals its integer, but no boolean does."""
    if isinstance(left, bool) or isinstance(right, bool) or left is None or right is None:
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, int | float) and isinstance(right, int | float) and left != left:
        return right != right
    return bool(left == right)


@given(VALUES)
def test_every_value_comes_back_from_its_canonical_form(value: Any) -> None:
    assert same(chain.parse(chain.canonical(value)), value)


@given(VALUES, VALUES)
def test_different_values_have_different_canonical_forms(left: Any, right: Any) -> None:
    assert same(left, right) or chain.canonical(left) != chain.canonical(right)


@given(VALUES)
def test_a_canonical_form_is_canonical_again_when_read_as_plain_json(value: Any) -> None:
    text = chain.canonical(value)
    assert rfc8785.dumps(json.loads(text)) == text
    assert b"\x00" not in text


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        (math.nan, "\u241b#nan"),
        (-math.inf, "\u241b#-inf"),
        (2**53, "\u241b#0x20000000000000"),
        (-(2**53), "\u241b#-0x20000000000000"),
        (2**53 - 1, 2**53 - 1),
        (2.0**53, "\u241b#9007199254740992.0"),
        (1e16, "\u241b#1e+16"),
        ("a\x00b", "a\u241b0000b"),
        ("\ud800", "\u241bd800"),
        ("\u241b#nan", "\u241b241b#nan"),
        ({"\x00": (1, 2)}, {"\u241b0000": [1, 2]}),
    ],
)
def test_what_jcs_refuses_is_escaped_as_documented(value: object, escaped: object) -> None:
    assert chain.escape(value) == escaped


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("value", [{1: "a"}, {"a": b"bytes"}, {"a": object()}, {"a": nested(100_000)}, {"a": {1, 2}}])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(chain.InvalidPayload):
        chain.canonical(value)


PLAIN = st.none() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT.map(chain.escape)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", max_size=6)


@given(st.dictionaries(NAMES, PLAIN | st.dictionaries(NAMES, PLAIN)))
def test_the_hash_of_a_header_is_the_rfc_6962_leaf_hash_of_its_jcs(header: dict[str, Any]) -> None:
    assert chain.header_hash(header) == hashlib.sha256(b"\x00" + rfc8785.dumps(header)).hexdigest()


def test_known_header_and_payload_give_known_hashes() -> None:
    """Written down once, so that the format cannot drift unnoticed."""
    header = {"version": 1, "seq": 1, "at": "2026-01-02T03:04:05.000006Z", "actor": {"user": "ä", "identity": None}}
    leaf = b'\x00{"actor":{"identity":null,"user":"\xc3\xa4"},"at":"2026-01-02T03:04:05.000006Z","seq":1,"version":1}'
    assert chain.header_hash(header) == hashlib.sha256(leaf).hexdigest()
    commit = chain.payload_commit(bytes(32), chain.canonical({"b": 1, "a": "x"}))
    assert commit == "fe8efa2c6e6955200115feaeb459a71437c68561a7eff945283cf397dc5fbb98"


@given(st.dictionaries(TEXT, VALUES))
def test_a_payload_that_fits_is_stored_in_its_canonical_form(payload: dict[str, Any]) -> None:
    assert chain.bounded(payload) == chain.canonical(payload)


def test_a_long_value_is_cut_and_short_ones_beside_it_stay() -> None:
    manifest = "x" * 10_000_000
    stored = chain.parse(chain.bounded({"command": "kubectl apply", "manifest": manifest}))
    assert stored["command"] == "kubectl apply"
    assert stored["manifest"] == {
        "truncated": True,
        "bytes": len(manifest) + 2,
        "sha256": hashlib.sha256(chain.canonical(manifest)).hexdigest(),
        "head": '"' + "x" * (chain.EXCERPT_CHARACTERS - 1),
    }


def test_a_payload_of_very_many_values_is_cut_as_a_whole() -> None:
    payload = {f"key {number}": number for number in range(20_000)}
    stored = chain.parse(chain.bounded(payload))
    assert stored["truncated"] is True
    assert stored["sha256"] == hashlib.sha256(chain.canonical(payload)).hexdigest()
    assert len(chain.bounded(payload)) < chain.PAYLOAD_LIMIT


def test_only_as_many_values_are_cut_as_must_be() -> None:
    stored = chain.parse(chain.bounded({f"{number:03}": "x" * (9000 + number) for number in range(100)}))
    cut = [key for key, value in stored.items() if isinstance(value, dict)]
    assert len(chain.canonical(stored)) <= chain.PAYLOAD_LIMIT
    assert cut == [f"{number:03}" for number in range(100 - len(cut), 100)]
    assert 70 < len(cut) < 85


def test_a_cut_never_splits_what_was_escaped_beyond_the_limit() -> None:
    stored = chain.bounded({"a": "\x00\ud800\u241b" * 200_000})
    assert len(stored) <= chain.PAYLOAD_LIMIT
    assert chain.parse(stored)["a"]["head"].startswith('"\u241b0000\u241bd800\u241b241b')
