import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.text import clean, one_line, spans


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hfake prompt", "fake prompt"),
        ("\x1b]8;;https://elsewhere\x07here\x1b]8;;\x07", "␛]8;;https://elsewhere␇here␛]8;;␇"),
        ("\x1b]52;c;c2VjcmV0\x1b\\", "␛]52;c;c2VjcmV0␛\\"),
        ("\x9b31m", "‹U+009B›31m"),
        ("safe\rrm -rf", "safe␍rm -rf"),
        ("a\x08b\x00c\x7f", "a␈b␀c␡"),
        ("pay\u202egnp.exe", "pay‹U+202E›gnp.exe"),
        ("\u2066x\u2069", "‹U+2066›x‹U+2069›"),
        ("ku\u200bbe", "ku‹U+200B›be"),
        ("\ufeffa\u00adb\u3164c\u115f", "‹U+FEFF›a‹U+00AD›b‹U+3164›c‹U+115F›"),
        ("\U000e0041", "‹U+E0041›"),
        ("\ud800", "‹U+D800›"),
        ("no\u00a0break\u2003wide", "no break wide"),
        ("a\r\nb\u2028c\x85d\te", "a\nb\nc\nd\te"),
        ("⚠\ufe0f ünïcode 漢字 рrod", "⚠ ünïcode 漢字 рrod"),
    ],
)
def test_what_a_screen_would_obey_or_hide_is_shown(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown


@given(st.text(st.characters()))
def test_clean_text_has_only_letters_newlines_and_tabs_and_stays_as_it_is(text: str) -> None:
    cleaned = clean(text)
    assert all(character in "\n\t" or unicodedata.category(character)[0] != "C" for character in cleaned)
    assert clean(cleaned) == cleaned
    assert "\n" not in one_line(text)


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("*3 pods* in `shop`", [("bold", "3 pods"), ("plain", " in "), ("code", "shop")]),
        ("(*x*)", [("plain", "("), ("bold", "x"), ("plain", ")")]),
        ("a*b*c *.log 3 * 4 * 5 **x**", [("plain", "a*b*c *.log 3 * 4 * 5 **x**")]),
        ("`*x* \\`", [("code", "*x* \\")]),
        ("one ` tick, *one star", [("plain", "one ` tick, *one star")]),
        ("*not\nover lines*", [("plain", "*not\nover lines*")]),
        ("[bold]x[/bold] _x_ <b>", [("plain", "[bold]x[/bold] _x_ <b>")]),
        ("", []),
    ],
)
def test_only_stars_and_backticks_mark_up(text: str, runs: list[tuple[str, str]]) -> None:
    assert list(spans(text)) == runs


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["*a " * 300_000, "`" * 1_000_000, "*" * 1_000_000, "*a" * 500_000, "*" + "a" * 1_000_000])
def test_a_hostile_megabyte_does_not_make_the_markup_backtrack(text: str) -> None:
    assert list(spans(text)) == [("plain", text)]
