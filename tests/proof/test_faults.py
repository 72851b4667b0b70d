"""The faults of faults.py can still be placed, the page lists them all, and CI finds one of them.

`uv run python -m tests.proof.faults` finds all of them, which takes minutes.
"""

import pytest

from tests.proof.faults import PAGE, find
from tests.proof.seeded import FAULTS, Fault
from tour.runtime.frameworks import ROOT


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.title)
def test_it_can_be_placed_and_is_on_the_page(fault: Fault) -> None:
    assert (ROOT / fault.file).read_text().count(fault.old) == 1
    assert f"| {fault.title} | `{fault.file}` | [" in PAGE.read_text()


def test_a_plain_gather_is_found() -> None:
    assert find(FAULTS[0])
