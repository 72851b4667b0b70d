"""Nothing that a model can say makes an agent hang, retry for ever, or decide on another claim."""

import asyncio
import json
import re
from collections import Counter
from typing import Any

import pytest
import pytest_asyncio

from lab.ledger import Fault
from shared.claims import InsuranceClaim
from tests.conformance.cases import IN_TIME, PATTERN, PATTERNS, Tagged, decide, promise, to_the_claim_agent, tool_shown
from tour.runtime.frameworks import SPECIALISTS, Framework
from tour.runtime.stack import CHECKS, Stack


def script(claim: InsuranceClaim, turn: int | None = 0, times: int = 1, **said: Any) -> Fault:
    """Let the model say this in this turn of this claim: `text`, `refusal`, `calls`."""
    return Fault("model", "say", times=times, about=to_the_claim_agent(claim), turn=turn, detail=json.dumps(said))


def call(claim: InsuranceClaim, tool: str = "calculate_metrics", flat: bool = False, **changed: Any) -> dict[str, str]:
    """A tool call with the claim, some fields changed."""
    arguments = claim.model_dump(mode="json") | changed
    return {"name": tool, "arguments": json.dumps(arguments if flat else {"claim": arguments})}


@pytest_asyncio.fixture(loop_scope="session")
async def flat(running: Stack, framework: Framework, tagged: Tagged) -> bool:
    """Whether the claim's fields are the tool's parameters, as Pydantic AI makes them."""
    if not tool_shown(running, framework):
        await decide(running, framework, tagged())
    shown = tool_shown(running, framework)
    return shown is not None and "claim" not in shown[1]["properties"]


async def ask(running: Stack, framework: Framework, claim: InsuranceClaim) -> tuple[str, Counter[str]]:
    """The timely answer, and the number of starts of each check for this claim."""
    async with asyncio.timeout(IN_TIME):
        answer, invocation = await decide(running, framework, claim)
    assert invocation.status == "completed"
    ledger = running.lab.ledger(invocations=[invocation.id])
    return answer, Counter(entry.step for entry in ledger if entry.event == "start")


ONCE = Counter(CHECKS)

DECIDED = "Approved: "
NO_ANSWER = "500: the model gave no answer: "
REFUSED = "I cannot help with that."
KNOWN = (
    *("openai_agents", "google_adk", "pydantic_ai_agent", "langchain_agent", "restate_loop"),
    *("vercel_ai", "typescript_loop"),
)


def ends(framework: Framework, *outcomes: str) -> str:
    """The expected outcome of this framework, in the order of `KNOWN`; of another agent, any outcome or error."""
    known = dict(zip(KNOWN, outcomes, strict=True)) if PATTERN in PATTERNS.values() else {}
    return known.get(framework.name, "|".join(["500: ", *outcomes]))


EMPTY = (
    f"{NO_ANSWER}its text is empty",
    f"{NO_ANSWER}MODEL_RETURNED_NO_CONTENT: ",
    "500: UnexpectedModelBehavior: Exceeded maximum output retries",
    *[f"{NO_ANSWER}its text is empty"] * 4,
)
TOO_MANY_TURNS = (
    r"500: MaxTurnsExceeded: Max turns \(10\) exceeded",
    "500: the model gave no answer in 10 turns",
    "500: UsageLimitExceeded: The next request would exceed the request_limit of 10",
    "500: GraphRecursionError: Recursion limit of 20 reached",
    "500: the model gave no answer in 10 turns",
    f"{NO_ANSWER}its text is empty",
    "500: the model gave no answer in 10 turns",
)


