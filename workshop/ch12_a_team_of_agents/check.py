"""After `kill -9` in the middle of the team's work: is every report kept, and paid for once?"""

import time
from collections.abc import Mapping

from lab.ledger import Fault
from offline_model.faults import digest
from shared.claims import InsuranceClaim, sample_claims
from shared.specialists import TEAM, Specialty, question
from tour.runtime.frameworks import SPECIALISTS
from workshop.attempt import PATIENCE, Attempt, Claim, Running, Wrong, same_answer, times

DELAYS: dict[tuple[Specialty, int], float] = {
    ("medical", 0): 1.2,
    ("cost", 0): 0.6,
    ("fraud", 0): 0.3,
    ("fraud", 1): PATIENCE,
}
"""The model's latency for these specialists and turns, in seconds: fraud is the first to check."""

ASKED, ANSWERED = 7, 6
"""Model calls asked and answered when only the last call of `fraud` is in flight: one of the claim agent, and two of
each specialist."""

STILL = 10.0
"""Seconds without a new journal entry after which the specialists count as hanging.

Two tasks that await Restate can hang: one takes the wake-up that the other needs. After the kill, their replay does not
match the journal, whether they hung or not.
"""


async def check(attempt: Attempt) -> None:
    """Kill the agent when all specialists but `fraud` have reported, and count the model calls. Raises: Wrong."""
    async with attempt.running(SPECIALISTS.service) as running:
        claim = sample_claims()["broken-leg"]
        running.plan(
            *(
                Fault("model", "delay", seconds, about=question(specialty, claim), turn=turn)
                for (specialty, turn), seconds in DELAYS.items()
            )
        )
        id = await running.send(claim.model_dump(mode="json"))
        all_are_asked = "a model call of each of the four agents"
        seen = await running.until(id, lambda _: sum(_model_calls(running, claim).values()) > 3, all_are_asked)
        _at_once(seen, _model_calls(running, claim))
        await running.until(id, _fraud_alone_is_left, "all reports but fraud's")
        running.plan()
        await running.kill()
        seen = await running.ended(id)
        calls = _model_calls(running, claim)

    for agent in ("claim agent", "medical", "cost"):
        if calls[agent] != 2:
            raise Wrong(f"{agent} needs two model calls, but made {calls[agent]}.", *seen.lines(), _paid(calls))
    attempt.holds("the specialists work at the same time, and the replay matched the journal")
    attempt.holds("medical and cost had reported: their model calls were paid for once")
    attempt.holds(f"fraud was in flight: its second call was made {times(calls['fraud'] - 1)}")
    attempt.say(f"    {_paid(calls)}")
    same_answer(attempt, seen)


def _fraud_alone_is_left(seen: Claim) -> bool:
    """Whether all specialists except `fraud` have reported, or never will."""
    calls = seen.invocation.model_calls
    newest = max(step.end or step.start for step in seen.invocation.steps) / 1000
    return (len(calls), sum(bool(call.end) for call in calls)) == (ASKED, ANSWERED) or time.time() - newest > STILL


def _at_once(seen: Claim, calls: Mapping[str, int]) -> None:
    """Raises: Wrong unless the three specialists make the first three model calls after the claim agent's."""
    if calls["fraud"] > 1 and not calls["medical"]:
        raise Wrong(
            "Every branch asks the fraud specialist: a lambda reads the loop's variable when it is called, and then "
            "the loop is over. `partial` keeps the value.",
            _paid(calls),
        )
    first, *others = seen.invocation.model_calls[1:4]
    for other in others:
        if first.end and other.start >= first.end:
            raise Wrong("The specialists work one after the other.", seen.line(first), seen.line(other))


def _model_calls(running: Running, claim: InsuranceClaim) -> dict[str, int]:
    """The number of model calls of each agent, from the ledger of the offline model."""
    prompts = {"claim agent": f"Claim: {claim.model_dump_json()}"}
    prompts.update((specialty, question(specialty, claim)) for specialty in TEAM)
    return {
        agent: sum(entry.event == "start" for entry in running.stack.lab.ledger(invocations=[digest(prompt)]))
        for agent, prompt in prompts.items()
    }


def _paid(calls: Mapping[str, int]) -> str:
    return f"model calls: {', '.join(f'{agent} {count}' for agent, count in calls.items())}"
