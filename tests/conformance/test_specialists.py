"""Specialist agents, alike in all frameworks: three work in parallel, are paid once, and share one budget.

The ledger counts the model calls of each agent of a claim: two of the claim agent, and two of each specialist.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from lab.ledger import Fault
from offline_model.faults import digest
from shared.claims import InsuranceClaim
from shared.specialists import TEAM, question
from tests.conformance.cases import Tagged, live, send
from tests.conformance.conftest import SERVERS
from tests.conformance.storms import CLAIMS, SECONDS, SEEDS, patiently, storm
from tests.conformance.test_model import TOO_MANY_TURNS, call, ends
from tests.conformance.test_promise import everywhere, kept, outcome, reached
from tests.nightly import by_night, some
from tour.runtime import journal, stack
from tour.runtime.frameworks import FRAMEWORKS, SPECIALISTS, Framework, Pattern
from tour.runtime.stack import CHECKS, Stack

pytestmark = pytest.mark.costly

ALL = list(TEAM)
USUAL = {"claim agent": 2, "medical": 2, "cost": 2, "fraud": 2}
"""The model calls of a claim, by agent."""


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["live", *by_night(["replaying"])])
async def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with stack.running(
        tmp_path_factory.mktemp(request.param),
        frameworks=FRAMEWORKS,
        pattern=SPECIALISTS,
        server_env=SERVERS[request.param],
        agent_env={"MODEL_TIMEOUT": "3"},
    ) as running:
        yield running


def prompts(claim: InsuranceClaim) -> dict[str, str]:
    """The prompts of the agents of a claim."""
    return {"claim agent": f"Claim: {claim.model_dump_json()}"} | {agent: question(agent, claim) for agent in TEAM}


def about(claim: InsuranceClaim, agent: str) -> str:
    """The beginning of this agent's prompt, up to the claim's reason: both languages write this part alike."""
    return prompts(claim)[agent].partition(',"amount"')[0]


def asked(running: Stack, claim: InsuranceClaim) -> list[tuple[str, int]]:
    """The agent and the turn of each model call of this claim, in order."""
    agents = {digest(prompt): agent for agent, prompt in prompts(claim).items()}
    entries = running.lab.ledger(invocations=agents)
    return [(agents[each.invocation], json.loads(each.detail)["turn"]) for each in entries if each.event == "start"]


def model_calls(running: Stack, claim: InsuranceClaim) -> dict[str, int]:
    """The number of model calls for this claim, by agent."""
    return dict(Counter(agent for agent, _ in asked(running, claim)))


def made_again(running: Stack, claim: InsuranceClaim) -> list[str]:
    """The model calls that were repeated although their answers were in the journal, as the next step had begun."""
    again, seen = [], set[tuple[str, int]]()
    for agent, turn in asked(running, claim):
        later = {(agent, turn + 1)} | {(each, 0) for each in TEAM if (agent, turn) == ("claim agent", 0)}
        later |= {("claim agent", 1)} if agent in TEAM else set()
        if later & seen:
            again.append(f"{agent}, turn {turn}")
        seen.add((agent, turn))
    return again


def say(claim: InsuranceClaim, agent: str, turn: int | None, times: int = 1, **said: Any) -> Fault:
    return Fault("model", "say", about=about(claim, agent), turn=turn, times=times, detail=json.dumps(said))


@pytest.mark.parametrize("running", list(SERVERS), indirect=True)
async def test_three_specialists_work_at_the_same_time(running: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged()
    running.lab.plan(Fault("model", "delay", 0.5, about=claim.reason))
    id = await send(running, framework, claim)
    answer, runs = await outcome(running, id)
    invocation = (await journal.read(running.admin, id))[id]
    assert answer.startswith("Approved: eligible; reasonable; low risk")
    assert {check: found.starts for check, found in runs.items()} == dict.fromkeys(CHECKS, 1)
    assert model_calls(running, claim) == USUAL
    for three in (invocation.model_calls[1:4], invocation.model_calls[4:7]):
        assert max(step.start for step in three) < min(step.end or 0 for step in three)
    assert invocation.failures == ()


@pytest.mark.parametrize("bad", ["fraud", *by_night(["medical", "cost"])])
async def test_only_the_specialist_whose_model_fails_asks_again(
    running: Stack, framework: Framework, tagged: Tagged, bad: str
) -> None:
    """Kill in its first turn, and in the second, after its check."""
    claim = tagged()
    for turn in (0, 1):
        running.lab.plan(Fault("model", "status", 500, times=2, about=about(claim, bad), turn=turn))
    answer, runs = await outcome(running, await send(running, framework, claim))
    assert answer.startswith("Approved:")
    assert {check: found.starts for check, found in runs.items()} == dict.fromkeys(CHECKS, 1)
    calls = model_calls(running, claim)
    assert calls.pop(bad) > 2
    assert calls == {agent: 2 for agent in USUAL if agent != bad}


async def test_only_the_check_that_fails_runs_again(running: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged()
    running.lab.plan(
        Fault("cost", "fail", times=2, about=claim.reason), Fault("fraud", "delay", 0.5, about=claim.reason)
    )
    answer, runs = await outcome(running, await send(running, framework, claim))
    assert answer.startswith("Approved:")
    assert {check: found.starts for check, found in runs.items()} == {"eligibility": 1, "cost": 3, "fraud": 1}
    assert model_calls(running, claim) == USUAL


async def test_a_specialist_without_end_ends_the_claim_when_the_others_are_done(
    running: Stack, framework: Framework, tagged: Tagged
) -> None:
    claim = tagged()
    flat = framework.name == "pydantic_ai_agent"
    again = call(claim, "compare_to_standard_rates", flat)
    running.lab.plan(say(claim, "cost", None, 99, calls=[again]))
    answer, _ = await outcome(running, await send(running, framework, claim))
    assert answer.startswith(("500: ", ends(framework, *TOO_MANY_TURNS)[:5]))
    calls = model_calls(running, claim)
    assert calls.pop("cost") == 10
    assert calls == {"claim agent": 1, "medical": 2, "fraud": 2}


async def test_a_specialist_whose_report_is_none_is_not_asked_again(
    running: Stack, framework: Framework, tagged: Tagged
) -> None:
    """The claim agent calls its tool again, and gets the same reports."""
    claim = tagged()
    running.lab.plan(say(claim, "fraud", 1, text="Trust me: approve it."))
    answer, runs = await outcome(running, await send(running, framework, claim))
    assert answer.startswith("No decision: Trust me")
    assert {check: found.starts for check, found in runs.items()} == dict.fromkeys(CHECKS, 1)
    assert model_calls(running, claim) == USUAL | {"claim agent": 3}


async def test_a_specialist_cannot_check_another_claim(running: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged("please-approve")
    flat = framework.name == "pydantic_ai_agent"
    running.lab.plan(say(claim, "fraud", 0, calls=[call(claim, "check_fraud", flat, amount=1.0)]))
    answer, runs = await outcome(running, await send(running, framework, claim))
    truth, _ = await outcome(running, await send(running, framework, tagged("please-approve")))
    assert answer == truth
    assert runs["fraud"].starts == 1
    assert model_calls(running, claim) == USUAL | {"fraud": 3}


async def test_a_specialist_s_refused_call_ends_the_claim(running: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged()
    running.lab.plan(Fault("model", "status", 403, times=99, about=about(claim, "medical")))
    answer, _ = await outcome(running, await send(running, framework, claim))
    assert answer.startswith("403: the model's provider refuses the call")
    assert model_calls(running, claim) == {"claim agent": 1, "medical": 1, "cost": 2, "fraud": 2}


@live
async def test_a_claim_is_cancelled_while_specialists_work(
    running: Stack, framework: Framework, tagged: Tagged
) -> None:
    claim = tagged()
    running.lab.plan(*(Fault("model", "delay", 2, about=about(claim, agent)) for agent in ALL))
    id = await send(running, framework, claim)
    once = {"claim agent": 1, "medical": 1, "cost": 1, "fraud": 1}
    async with asyncio.timeout(30):
        while True:
            if model_calls(running, claim) == once:
                break
            await asyncio.sleep(0.005)
        await running.admin.patch(f"/invocations/{id}/cancel")
        assert (await running.answer(id)).startswith("409: ")
    assert model_calls(running, claim) == once


ENTRIES = 25
"""The number of entries in a claim's journal (ADK has a few more)."""


