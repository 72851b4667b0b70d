"""The faults of seeded.py can still be placed, and CI finds one of them.

`uv run python -m tests.proof.faults` finds all of them, which takes minutes.
"""

import pytest

from tests.proof.faults import find
from tests.proof.seeded import FAULTS, Fault
from tour.runtime.frameworks import ROOT


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.title)
def test_it_can_be_placed(fault: Fault) -> None:
    assert (ROOT / fault.file).read_text().count(fault.old) == 1


def test_a_plain_gather_is_found() -> None:
    assert find(FAULTS[0])
