"""Does the caller see the claim as it happens, and after `kill -9` only the text that counts?"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing

from durable.streaming import LIVE
from lab.ledger import Fault
from shared.claims import InsuranceClaim, sample_claims
from tour.runtime.frameworks import STREAMING
from tour.runtime.stack import CHECKS
from tour.runtime.streams import Event, events, put_together
from workshop.attempt import PATIENCE, Attempt, Claim, Running, Wrong

SOON = 5.0
"""Seconds after which the first piece of a text that the model writes has reached the caller."""

OTHER_WORDS = "Approved: the treatment is eligible, the amount reasonable, the risk low."
"""The model says this when it is asked again."""


async def check(attempt: Attempt) -> None:
    """Listen to a claim, and to another one whose agent is killed while the model writes. Raises: Wrong."""
    async with attempt.running(STREAMING.service, streams=True) as running:
        calm = sample_claims()["tooth-filling"]
        claim = _approved(await running.ended(await _sent(running, calm)))
        seen = await _heard(running, claim.invocation.id)
        _reported(seen, claim.answer)
        attempt.holds("the caller sees each check begin and end, and the answer, without a crash")

        claim, seen = await _killed(attempt, running, sample_claims()["broken-leg"])
    _counts(attempt, seen, claim.answer)
    _each_check_once(seen)
    attempt.holds("each check is announced once, although the replay meets it again")
    attempt.holds(f"the answer: {claim.answer}")


async def _killed(attempt: Attempt, running: Running, claim: InsuranceClaim) -> tuple[Claim, list[Event]]:
    """Kill the agent in the middle of the model's text; returns all events. Raises: Wrong.

    Of two callers, one stays, and one leaves before the kill and comes back behind the end.
    """
    running.plan(
        Fault("model", "stall", PATIENCE, turn=1),
        Fault("model", "say", turn=1, detail=json.dumps({"text": OTHER_WORDS})),
    )
    prompt = f"Claim: {claim.model_dump_json()}"
    id = await _sent(running, claim)
    stays = asyncio.create_task(_heard(running, id))
    leaves = asyncio.create_task(_heard(running, id, until=lambda event: bool(_piece(event))))
    try:
        await running.until(id, lambda seen: "model 1" in seen.runs, "a model call after the checks", prompt)
        await asyncio.wait({leaves}, timeout=SOON)
        if not leaves.done():
            raise Wrong("The caller sees steps, but no text while the model writes: it comes when all is said.")
        await running.kill()
        ended = _approved(await running.ended(id, prompt))
        before, whole = await leaves, await stays
    finally:
        stays.cancel()
        leaves.cancel()
    after = await _heard(running, id, first=len(before))
    if [*before, *after] != whole:
        raise Wrong("The two callers have not seen the same.", *map(str, after))
    attempt.holds("the text comes while the model writes it")
    attempt.holds("a caller who left, and came back with Last-Event-ID, got each event once")
    return ended, whole


async def _sent(running: Running, claim: InsuranceClaim) -> str:
    return await running.send(claim.model_dump(mode="json"), headers=LIVE)


async def _heard(
    running: Running, id: str, first: int = 0, until: Callable[[Event], bool] = lambda event: False
) -> list[Event]:
    """The events from the id `first` on: to the last one, or the one with which the caller leaves."""
    seen: list[Event] = []
    async with aclosing(events(running.stack.streams[0].url, id, first)) as coming:
        async for number, event in coming:
            assert number == first + len(seen), "the server of the streams gives each event once"
            seen.append(event)
            if until(event):
                break
    return seen


def _approved(claim: Claim) -> Claim:
    """Raises: Wrong unless the claim is approved."""
    if not claim.answer.startswith("Approved:"):
        raise Wrong(f"The claim was not approved: {claim.answer}", *claim.lines())
    return claim


def _piece(event: Event) -> str:
    """The piece of the model's text that came with this event; empty if none did."""
    match event:
        case {"type": "TEXT_MESSAGE_CONTENT", "delta": str(text)}:
            return text
    return _forwarded(event)


def _forwarded(event: Event) -> str:
    """The piece that the exercise's `forward` has sent with this event; empty if it has sent none."""
    match event:
        case {"type": "CUSTOM", "name": "piece", "value": str(text)}:
            return text
    return ""


def _reported(seen: Sequence[Event], answer: str) -> None:
    """Raises: Wrong unless the events of an undisturbed claim tell its checks and its answer."""
    if not any(event["type"] == "STEP_STARTED" for event in seen):
        raise Wrong(
            "The caller sees the begin and the end, and nothing between: your service reports nothing.",
            *(f"event {id}  {event['type']}" for id, event in enumerate(seen)),
        )
    _each_check_once(seen)
    if taken_back := _taken_back(seen):
        raise Wrong(
            "Text is taken back, although nothing was killed. Is each piece an attempt of its own? Call attempt() once "
            "for each model call.",
            *(_line(id, text) for id, text in taken_back.items()),
        )
    _assert_reads(_texts(seen), answer)


def _each_check_once(seen: Sequence[Event]) -> None:
    """Raises: Wrong unless each check begins once and ends once."""
    for kind, does in (("STEP_STARTED", "begin"), ("STEP_FINISHED", "end")):
        found = Counter(event["stepName"] for event in seen if event["type"] == kind)
        for check in CHECKS:
            if found[check] != 1:
                raise Wrong(f"The caller sees {check} {does} {found[check]} times.")


def _counts(attempt: Attempt, seen: Sequence[Event], answer: str) -> None:
    """Report that the caller reads the answer, and nothing that a crash made void. Raises: Wrong."""
    if forwarded := "".join(map(_forwarded, seen)):
        raise Wrong(
            "The model was asked again after the crash, and the caller reads both texts in one.",
            f"the caller reads: {forwarded}",
            f"the answer:       {answer}",
        )
    texts, taken_back = _texts(seen), _taken_back(seen)
    _assert_reads(texts, answer)
    attempt.holds("the text of the killed attempt is taken back, and the other one counts:")
    for id, text in taken_back.items():
        attempt.say(f"    {_line(id, text)}   ← restart")
    for id, text in texts.items():
        attempt.say(f"    {_line(id, text)}")


def _assert_reads(texts: Mapping[str, str], answer: str) -> None:
    """Raises: Wrong unless the messages that count are the answer."""
    if [*texts.values()] != [answer]:
        lines = [_line(id, text) for id, text in texts.items()]
        raise Wrong("The caller does not read the answer.", *lines, f"the answer: {answer}")


def _texts(seen: Iterable[Event]) -> Mapping[str, str]:
    """The texts that count, by the id of their message."""
    texts: dict[str, str] = {}
    for event in seen:
        put_together(texts, event)
    return texts


def _taken_back(seen: Sequence[Event]) -> Mapping[str, str]:
    """The texts that a `restart` has taken back, by the id of their message."""
    counting, all_texts = _texts(seen), _texts(event for event in seen if event.get("name") != "restart")
    return {id: text for id, text in all_texts.items() if id not in counting}


def _line(id: str, text: str) -> str:
    return f"message {id:<4} {text}"
