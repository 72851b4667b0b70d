"""Consecutive days run all tests that are taken in turn."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import nightly
from tests.conformance import turns


class Item:
    """The part of a `pytest.Item` that `nightly` needs."""

    nodeid = ""

    def __init__(self, *marks: pytest.MarkDecorator) -> None:
        self.path = Path(__file__)
        self.marks = {each.name: each.mark for each in marks}

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return self.marks.get(name)

    def add_marker(self, each: pytest.MarkDecorator) -> None:
        self.marks[each.name] = each.mark


def days(count: int, *marks: pytest.MarkDecorator) -> Iterator[set[int]]:
    """The numbers of the tests with these marks, for each of three days."""
    for day in (1000, 1001, 1002):
        tests: list[Any] = [Item(*marks) for _ in range(count)]
        nightly.leave_to_the_night(tests, day)
        yield {number for number, test in enumerate(tests) if "nightly" not in test.marks}


def test_days_in_a_row_take_all() -> None:
    taken = [*days(5, pytest.mark.in_turn(2))]
    assert [len(day) for day in taken] == [2, 2, 2]
    assert set.union(*taken) == {0, 1, 2, 3, 4}
    assert [*days(2, pytest.mark.in_turn(2))] == [{0, 1}] * 3


def test_each_day_takes_the_others() -> None:
    assert [*days(5)] == [{0, 1, 2, 3, 4}] * 3


@pytest.mark.parametrize("height", range(1, 13))
@pytest.mark.parametrize("width", [5, 7])  # the frameworks in Python; all
def test_each_day_takes_half_of_the_cases_on_three_frameworks(height: int, width: int) -> None:
    rows = [[(row, column) for column in range(width)] for row in range(height)]
    taken = [{*turns.pairs(rows, day)} for day in range(1000, 1000 + 2 * width)]
    for day, next_day in itertools.pairwise(taken):
        assert {row for row, _ in day | next_day} == {*range(height)}
        assert len({column for _, column in day}) >= turns.FRAMEWORKS_A_DAY
    assert set.union(*taken) == {cell for row in rows for cell in row}
