"""A `Reply` drawn in a terminal with Rich, and a conversation saved as a picture.

Nothing is cut: whatever a card asks approval for is on the screen to its last character. What bounds output is the engine.
No meaning is carried by colour alone: the kind and the verdict are words in the frame.
"""

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from rich.box import Box
from rich.cells import cell_len, chop_cells, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text as Styled

from adapters.text import clean, one_line, spans
from bot.types import Actions, Block, Code, Context, Fields, File, Header, Reply, ReplyKind, TableBlock, Text

_KINDS: Mapping[ReplyKind, tuple[str, str]] = {
    "result": ("✓ Done", "green"),
    "proposal": ("● Waits for a choice", "yellow"),
    "progress": ("… Working", "cyan"),
    "question": ("? Question", "blue"),
    "answer": ("KubeChat", "blue"),
    "refusal": ("✗ Refused", "red"),
    "denial": ("✗ Not allowed", "magenta"),
    "failure": ("! Failed", "red"),
}
_LEVELS = {"safe": "green", "warning": "yellow", "dangerous": "bold red", "forbidden": "bold red"}
_BUTTONS = {"plain": "bold", "primary": "bold green", "danger": "bold red"}
_DIFF = {"+": "green", "-": "red", "@": "cyan"}

# Open on the right, so that what is copied from the screen carries no frame.
_FRAME = Box("╭── \n│   \n│   \n│   \n│   \n│   \n│   \n╰── \n")
_EDGES = 4  # columns taken by the frame: a line and a space on the left, the same blank on the right
_PIPE_WIDTH = 120
_FOLD = 16  # columns that a folded cell keeps at least; below it a table reads worse than a list

# Rich's own template loads its typeface from the internet; a picture must look the same where there is none.
_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
  <style>
    .{unique_id}-matrix {{
      font: {char_height}px/{line_height}px "Fira Code", "DejaVu Sans Mono", Menlo, Consolas, monospace;
    }}
    .{unique_id}-title {{ font: bold 18px Arial, "DejaVu Sans", sans-serif; }}
    {styles}
  </style>
  <defs>
    <clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
    {lines}
  </defs>
  {chrome}
  <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix" xml:space="preserve">
      {matrix}
    </g>
  </g>
</svg>
"""


def new_console(*, width: int | None = None, record: bool = False, quiet: bool = False) -> Console:
    """A console that takes every text literally. `record` keeps what is printed for `save_svg`; `quiet` prints it nowhere else.

    `width` is in columns: the terminal's own unless given, 120 where the output is no terminal.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a Latin-1 terminal shows `?` for `✓` and carries on
    console = Console(
        file=io.StringIO() if quiet else None, width=width, record=record, markup=False, highlight=False, emoji=False
    )
    if width is None and not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


def render(
    reply: Reply,
    console: Console,
    numbers: Mapping[str, int] | None = None,
    *,
    updated: bool = False,
    whole_files: bool = False,
) -> None:
    """Print one reply as a card.

    `numbers` gives the number shown before each button, by button id. `updated` marks a card that takes an earlier one's place.
    Files are named with their size, or printed in full with `whole_files`.
    """
    marked = console.color_system is None and not console.record  # without colours the backticks stay
    parts: list[RenderableType] = [] if reply.blocks else [Styled(clean(reply.text))]
    for before, block in zip((None, *reply.blocks), reply.blocks, strict=False):
        if before is not None and not _close(before, block):
            parts.append("")
        parts.append(_block(block, console.width - _EDGES, numbers or {}, marked=marked))
    for file in reply.files:
        parts += ["", _file(file, whole=whole_files)]
    style = _KINDS[reply.kind][1]
    console.print(
        Panel(
            Group(*parts),
            box=_FRAME,
            title=_title(reply, updated=updated),
            title_align="left",
            subtitle="only you see this" if reply.private else None,
            subtitle_align="left",
            border_style=style,
        )
    )


def note(text: str, console: Console) -> None:
    """Print a line of the chat itself, which is not KubeChat speaking."""
    console.print(Styled(clean(text), style="dim"))


def echo(name: str, entry: str, console: Console) -> None:
    """Print what somebody entered, as a transcript shows it."""
    console.print()
    console.print(Styled.assemble((f"{name} › ", "bold"), clean(entry)))


def save_svg(console: Console, path: Path, *, title: str = "KubeChat") -> None:
    """Save what a recording console printed as an SVG picture."""
    # 0.6 is how wide the letters of these typefaces are, to their height.
    picture = console.export_svg(title=title, code_format=_SVG, font_aspect_ratio=0.6, unique_id="kubechat")
    path.write_text(picture, encoding="utf-8")


def _title(reply: Reply, *, updated: bool) -> Styled:
    name, style = _KINDS[reply.kind]
    title = Styled(f"↻ {name}" if updated else name, style=f"bold {style}")
    if reply.level:
        title.append(" · ", "dim").append(one_line(reply.level), _LEVELS.get(reply.level, ""))
    return title


