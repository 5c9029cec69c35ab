"""Tables of the terminal, in which no figure is ever cut.

A terminal is often narrower than a table. Columns are then left out, the least important first, and
named below it; where not even the most important ones fit, every row becomes a block of lines. A
pipe or a file has no width and gets all columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from paretocast.cli.console import stdout_console
from paretocast.formatting import MISSING, fixed, same_decimals, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    Cell = str | int | float | Text | None

MOST_LINES = 3  # that words are wrapped to before columns are left out
WIDER = "a wider terminal or | less -S shows all"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    rank : int
        Columns of the highest rank are left out first, of equal ones the last; those of rank 0
        stay.
    decimals : int or None
        Of its figures; None for as many as give the largest four significant digits.
    digits : int
        Significant digits of the largest figure in place of four.
    left : bool
        Words, aligned left. They stay on one line unless they are `wrapped`.
    wrapped : bool
        Words that may go on in the next line, to about three lines; one column of a table at most.
    """

    name: str
    rank: int = 0
    decimals: int | None = None
    digits: int = 4
    left: bool = False
    wrapped: bool = False

    def format(self, cells: Sequence[Cell]) -> list[Text]:
        """Return cells as text; floats among them share their decimals, text is kept."""
        figures = [cell for cell in cells if isinstance(cell, float)]
        if self.decimals is None:
            written = same_decimals(figures, self.digits)
        else:
            written = [fixed(figure, self.decimals) for figure in figures]
        numbers = iter(written)
        return [self._text(next(numbers) if isinstance(cell, float) else cell) for cell in cells]

    @staticmethod
    def _text(cell: str | int | Text | None) -> Text:
        if isinstance(cell, Text):
            return cell
        return Text(MISSING if cell is None else visible(str(cell)))


@dataclass
class TerminalTable:
    """Rows of text and figures, drawn as wide as the terminal allows.

    Parameters
    ----------
    columns : tuple of Column
        The first one names the rows.
    title : str
        Printed above.
    all_with : str
        How to see columns that are left out.
    """

    columns: tuple[Column, ...]
    title: str = ""
    all_with: str = WIDER
    header: bool = True
    _rows: list[tuple[Sequence[Cell], str]] = field(default_factory=list)
    _sections: set[int] = field(default_factory=set)

    def add(self, *cells: Cell, style: str | None = None) -> None:
        """Add a row: text as it is, figures as floats, None for a dash."""
        if len(cells) != len(self.columns):
            raise ValueError(f"a row of {len(cells)} cells, expected {len(self.columns)}")
        self._rows.append((cells, style or ""))

    def add_section(self) -> None:
        """Set what follows apart from the rows so far."""
        self._sections.add(len(self._rows) - 1)

    def print(self) -> None:
        """Print the table to stdout."""
        console = stdout_console()
        cells = [
            column.format([row[i] for row, _ in self._rows])
            for i, column in enumerate(self.columns)
        ]
        if self.title:
            console.print(Text(self.title, style="italic"))
        shown = list(range(len(self.columns)))
        while not _fits(table := self._draw(cells, shown), console):
            least = max(shown, key=lambda i: (self.columns[i].rank, i))
            if self.columns[least].rank == 0:
                self._print_blocks(cells, console)
                return
            shown.remove(least)
        console.print(table)
        if left_out := [c.name for i, c in enumerate(self.columns) if i not in shown]:
            console.print(
                Text(
                    f"not shown for lack of width: {', '.join(left_out)}; {self.all_with}",
                    style="dim",
                )
            )

    def _draw(self, cells: Sequence[Sequence[Text]], shown: Sequence[int]) -> Table:
        """Return a table of some columns, each as wide as what may not be broken in it."""
        table = Table(box=box.SIMPLE_HEAD if self.header else box.SIMPLE, show_header=self.header)
        for i in shown:
            column = self.columns[i]
            widest = max(cell_len(text.plain) for text in (Text(column.name), *cells[i]))
            table.add_column(
                Text(column.name),
                justify="left" if column.left or column.wrapped else "right",
                no_wrap=not column.wrapped,
                min_width=-(-widest // MOST_LINES) if column.wrapped else widest,
            )
        for j, (_, style) in enumerate(self._rows):
            table.add_row(
                *(cells[i][j] for i in shown), style=style, end_section=j in self._sections
            )
        return table

    def _print_blocks(self, cells: Sequence[Sequence[Text]], console: Console) -> None:
        """Print a block for each row: its first cell, then a line for each other column."""
        for j, (_, style) in enumerate(self._rows):
            name = self.columns[0].name if self.header else ""
            head = Text(f"{name}: ") if name else Text()
            console.print(head.append_text(cells[0][j]), style=style or "bold")
            for column, texts in zip(self.columns[1:], cells[1:], strict=True):
                if texts[j].plain:
                    label = f"  {column.name}: " if column.name else "  "
                    console.print(Text(label).append_text(texts[j]), style=style, highlight=False)


def _fits(table: Table, console: Console) -> bool:
    """Return whether a terminal has room for all that may not be broken."""
    unbounded = console.options.update_width(10 * console.width + 10_000)
    return Measurement.get(console, unbounded, table).minimum <= console.width
