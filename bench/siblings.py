"""A step that fails beside a slow one: does the slow one run again?"""

import time

from pydantic import BaseModel

from bench.crashes import DELAY, SLOW, Contender, a_claim, in_time
from lab.ledger import Fault, Lab
from shared.claims import InsuranceClaim
from tour.runtime.errors import TourError

FAILING = "cost"
"""The check that fails once, at once, while `SLOW` takes `DELAY` seconds."""

SENDS = 2
"""How often a caller sends the claim, if it gets an error."""


class Siblings(BaseModel):
    """What a contender did when a step failed beside a slow one."""

    name: str
    title: str
    sends: int
    """How often the caller sent the claim."""
    runs: int
    """How often the slow step was begun."""
    answered: float | None
    """Seconds from the first request until the answer; None without an answer."""


async def beside_a_failure(contender: Contender, lab: Lab) -> Siblings:
    """Send a claim one of whose checks fails once beside a slow one. Raises: TourError when nothing comes in time."""
    id, claim = a_claim()
    faults = Fault(FAILING, "fail", framework=contender.name, about=id), Fault(SLOW, "delay", DELAY, about=id)
    lab.plan(*faults)
    began, clock = time.time(), time.perf_counter()
    answered, sends = None, 0
    while answered is None and sends < SENDS:
        sends += 1
        if await in_time(contender, _decided(contender, id, claim)):
            answered = time.perf_counter() - clock
    runs = [entry for entry in lab.ledger(contender.name) if entry.at >= began]
    return Siblings(
        name=contender.name,
        title=contender.title,
        sends=sends,
        runs=sum((entry.step, entry.event) == (SLOW, "start") for entry in runs),
        answered=answered,
    )


async def _decided(contender: Contender, id: str, claim: InsuranceClaim) -> bool:
    try:
        return (await contender.send(id, claim)).startswith("Approved:")
    except TourError:  # a peer's error is its answer here
        return False
