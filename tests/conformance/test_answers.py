"""No answer of a model server makes a claim hang: every claim ends in time, and an error names its cause.

Named cases are answers of real providers, gateways and proxies. Hypothesis also changes valid answers of all wires:
EXAMPLES=2000 uv run pytest tests/conformance/test_answers.py -k any_answer
"""

import asyncio
import json
import os
import re
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lab.ledger import Fault
from shared.claims import InsuranceClaim
from tests.conformance.cases import AGENTS, IN_TIME, PATTERN, asked, live, promise, send, tagged
from tests.nightly import selected
from tour.runtime import journal
from tour.runtime.frameworks import STREAMING, Framework
from tour.runtime.stack import Stack

AT_ONCE = 40
"""Claims in flight at the same time: most of a claim's time is the wait before the next attempt."""

pytestmark = [live, promise("odd answers")]
EMOJI = "\ud83d"


def raw(status: int = 200, body: Any = "", **headers: str) -> Fault:
    """The model answers every request with this; a body that is not a text is sent as JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault("model", "raw", detail=json.dumps({"status": status, "headers": headers, "body": text}))


def change(*changes: tuple[str, int, Any]) -> Fault:
    return Fault("model", "change", detail=json.dumps(changes))


def says(**said: Any) -> Fault:
    return Fault("model", "say", detail=json.dumps(said))


def calls(arguments: str) -> Fault:
    return says(calls=[{"name": "calculate_metrics", "arguments": arguments}])


async def ended(
    running: Stack, framework: Framework, claim: InsuranceClaim, fault: Fault, times: int, turn: int | None = None
) -> str:
    """The answer of a claim whose model has this fault; its last failure if it does not end in time."""
    running.lab.plan(replace(fault, times=times, about=claim.reason, turn=turn))
    id = await send(running, framework, claim)
    try:
        async with asyncio.timeout(IN_TIME):
            return await running.answer(id)
    except TimeoutError:
        sql = f"SELECT retry_count, last_failure FROM sys_invocation WHERE id = '{id}'"
        rows = await journal.query(running.admin, sql)
        await running.admin.patch(f"/invocations/{id}/kill")
        return f"not ended in {IN_TIME:g} s: {rows}"


def is_clear(answer: str) -> bool:
    """Whether this is an answer, or an error with a one-line message that names more than a type."""
    if answer.startswith("not ended"):
        return False
    if not re.match(r"\d{3}: ", answer):
        return bool(answer)
    return answer.count("\n") == 0 and 20 < len(answer) < 2_000


HTML = "<html><body>502 Bad Gateway</body></html>"
GATEWAY = {"error": {"message": "upstream is overloaded", "code": 529}}
CHAT = {"id": "x", "object": "chat.completion", "created": 0, "model": "m"}
ALWAYS = {
    "nothing": raw(),
    "null": raw(body="null"),
    "an empty object": raw(body={}),
    "a list": raw(body=[]),
    "a number": raw(body="1e400"),
    "an error with status 200": raw(body=GATEWAY),
    "HTML with status 200": raw(body=HTML, content_type="text/html"),
    "HTML as JSON": raw(body=HTML),
    "no choices": raw(body=CHAT | {"choices": []}),
    "choices null": raw(body=CHAT | {"choices": None}),
    "output null": raw(body={"id": "x", "object": "response", "created_at": 0, "model": "m", "output": None}),
    "no candidates": raw(body={"candidates": []}),
    "a blocked prompt": raw(body={"promptFeedback": {"blockReason": "SAFETY"}}),
    "a redirect without an end": raw(307, location="?again"),
    "a redirect to nowhere": raw(302, location="http://127.0.0.1:9/"),
    "a bad gateway": raw(502, HTML, content_type="text/html"),
    "an odd status": raw(299, body=GATEWAY),
    "not modified": raw(304),
    "no content": raw(204),
    "too large": raw(413, HTML),
    "a conflict": raw(409, GATEWAY),
    "half an emoji with status 404": raw(404, '"\\ud83d"'),
    "half an emoji with status 500": raw(500, '"\\ud83d"'),
}
"""The model's answer to every call of the claim: it must end with an error."""

ONCE = {f"{case}, once": ALWAYS[case] for case in ("an error with status 200", "HTML with status 200", "a bad gateway")}
"""The model's first answer only: it is asked again, and the claim is decided."""

