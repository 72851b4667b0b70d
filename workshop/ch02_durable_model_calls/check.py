"""Is the model's answer kept when the process is killed?"""

from lab.ledger import Fault
from shared.claims import sample_claims
from workshop.attempt import Attempt, Wrong, same_answer, times


async def check(attempt: Attempt) -> None:
    """Kill the process while `eligibility` runs, after the model's first answer. Raises: Wrong."""
    async with attempt.running() as running:
        running.plan(Fault("eligibility", "delay", 1))
        claim = sample_claims()["broken-leg"]
        prompt = f"Claim: {claim.model_dump_json()}"
        id = await running.send(claim.model_dump(mode="json"))
        await running.until(id, lambda seen: seen.runs["eligibility"] == 1, "a start of eligibility", prompt)
        running.plan()
        await running.kill()
        seen = await running.ended(id, prompt)
    running.draw("your agent", seen)

    if len(seen.invocation.model_calls) < 2:
        raise Wrong(
            f"The first model call was made {times(seen.runs['model 0'])}: no model call is in the journal.",
            *seen.lines(),
            *seen.starts("model"),
        )
    if seen.runs["model 0"] > 1:
        raise Wrong("The first model call was answered, but made again.", *seen.lines(), *seen.starts("model"))
    attempt.holds("each model call was made once, although the process was killed between them")
    for step in seen.invocation.model_calls:
        attempt.say(f"    {seen.line(step)}")
    attempt.holds(f"the checks are not in the journal yet: eligibility ran {times(seen.runs['eligibility'])}")
    same_answer(attempt, seen)