def _close(before: Block, block: Block) -> bool:
    """Whether two blocks belong together so closely that no empty line parts them."""
    return isinstance(before, Header) or (isinstance(block, Context) and isinstance(before, TableBlock | Text))


def _block(block: Block, width: int, numbers: Mapping[str, int], *, marked: bool) -> RenderableType:
    match block:
        case Header(text):
            return Styled(one_line(text), style="bold")
        case Text(text):
            return _text(text, marked=marked)
        case Fields(pairs):
            return _fields(pairs)
        case Code(text, language):
            return Padding(_code(text, language), (0, 0, 0, 2))
        case TableBlock(columns, rows):
            return _table(columns, rows, width)
        case Context(text):
            return Styled(clean(text), style="dim")
        case Actions():
            return _actions(block, numbers, width)


def _text(text: str, *, marked: bool) -> Styled:
    styled = Styled()
    for look, run in spans(clean(text)):
        if look == "code":
            styled.append(f"`{run}`" if marked else run, "cyan")
        else:
            styled.append(run, "bold" if look == "bold" else "")
    return styled


def _fields(pairs: Sequence[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", overflow="fold", max_width=24)
    grid.add_column(overflow="fold")
    for label, value in pairs:
        grid.add_row(Styled(one_line(label)), Styled(clean(value)))
    return grid


def _code(text: str, language: str) -> Styled:
    lines = Styled(overflow="fold")
    for line in clean(text).strip("\n").split("\n"):
        lines.append(line + "\n", _DIFF.get(line[:1], "") if language == "diff" else "cyan")
    lines.right_crop(1)
    return lines


def _actions(actions: Actions, numbers: Mapping[str, int], width: int) -> Styled:
    choices = []
    for button in actions.buttons:
        number = numbers.get(button.id)
        label = one_line(button.label)
        choices.append(Styled(f"[{number}] {label}" if number else f"[{label}]", _BUTTONS[button.style]))
    return _flow(choices, "   ", width)


def _flow(pieces: Sequence[Styled], gap: str, width: int, *, indent: str = "") -> Styled:
    """The pieces in lines, none of them broken at a space within it."""
    flow = Styled(indent, overflow="fold")
    column = 0
    for piece in pieces:
        if column and column + len(gap) + piece.cell_len > width - len(indent):
            flow.append(f"\n{indent}")
            column = 0
        elif column:
            flow.append(gap)
            column += len(gap)
        flow.append(piece)
        column += piece.cell_len
    return flow


def _file(file: File, *, whole: bool) -> RenderableType:
    lines = file.text.count("\n") + (not file.text.endswith("\n"))
    name = Styled.assemble((one_line(file.name), "bold"), f", {lines:,} line{'s' if lines != 1 else ''}")
    if whole:
        return Group(name, Padding(_code(file.text, ""), (0, 0, 0, 2)))
    return name.append(f"   /save {one_line(file.name)}", "dim")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Styled:
    """Aligned columns; the widest fold where they must; a list of rows where folding would leave them unreadable.

    Drawn by hand: Rich's Table takes four seconds for 10,000 rows, this takes a tenth of it.
    """
    count = max((len(row) for row in rows), default=0)
    heads = [one_line(column) for column in columns] + [""] * (count - len(columns))
    cells = [[one_line(cell) for cell in row] + [""] * (len(heads) - len(row)) for row in rows]
    natural = [max(map(cell_len, column)) for column in zip(heads, *cells, strict=True)]
    gaps = 2 * (len(heads) - 1)
    least = [min(size, max(_FOLD, cell_len(head))) for size, head in zip(natural, heads, strict=True)]
    if len(heads) > 1 and sum(least) + gaps > width:
        return _as_list(heads, cells, width)
    sizes = _shrunk(natural, width - gaps)
    top = "\n".join(_folded(heads, sizes))
    lines = (line for row in cells for line in _folded(row, sizes))
    return Styled.assemble((top, "bold"), *(f"\n{line}" for line in lines), overflow="fold")


def _shrunk(sizes: Sequence[int], room: int) -> list[int]:
    """The sizes with the widest made narrower, evenly, until they fit the room."""
    low, high = 1, max(sizes, default=1)
    while low < high:  # the largest bound on one column at which all fit
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sum(min(size, middle) for size in sizes) <= room else (low, middle - 1)
    return [min(size, low) for size in sizes]


def _folded(row: Sequence[str], sizes: Sequence[int]) -> Iterator[str]:
    pieces = [chop_cells(cell, size) if cell_len(cell) > size else [cell] for cell, size in zip(row, sizes, strict=True)]
    for line in zip_longest(*pieces, fillvalue=""):
        yield "  ".join(set_cell_size(piece, size) for piece, size in zip(line, sizes, strict=True)).rstrip()


def _as_list(heads: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> Styled:
    lines = []
    for name, *rest in cells:
        facts = [Styled(f"{head} {cell}".strip()) for head, cell in zip(heads[1:], rest, strict=True) if cell]
        lines += [Styled(name, "bold"), _flow(facts, " · ", width, indent="  ")]
    return Styled("\n", overflow="fold").join(lines)
