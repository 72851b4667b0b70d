"""Clients send claims of the same sessions at once, while the agent and the server are killed. A seed plans it all."""

import asyncio
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from string import ascii_lowercase

import httpx

from offline_model.conversation import Conversation, UserText
from shared.claims import sample_claims
from tests.conformance.approvals import until
from tests.sessions.histories import Session, Turn
from tests.sessions.linearizable import PENDING
from tour.runtime import journal
from tour.runtime.frameworks import BY_NAME, Pattern
from tour.runtime.processes import POLL
from tour.runtime.stack import Stack

ADK = BY_NAME["google_adk"]
SESSIONS = (("anna", "one"), ("anna", "two"), ("berta", "one"))
"""The users and their sessions. Sessions stay so short that the model gets them in full, without summaries."""

CLAIM = sample_claims()["broken-leg"]


class Witness:
    """A `Director` that records, for each claim, the lists of earlier claims in the requests to the model."""

    def __init__(self) -> None:
        self.seen: dict[str, set[Session]] = defaultdict(set)

    def direct(self, conversation: Conversation, turn: int) -> None:
        *earlier, claim = [name(message.text) for message in conversation.messages if isinstance(message, UserText)]
        self.seen[claim].add(tuple(earlier))


def name(prompt: str) -> str:
    """The name of the claim in a prompt of the agent: its reason."""
    reason: str = json.loads(prompt.removeprefix("Claim: "))["reason"]
    return reason


@dataclass
class Seen:
    """The histories, by user and session; the answers, by claim; the counts of events of clients and processes."""

    histories: dict[tuple[str, str], list[Turn]] = field(default_factory=lambda: defaultdict(list))
    answers: dict[str, str] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)


async def claims_under_kills(
    running: Stack,
    pattern: Pattern,
    witness: Witness,
    seed: int,
    *,
    clients: int = 5,
    claims: int = 6,
    kills_of_agent: int = 4,
    kills_of_server: int = 2,
) -> Seen:
    """Let clients send claims, each client one after the other, and then read the sessions.

    A client that loses the connection gives up, so that its turn is pending, or resends the claim with the same
    idempotency key. Processes are killed and restarted meanwhile. Raises: TourError; httpx.HTTPError.
    """
    seen, rng = Seen(), random.Random(seed)
    witness.seen.clear()
    done, progressed = 0, asyncio.Condition()

    async def client(letter: str, rng: random.Random) -> None:
        nonlocal done
        for number in range(claims):
            user, session = rng.choice(SESSIONS)
            user, claim, gives_up = f"{user}-{seed}", f"{letter}{number}", rng.random() < 0.5
            called, returned = time.monotonic(), PENDING
            answer = await ask(running, pattern, claim, user, session, gives_up, seen.events)
            if answer is not None:
                seen.answers[claim], returned = answer, time.monotonic()
            seen.histories[user, session].append(Turn(f"client {letter}", called, returned, claim, frozenset()))
            async with progressed:
                done += 1
                progressed.notify_all()

    async def kill(what: str, times: int, restart: Callable[[], Awaitable[None]], rng: random.Random) -> None:
        for at in sorted(rng.sample(range(clients * (claims - 1)), times)):
            async with progressed:
                await progressed.wait_for(lambda at=at: done >= at)  # type: ignore[misc]
            await asyncio.sleep(rng.uniform(0, 0.3))  # any moment of a claim
            await restart()
            seen.events[f"kills of the {what}"] += 1

    agent = running.agents_of(pattern)[ADK.name]
    async with asyncio.TaskGroup() as group:
        group.create_task(kill("agent", kills_of_agent, agent.restart, random.Random(rng.random())))
        group.create_task(kill("server", kills_of_server, running.restate.restart, random.Random(rng.random())))
        for letter in ascii_lowercase[:clients]:
            group.create_task(client(letter, random.Random(rng.random())))
    await until_all_have_ended(running, pattern)
    for turns in seen.histories.values():
        turns[:] = [replace(turn, seen=frozenset(witness.seen[turn.claim])) for turn in turns]
    for (user, session), turns in seen.histories.items():
        called = time.monotonic()
        claims_of_it = await stored(running, pattern, user, session)
        turns.append(Turn("the reader", called, time.monotonic(), "", frozenset({claims_of_it})))
    return seen


async def ask(
    running: Stack, pattern: Pattern, claim: str, user: str, session: str, gives_up: bool, events: Counter[str]
) -> str | None:
    """The answer to a claim. None if the client gave up, or the claim failed: it may or may not be in the session."""
    body, sent_again = ADK.body(CLAIM.model_copy(update={"reason": claim}), session), False
    while True:
        try:
            response = await running.ingress.post(
                f"/restate/call/{ADK.path(user, pattern)}", json=body, headers={"idempotency-key": claim}
            )
            if response.status_code == 200:
                events["claims sent again"] += sent_again
                return str(response.json())
            if "x-restate-id" in response.headers:  # otherwise, the server was still starting
                events["failed claims"] += 1
                return None
        except httpx.HTTPError:
            if gives_up:
                events["pending claims"] += 1
                return None
        sent_again = True
        await asyncio.sleep(POLL)


async def until_all_have_ended(running: Stack, pattern: Pattern) -> None:
    """Wait until no claim is open, including those whose clients gave up. Raises: TimeoutError."""
    service = ADK.service(pattern)
    open_claims = f"SELECT id FROM sys_invocation WHERE target_service_name = {service!r} AND status <> 'completed'"

    async def all_have_ended() -> bool:
        return not await journal.query(running.admin, open_claims)

    await until(all_have_ended)


async def stored(running: Stack, pattern: Pattern, user: str, session: str) -> Session:
    """The claims of a session in Restate's state, read while none of its claims is open."""
    [entry] = await journal.query(
        running.admin,
        f"SELECT value_utf8 FROM state WHERE service_name = {ADK.service(pattern)!r} AND service_key = {user!r}"
        f" AND key = 'session_store::{session}'",
    ) or [{"value_utf8": '{"events": []}'}]
    texts = [
        part["text"]
        for event in json.loads(entry["value_utf8"])["events"]
        if event["author"] == "user"
        for part in (event["content"] or {}).get("parts", [])
    ]
    return tuple(map(name, texts))
