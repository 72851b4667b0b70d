"""No answer of a model server makes a claim hang: every claim ends in time, and an error names its cause.

Named cases are answers of real providers, gateways and proxies. Hypothesis changes valid answers of all wires further:
EXAMPLES=2000 uv run pytest tests/conformance/test_answers.py -k any_answer
"""

import asyncio
import json
import os
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lab.ledger import Fault
from shared.claims import sample_claims
from tests.conformance.cases import AGENTS, Tagged, live, send
from tour.runtime import journal
from tour.runtime.frameworks import Framework
from tour.runtime.stack import Stack

IN_TIME = 30.0
"""Seconds in which each of these claims must end."""

pytestmark = live
EMOJI = "\ud83d"


def raw(status: int = 200, body: Any = "", **headers: str) -> Fault:
    """The model answers with this, whatever it is asked; a body that is not a text is sent as JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault("model", "raw", detail=json.dumps({"status": status, "headers": headers, "body": text}))


def change(*changes: tuple[str, int, Any]) -> Fault:
    return Fault("model", "change", detail=json.dumps(changes))


async def ended(running: Stack, framework: Framework, claim: Any, fault: Fault, times: int, turn: int | None) -> str:
    """The answer of a claim whose model has this fault; fails where the claim has not ended in time."""
    running.lab.plan(Fault("model", fault.kind, times=times, about=claim.reason, turn=turn, detail=fault.detail))
    id = await send(running, framework, claim)
    try:
        async with asyncio.timeout(IN_TIME):
            return await running.answer(id)
    except TimeoutError:
        [row] = await journal.query(
            running.admin, f"SELECT retry_count, last_failure FROM sys_invocation WHERE id = '{id}'"
        )
        await running.admin.patch(f"/invocations/{id}/kill")
        pytest.fail(f"{framework.name} has not ended: {row}")


def is_clear(answer: str) -> bool:
    """Whether it is an answer, or an error whose message is one line and names more than a type."""
    if not re.match(r"\d{3}: ", answer):
        return bool(answer)
    return answer.count("\n") == 0 and 20 < len(answer) < 2_000


HTML = "<html><body>502 Bad Gateway</body></html>"
GATEWAY = {"error": {"message": "upstream is overloaded", "code": 529}}
ANSWERS = {
    "nothing": raw(),
    "null": raw(body="null"),
    "an empty object": raw(body={}),
    "a list": raw(body=[]),
    "a number": raw(body="1e400"),
    "an error with status 200": raw(body=GATEWAY),
    "HTML with status 200": raw(body=HTML, content_type="text/html"),
    "HTML as JSON": raw(body=HTML),
    "no choices": raw(body={"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": []}),
    "choices null": raw(body={"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": None}),
    "output null": raw(body={"id": "x", "object": "response", "created_at": 0, "model": "m", "output": None}),
    "no candidates": raw(body={"candidates": []}),
    "blocked prompt": raw(body={"promptFeedback": {"blockReason": "SAFETY"}}),
    "a redirect without an end": raw(307, location="?again"),
    "a redirect to nowhere": raw(302, location="http://127.0.0.1:9/"),
    "a bad gateway": raw(502, HTML, content_type="text/html"),
    "an odd status": raw(299, body=GATEWAY),
    "not modified": raw(304),
    "no content": raw(204),
    "too large": raw(413, HTML),
    "a conflict": raw(409, GATEWAY),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_an_odd_answer(running: Stack, tagged: Tagged, case: str) -> None:
    async def one(framework: Framework) -> None:
        answer = await ended(running, framework, tagged(), ANSWERS[case], 999, None)
        assert re.match(r"\d{3}: ", answer), f"{framework.name}: {answer}"
        assert is_clear(answer), f"{framework.name}: {answer}"
        print(f"{framework.name:20} {answer[:230]}")

    await asyncio.gather(*map(one, AGENTS))


async def test_an_odd_answer_is_asked_again(running: Stack, tagged: Tagged) -> None:
    async def one(framework: Framework, case: str) -> None:
        answer = await ended(running, framework, tagged(), ANSWERS[case], 1, 0)
        assert answer.startswith("Approved:"), f"{framework.name}, {case}: {answer}"

    for case in ("an error with status 200", "HTML with status 200", "a bad gateway"):
        await asyncio.gather(*(one(framework, case) for framework in AGENTS))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_a_refusal_of_the_provider_ends_the_claim_after_one_attempt(
    running: Stack, tagged: Tagged, status: int
) -> None:
    async def one(framework: Framework) -> None:
        claim = tagged()
        running.lab.plan(Fault("model", "status", status, times=99, about=claim.reason))
        async with asyncio.timeout(IN_TIME):
            answer = await running.answer(await send(running, framework, claim))
        assert answer.startswith(f"{status}: the model's provider refuses the call: "), answer
        assert "a planned fault of the offline model" in answer
        injected = [e for e in running.lab.ledger(framework.prefix()) if e.event == "injected" and e.detail == "status"]
        assert len([e for e in injected if e.invocation == digest_of(claim)]) == 1

    await asyncio.gather(*map(one, AGENTS))


async def test_half_an_emoji_in_the_answer_is_mended(running: Stack, tagged: Tagged) -> None:
    async def one(framework: Framework) -> None:
        said = json.dumps({"text": f"No {EMOJI} today."})
        answer = await ended(running, framework, tagged(), Fault("model", "say", detail=said), 1, 0)
        assert answer == "No \ufffd today."

    await asyncio.gather(*map(one, AGENTS))


async def test_half_an_emoji_in_a_tool_call_is_mended(running: Stack, tagged: Tagged) -> None:
    async def one(framework: Framework) -> None:
        call = {"name": "calculate_metrics", "arguments": json.dumps({"claim": EMOJI})}
        said = json.dumps({"calls": [call]})
        answer = await ended(running, framework, tagged(), Fault("model", "say", detail=said), 1, 0)
        assert answer.startswith(("Approved:", "500: "))

    await asyncio.gather(*map(one, AGENTS))


async def test_a_malformed_function_call_is_asked_again(running: Stack, tagged: Tagged) -> None:
    async def one(framework: Framework) -> None:
        said = json.dumps({"calls": [{"name": "calculate_metrics", "arguments": "{not json"}]})
        answer = await ended(running, framework, tagged(), Fault("model", "say", detail=said), 1, 0)
        assert answer.startswith("Approved:"), framework.name

    await asyncio.gather(*(one(framework) for framework in AGENTS if framework.wire == "Gemini"))


def digest_of(claim: Any) -> str:
    from offline_model.faults import digest

    return digest(f"Claim: {claim.model_dump_json()}")


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from(
        [10**400, -(2**63), 1e308, "", "x", "{", "null", EMOJI, f"a{EMOJI}b", [], {}, [None], {"error": 1}]
    ),
)
changes = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 60), values),
        st.tuples(st.just("drop"), st.integers(0, 60), st.none()),
        st.tuples(st.just("twice"), st.integers(0, 60), st.none()),
        st.tuples(st.just("nest"), st.integers(0, 60), st.sampled_from([1, 50, 2_000, 20_000])),
    ),
    min_size=1,
    max_size=4,
)
statuses = st.sampled_from([200, 201, 204, 206, 302, 304, 400, 404, 409, 413, 418, 422, 429, 451, 500, 503, 529])
headers = st.dictionaries(
    st.sampled_from(["content-type", "location", "retry-after", "content-encoding", "x-should-retry"]),
    st.sampled_from(["application/json", "text/html", "", "0.1", "Wed, 21 Oct 2015 07:28:00", "gzip", "true", "/v1"]),
    max_size=2,
)
faults = st.one_of(
    st.builds(lambda c: change(*c), changes),
    st.builds(lambda c: change(*c), changes),
    st.builds(
        lambda status, headers, body: raw(status, body, **{k.replace("-", "_"): v for k, v in headers.items()}),
        statuses,
        headers,
        st.sampled_from(["", "null", "{}", "[]", HTML, GATEWAY, "{", '"\\ud83d"', "[" * 5_000, "1" * 5_000]),
    ),
)


AT_ONCE = 10
"""Answers that are tried at the same time: most of a claim's time is the wait before the next attempt."""


@settings(
    max_examples=int(os.environ.get("EXAMPLES", 60)) // AT_ONCE,
    derandomize="EXAMPLES" not in os.environ,
    phases=list(Phase) if "EXAMPLES" in os.environ else [Phase.explicit, Phase.generate],  # shrinking takes minutes
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(faults, st.sampled_from([0, 1, None]), st.sampled_from([1, 999])), min_size=AT_ONCE, max_size=AT_ONCE
    )
)
async def test_any_answer_ends_the_claim(running: Stack, answers: list[tuple[Fault, int | None, int]]) -> None:
    async def one(framework: Framework, fault: Fault, turn: int | None, times: int) -> None:
        claim = sample_claims()["broken-leg"].model_copy(update={"reason": f"case {os.urandom(16).hex()}"})
        answer = await ended(running, framework, claim, fault, times, turn)
        assert is_clear(answer), f"{framework.name}: {answer}"

    await asyncio.gather(*(one(framework, *answer) for framework in AGENTS for answer in answers))
