"""Every agent treats a claim as it should."""

import asyncio
import json
import time
from collections import Counter
from typing import Any

import pytest

from lab.ledger import Fault, Kind
from shared.approval import why_a_person
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim, sample_claims
from tests.conformance.approvals import until
from tests.conformance.cases import MODEL_CALLS, PATTERN, Tagged, asked, decide, live, promise, send, tool_shown
from tests.conformance.test_promise import everywhere, reached
from tour.runtime import journal
from tour.runtime.frameworks import APPROVAL, SPECIALISTS, Framework
from tour.runtime.stack import CHECKS, Stack


@promise("decisions")
@pytest.mark.sample
@pytest.mark.parametrize("sample", sample_claims())
async def test_the_decision_follows_from_the_checks(running: Stack, framework: Framework, sample: str) -> None:
    claim = sample_claims()[sample]
    answer, invocation = await decide(running, framework, claim)

    eligibility, cost, fraud = [
        await check(claim) for check in (check_eligibility, compare_to_standard_rates, check_fraud)
    ]
    for result in (eligibility, cost, fraud):
        assert result in answer
    if PATTERN == APPROVAL and why_a_person(claim, fraud):
        assert answer.startswith("Approved:")
    elif eligibility != "eligible" or fraud.startswith("high"):
        assert answer.startswith("Rejected:")
    elif cost == "reasonable" and fraud.startswith("low"):
        assert answer.startswith("Approved:")
    else:
        assert answer.startswith("Needs review:")
    checks = [step.name for step in invocation.checks]
    if PATTERN == SPECIALISTS:  # whose model is the first to answer comes first
        checks.sort(key=CHECKS.index)
    assert checks == list(CHECKS)
    assert len(invocation.model_calls) == MODEL_CALLS
    assert invocation.failures == ()