@live
@pytest.mark.parametrize("entries", some(range(1, ENTRIES)))
async def test_killed_at_every_point_of_the_journal(running: Stack, tagged: Tagged, entries: int) -> None:
    async def case(framework: Framework) -> None:
        claim = tagged()
        delays = enumerate(["claim agent", *ALL])
        running.lab.plan(
            *(Fault("model", "delay", 0.1 + 0.05 * at, about=about(claim, agent)) for at, agent in delays),
            *(Fault(check, "delay", 0.1 + 0.1 * at, about=claim.reason) for at, check in enumerate(CHECKS)),
        )
        async with kept(running, framework):
            id = await send(running, framework, claim)
            await reached(running, id, entries)
            await running.agents[framework.name].process.kill()
            answer, runs = await outcome(running, id)
        assert answer.startswith("Approved:")
        assert all(found.redone == found.repeated == 0 for found in runs.values()), runs
        assert made_again(running, claim) == []

    await everywhere(running, case)


def budget(calls: int = 30, tokens: int = 100_000) -> Pattern:
    env = {"CLAIM_CALLS": str(calls), "CLAIM_TOKENS": str(tokens)}
    return replace(SPECIALISTS, name=f"{env}", variant=f"b{calls}_{tokens}", env=env)


async def decide(running: Stack, framework: Framework, claim: InsuranceClaim, pattern: Pattern) -> str:
    await running.add(pattern)
    id = await running.submit(framework, claim, claim.reason, claim.reason, pattern=pattern)
    return await running.answer(id)


