"""Specialists as separate services, on several SDKs: one trace, one budget, and each specialist is paid once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from lab.ledger import Fault
from shared.claims import InsuranceClaim
from shared.specialists import TEAM
from tests.conformance.cases import tagged
from tests.conformance.test_specialists import USUAL, about, model_calls, say
from tests.nightly import by_night, selected
from tests.tracing.collector import Collector, collecting
from tour.runtime import journal, stack
from tour.runtime.frameworks import FRAMEWORKS, ROOT, SPECIALISTS, Framework
from tour.runtime.node import install
from tour.runtime.processes import free_port, running
from tour.runtime.stack import CHECKS, Stack

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.server,
]

TEAMS = {
    "mixed": ("langchain_agent", "pydantic_ai_agent", "google_adk"),
    "typescript": ("vercel_ai", "typescript_loop", "own_loop"),
    "openai": ("openai_agents",) * 3,
}
"""The prefixes of the specialists for medical necessity, cost and fraud."""


@dataclass
class Running:
    """All specialists, and a claim agent for each team."""

    stack: Stack
    collector: Collector

    async def send(self, team: str, claim: InsuranceClaim) -> str:
        """Send a claim to the team's agent; returns the id of its invocation."""
        path = f"/restate/send/{team}.SpecialistServicesClaimAgent/run"
        response = await self.stack.ingress.post(path, json=claim.model_dump(mode="json"))
        id: str = response.json()["invocationId"]
        return id


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def teams(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    folder = tmp_path_factory.mktemp("teams")
    await install(print, dev=True)  # with the packages for tracing
    async with AsyncExitStack() as exits:
        collector = await exits.enter_async_context(collecting(folder))
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.http, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        specialists = await exits.enter_async_context(
            stack.running(folder, frameworks=FRAMEWORKS, pattern=SPECIALISTS, server_env=env, agent_env=env)
        )
        budgets = {f"with_{calls}_calls": {"CLAIM_CALLS": str(calls)} for (calls,) in selected(request, "calls")}
        chosen = {"mixed", *(str(team) for (team,) in selected(request, "team"))}
        for team in (*sorted(chosen), *budgets):
            members = zip(TEAM, TEAMS.get(team, TEAMS["mixed"]), strict=True)
            assigned = {f"{topic.upper()}_SPECIALIST": member for topic, member in members}
            port = str(free_port())
            command: list[str | Path] = stack.command(ROOT / "deploy/specialist_services.py")
            lead = await exits.enter_async_context(
                running(
                    f"The team {team}",
                    command,
                    folder / f"{team}.log",
                    env | specialists.env(team) | assigned | budgets.get(team, {}) | {"PORT": port},
                )
            )
            await lead.until(f"http://127.0.0.1:{port}/health")
            await stack.register(specialists.admin, f"http://127.0.0.1:{port}")
        yield Running(specialists, collector)


every_team = pytest.mark.parametrize("team", ["mixed", *by_night(["typescript", "openai"])])


@every_team
async def test_they_work_at_the_same_time_in_one_trace(teams: Running, team: str) -> None:
    claim = tagged()
    teams.stack.lab.plan(Fault("model", "delay", 0.3, about=claim.reason))
    id = await teams.send(team, claim)
    assert (await teams.stack.answer(id)).startswith("Approved: eligible; reasonable; low risk")
    assert model_calls(teams.stack, claim) == USUAL
    spans = await teams.collector.trace(id)
    assert {span.service for span in spans} == {"Restate", team, *TEAMS[team]}
    ran = [span for span in spans if span.attribute("tour.step") in CHECKS]
    assert len(ran) == 3
    asked = await invoked(teams, id)
    assert len(asked) == 3
    assert max(row["created"] for row in asked) - min(row["created"] for row in asked) < 250, "milliseconds"


async def invoked(teams: Running, id: str) -> list[dict[str, Any]]:
    """The specialists' invocations of a claim."""
    return await journal.query(
        teams.stack.admin,
        "SELECT id, CAST(created_at AS BIGINT) AS created, status FROM sys_invocation"
        f" WHERE invoked_by_id = '{id}' AND target_service_name LIKE '%ClaimSpecialists'",
    )


@every_team
async def test_the_one_that_is_killed_goes_on_alone(teams: Running, team: str) -> None:
    claim = tagged()
    framework = next(each for each in FRAMEWORKS if each.prefix() == TEAMS[team][2])
    teams.stack.lab.plan(
        Fault("model", "delay", 1, about=about(claim, "fraud"), turn=1),
        Fault("fraud", "crash-after", about=claim.reason),
    )
    agent = teams.stack.agents[framework.name]
    async with agent.kept():
        id = await teams.send(team, claim)
        answer = await teams.stack.answer(id)
    await agent.ready()
    assert answer.startswith("Approved:")
    assert model_calls(teams.stack, claim) == USUAL


@every_team
async def test_one_that_fails_for_good_ends_the_claim_when_the_others_are_done(teams: Running, team: str) -> None:
    claim = tagged()
    teams.stack.lab.plan(Fault("model", "status", 403, times=99, about=about(claim, "medical")))
    answer = await teams.stack.answer(await teams.send(team, claim))
    assert answer.startswith("403: the model's provider refuses the call")
    assert model_calls(teams.stack, claim) == {"claim agent": 1, "medical": 1, "cost": 2, "fraud": 2}


@every_team
async def test_a_report_that_is_none_is_not_asked_for_again(teams: Running, team: str) -> None:
    claim = tagged()
    teams.stack.lab.plan(say(claim, "fraud", 1, text="Trust me: approve it."))
    id = await teams.send(team, claim)
    assert (await teams.stack.answer(id)).startswith("No decision: Trust me")
    assert model_calls(teams.stack, claim) == USUAL | {"claim agent": 3}
    assert len(await invoked(teams, id)) == 3


@pytest.mark.parametrize("calls", [6, *by_night([8])])
async def test_their_shares_keep_the_claim_s_budget(teams: Running, calls: int) -> None:
    claim = tagged()
    answer = await teams.stack.answer(await teams.send(f"with_{calls}_calls", claim))
    if calls == 8:
        assert answer.startswith("Approved:")
    else:
        assert answer.startswith("402: the budget is spent: 1 of 1 model calls, ")
    assert sum(model_calls(teams.stack, claim).values()) == calls


async def test_a_claim_is_cancelled(teams: Running) -> None:
    """A cancelled claim cancels its specialists, wherever they work."""
    claim = tagged()
    teams.stack.lab.plan(*(Fault("model", "delay", 2, about=about(claim, agent)) for agent in TEAM))
    id = await teams.send("mixed", claim)
    async with asyncio.timeout(30):
        while len(model_calls(teams.stack, claim)) < 4:  # noqa: ASYNC110 - the ledger is a file
            await asyncio.sleep(0.05)
        await teams.stack.admin.patch(f"/invocations/{id}/cancel")
        assert (await teams.stack.answer(id)).startswith("409: ")
        while {row["status"] for row in await invoked(teams, id)} != {"completed"}:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert model_calls(teams.stack, claim) == {"claim agent": 1, "medical": 1, "cost": 1, "fraud": 1}


WRONG: dict[str, dict[str, object]] = {
    "specialty": {"specialty": "dental"},
    "amount": {"claim": tagged().model_dump(mode="json") | {"amount": -1}},
    "budget.calls": {"budget": {"calls": "many", "tokens": 1}},
    "hurry": {"hurry": True},
}


@pytest.mark.parametrize("field", WRONG)
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda framework: framework.name)
async def test_an_assignment_that_is_none_is_a_client_error(teams: Running, framework: Framework, field: str) -> None:
    right: dict[str, object] = {
        "specialty": "cost",
        "claim": tagged().model_dump(mode="json"),
        "budget": {"calls": 9, "tokens": 9_999},
    }
    response = await teams.stack.ingress.post(
        f"/restate/call/{framework.prefix()}.ClaimSpecialists/report", json=right | WRONG[field]
    )
    assert response.status_code == 400
    assert "invalid assignment: " in response.text
    assert field in response.text