@promise("decisions")
async def test_the_checks_run_in_parallel(running: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged()
    running.lab.plan(*(Fault(check, "delay", 0.5, about=claim.reason) for check in CHECKS))
    _, invocation = await decide(running, framework, claim)
    ends = [step.end for step in invocation.checks if step.end]
    assert len(ends) == len(CHECKS)
    assert max(step.start for step in invocation.checks) < min(ends)
    assert invocation.parallelism > 2


@promise("decisions")
@pytest.mark.sample
async def test_the_model_is_shown_the_same_tool(running: Stack, framework: Framework, tagged: Tagged) -> None:
    """The name, fields, types and required fields; the claim may be one parameter, or all parameters."""
    await decide(running, framework, tagged())
    shown = tool_shown(running, framework)
    assert shown
    name, schema = shown
    claim, expected = schema["properties"].get("claim", schema), InsuranceClaim.model_json_schema()
    assert name == "calculate_metrics"
    assert _types(claim) == _types(expected)
    assert sorted(claim["required"]) == sorted(expected["required"])


def _types(schema: dict[str, Any]) -> dict[str, str]:
    return {field: each["type"] for field, each in schema["properties"].items()}


@promise("decisions")
async def test_a_claim_that_is_sent_again_is_decided_once(running: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged()
    running.lab.plan(Fault("fraud", "delay", 0.3, about=claim.reason))

    async def again() -> str:
        key = claim.reason[:40]
        return await running.submit(framework, claim, key, key, idempotency_key=claim.reason)

    ids = [await again(), await again()]
    answer = await running.answer(ids[0])
    ids.append(await again())
    assert len(set(ids)) == 1
    assert answer.startswith("Approved:")
    assert await running.answer(ids[-1]) == answer
    ledger = running.lab.ledger(invocations=ids[:1])
    assert Counter(entry.step for entry in ledger if entry.event == "start") == Counter(CHECKS)


VALID = sample_claims()["broken-leg"].model_dump(mode="json")
BAD_INPUT = {
    "no JSON": ("{not json", "JSON"),
    "empty body": ("", "body"),
    "null": ("null", "body"),
    "a list": ("[]", "body"),
    "a negative amount": (json.dumps(VALID | {"amount": -1}), "amount"),
    "an amount of zero": (json.dumps(VALID | {"amount": 0}), "amount"),
    "an amount that is no number": (json.dumps(VALID | {"amount": float("nan")}), "amount"),
    "an amount as text": (json.dumps(VALID | {"amount": "3000"}), "amount"),
    "an infinite amount": (json.dumps(VALID).replace("3000.0", "1e999"), "amount"),
    "no such day": (json.dumps(VALID | {"date": "2024-02-30"}), "date"),
    "a number for a day": (json.dumps(VALID | {"date": 20241001}), "date"),
    "a missing field": (json.dumps({k: v for k, v in VALID.items() if k != "placeOfService"}), "placeOfService"),
    "an unknown field": (json.dumps(VALID | {"approved": True}), "approved"),
    "a reason of 5 MB": (json.dumps(VALID | {"reason": "x" * 5_000_000}), "reason"),
    "the inner name of a field": (json.dumps(VALID | {"place_of_service": "General Hospital"}), "place_of_service"),
}


@promise("bad input")
@pytest.mark.sample
@pytest.mark.parametrize("case", BAD_INPUT)
async def test_bad_input_is_the_callers_fault(running: Stack, framework: Framework, case: str) -> None:
    body, field = BAD_INPUT[case]
    if framework.keyed and body.startswith('{"'):
        body = body[:-1] + ', "sessionId": "bad-input"}'
    response = await running.ingress.post(
        f"/restate/call/{framework.path('bad-input', PATTERN)}",
        content=body,
        headers={"content-type": "application/json"},
    )
    assert response.status_code == 400
    assert field in response.json()["message"]
    assert len(response.text) < 2_000
    unfinished = await journal.query(
        running.admin,
        "SELECT id FROM sys_invocation"
        f" WHERE target_service_name = '{framework.service(PATTERN)}' AND status <> 'completed'",
    )
    assert unfinished == []


@promise("bad input")
async def test_no_body_at_all_is_the_callers_fault(running: Stack, framework: Framework) -> None:
    response = await running.ingress.post(f"/restate/call/{framework.path('no-body', PATTERN)}", timeout=10)
    assert response.status_code == 400
    assert "body" in response.json()["message"]


@promise("bad input")
async def test_a_wrong_path_is_a_client_error(running: Stack, framework: Framework) -> None:
    right = framework.path("someone", PATTERN)
    wrong = right.replace("/someone", "") if framework.keyed else right.replace("/run", "/someone/run")
    response = await running.ingress.post(f"/restate/call/{wrong}", json=framework.body(sample_claims()["broken-leg"]))
    assert 400 <= response.status_code < 500


# The faults of the model side by side, each with a claim of its own: most of their time is waiting.


@promise("model faults")
@live
@pytest.mark.costly
async def test_a_dead_model_ends_in_a_terminal_error(running: Stack, framework: Framework, tagged: Tagged) -> None:
    async def dies(kind: Kind, value: float, cause: str) -> None:
        claim = tagged()
        running.lab.plan(Fault("model", kind, value, times=99, about=claim.reason))
        answer, invocation = await decide(running, framework, claim)
        assert answer.startswith("500: "), kind
        assert cause in answer
        assert invocation.status == "completed"

    began = time.time()
    await asyncio.gather(dies("status", 500, "500"), dies("cut", 0, ""))
    injected = [entry for entry in running.lab.ledger(framework.prefix()) if entry.event == "injected"]
    tries = Counter(entry.invocation for entry in injected if entry.at >= began)
    assert len(tries) == 2
    for count in tries.values():
        assert 3 <= count <= 9, "three attempts, in each of which the SDK's client tries up to three times"


@promise("model faults")
@live
async def test_a_claim_that_waits_for_its_agent_keeps_its_attempts(running: Stack, tagged: Tagged) -> None:
    async def case(framework: Framework) -> None:
        claim, agent = tagged(), running.agents[framework.name]
        running.lab.plan(Fault("model", "delay", 2, about=claim.reason))
        id = await send(running, framework, claim)
        await reached(running, id, 2)
        await agent.process.kill()
        waits = f"SELECT id FROM sys_invocation WHERE id = '{id}' AND retry_count > 5"
        await until(lambda: journal.query(running.admin, waits))
        running.lab.plan(Fault("model", "status", 500, times=3, about=claim.reason))  # for all tries of an attempt
        await agent.restart()
        assert (await running.answer(id)).startswith("Approved:")

    await everywhere(running, case)


@promise("model faults")
@pytest.mark.parametrize("turn", [0, 1])
@live
@pytest.mark.costly
async def test_a_passing_fault_of_the_model_is_survived(
    running: Stack, framework: Framework, tagged: Tagged, turn: int
) -> None:
    async def survives(kind: Kind, value: float = 0, times: int = 1) -> None:
        claim = tagged()
        running.lab.plan(Fault("model", kind, value, times, about=claim.reason, turn=turn))
        answer, invocation = await decide(running, framework, claim)
        assert answer.startswith("Approved:"), (kind, value)
        started = [entry for entry in running.lab.ledger(invocations=[invocation.id]) if entry.event == "start"]
        assert sorted(entry.step for entry in started) == sorted(CHECKS), "finished steps are not repeated"
        if value == 429:  # the offline model says Retry-After: 1
            calls = [entry for entry in asked(running, claim) if entry.event == "start"]
            first, second = (call.at for call in calls if json.loads(call.detail)["turn"] == turn)
            assert second - first >= 1

    await asyncio.gather(
        survives("status", 429),
        survives("status", 500, times=2),
        survives("status", 503, times=2),
        survives("hang", 60),
        survives("cut", times=2),
        survives("truncate", times=2),
    )
