"""Tables on standard output that can be read at any width of the terminal, and in a file."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_LEAST = 12
"""Columns of the terminal below which a folded cell cannot be read well."""


def output_console() -> Console:
    """Return the console of standard output: as wide as the terminal; a file has no edge."""
    console = Console(highlight=False)
    if not console.file.isatty():
        console.width = 10_000
    return console


def print_table(
    console: Console,
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    left: int = 1,
    folds: bool = True,
) -> None:
    """Print a table, or the lines `heading: cell` of each row where the console is too narrow.

    An empty line ends either. Only the cells of the first column may be folded, and headings
    between their words.

    Args:
        console: where to print.
        rows: the cells, the headings first; text that can be printed, nothing in it is markup.
        title: a line above the table.
        left: number of the first columns that are aligned on the left; the others, which hold
            numbers, are on the right.
        folds: whether the cells of the first column may be folded, as paths are.
    """
    if title:
        console.print(Text(title, style="italic"), soft_wrap=True)
    columns = list(zip(*rows, strict=True))
    gaps = len(columns) - 1
    widths = [max(map(cell_len, column)) for column in columns]
    gap = 2
    if sum(widths) + 2 * gaps > console.width:
        gap = 1
        least = [max(_longest_word(column[0]), *map(cell_len, column[1:])) for column in columns]
        room = console.width - gaps - sum(least[1:])
        if room < (min(widths[0], _LEAST) if folds else widths[0]):
            _print_blocks(console, rows)
            return
        widths = [min(widths[0], room), *least[1:]]
    # One column of each gap is the border.
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0))
    for number, (heading, width) in enumerate(zip(rows[0], widths, strict=True)):
        table.add_column(
            Text(heading),
            width=width,
            justify="left" if number < left else "right",
            overflow="fold",
        )
    for row in rows[1:]:
        table.add_row(*(Text(cell, no_wrap=number > 0) for number, cell in enumerate(row)))
    console.print(table)
    console.print()


def _longest_word(text: str) -> int:
    """Return how many columns of the terminal the longest word takes."""
    return max(map(cell_len, text.split()), default=0)


def _print_blocks(console: Console, rows: Sequence[Sequence[str]]) -> None:
    """Print the cells of each row below each other, by their headings."""
    headings, *others = rows
    for row in others:
        lines = [f"{heading}: {cell}" for heading, cell in zip(headings, row, strict=True)]
        console.print(Text("\n".join((*lines, ""))), soft_wrap=True)
