"""The cases of the suite in a day's run; the night runs all of them.

Each case of a function is a row of a table, and each framework a column. A day takes some of the table's cells, and the
next day others, so that in time each case meets each framework, on both servers.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeVar
from zlib import crc32

import pytest

from tests.conformance import grading
from tests.nightly import in_turn, movable

FRAMEWORKS_A_DAY = 3
"""How many of the seven run a function's cases, if these are fewer."""

T = TypeVar("T")


def leave_to_the_night(items: Iterable[pytest.Item], day: int) -> None:
    """Mark the items that this day leaves out.

    On the default server, every second case runs on a framework, and each function on three frameworks at least. On the
    replaying server, every third case runs on a framework. Of a `costly` function, our loop in Python runs all cases,
    and another framework runs one.
    """
    tables: dict[tuple[str, object], dict[str, list[pytest.Item]]] = defaultdict(lambda: defaultdict(list))
    for item in movable(items):
        params = item.callspec.params if hasattr(item, "callspec") else {}
        if "framework" in params and not item.get_closest_marker("nightly"):
            function, server = item.nodeid.partition("[")[0], params.get("running") or params.get("programs")
            tables[function, server][grading.case(item)].append(item)
    for (function, server), cases in tables.items():
        rows = [*cases.values()]
        if rows[0][0].get_closest_marker("costly"):
            taken = {*costly(rows, day)}
        elif server == "replaying":
            today = rows[(crc32(function.encode()) + day) % 3 :: 3]
            taken = {cell for number, row in enumerate(today) for cell in in_turn(row, 1, day // 3 + number)}
        else:
            taken = {*pairs(rows, day)}
        for item in {cell for row in rows for cell in row} - taken:
            item.add_marker(pytest.mark.nightly)


def pairs(rows: list[list[T]], day: int) -> list[T]:
    """A cell of every second row, and of three columns: along the diagonals, where neighbors differ in both."""
    height, width = len(rows), max(map(len, rows))
    period = math.lcm(height, width)
    places = [(at % height, (at + at // period) % width) for at in range(height * width)]
    cells = [rows[row][column] for row, column in places if column < len(rows[row])]
    return in_turn(cells, max(math.ceil(height / 2), FRAMEWORKS_A_DAY), day)


def costly(rows: list[list[pytest.Item]], day: int) -> Iterator[pytest.Item]:
    """The column of our loop, and a cell of the others."""
    others = []
    for row in rows:
        ours = [cell for cell in row if cell.callspec.params["framework"].name == "restate_loop"]  # type: ignore[attr-defined]
        yield from ours
        others += [cell for cell in row if cell not in ours]
    yield from in_turn(others, 1, day)
