"""After `kill -9`: does one claim leave one entry, and are finished steps kept?"""

from lab.ledger import Fault
from shared.claims import sample_claims
from workshop.attempt import Attempt, Claim, Wrong, same_answer, times
from workshop.registry import entries


async def check(attempt: Attempt) -> None:
    """Kill the agent after the work of `registry`, and again while `cost` runs. Raises: Wrong."""
    async with attempt.running() as running:
        running.plan(Fault("registry", "crash-after"), Fault("cost", "delay", 1), Fault("fraud", "delay", 1))
        claim = sample_claims()["broken-leg"]
        prompt = f"Claim: {claim.model_dump_json()}"
        id = await running.send(claim.model_dump(mode="json"))
        await running.until_killed(id)
        await running.until(id, _eligibility_is_done, "a result of eligibility while cost runs", prompt)
        running.plan()
        await running.kill()
        seen = await running.ended(id, prompt)
        entered = [f"registry: {number} {reason}" for number, reason in entries(running.stack.folder / "lab.sqlite")]
    running.draw("your agent", seen)

    if len(entered) > 1:
        step = next((step for step in seen.invocation.steps if step.name == "registry"), None)
        raise Wrong(
            f"One claim has {len(entered)} numbers in the registry: "
            + ("each attempt of the step used a new one." if step else "each attempt entered it again."),
            *entered,
            seen.line(step) if step else 'journal: no step "registry"',
        )
    if not any(step.name == "registry" for step in seen.invocation.steps):
        raise Wrong(
            f"The registry was called {times(seen.runs['registry'])}, once per attempt: only the number is the same.",
            *seen.starts("registry"),
            'journal: no step "registry"',
        )
    if not entered:
        raise Wrong("The claim is not in the registry.", *seen.lines())
    if entered[0].split()[1] not in seen.answer:
        raise Wrong("The number in the answer is not the number in the registry.", *entered, seen.answer)
    attempt.holds(f"one claim, one entry, although `enter` was started {times(seen.runs['registry'])}")
    for done in ("model 0", "eligibility"):
        if seen.runs[done] != 1:
            raise Wrong(f"{done} had finished before the kill, but ran again.", *seen.lines(), *seen.starts(done))
    attempt.holds("the first model call and eligibility had finished: each was started once")
    attempt.holds("cost and fraud were in flight: each was started twice")
    for line in seen.starts("cost"):
        attempt.say(f"    {line}")
    same_answer(attempt, seen)


def _eligibility_is_done(seen: Claim) -> bool:
    done = [step.name for step in seen.invocation.steps if step.end]
    return "eligibility" in done and seen.runs["cost"] == 1 and "cost" not in done
