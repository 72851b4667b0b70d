"""Every order of completions, and every crash (exhaustive.py): the counts are those of docs/orders.json.

Five cases, which take minutes, are for the night: `uv run pytest tests/proof/test_exhaustive.py -m nightly`.
"""

import json
from collections.abc import Iterator
from math import factorial

import pytest

from tests.proof.exhaustive import CASES, COUNTS, Case, explore
from tests.proof.seeded import EXHAUSTIVE, FAULTS

pytestmark = pytest.mark.long

ORDERS = {
    "3 tools of 2 steps": factorial(6) // 2**3,
    "3 tools of 3 steps": factorial(9) // 6**3,
    "4 tools of 2 steps": factorial(8) // 2**4,
    "3 branches of 2 steps": factorial(6) // 2**3,
    "2 tools, each a fan-out of 2 and a step": factorial(6) // 3**2,
}


LONG = (
    "a fan-out of 4",
    "a fan-out of 5",
    "3 tools of 2 steps, one fails",
    "3 tools of 3 steps",
    "4 tools of 2 steps",
)
"""Cases that take ten seconds to a minute of CPU each."""

FINDERS = tuple(
    fault.tests.partition("[")[2].removesuffix("]") for fault in FAULTS if fault.tests.startswith(EXHAUSTIVE)
)
"""Cases that find a seeded fault."""


def cases() -> Iterator[object]:
    """All cases. A day takes those that find a seeded fault, and another one in turn."""
    for case in CASES:
        if case.title.startswith(LONG):
            yield pytest.param(case, marks=pytest.mark.nightly)
        else:
            yield case if case.title in FINDERS else pytest.param(case, marks=pytest.mark.in_turn(1))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.title)
def test_every_order_and_every_crash(case: Case) -> None:
    tried = explore(case)
    assert tried.orders == ORDERS.get(case.title, tried.orders)
    assert tried.counts() == json.loads(COUNTS.read_text())[case.title]