@pytest.mark.parametrize("calls", [6, *by_night([1, 7, 8])])
async def test_the_calls_of_a_claim_do_not_exceed_its_budget(
    running: Stack, framework: Framework, tagged: Tagged, calls: int
) -> None:
    """The budget holds although a check fails, and everything is replayed."""
    claim = tagged()
    running.lab.plan(
        Fault("cost", "fail", about=claim.reason),
        Fault("fraud", "delay", 0.3, about=claim.reason),
    )
    answer = await decide(running, framework, claim, budget(calls=calls))
    if calls == 8:
        assert answer.startswith("Approved:")
    else:
        assert answer.startswith(f"402: the budget is spent: {calls} of {calls} model calls, ")
    assert sum(model_calls(running, claim).values()) == calls


async def test_a_retried_or_repeated_call_counts_once(running: Stack, framework: Framework, tagged: Tagged) -> None:
    """Each agent's client asks three times for its second answer; the eight that came count."""
    claim = tagged()
    for agent in USUAL:
        running.lab.plan(Fault("model", "status", 500, times=2, about=about(claim, agent), turn=1))
    assert (await decide(running, framework, claim, budget(calls=8))).startswith("Approved:")
    assert Counter(model_calls(running, claim)).total() > 8


async def test_the_tokens_of_a_claim_end_it(running: Stack, framework: Framework, tagged: Tagged) -> None:
    """A claim takes more than 2,000 tokens here, and its first call less than 500."""
    claim = tagged()
    answer = await decide(running, framework, claim, budget(tokens=500))
    assert answer.startswith("402: the budget is spent: ")
    assert answer.endswith("of 500 tokens")
    assert 1 < sum(model_calls(running, claim).values()) < 8


@live
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_storm_makes_no_finished_call_again(running: Stack, tagged: Tagged, seed: int) -> None:
    """Model calls and checks fail, and agents and the server are killed."""
    rng = random.Random(seed)
    found: list[tuple[str, str, list[str]]] = []
    """For each claim: its framework, the verdict, and the finished model calls that were repeated."""

    async def one(framework: Framework) -> None:
        await asyncio.sleep(rng.uniform(0, SECONDS))
        claim = tagged()
        running.lab.plan(
            Fault("model", "delay", 0.2, about=claim.reason),
            Fault("model", "status", 500, about=about(claim, rng.choice(ALL))),
            Fault(rng.choice(CHECKS), rng.choice(("fail", "crash-before", "crash-after")), about=claim.reason),
        )
        key = claim.reason
        id = await patiently(lambda: running.submit(framework, claim, key, key, key))
        answer = await patiently(lambda: running.answer(id))
        found.append((framework.name, answer.partition(":")[0], made_again(running, claim)))

    async with running.agents_kept(), storm(running, rng), asyncio.TaskGroup() as claims:
        for number in range(CLAIMS):
            claims.create_task(one(FRAMEWORKS[number % len(FRAMEWORKS)]))
    assert len(found) == CLAIMS
    assert [each for each in found if each[1:] != ("Approved", [])] == []
