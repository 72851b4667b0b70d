"""Tables whose headings and values are never cut, however narrow the terminal is."""

import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class FittedTable:
    """A table that fits the width at which it is printed. Its first column names the rows.

    The first sufficient measure is used: headings of several lines; narrow gaps; leaving out the columns in
    `expendable`, one by one; or several tables below each other, each of which begins with the first column.
    """

    headings: Sequence[str]
    """The headings, each unique."""
    rows: Sequence[Sequence[str | Text]]
    title: str = ""
    left: Collection[str] = ()
    """The headings of columns that are aligned left, like the first. The others hold figures."""
    expendable: Sequence[str] = ()
    """The headings of columns that a narrow terminal omits, the least important first."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for number in range(len(self.expendable) + 1):
            kept = [heading for heading in self.headings if heading not in self.expendable[:number]]
            if self._fits(kept, options.max_width):
                yield self._roomiest(kept, options.max_width)
                return
        first, *others = self.headings
        parts = [[first]]
        for heading in others:
            if len(parts[-1]) > 1 and not self._fits([*parts[-1], heading], options.max_width):
                parts.append([first])
            parts[-1].append(heading)
        for part in parts:
            yield self._roomiest(part, options.max_width)

    def _fits(self, headings: Sequence[str], width: int) -> bool:
        return _width(self._table(headings, gap=0, longest=1)) <= width

    def _roomiest(self, headings: Sequence[str], width: int) -> Table:
        for gap in (1, 0):
            for longest in range(max(map(len, headings)), 0, -1):
                table = self._table(headings, gap, longest)
                if _width(table) <= width:
                    return table
        return table

    def _table(self, headings: Sequence[str], gap: int, longest: int) -> Table:
        """These columns, with headings in lines of `longest` characters if their words and values allow it."""
        shown = Table(box=box.SIMPLE_HEAD, padding=(0, gap), collapse_padding=True, title_justify="left")
        if self.title and headings[1] == self.headings[1]:  # not repeated above a continuation
            shown.title = Text(self.title)
        columns = [[row[self.headings.index(heading)] for row in self.rows] for heading in headings]
        for heading, cells in zip(headings, columns, strict=True):
            in_cells = (line for cell in cells for line in str(cell).splitlines())
            line = max(longest, *map(cell_len, [*heading.split(), *in_cells, ""]))
            shown.add_column(
                Text(textwrap.fill(heading, line, break_on_hyphens=False)),
                justify="left" if heading in (self.headings[0], *self.left) else "right",
                vertical="bottom",
                overflow="fold",  # if not even one column fits beside the first
            )
        for row in zip(*columns, strict=True):
            shown.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
        return shown


def _width(table: Table) -> int:
    console = Console(width=10_000)
    return Measurement.get(console, console.options, table).maximum
