"""Is a failed step retried alone, even while its siblings are in flight?"""

from lab.ledger import Fault
from shared.claims import sample_claims
from workshop.attempt import Attempt, Claim, Wrong, same_answer, times

SLIPS = {
    "'function' and 'list'": "invocation_context_managers takes a list: put hold_failures in brackets.",
    "AsyncContextDecorator": "Restate itself calls hold_failures, for each invocation: write it without parentheses.",
    "expected a string": "The second argument of a service is its description: write invocation_context_managers=[…].",
}
"""A part of the message that each slip in the service's line causes, and the explanation for the learner."""


async def check(attempt: Attempt) -> None:
    """`fraud` fails at once, twice, while its siblings take 1 s; the ledger counts the starts. Raises: Wrong."""
    try:
        seen = await _decided(attempt)
    except Wrong as wrong:
        found = next((slip for said, slip in SLIPS.items() if said in wrong.problem), None)
        if found is None:
            raise
        raise Wrong(found, wrong.problem.strip().splitlines()[-1][:200]) from None
    seen.checks()
    for step in ("eligibility", "cost"):
        if seen.runs[step] > 1:
            raise Wrong(
                f"{step} did not fail, but it was started {times(seen.runs[step])}: when fraud failed, the {step} in "
                "flight was abandoned.",
                *seen.starts(step),
                *(f"journal: attempt failed in {f.step}: {f.message}" for f in seen.invocation.failures[:1]),
            )
    attempt.holds("eligibility and cost were started once each, although fraud failed while they were in flight")
    attempt.holds(f"only fraud was retried; it was started {times(seen.runs['fraud'])}:")
    for line in seen.starts("fraud"):
        attempt.say(f"    {line}")
    same_answer(attempt, seen)


async def _decided(attempt: Attempt) -> Claim:
    async with attempt.running() as running:
        running.plan(Fault("eligibility", "delay", 1), Fault("cost", "delay", 1), Fault("fraud", "fail", times=2))
        claim = sample_claims()["broken-leg"]
        seen = await running.ended(await running.send(claim.model_dump(mode="json")))
    running.draw("your agent", seen)
    return seen
