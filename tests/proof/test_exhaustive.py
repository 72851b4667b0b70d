"""Every order of completions, and every crash (exhaustive.py): the counts are those of docs/verification.md.

CI leaves out three cases that take minutes: `EVERY_ORDER=1 uv run pytest tests/proof/test_exhaustive.py` has them.
"""

import os
from math import factorial

import pytest

from tests.proof.exhaustive import CASES, Case, explore, row
from tour.runtime.frameworks import ROOT

ORDERS = {
    "3 tools of 2 steps": factorial(6) // 2**3,
    "3 tools of 3 steps": factorial(9) // 6**3,
    "4 tools of 2 steps": factorial(8) // 2**4,
    "3 branches of 2 steps": factorial(6) // 2**3,
    "2 tools, each a fan-out of 2 and a step": factorial(6) // 3**2,
}


MINUTE = ("a fan-out of 5", "3 tools of 3 steps", "4 tools of 2 steps")
"""Cases that take a processor about a minute each."""

TRIED = [case for case in CASES if "EVERY_ORDER" in os.environ or not case.title.startswith(MINUTE)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", TRIED, ids=lambda case: case.title)
def test_every_order_and_every_crash(case: Case) -> None:
    tried = explore(case)
    assert tried.orders == ORDERS.get(case.title, tried.orders)
    assert row(case.title, [tried]) in (ROOT / "docs/verification.md").read_text()
