"""Text from other people, made safe to look at."""

import unicodedata

_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def neutral(text: str) -> str:
    """Text that is shown and not obeyed: control, bidirectional and invisible characters are spelt out."""
    return "".join(_spelt(mark) if unicodedata.category(mark) in _UNSAFE else mark for mark in text)


def _spelt(mark: str) -> str:
    code = ord(mark)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
