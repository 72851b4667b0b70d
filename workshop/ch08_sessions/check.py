"""Are a user's claims decided in order, users kept apart, and sessions kept after `kill -9`?"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lab.ledger import Fault
from shared.claims import sample_claims
from tour.runtime import journal
from tour.runtime.frameworks import FRAMEWORKS
from tour.runtime.stack import CHECKS
from workshop.attempt import Attempt, Claim, Running, Wrong, same_answer

ADK = next(framework for framework in FRAMEWORKS if framework.name == "google_adk")


async def check(attempt: Attempt) -> None:
    """Anna and Berta send two claims each at once; after a kill, Anna sends more. Raises: Wrong."""
    async with attempt.running(framework=ADK) as running:
        if await running.kind() == "Service":  # the address of a Service has no key
            running.agent.framework = replace(running.agent.framework, keyed=False)
        running.plan(*(Fault(check, "delay", 0.3) for check in CHECKS))
        seen = await _ended(running, "anna 1", "anna 2", "berta 1", "berta 2")
        in_order = {name: claim for name, claim in seen.items() if name != "berta 2"}
        running.draw_all(in_order)
        _in_order(attempt, in_order)
        _is_claim(2, "berta 2", seen, "The agent takes anna and berta for one user: it counts their claims together.")
        _is_claim(2, "anna 2", seen, "anna 2 came after anna 1 in the same session, but does not see it.")
        attempt.holds("anna 2 is claim 2 of anna's session, and berta 2 of berta's")

        running.plan()
        await running.kill()
        seen |= await _ended(running, "anna 3", "anna 4")
        session = await _session(running, "anna")
        kept = f"state of anna: {_outline(session)}"
        _is_claim(3, "anna 3", seen, "anna's session ended with the process.", kept)
        _is_claim(1, "anna 4", seen, "anna 4 belongs to another session, but sees the claims of the first.")
        if not session:
            raise Wrong("anna's session was kept, but not by Restate.", kept)
        if session["user_id"] != "anna":
            raise Wrong("The user that ADK was given is not the key of the object.", kept)
        attempt.holds("anna 3 is claim 3 of the session, although the process was killed before it")
        attempt.say(f"    {kept}")
        attempt.holds("anna 4 belongs to another session, and is claim 1 there")
    same_answer(attempt, seen["anna 3"])


def _in_order(attempt: Attempt, seen: Mapping[str, Claim]) -> None:
    """Check that anna's second claim waits for her first, and berta's for neither. Raises: Wrong."""
    came = seen["anna 1"].invocation.created
    starts = {name: _start(claim) - came for name, claim in seen.items()}
    ends = {name: (claim.invocation.completed or 0) - came for name, claim in seen.items()}
    lines = {name: f"journal: {name:<8} {starts[name] / 1000:.2f} s → {ends[name] / 1000:.2f} s" for name in seen}
    if starts["anna 2"] < ends["anna 1"]:
        raise Wrong(
            "anna 2 starts before anna 1 is decided: nothing tells Restate that they belong together.",
            lines["anna 1"],
            f"{lines['anna 2']}   ← starts {(ends['anna 1'] - starts['anna 2']) / 1000:.2f} s too early",
            f"the answer to anna 2: {seen['anna 2'].answer}   ← it does not see anna 1",
        )
    if starts["berta 1"] >= ends["anna 1"]:
        raise Wrong("berta waits for anna.", lines["anna 1"], lines["berta 1"])
    attempt.holds("anna 2 starts when anna 1 is decided, and berta waits for neither")
    for line in lines.values():
        attempt.say(f"    {line}")


def _start(claim: Claim) -> float:
    """The start of the claim's first step. Raises: Wrong if it has no step."""
    if not claim.invocation.steps:
        raise Wrong("A claim has no step in the journal.", *claim.lines(), f"the answer: {claim.answer}")
    return claim.invocation.steps[0].start


def _is_claim(number: int, name: str, seen: Mapping[str, Claim], otherwise: str, *shown: str) -> None:
    """Raises: Wrong with the problem `otherwise`, unless this claim has this number in its session."""
    found = re.search(r"\(claim (\d+) in this session\)", seen[name].answer)
    if int(found[1] if found else 1) != number:
        raise Wrong(otherwise, *(f"the answer to {each}: {claim.answer}" for each, claim in seen.items()), *shown)


async def _ended(running: Running, *names: str) -> dict[str, Claim]:
    """These claims, sent in this order without a wait, once they are decided. Raises: Wrong."""
    sent = {name: await running.send(_body(name), key=name.split()[0]) for name in names}
    return {name: await _decided(running, id) for name, id in sent.items()}


def _body(name: str) -> dict[str, Any]:
    return ADK.body(sample_claims()["broken-leg"], "tuesday" if name == "anna 4" else "monday")


async def _decided(running: Running, id: str) -> Claim:
    """The claim, once it is decided. Raises: Wrong; at once if Restate keeps no state for such a handler."""

    def refused(claim: Claim) -> list[str]:
        return [failure.message for failure in claim.invocation.failures if "cannot process command" in failure.message]

    claim = await running.until(id, lambda claim: bool(claim.invocation.completed or refused(claim)), "an answer")
    for message in refused(claim):
        raise Wrong(
            "Restate keeps state only for a Virtual Object, in a handler that is not shared.", f"journal: {message}"
        )
    claim = await running.ended(id)
    if not claim.answer.startswith("Approved:"):
        raise Wrong(f"A claim was not decided: {claim.answer}", *claim.lines())
    return claim


async def _session(running: Running, user: str) -> dict[str, Any]:
    """The session `monday` in this user's state in Restate; empty if there is none."""
    rows = await journal.query(
        running.stack.admin, f"SELECT value_utf8 FROM state WHERE service_key = '{user}' AND key LIKE '%::monday'"
    )
    return json.loads(rows[0]["value_utf8"]) if rows else {}


def _outline(session: Mapping[str, Any]) -> str:
    if not session:
        return "empty"
    return f"session {session['id']}, user {session['user_id']}, {len(session['events'])} events"
