import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from adapters.terminal.render import echo, new_console, note, render, save_svg
from bot.types import (
    Actions,
    Block,
    Button,
    Code,
    Context,
    Fields,
    File,
    Header,
    Reply,
    ReplyKind,
    TableBlock,
    Text,
)
from tests.adapters import golden
from tests.adapters.dialogue import ANSWERS, PODS, RESULT, progress, proposal

NUMBERS = {"card-yes": 1, "card-no": 2, "card-stop": 3, "undo": 4, "w1": 5, "w2": 6}

HOSTILE = (
    "\x1b[31mred\x1b[0m [red]x[/red] [link=https://elsewhere]here[/link] [@click=app.quit]q[/] :smile: "
    "\x1b]8;;https://elsewhere\x1b\\link\x1b]8;;\x1b\\ \x1b]0;title\x07 pay\u202egnp.exe z\u200bw \r\x08 \x9b2J <b>&amp;</b>"
)


def drawn(reply: Reply, width: int = 80, *, colours: bool = False, **options: bool) -> str:
    console = Console(
        file=io.StringIO(),
        width=width,
        markup=False,
        highlight=False,
        emoji=False,
        color_system="truecolor" if colours else None,
        force_terminal=colours,
        _environ={},
    )
    render(reply, console, NUMBERS, **options)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def lines(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


CARDS: Mapping[str, Reply] = {
    "table": ANSWERS["pods"][0],
    "proposal": proposal(role="approve"),
    "result": RESULT,
    "question": ANSWERS["which"][0],
    "refusal": ANSWERS["forbidden"][0],
    "denial": ANSWERS["denied"][0],
    "failure": ANSWERS["broken"][0],
    "file": ANSWERS["logs"][0],
    "hostile": Reply(
        "result",
        HOSTILE,
        (
            Header(HOSTILE),
            Text(HOSTILE),
            Fields(((HOSTILE, HOSTILE),)),
            Code(HOSTILE),
            TableBlock(("NAME", HOSTILE), ((HOSTILE, "x"), ("line\nbreak", "tab\there"))),
            Context(HOSTILE),
            Actions((Button("w1", HOSTILE, "choice", "danger"),)),
        ),
        files=(File(HOSTILE, HOSTILE),),
        level=HOSTILE,
    ),
}


@pytest.mark.parametrize("width", [60, 100])
@pytest.mark.parametrize("name", CARDS)
def test_cards_look_as_they_did(name: str, width: int) -> None:
    golden.check(f"{name}-{width}.txt", lines(drawn(CARDS[name], width)))


def test_an_updated_card_says_so() -> None:
    assert "↻ … Working" in drawn(progress(), updated=True)
    assert "↻" not in drawn(progress())


@pytest.mark.parametrize("colours", [True, False])
@pytest.mark.parametrize("width", [20, 60, 100, 400])
def test_hostile_text_gives_a_terminal_no_orders(width: int, colours: bool) -> None:
    printed = drawn(CARDS["hostile"], width, colours=colours, whole_files=True)
    printed += drawn(Reply("failure", HOSTILE), width, colours=colours)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", printed)  # the colours of the card itself
    assert ("\x1b" in printed) == colours
    assert all(character.isprintable() or character == "\n" for character in plain)
    if width == 400:
        assert plain.count("[red]x[/red] [link=https://elsewhere]here[/link] [@click=app.quit]q[/] :smile:") == 12


def test_kind_and_verdict_are_words_and_no_colour_is_needed_to_tell_them_apart() -> None:
    titles = {kind: drawn(Reply(kind, "x")).splitlines()[0] for kind in get_args(ReplyKind)}
    assert len(set(titles.values())) == len(titles)
    for level in ("safe", "warning", "dangerous", "forbidden"):
        assert f"· {level} ─" in drawn(Reply("result", "x", level=level))


def test_backticks_stay_where_there_are_no_colours() -> None:
    reply = Reply("answer", "", (Text("in `shop`"),))
    assert "`shop`" in drawn(reply)
    assert "`shop`" not in drawn(reply, colours=True)


@pytest.mark.parametrize("width", [30, 60, 100])
@pytest.mark.parametrize(
    "block",
    [
        Text("word " * 8_000),
        Text("x" * 40_000),
        Code("x" * 40_000),
        Code("kubectl get pods" + " " * 5_000 + "--namespace=prod-the-end"),
        Fields((("command", "y" * 5_000 + "the-end"),)),
        TableBlock(("NAME", "MESSAGE"), (("pod", "z" * 5_000 + "the-end"),)),
        TableBlock(tuple(f"COLUMN-{n}" for n in range(40)), (tuple(f"value-{n}-the-end" for n in range(40)),)),
        TableBlock(("漢字", "名前"), (("値" * 200, "終" * 300),)),
    ],
)
def test_nothing_is_cut_however_narrow_the_screen(block: Block, width: int) -> None:
    printed = drawn(Reply("proposal", "x", (block,)), width)
    assert max(len(line) for line in printed.splitlines()) <= width
    for letter in "dxyz値終":
        assert printed.count(letter) >= _letters(block).count(letter)


def _letters(block: Block) -> str:
    match block:
        case Text(text) | Code(text, _):
            return text
        case Fields(pairs):
            return "".join(a + b for a, b in pairs)
        case TableBlock(columns, rows):
            return "".join(columns) + "".join(map("".join, rows))
        case _:
            raise AssertionError(block)


@pytest.mark.timeout(30)
def test_ten_thousand_rows_are_all_there() -> None:
    table = TableBlock(("NAME", "AGE"), tuple((f"pod-{n:05}", "5d") for n in range(10_000)))
    printed = drawn(Reply("result", "x", (table,)))
    assert re.findall(r"pod-(\d+)", printed) == [f"{n:05}" for n in range(10_000)]


def test_a_table_folds_its_widest_column_and_becomes_a_list_where_folding_would_not_do() -> None:
    wide = TableBlock(("NAME", "READY", "MESSAGE"), (("checkout", "1/1", "m" * 90),))
    folded = drawn(Reply("result", "x", (wide,)), 60)
    assert re.search(r"NAME +READY +MESSAGE", folded)
    listed = drawn(Reply("result", "x", (PODS,)), 44)
    assert "READY 0/1 · STATUS CrashLoopBackOff" in listed


@pytest.mark.parametrize(
    "table",
    [
        TableBlock((), ()),
        TableBlock(("NAME",), ()),
        TableBlock((), (("a", "b"),)),
        TableBlock(("NAME",), (("a", "b", "c"), ())),
        TableBlock(("",), (("",),)),
    ],
)
def test_ragged_and_empty_tables_are_drawn(table: TableBlock) -> None:
    printed = drawn(Reply("result", "x", (table,)))
    assert all(cell in printed for row in table.rows for cell in row)


def test_a_transcript_line_and_a_note_are_cleaned_too() -> None:
    console = new_console(width=80, record=True, quiet=True)
    echo("bob", "\x1b[2Jlogs\u202e", console)
    note("\x07", console)
    assert console.export_text() == "\nbob › logs‹U+202E›\n␇\n"


def picture(folder: Path, *names: str) -> str:
    console = new_console(width=100, record=True, quiet=True)
    for name in names:
        render(CARDS[name], console, NUMBERS)
    save_svg(console, folder / "chat.svg")
    return (folder / "chat.svg").read_text(encoding="utf-8")


def test_the_picture_says_what_the_cards_say(tmp_path: Path) -> None:
    words = "".join(ET.fromstring(picture(tmp_path, *CARDS)).itertext()).replace("\u00a0", " ")
    for said in ("KubeChat", "checkout-7d9f8b6c5d-2xkqp", "[1] Approve", "<b>&amp;</b>"):
        assert said in words


def test_the_picture_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    svg = picture(tmp_path, "table", "proposal", "result")
    assert re.findall(r"\w+://[^\s\"'<]+|url\((?!#)", svg) == ["http://www.w3.org/2000/svg"]
