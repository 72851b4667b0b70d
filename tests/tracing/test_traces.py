"""Traces at a real collector: one per claim, across Restate, the agent and the checks."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.cluster import CHECKS_SCRIPT
from lab.ledger import Fault
from shared.claims import sample_claims
from tests.tracing.collector import Collector, Span, checks, collecting
from tour.runtime import stack
from tour.runtime.frameworks import BY_NAME, PYTHON, REMOTE_CHECKS, TYPESCRIPT, Framework
from tour.runtime.processes import free_port, running
from tour.runtime.stack import CHECKS, Stack

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.server]

CLAIM = sample_claims()["broken-leg"]
KEY = "sk-sentinel-of-the-tour"
LOOP = PYTHON[-1]
each_framework = pytest.mark.parametrize("framework", PYTHON, ids=lambda framework: framework.name)


def exporting(address: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_BSP_SCHEDULE_DELAY": "100"}


@dataclass
class Traced:
    """The five agents and Restate, which send their spans to the collector."""

    stack: Stack
    collector: Collector

    async def decide(self, framework: Framework, key: str, **headers: str) -> list[Span]:
        """The trace of one claim, once it is decided."""
        sent = await self.stack.ingress.post(
            f"/restate/send/{framework.path(key)}", json=framework.body(CLAIM, key), headers=headers
        )
        id = sent.json()["invocationId"]
        answer = await self.stack.answer(id)
        assert answer.startswith("Approved:"), answer
        return await self.collector.trace(id)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Traced]:
    folder = tmp_path_factory.mktemp("tracing")
    async with collecting(folder) as collector:
        env = exporting(collector.http)
        keys = {"OPENAI_API_KEY": KEY, "GOOGLE_API_KEY": KEY}
        async with stack.running(folder, server_env=env, agent_env=env | keys) as running_stack:
            yield Traced(running_stack, collector)


@pytest.fixture(autouse=True)
def no_plan(request: pytest.FixtureRequest) -> None:
    if "traced" in request.fixturenames:
        request.getfixturevalue("traced").stack.lab.clear_plan()


def slow(traced: Traced, seconds: float) -> None:
    traced.stack.lab.plan(*(Fault(check, "delay", seconds) for check in CHECKS))


def from_restate(spans: list[Span], what: str) -> list[Span]:
    return [span for span in spans if span.service == "Restate" and span.name.startswith(f"{what} ")]


@each_framework
async def test_one_trace_per_claim(traced: Traced, framework: Framework) -> None:
    slow(traced, 0.3)
    spans = await traced.decide(framework, "one")
    [ingress], [attempt] = from_restate(spans, "ingress"), from_restate(spans, "invocation-attempt")
    ours = [span for span in spans if span.service == framework.prefix()]
    everywhere = {span.trace for span in traced.collector.spans() if span.service == framework.prefix()}
    assert ingress.parent == ""
    assert {span.parent for span in ours} == {attempt.id}
    assert everywhere == {ingress.trace}, "no span is outside of the claim's trace"
    assert [span.name for span in ours].count(framework.span) == 2
    assert [span.name.split()[-1] for span in ours].count("calculate_metrics") == 1
    found = [check for [check] in checks(ours).values()]
    assert max(check.start for check in found) < min(check.end for check in found), "the checks overlap"
    assert [check.attribute("tour.framework") for check in found] == [framework.prefix()] * 3


@pytest.mark.parametrize("framework", TYPESCRIPT, ids=lambda framework: framework.name)
async def test_on_node_the_steps_alone_are_in_the_trace(traced: Traced, framework: Framework) -> None:
    spans = await traced.decide(framework, "node")
    names = {span.name for span in spans if span.service == framework.prefix()}
    assert {f"run ({check})" for check in CHECKS} <= names
    assert not [name for name in names if not name.startswith(("attempt ", "run ("))], "nothing of the SDK's own"


async def test_the_caller_s_trace_is_the_claim_s(traced: Traced) -> None:
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    spans = await traced.decide(LOOP, "caller", traceparent=f"00-{trace}-{parent}-01")
    assert {span.trace for span in spans} == {trace}
    assert from_restate(spans, "ingress")[0].parent == parent
    assert all(len(found) == 1 for found in checks(spans).values())


async def test_a_check_that_fails_is_two_spans_and_the_others_are_one(traced: Traced) -> None:
    traced.stack.lab.plan(Fault("fraud", "fail", times=1))
    found = checks(await traced.decide(LOOP, "failing"))
    failed, succeeded = found["fraud"]
    assert (failed.status, succeeded.status) == ("STATUS_CODE_ERROR", "STATUS_CODE_UNSET")
    assert "InjectedFailure" in failed.text
    assert len(found["eligibility"]) == len(found["cost"]) == 1


@pytest.mark.in_turn(2)
@pytest.mark.parametrize("name", ["pydantic_ai_agent", "restate_loop"])
async def test_after_a_kill_no_check_that_had_finished_is_there_twice(traced: Traced, name: str) -> None:
    [framework] = [framework for framework in PYTHON if framework.name == name]
    agent, before = traced.stack.agents[name], len(traced.collector.spans())
    traced.stack.lab.plan(Fault("cost", "delay", 5), Fault("fraud", "delay", 5))
    deciding = asyncio.create_task(traced.decide(framework, "killed"))
    await traced.collector.until(
        lambda spans: any(span.name == "eligibility" and span.service == framework.prefix() for span in spans[before:])
    )
    await agent.process.kill()
    traced.stack.lab.clear_plan()
    await agent.restart()
    spans = await deciding
    assert {check: len(found) for check, found in checks(spans).items()} == dict.fromkeys(CHECKS, 1)
    assert [span.name for span in spans].count(BY_NAME[name].span) == 2
    assert len(from_restate(spans, "invocation-attempt")) > 1


async def test_checks_in_a_service_of_their_own_are_in_the_same_trace(traced: Traced, tmp_path: Path) -> None:
    env, prefix = exporting(traced.collector.http), LOOP.prefix(REMOTE_CHECKS)
    ports = {"agent": str(free_port()), "checks": str(free_port())}
    lab = {"TOUR_LAB": str(traced.stack.folder / "lab.sqlite")}
    agent_env = env | traced.stack.env(prefix) | {"PORT": ports["agent"]}
    checks_env = env | lab | {"PORT": ports["checks"], "TOUR_SERVICE_PREFIX": ""}
    slow(traced, 0.3)
    async with (
        running("agent", [sys.executable, LOOP.script(REMOTE_CHECKS)], tmp_path / "agent", agent_env) as agent,
        running("checks", [sys.executable, CHECKS_SCRIPT], tmp_path / "checks", checks_env) as own,
    ):
        for process, port in zip((agent, own), ports.values(), strict=True):
            await process.until(f"http://127.0.0.1:{port}/health")
            await stack.register(traced.stack.admin, f"http://127.0.0.1:{port}")
        id = await traced.stack.submit(LOOP, CLAIM, "remote", "remote", pattern=REMOTE_CHECKS)
        answer = await traced.stack.answer(id)
        spans = await traced.collector.trace(id)
    assert answer.startswith("Approved:"), answer
    found = [check for [check] in checks(spans).values()]
    assert {check.service for check in found} == {"ClaimChecks"}
    assert max(check.start for check in found) < min(check.end for check in found)
    assert len(from_restate(spans, "invocation-attempt")) == 4
    assert len({span.trace for span in spans}) == 1


async def test_neither_a_key_nor_a_claim_nor_an_answer_is_at_the_collector(traced: Traced) -> None:
    traced.stack.lab.plan(Fault("model", "status", 401, times=99, about="vision"))
    refused = CLAIM.model_copy(update={"category": "vision", "reason": "a secret reason"})
    for framework in PYTHON:
        id = await traced.stack.submit(framework, refused, "secret", "secret")
        await traced.stack.answer(id)
        assert any(span.status == "STATUS_CODE_ERROR" for span in await traced.collector.trace(id))
    printed = traced.collector.printed()
    for secret in (KEY, "uthorization", "x-goog-api-key", CLAIM.reason, refused.reason, "Approved:", "no signals"):
        assert secret not in printed


@pytest.mark.in_turn(2)
async def test_over_grpc_restate_says_the_same(traced: Traced, tmp_path: Path) -> None:
    """The agents have no exporter for gRPC unless it is installed; the server needs none."""
    env = exporting(traced.collector.grpc) | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    async with stack.running(tmp_path, frameworks=[LOOP], server_env=env) as other:
        id = await other.submit(LOOP, CLAIM, "grpc", "grpc")
        assert (await other.answer(id)).startswith("Approved:")
        assert from_restate(await traced.collector.trace(id), "ingress")


@pytest.mark.in_turn(2)
async def test_a_restate_that_exports_nothing_still_makes_one_trace(traced: Traced, tmp_path: Path) -> None:
    before = {span.trace for span in traced.collector.spans()}
    async with stack.running(tmp_path, frameworks=[LOOP], agent_env=exporting(traced.collector.http)) as other:
        id = await other.submit(LOOP, CLAIM, "alone", "alone")
        assert (await other.answer(id)).startswith("Approved:")
        spans = await traced.collector.until(
            lambda spans: [span.name for span in spans if span.trace not in before].count(LOOP.span) == 2
        )
    [trace] = {span.trace for span in spans} - before
    assert all(len(found) == 1 for found in checks([span for span in spans if span.trace == trace]).values())


@pytest.mark.in_turn(2)
async def test_a_collector_that_is_away_costs_one_line_and_no_claim(tmp_path: Path) -> None:
    env = exporting(f"http://127.0.0.1:{free_port()}")
    async with stack.running(tmp_path, frameworks=[LOOP], server_env=env, agent_env=env) as away:
        log = away.agents[LOOP.name].process.log
        for number in range(3):
            id = await away.submit(LOOP, CLAIM, str(number), str(number))
            assert (await away.answer(id)).startswith("Approved:")
        await away.agents[LOOP.name].process.until(lambda: "The collector gets no traces" in log.read_text())
    assert log.read_text().count("The collector gets no traces") == 1
    assert "Traceback" not in log.read_text()