@promise("odd answers")
@pytest.mark.sample
async def test_an_answer_without_a_tool_call(running: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged()
    running.lab.plan(script(claim, text="Hello."))
    assert await ask(running, framework, claim) == ("Hello.", Counter())


@promise("odd answers")
async def test_an_unknown_tool(running: Stack, framework: Framework, tagged: Tagged, flat: bool) -> None:
    claim = tagged()
    running.lab.plan(script(claim, calls=[call(claim, "approve_claim", flat)]))
    answer, checked = await ask(running, framework, claim)
    assert answer.startswith(DECIDED)
    assert checked == ONCE


@promise("odd answers")
@pytest.mark.parametrize("position", [0, 1, 2])
async def test_an_unknown_tool_beside_good_calls(
    running: Stack, framework: Framework, tagged: Tagged, flat: bool, position: int
) -> None:
    claim = tagged()
    calls = [call(claim, flat=flat), call(claim, flat=flat)]
    calls.insert(position, call(claim, "approve_claim", flat))
    running.lab.plan(script(claim, calls=calls))
    answer, _ = await ask(running, framework, claim)
    assert answer.startswith(DECIDED)


ARGUMENTS = {
    "invalid JSON": "{not json",
    "nothing": "",
    "another type": "[1, 2]",
    "null": "null",
    "no claim": "{}",
    "a field missing": '{"claim": {"amount": 3000}, "amount": 3000}',
    "a wrong type": '{"claim": "the broken leg", "amount": "3000"}',
}


@promise("odd answers")
@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("arguments", ARGUMENTS)
async def test_arguments_that_do_not_fit(
    running: Stack, framework: Framework, tagged: Tagged, flat: bool, arguments: str, position: int
) -> None:
    claim = tagged()
    calls = [call(claim, flat=flat), call(claim, flat=flat)]
    calls.insert(position, {"name": "calculate_metrics", "arguments": ARGUMENTS[arguments]})
    running.lab.plan(script(claim, calls=calls))
    answer, _ = await ask(running, framework, claim)
    assert answer.startswith(DECIDED)


@promise("odd answers")
@pytest.mark.parametrize("count", [2, 5])
async def test_the_same_call_several_times_in_one_turn(
    running: Stack, framework: Framework, tagged: Tagged, flat: bool, count: int
) -> None:
    claim = tagged()
    running.lab.plan(
        script(claim, calls=[call(claim, flat=flat)] * count),
        *(Fault(check, "delay", 0.05, about=claim.reason) for check in CHECKS),  # or all would end in their order
    )
    answer, checked = await ask(running, framework, claim)
    assert answer.startswith("Approved:")
    # A specialist's report stands: it is not asked twice.
    assert checked == Counter(dict.fromkeys(CHECKS, 1 if PATTERN == SPECIALISTS else count))


@promise("odd answers")
async def test_an_empty_answer(running: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged()
    running.lab.plan(script(claim, turn=None, times=99))
    answer, _ = await ask(running, framework, claim)
    assert re.match(ends(framework, *EMPTY), answer)


@promise("odd answers")
async def test_a_refusal(running: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged()
    running.lab.plan(script(claim, turn=None, times=99, refusal=REFUSED))
    answer, _ = await ask(running, framework, claim)
    assert answer == f"500: the model refuses: {REFUSED}"


@promise("odd answers")
@pytest.mark.costly
async def test_an_answer_of_10_mb(running: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged()
    running.lab.plan(script(claim, turn=1, text="long " * 2_000_000))
    answer, checked = await ask(running, framework, claim)
    assert answer.strip() == ("long " * 2_000_000).strip()
    assert checked == ONCE


@promise("bounded turns")
@pytest.mark.costly
async def test_tool_calls_without_end(running: Stack, framework: Framework, tagged: Tagged, flat: bool) -> None:
    claim = tagged()
    running.lab.plan(script(claim, turn=None, times=99, calls=[call(claim, flat=flat)]))
    answer, checked = await ask(running, framework, claim)
    assert re.match(ends(framework, *TOO_MANY_TURNS), answer)
    assert 0 < checked["fraud"] <= 10


LIES: dict[str, Any] = {
    "amount": 1.0,
    "category": "dental",
    "date": "2024-10-02",
    "placeOfService": "City Clinic",
    "reason": "x",
}


@promise("lies")
@pytest.mark.sample
@pytest.mark.parametrize("field", LIES)
async def test_the_model_cannot_change_the_claim(
    running: Stack, framework: Framework, tagged: Tagged, flat: bool, field: str
) -> None:
    claim = tagged("please-approve")
    running.lab.plan(script(claim, calls=[call(claim, "calculate_metrics", flat, **{field: LIES[field]})]))
    answer, checked = await ask(running, framework, claim)
    truth, _ = await ask(running, framework, tagged("please-approve"))
    assert answer == truth, "told, the model called with the claim that was submitted"
    assert checked == ONCE, "no check ran on the other claim"


@promise("lies")
@pytest.mark.costly
async def test_a_model_that_lies_to_the_end_gets_no_check(
    running: Stack, framework: Framework, tagged: Tagged, flat: bool
) -> None:
    claim = tagged()
    running.lab.plan(script(claim, turn=None, times=99, calls=[call(claim, flat=flat, amount=1.0)]))
    answer, checked = await ask(running, framework, claim)
    assert re.match(ends(framework, *TOO_MANY_TURNS), answer)
    assert not checked


@promise("terminal errors")
@pytest.mark.sample
@pytest.mark.parametrize("status", [409, 418, 422, 503])
@pytest.mark.parametrize("step", CHECKS)
async def test_a_terminal_error_of_a_check_reaches_the_caller(
    running: Stack, framework: Framework, tagged: Tagged, step: str, status: int
) -> None:
    claim = tagged()
    running.lab.plan(Fault(step, "terminal", status, about=claim.reason, detail="the claims desk is closed"))
    assert await ask(running, framework, claim) == (f"{status}: the claims desk is closed", ONCE)


@promise("terminal errors")
@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_terminal_error_in_one_of_three_tool_calls(
    running: Stack, framework: Framework, tagged: Tagged, flat: bool, position: int
) -> None:
    claim = tagged()
    calls = [call(claim, flat=flat, amount=1.0)] * 3  # these are refused, and start no check
    calls[position] = call(claim, flat=flat)
    running.lab.plan(
        script(claim, calls=calls),
        Fault("cost", "terminal", 422, about=claim.reason, detail="the claims desk is closed"),
    )
    assert await ask(running, framework, claim) == ("422: the claims desk is closed", ONCE)


@promise("terminal errors")
async def test_a_terminal_error_in_the_first_of_three_tool_calls_that_all_fit(
    running: Stack, framework: Framework, tagged: Tagged, flat: bool
) -> None:
    claim = tagged()
    running.lab.plan(
        script(claim, calls=[call(claim, flat=flat)] * 3),
        Fault("cost", "terminal", 422, about=claim.reason, detail="the claims desk is closed"),
    )
    answer, _ = await ask(running, framework, claim)
    assert answer == "422: the claims desk is closed"
