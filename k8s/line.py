"""A line of text → words, as a POSIX shell would see them. What a shell would *do* is refused, and so is what cannot be seen."""

import unicodedata

from k8s.redact import clean_line

MAX_LINE = 8000
"""Characters of a command line. A card shows the whole of it, so a longer one could not be approved by anybody."""


class CommandRefused(Exception):
    """The line is not a command that KubeChat takes. `rule` is stable, for audit and tests; `reason` is for people."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule
        self.reason = reason


_HINTS = {
    "–": "Chat programs turn `--` into a long dash; put the command in backticks.",
    "—": "Chat programs turn `--` into a long dash; put the command in backticks.",
    "“": "Chat programs turn quotes into curly ones; put the command in backticks.",
    "”": "Chat programs turn quotes into curly ones; put the command in backticks.",
    "‘": "Chat programs turn quotes into curly ones; put the command in backticks.",
    "’": "Chat programs turn quotes into curly ones; put the command in backticks.",
    "\u00a0": "It is a space that does not break; type an ordinary one.",
}


def check_characters(line: str) -> None:
    """Refuse what a reader could not see or could mistake: controls, invisible and bidirectional characters, line ends.

    Raises: CommandRefused.
    """
    for character in dict.fromkeys(line):
        if character in "\n\r\u2028\u2029":
            raise CommandRefused("shell-syntax", "One command a line, please: this one has a line end in it.")
        unseen = unicodedata.category(character) in _UNSEEN or character in _BLANK or clean_line(character) != character
        if unseen and character not in " \t":
            raise _hidden(character)


_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"})
_BLANK = "\u2800"  # braille with no dots: a letter that looks like a space


def _hidden(character: str) -> CommandRefused:
    name = unicodedata.name(character, f"U+{ord(character):04X}")
    hint = _HINTS.get(character, "Type it again.")
    return CommandRefused("hidden-character", f"The command has a character that cannot be seen: {name}. {hint}")


_SHELL = {
    ";": "`;` would start a second command",
    "&": "`&` would start a second command",
    "|": "`|` would pipe into another program",
    "<": "`<` would read a file",
    ">": "`>` would write a file",
    "`": "a backtick would run another command",
    "$": "`$` would be replaced by a shell",
    "(": "`(` would start another shell; put the value in single quotes",
    ")": "`)` would end another shell; put the value in single quotes",
    "#": "`#` would start a comment",
}


def _shell_syntax(character: str) -> CommandRefused:
    return CommandRefused("shell-syntax", f"No shell runs here: {_SHELL[character]}. Send one plain kubectl command.")


def split_words(line: str) -> list[str]:
    """Words as a POSIX shell would see them, quotes removed.

    Raises: CommandRefused when a shell would do more than split.
    """
    words: list[str] = []
    current: list[str] = []
    started = False
    position = 0
    while position < len(line):
        character = line[position]
        if character in " \t":
            if started:
                words.append("".join(current))
            current, started = [], False
            position += 1
            continue
        if character in "'\"":
            text, position = _read_quotes(line, position)
            current.append(text)
            started = True
            continue
        if character in _SHELL and not (character == "#" and started):
            raise _shell_syntax(character)
        if character == "\\":
            position += 1
            if position == len(line):
                raise CommandRefused("syntax", "The command ends in a backslash; one command a line, please.")
            character = line[position]
            if character == "\t":
                raise _hidden(character)
        elif ord(character) > 126:
            raise not_ascii(next(word for word in line.split() if character in word))
        current.append(character)
        started = True
        position += 1
    if started:
        words.append("".join(current))
    return words


def _read_quotes(line: str, start: int) -> tuple[str, int]:
    """The text between the quotes that open at `start`, and the position after them."""
    quote = line[start]
    text: list[str] = []
    position = start + 1
    while position < len(line):
        character = line[position]
        if character == quote:
            return "".join(text), position + 1
        if character == "\t":
            raise _hidden(character)
        if quote == '"':
            if character in "$`":
                raise _shell_syntax(character)
            if character == "\\" and line[position + 1 : position + 2] in {'"', "\\", "$", "`"}:
                position += 1
                character = line[position]
        text.append(character)
        position += 1
    raise CommandRefused("syntax", f"A quote {quote} is opened and never closed.")


def not_ascii(word: str) -> CommandRefused:
    """The refusal of a word with a letter that may look like another."""
    character = next(character for character in word if not character.isascii())
    name = unicodedata.name(character, f"U+{ord(character):04X}")
    hint = _HINTS.get(character, "Names in Kubernetes are plain ASCII; this one only looks like another. Type it again.")
    return CommandRefused("look-alike", f"“{word}” has a {name} in it. {hint}")
