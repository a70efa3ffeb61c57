"""Text from a cluster or a person, made fit to be shown: nothing in it is obeyed, hidden or reordered.

Every adapter draws text that others wrote. The engine cleans what comes from a cluster; an adapter cleans again what it draws,
since its own screen is what would obey. Cleaning twice does no harm.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

# Letters and marks by category, yet blank on a screen: the rest of Unicode's Default_Ignorable_Code_Point.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0e\uffa0\U000e0100-\U000e01ef]")
_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_BREAKS = re.compile("\r\n|[\x85\u2028\u2029]")


def clean(text: str) -> str:
    """The text with newlines and tabs, and nothing else that a screen obeys or hides.

    ANSI colours and cursor moves go, as logs are full of them. Any other control character becomes its picture (`␛`); what is
    invisible, reorders letters or stands for nothing becomes its code point (`‹U+202E›`), so that an attempt to deceive is seen.
    """
    return _BREAKS.sub("\n", _COLOURS.sub("", text)).translate(_SHOWN)


def one_line(text: str) -> str:
    """The same on one line, for a name, a label or a table's cell."""
    return clean(text).replace("\n", "␊").replace("\t", " ")


class _Shown(dict[int, str]):
    """What stands for each character on a screen, worked out once a character."""

    def __missing__(self, code: int) -> str:
        shown = self[code] = _shown(chr(code))
        return shown


def _shown(character: str) -> str:
    if character in "\n\t":
        return character
    if character < " ":
        return chr(0x2400 + ord(character))
    if character == "\x7f":
        return "␡"
    if character == "\ufe0f":  # asks for the coloured form of the emoji before it, and upsets the width
        return ""
    if unicodedata.category(character) == "Zs":
        return " "
    if not character.isprintable() or _BLANK.match(character):
        return f"‹U+{ord(character):04X}›"
    return character


_SHOWN = _Shown()

# A star opens at the start of a word and closes at the end of one: `a*b`, `*.log` and `3 * 4` stay as they are.
_MARKUP = re.compile(r"`(?P<code>[^`\n]+)`|(?<![\w*])\*(?P<bold>[^\s*](?:[^*\n]*[^\s*])?)\*(?![\w*])")


def spans(text: str) -> Iterator[tuple[Literal["plain", "bold", "code"], str]]:
    """A `Text` block in runs: `*bold*` and backticks mark up, everything else is literal. Marks do not nest."""
    end = 0
    for match in _MARKUP.finditer(text):
        if match.start() > end:
            yield "plain", text[end : match.start()]
        yield ("code", match["code"]) if match["code"] else ("bold", match["bold"])
        end = match.end()
    if end < len(text):
        yield "plain", text[end:]
