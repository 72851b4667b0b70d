"""After `kill -9` before and after a person's decision: is the person asked once, and the decision kept?"""

import asyncio

from lab.bank import Bank
from lab.ledger import Fault
from shared.claims import sample_claims
from tour.runtime import journal
from tour.runtime.frameworks import APPROVAL
from workshop.attempt import PATIENCE, Attempt, Claim, Running, Wrong, times

REFUSED = "no referral by a doctor"


async def check(attempt: Attempt) -> None:
    """Kill the agent while the claim waits, and again while the refused claim's money is released. Raises: Wrong."""
    async with attempt.running(APPROVAL.service) as running:
        running.plan(Fault("cost", "delay", 1), Fault("release", "delay", 10))
        claim = sample_claims()["triple-and-round"]
        prompt = f"Claim: {claim.model_dump_json()}"
        id = await running.send(claim.model_dump(mode="json"))
        await running.until(id, lambda seen: seen.runs["cost"] == 1, "a start of the checks", prompt)
        request = await _request(running, id)
        asked = await running.until(request, _is_asked, "the message to the person")
        _beside_the_checks(await running.look(id), asked)
        await running.kill()

        await _decided(running, id, asked)
        event = "the release of the money after the decision"
        await running.until(request, lambda seen: seen.runs["release"] == 1, event)
        running.plan()
        await running.kill()
        await _kept(running, request)
        seen = await running.ended(id, prompt)
        asked = await running.look(request)
        again = await _decide(running, id, approved=True, reason="paid after all")
        money = Bank(running.stack.folder / "funds.sqlite").all().get(id, "not reserved")
    if REFUSED not in seen.answer:
        raise Wrong(f"The answer does not cite the person's reason: {seen.answer}", *seen.lines())
    for step in ("ask", "reserve"):
        if asked.runs[step] != 1:
            raise Wrong(f"{step} was started {times(asked.runs[step])}.", *asked.lines(), *asked.starts(step))
    attempt.holds("the person was asked once, while the checks ran; the money was reserved once")
    if money != "released":
        raise Wrong(f"The claim is refused, but its money is {money}.", *asked.lines())
    attempt.holds(f"the decision outlived the process: the money is released ({times(asked.runs['release'])} started)")
    for line in asked.lines():
        attempt.say(f"    {line}")
    if not again.invocation.error:
        raise Wrong(f"A later decision is accepted, too: {again.answer}")
    attempt.holds(f"another decision is refused: {again.answer}")
    attempt.holds(f"the answer: {seen.answer}")


async def _request(running: Running, claim: str) -> str:
    """The invocation of the request that waits for a person, once it exists. Raises: Wrong."""
    for _ in range(int(PATIENCE / 0.05)):
        rows = await journal.query(
            running.stack.admin,
            "SELECT id FROM sys_invocation WHERE target_service_name LIKE '%ClaimApproval'"
            f" AND target_service_key = '{claim}' AND target_handler_name <> 'decide'",
        )
        if rows:
            return str(rows[0]["id"])
        await asyncio.sleep(0.05)
    raise Wrong("Nobody is asked: ClaimApproval has no request under the id of the claim's invocation.")


def _is_asked(seen: Claim) -> bool:
    return any(step.name == "ask" and step.end for step in seen.invocation.steps)


def _beside_the_checks(claim: Claim, asked: Claim) -> None:
    """Raises: Wrong if the person is asked only after the checks."""
    cost = next((step for step in claim.invocation.steps if step.name == "cost"), None)
    if cost and cost.end and asked.invocation.created >= cost.end:
        raise Wrong("The person is asked only when the checks are done.", *claim.lines(), *asked.lines())


async def _decide(running: Running, claim: str, approved: bool, reason: str) -> Claim:
    """Decide as a person; returns the outcome of the handler `decide`. Raises: Wrong if the handler's code fails."""
    service = f"{running.agent.framework.prefix(running.stack.pattern)}.ClaimApproval"
    decision = {"approved": approved, "reason": reason}
    response = await running.stack.ingress.post(f"/restate/send/{service}/{claim}/decide", json=decision)
    return await running.ended(response.json()["invocationId"])


async def _decided(running: Running, claim: str, asked: Claim) -> None:
    """Refuse the claim as a person. Raises: Wrong if the restarted process knows no request."""
    try:
        decided = await _decide(running, claim, approved=False, reason=REFUSED)
    except Wrong as wrong:
        if "KeyError" not in wrong.problem:
            raise
        problem = "The person who was asked cannot decide: the request was in the memory of the process."
        raise Wrong(problem, *asked.lines(), *wrong.shown) from None
    if decided.invocation.error:
        raise Wrong(f"The decision is refused: {decided.answer}", *asked.lines())


async def _kept(running: Running, request: str) -> None:
    """Wait until the money is released again. Raises: Wrong if the request waits for another decision."""
    try:
        await running.until(request, lambda seen: seen.runs["release"] > 1, "another attempt to release the money")
    except Wrong as wrong:
        problem = "The person has refused the claim, but after the kill nobody knows: the decision was in memory."
        raise Wrong(problem, *wrong.shown) from None
