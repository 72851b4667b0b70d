"""What a day's run leaves to the night, by the marker `nightly`, and what it takes in turn, by the date.

`uv run pytest` leaves out what is marked; `-m nightly` runs it, and `-m ''` runs everything.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import TypeVar

import pytest

DAY = "TEST_DAY"
"""The variable with the day whose run it is, as 2026-11-28: one for all workers, even at midnight."""

T = TypeVar("T")


def today() -> int:
    """The number of the day."""
    return date.fromisoformat(os.environ.get(DAY) or date.today().isoformat()).toordinal()


def by_night(values: Iterable[object]) -> list[object]:
    """These values of a parameter, for the night alone."""
    return [pytest.param(value, marks=pytest.mark.nightly) for value in values]


def in_turn(values: Sequence[T], a_day: int, day: int) -> list[T]:
    """Those whose turn it is. The next day goes on behind the last of them, and after the end at the beginning."""
    return [values[(day * a_day + at) % len(values)] for at in range(min(a_day, len(values)))]


def leave_to_the_night(items: Iterable[pytest.Item], day: int) -> None:
    """Of the tests of a file that are marked `in_turn(a_day)`, mark those for the night whose turn it is not."""
    groups = defaultdict[tuple[Path, int], list[pytest.Item]](list)
    for item in items:
        if mark := item.get_closest_marker("in_turn"):
            groups[item.path, *mark.args].append(item)
    for (_, a_day), group in groups.items():
        for item in {*group} - {*in_turn(group, a_day, day)}:
            item.add_marker(pytest.mark.nightly)


def some(points: range) -> list[object]:
    """All these points of a journal, of which a day takes one, in turn."""
    chosen = points[today() % len(points)]
    return [chosen, *by_night(point for point in points if point != chosen)]


def selected(request: pytest.FixtureRequest, *names: str) -> set[tuple[object, ...]]:
    """The values of these parameters in the tests of a file that run: what its fixtures have to start or send."""
    run = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    return {tuple(call.params[name] for name in names) for call in run if call and {*names} <= {*call.params}}
