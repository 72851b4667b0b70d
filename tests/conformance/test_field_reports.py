"""Answers from the field, over each wire: all agents must treat them alike."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
import pytest_asyncio

from lab.ledger import Fault
from shared.claims import InsuranceClaim
from tests import wires
from tests.conformance.cases import IN_TIME, PATTERN, Tagged, asked, promise, send, to_the_claim_agent, tool_shown
from tests.conformance.test_answers import raw
from tests.wires import MISSING
from tour.runtime.frameworks import FAN_OUT, Framework
from tour.runtime.stack import CHECKS, Stack

pytestmark = [
    promise("odd answers"),
    pytest.mark.skipif(PATTERN != FAN_OUT, reason="the answers call one tool with the claim"),
]

IDS: dict[str, list[object]] = {
    "equal": ["c1", "c1"],
    "in a circle": ["a", "b", "a"],
    "empty": ["", ""],
    "null": [None, None],
    "missing": [MISSING, MISSING],
    "a number": [7, "7"],
    "very long": ["x" * 300, "x" * 300],
}


def answer(claim: InsuranceClaim, body: Any, turn: int | None = 0, times: int = 1) -> Fault:
    """The model's server answers with this in this turn of the claim."""
    fault = raw(body=body)
    return Fault("model", "raw", times=times, about=to_the_claim_agent(claim), turn=turn, detail=fault.detail)


@pytest_asyncio.fixture(loop_scope="session")
async def arguments(running: Stack, framework: Framework, tagged: Tagged) -> str:
    """Arguments of the tool, with the text CASE in place of the claim's reason."""
    claim = tagged()
    if not (shown := tool_shown(running, framework)):
        await running.answer(await send(running, framework, claim))
        shown = tool_shown(running, framework)
    fields = claim.model_copy(update={"reason": "CASE"}).model_dump(mode="json")
    return json.dumps(fields if shown and "claim" not in shown[1]["properties"] else {"claim": fields})


async def outcome(running: Stack, framework: Framework, claim: InsuranceClaim) -> tuple[str, Counter[str]]:
    """The agent's timely answer, and the number of successful ends of each check."""
    id = await send(running, framework, claim)
    async with asyncio.timeout(IN_TIME):
        said = await running.answer(id)
    ledger = running.lab.ledger(invocations=[id])
    return said, Counter(entry.step for entry in ledger if (entry.event, entry.detail) == ("end", "ok"))


@pytest.mark.parametrize("ids", IDS)
async def test_ids_that_are_none_of_a_call_s_own(
    running: Stack, framework: Framework, tagged: Tagged, arguments: str, ids: str
) -> None:
    """Equal ids beside a failing step used to freeze the process permanently."""
    if framework.wire == "Gemini" and ids == "a number":
        pytest.skip("its client refuses an id that is no text")
    claim = tagged()
    calls = [(id, "calculate_metrics", arguments.replace("CASE", claim.reason)) for id in IDS[ids]]
    running.lab.plan(
        answer(claim, wires.turn(framework.wire, calls=calls)), Fault("fraud", "fail", about=claim.reason, times=1)
    )
    said, ended = await outcome(running, framework, claim)
    assert said.startswith("Approved:")
    assert ended == Counter(dict.fromkeys(CHECKS, len(IDS[ids])))


CUT_OFF = {
    "OpenAI Responses": ["max_output_tokens", "content_filter"],
    "OpenAI Chat": ["length", "content_filter"],
    "Gemini": ["MAX_TOKENS", "SAFETY"],
}


@pytest.mark.parametrize("which", [0, 1])
async def test_half_a_decision_is_none(running: Stack, framework: Framework, tagged: Tagged, which: int) -> None:
    claim = tagged()
    ends = CUT_OFF[framework.wire][which]
    running.lab.plan(answer(claim, wires.turn(framework.wire, "Approved: eli", ends=ends), turn=1, times=99))
    said, _ = await outcome(running, framework, claim)
    assert said == f"500: the model's answer is cut off: {ends}"
    assert [entry.event for entry in asked(running, claim)] == ["start", "start", "injected"]


