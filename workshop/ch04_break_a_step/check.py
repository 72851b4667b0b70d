"""Is a step that fails retried alone, also while its siblings are in flight?"""

from lab.ledger import Fault
from shared.claims import sample_claims
from workshop.attempt import Attempt, Wrong, same_answer


async def check(attempt: Attempt) -> None:
    """`fraud` fails twice at once, while its siblings take 1 s; the ledger counts the starts. Raises: Wrong."""
    async with attempt.running() as running:
        running.plan(Fault("eligibility", "delay", 1), Fault("cost", "delay", 1), Fault("fraud", "fail", times=2))
        claim = sample_claims()["broken-leg"]
        seen = await running.ended(await running.send(claim.model_dump(mode="json")))
    running.draw("your agent", seen)

    seen.checks()
    for step in ("eligibility", "cost"):
        if seen.runs[step] > 1:
            raise Wrong(
                f"{step} did not fail, and yet it was started {seen.runs[step]} times: each time that fraud failed, "
                f"the {step} in flight was abandoned.",
                *seen.starts(step),
                *(f"journal: attempt failed in {f.step}: {f.message}" for f in seen.invocation.failures[:1]),
            )
    attempt.holds("eligibility and cost were started once, though fraud failed beside them")
    attempt.holds(f"fraud was started {seen.runs['fraud']} times, and is done:")
    for line in seen.starts("fraud"):
        attempt.say(f"    {line}")
    same_answer(attempt, seen)
