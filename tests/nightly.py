"""What a day's run leaves to the night, by the marker `nightly`, and what it takes in turn, by the date.

`uv run pytest` leaves out what is marked; `-m nightly` runs it, and `-m ''` runs everything.
"""

import os
from collections.abc import Iterable, Sequence
from datetime import date
from typing import TypeVar

import pytest

DAY = "TEST_DAY"
"""The variable with the day whose run it is, as 2026-11-28: one for all workers, even at midnight."""

AT_A_TIME = 2
"""How many of the columns of a row, or points of a journal, a day takes."""

T = TypeVar("T")


def today() -> int:
    """The number of the day."""
    return date.fromisoformat(os.environ.get(DAY) or date.today().isoformat()).toordinal()


def by_night(values: Iterable[object]) -> list[object]:
    """These values of a parameter, for the night alone."""
    return [pytest.param(value, marks=pytest.mark.nightly) for value in values]


def in_turn(columns: Sequence[T], turn: int) -> list[T]:
    """Those whose turn it is. The next turn goes on behind the last of them, and after the end at the beginning."""
    return [columns[(turn * AT_A_TIME + at) % len(columns)] for at in range(min(AT_A_TIME, len(columns)))]


def some(points: range) -> list[object]:
    """All these points of a journal. A day takes two of them, and the next day the two behind them."""
    step = -(-len(points) // AT_A_TIME)
    chosen = points[today() % step :: step]
    return [*chosen, *by_night(point for point in points if point not in chosen)]


def selected(request: pytest.FixtureRequest, *names: str) -> set[tuple[object, ...]]:
    """The values of these parameters in the tests of a file that run: what its fixtures have to start or send."""
    run = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    return {tuple(call.params[name] for name in names) for call in run if call and {*names} <= {*call.params}}
