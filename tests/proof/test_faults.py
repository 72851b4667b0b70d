"""The faults of faults.py can still be placed; those that the simulation finds are found, and the page lists them all."""

import pytest

from tests.proof.faults import FAULTS, PAGE, Fault, find
from tour.runtime.frameworks import ROOT


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.title)
def test_it_can_be_placed_and_is_on_the_page(fault: Fault) -> None:
    assert (ROOT / fault.file).read_text().count(fault.old) == 1
    assert f"| {fault.title} | `{fault.file}` | [" in PAGE.read_text()


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.simulated], ids=lambda fault: fault.title)
def test_the_simulation_finds_it(fault: Fault) -> None:
    assert find(fault)