async def test_a_refusal_is_no_decision(running: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged()
    running.lab.plan(answer(claim, wires.turn(framework.wire, refusal="I cannot help with that."), turn=1, times=99))
    said, _ = await outcome(running, framework, claim)
    assert said == "500: the model refuses: I cannot help with that."


async def test_thoughts_are_no_decision(running: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged()
    running.lab.plan(answer(claim, wires.turn(framework.wire, "Approved.", thought="Rejected?"), turn=1))
    assert (await outcome(running, framework, claim))[0] == "Approved."


async def test_thoughts_in_the_text_are_no_decision(running: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged()
    running.lab.plan(answer(claim, wires.turn(framework.wire, "<think>Rejected?</think>\n\nApproved."), turn=1))
    assert (await outcome(running, framework, claim))[0] == "Approved."


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, {"message": "You exceeded your current quota.", "type": "x", "code": "insufficient_quota"}),
        (402, {"message": "Insufficient credits.", "code": 402}),
    ],
)
async def test_without_money_the_model_is_asked_once(
    running: Stack, framework: Framework, tagged: Tagged, status: int, error: dict[str, Any]
) -> None:
    claim = tagged()
    fault = raw(status, {"error": error})
    running.lab.plan(Fault("model", "raw", times=99, about=to_the_claim_agent(claim), detail=fault.detail))
    said, _ = await outcome(running, framework, claim)
    assert said == f"{status}: the model's provider refuses the call: {status}: {error['message']}"
    assert [entry.event for entry in asked(running, claim)] == ["start", "injected"]


BAD = {
    "a dict of Python's": "{'claim': 1}",
    "a fence": "```json\n{}\n```",
    "one brace too many": '{"claim": {}}}',
    "half": '{"claim": {"date": "2024',
}


@pytest.mark.parametrize("bad", BAD)
async def test_the_model_is_told_of_its_only_call_that_cannot_be_parsed(
    running: Stack, framework: Framework, tagged: Tagged, bad: str
) -> None:
    if framework.wire == "Gemini":
        pytest.skip("its arguments are an object; for a malformed call, it is asked again (test_answers.py)")
    claim = tagged()
    running.lab.plan(answer(claim, wires.turn(framework.wire, calls=[("c1", "calculate_metrics", BAD[bad])])))
    said, ended = await outcome(running, framework, claim)
    assert said.startswith("Approved:")
    assert ended == Counter(CHECKS)


@pytest.mark.parametrize("name", ["lookup_policy", "functions.calculate_metrics"])
@pytest.mark.parametrize("beside", [False, True])
async def test_the_model_is_told_of_an_unknown_tool(
    running: Stack, framework: Framework, tagged: Tagged, arguments: str, name: str, beside: bool
) -> None:
    claim = tagged()
    given = arguments.replace("CASE", claim.reason)
    good = [("good", "calculate_metrics", given)] if beside else []
    running.lab.plan(answer(claim, wires.turn(framework.wire, calls=[("bad", name, given), *good])))
    said, ended = await outcome(running, framework, claim)
    assert said.startswith("Approved:")
    assert ended == Counter(dict.fromkeys(CHECKS, 1 + beside)), "told, the model asks once more"


def loosely(wire: str, arguments: str) -> dict[str, Any]:
    """A call as a more or less compatible server sends it: an object of arguments, an unknown finish reason."""
    turn = wires.turn(wire, calls=[("c1", "calculate_metrics", arguments)])
    if wire == "OpenAI Chat":
        turn["service_tier"] = "on_demand"
        choice = turn["choices"][0]
        choice["finish_reason"] = "eos"
        choice["message"]["content"] = [{"type": "text", "text": "Let me see."}]
        choice["message"]["tool_calls"][0]["function"]["arguments"] = json.loads(arguments)
    return turn


async def test_a_server_that_is_only_compatible(
    running: Stack, framework: Framework, tagged: Tagged, arguments: str
) -> None:
    if framework.wire != "OpenAI Chat":
        pytest.skip("the servers in question speak Chat")
    claim = tagged()
    running.lab.plan(answer(claim, loosely(framework.wire, arguments.replace("CASE", claim.reason))))
    said, ended = await outcome(running, framework, claim)
    assert said.startswith("Approved:")
    assert ended == Counter(CHECKS)


async def test_a_decision_in_parts(running: Stack, framework: Framework, tagged: Tagged) -> None:
    if framework.wire != "OpenAI Chat":
        pytest.skip("the servers in question speak Chat")
    claim = tagged()
    turn = wires.turn(framework.wire)
    turn["choices"][0]["message"]["content"] = [{"type": "text", "text": "App"}, {"type": "text", "text": "roved."}]
    running.lab.plan(answer(claim, turn, turn=1))
    assert (await outcome(running, framework, claim))[0] == "Approved."
