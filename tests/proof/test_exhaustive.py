"""Every order of completions, and every crash (exhaustive.py): the counts are those of docs/orders.json.

Three cases, which take minutes, are for the night: `uv run pytest tests/proof/test_exhaustive.py -m nightly`.
"""

import json
from math import factorial

import pytest

from tests.nightly import by_night
from tests.proof.exhaustive import CASES, COUNTS, Case, explore

ORDERS = {
    "3 tools of 2 steps": factorial(6) // 2**3,
    "3 tools of 3 steps": factorial(9) // 6**3,
    "4 tools of 2 steps": factorial(8) // 2**4,
    "3 branches of 2 steps": factorial(6) // 2**3,
    "2 tools, each a fan-out of 2 and a step": factorial(6) // 3**2,
}


MINUTE = ("a fan-out of 5", "3 tools of 3 steps", "4 tools of 2 steps")
"""Cases that take a processor about a minute each."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "case",
    [
        *(case for case in CASES if not case.title.startswith(MINUTE)),
        *by_night(case for case in CASES if case.title.startswith(MINUTE)),
    ],
    ids=lambda case: case.title,
)
def test_every_order_and_every_crash(case: Case) -> None:
    tried = explore(case)
    assert tried.orders == ORDERS.get(case.title, tried.orders)
    assert tried.counts() == json.loads(COUNTS.read_text())[case.title]