REFUSALS = {f"a refusal with status {status}": status for status in (400, 401, 403, 404, 413, 422)}
"""Answers that a provider would repeat."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def answers(request: pytest.FixtureRequest, running: Stack) -> dict[tuple[str, str], tuple[str, InsuranceClaim]]:
    """The answers to the claims of all named cases and frameworks that run, with the claims."""
    room = asyncio.Semaphore(AT_ONCE)
    planned: list[tuple[str, Fault, int, int | None]] = [
        *((case, fault, 999, None) for case, fault in ALWAYS.items()),
        *((case, fault, 1, 0) for case, fault in ONCE.items()),
        *((case, Fault("model", "status", status), 999, None) for case, status in REFUSALS.items()),
    ]

    async def one(case: str, fault: Fault, times: int, turn: int | None, framework: Framework) -> tuple[Any, Any]:
        claim = tagged()
        async with room:
            return (case, framework.name), (await ended(running, framework, claim, fault, times, turn), claim)

    run = selected(request, "case", "framework")
    chosen = [(plan, framework) for plan in planned for framework in AGENTS if (plan[0], framework) in run]
    return dict(await asyncio.gather(*(one(*plan, framework) for plan, framework in chosen)))


Answers = dict[tuple[str, str], tuple[str, InsuranceClaim]]


@pytest.mark.parametrize("case", ALWAYS)
async def test_an_odd_answer_ends_the_claim(answers: Answers, framework: Framework, case: str) -> None:
    answer, _ = answers[case, framework.name]
    assert re.match(r"\d{3}: ", answer), answer
    assert is_clear(answer), answer


@pytest.mark.parametrize("case", ONCE)
async def test_after_an_odd_answer_the_model_is_asked_again(answers: Answers, framework: Framework, case: str) -> None:
    answer, _ = answers[case, framework.name]
    assert answer.startswith("Approved:"), answer


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_refusal_of_the_provider_ends_the_claim_after_one_attempt(
    running: Stack, answers: Answers, framework: Framework, case: str
) -> None:
    answer, claim = answers[case, framework.name]
    assert answer.startswith(f"{REFUSALS[case]}: the model's provider refuses the call: ")
    assert "a planned fault of the offline model" in answer
    assert [entry.event for entry in asked(running, claim)] == ["start", "injected"]


async def test_half_an_emoji_in_the_answer_is_mended(running: Stack, framework: Framework) -> None:
    assert await ended(running, framework, tagged(), says(text=f"No {EMOJI} today."), 1, 0) == "No \ufffd today."


async def test_half_an_emoji_in_a_tool_call_is_mended(running: Stack, framework: Framework) -> None:
    answer = await ended(running, framework, tagged(), calls(json.dumps({"claim": EMOJI})), 1, 0)
    assert answer.startswith(("Approved:", "500: "))


USAGE = {"constructor": 1, "prototype": [], "a.b": None}
MESSAGE = {"type": "message", "id": "x", "role": "assistant", "status": "completed"}
HELLO = {
    "OpenAI Chat": CHAT
    | {
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2} | USAGE,
    },
    "OpenAI Responses": {
        "id": "x",
        "object": "response",
        "created_at": 0,
        "model": "m",
        "output": [MESSAGE | {"content": [{"type": "output_text", "text": "Hello.", "annotations": []}]}],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2} | USAGE,
    },
    "Gemini": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello."}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1} | USAGE,
    },
}
"""Answers with fields whose names are not harmless in JavaScript."""


async def test_fields_named_like_parts_of_a_language_are_data(running: Stack, framework: Framework) -> None:
    if framework.wire not in HELLO or PATTERN == STREAMING:
        pytest.skip("its wire is not known, or it wants a stream")
    assert (await ended(running, framework, tagged(), raw(body=HELLO[framework.wire]), 999)) == "Hello."


async def test_a_malformed_function_call_of_gemini_is_asked_again(running: Stack, framework: Framework) -> None:
    if framework.wire != "Gemini":
        pytest.skip("the other wires send broken JSON as it is")
    assert (await ended(running, framework, tagged(), calls("{not json"), 1, 0)).startswith("Approved:")


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from(
        [
            10**400,
            -(2**63),
            1e308,
            "",
            "x",
            "{",
            "null",
            EMOJI,
            f"a{EMOJI}b",
            [],
            {},
            [None],
            {"error": 1},
            {"constructor": {}},
        ]
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


answers_of_a_model = st.tuples(faults, st.sampled_from([0, 1, None]), st.sampled_from([1, 999]))
TOGETHER = AT_ONCE // len(AGENTS)
"""The number of answers in one example."""


@pytest.mark.timeout(0 if "EXAMPLES" in os.environ else 180)
@settings(
    max_examples=max(1, int(os.environ.get("EXAMPLES", 20)) // TOGETHER),
    derandomize="EXAMPLES" not in os.environ,
    phases=[Phase.explicit, Phase.generate],  # shrinking takes minutes
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(answers_of_a_model, min_size=TOGETHER, max_size=TOGETHER))
async def test_any_answer_ends_the_claim(running: Stack, generated: list[tuple[Fault, int | None, int]]) -> None:
    async def one(framework: Framework, fault: Fault, turn: int | None, times: int) -> str:
        answer = await ended(running, framework, tagged(), fault, times, turn)
        return "" if is_clear(answer) else f"{framework.name}: {fault}, {times} times in turn {turn}: {answer}"

    judged = await asyncio.gather(*(one(framework, *answer) for framework in AGENTS for answer in generated))
    assert not list(filter(None, judged))
