"""Do the three checks overlap?"""

from itertools import pairwise

from lab.ledger import Fault
from shared.claims import sample_claims
from tour.runtime.stack import CHECKS
from workshop.attempt import Attempt, Wrong, same_answer


async def check(attempt: Attempt) -> None:
    """Each check takes 0.5 s; the journal has the start and the end of each. Raises: Wrong."""
    async with attempt.running() as running:
        running.plan(*(Fault(check, "delay", 0.5) for check in CHECKS))
        claim = sample_claims()["broken-leg"]
        seen = await running.ended(await running.send(claim.model_dump(mode="json")))
    running.draw("your agent", seen)

    steps = seen.checks()
    for before, after in pairwise(steps):
        if before.end and after.start >= before.end:
            raise Wrong(
                f"{after.name} starts only after {before.name} has ended: the checks run one after the other.",
                seen.line(before),
                seen.line(after, f"starts {after.start - before.end:.0f} ms after the end of {before.name}"),
            )
    if seen.at_once(*CHECKS) < len(CHECKS):
        raise Wrong(
            "The steps are created together, but the work of a step starts when it is awaited, and here they are "
            "awaited one after the other.",
            *(line for step in CHECKS for line in seen.starts(step)),
        )
    attempt.holds(f"the checks overlap: together they take {seen.invocation.span / 1000:.2f} s, not 1.5 s")
    for step in steps:
        attempt.say(f"    {seen.line(step)}")
    same_answer(attempt, seen)
