"""Faults and scripted turns, as the official clients see them."""

import asyncio
import time
from typing import Any

import httpx
import openai
import pytest
from google.genai import errors, types

from offline_model import answers
from offline_model.changes import changed
from offline_model.conversation import ToolCall, Turn
from offline_model.faults import Cut, Delay, Hang, Say, Status, Truncated
from offline_model.server import serve_in_thread
from tests.offline_model.clients import (
    METRICS,
    PROMPT,
    Chat,
    Gemini,
    Responses,
    Script,
    Wire,
    faulty,
    openai_client,
)


async def test_a_status_in_the_shape_of_the_wire() -> None:
    url = serve_in_thread(director=Script(Status(429, retry_after=1.5, message="slow down")))
    for wire in (Responses, Chat):
        with pytest.raises(openai.RateLimitError, match="slow down") as caught:
            await wire(url).say(PROMPT, METRICS)
        assert caught.value.response.headers["retry-after"] == "1.5"
    with pytest.raises(errors.ClientError, match=r"429 RESOURCE_EXHAUSTED.*slow down"):
        await Gemini(url).say(PROMPT, METRICS)


@pytest.mark.parametrize(("code", "error"), [(401, openai.AuthenticationError), (500, openai.InternalServerError)])
async def test_other_statuses(code: int, error: type[Exception]) -> None:
    url = serve_in_thread(director=Script(Status(code)))
    with pytest.raises(error, match="a planned fault"):
        await Chat(url).say(PROMPT)
    with pytest.raises(errors.APIError, match=f"{code} "):
        await Gemini(url).say(PROMPT)


async def test_a_cut_connection(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError, ConnectionError)) as caught:
        await faulty(wire, Cut()).say(PROMPT, METRICS)
    chain = f"{caught.value!r} {caught.value.__cause__!r}"
    assert "incomplete" in chain or "closed connection" in chain
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


async def test_truncated_json(wire: Wire) -> None:
    with pytest.raises((ValueError, openai.APIError)):  # JSONDecodeError is a ValueError
        await faulty(wire, Truncated()).say(PROMPT, METRICS)


async def test_a_delay_and_the_latency_come_before_the_answer(wire: Wire) -> None:
    for url in (serve_in_thread(latency=0.2), serve_in_thread(director=Script(Delay(0.2)))):
        start = time.monotonic()
        assert (await wire(url).say(PROMPT, METRICS)).calls
        assert time.monotonic() - start > 0.2
    with pytest.raises((openai.APIStatusError, errors.APIError), match="later"):
        await faulty(wire, Delay(0.01, then=Status(503, message="later"))).say(PROMPT)


async def test_a_hang_ends_in_the_answer(wire: Wire) -> None:
    start = time.monotonic()
    assert (await faulty(wire, Hang(0.2)).say(PROMPT, METRICS)).calls
    assert time.monotonic() - start > 0.2


async def test_the_server_notices_a_client_that_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    loop, pause = asyncio.get_running_loop(), answers._pause

    async def watched(request: Any, seconds: float) -> bool:
        waited = await pause(request, seconds)
        if seconds:
            loop.call_soon_threadsafe(ended.set_result, waited)
        return waited

    monkeypatch.setattr(answers, "_pause", watched)
    client = openai_client(serve_in_thread(director=Script(Hang(60))), timeout=0.2)
    async with client:
        with pytest.raises(openai.APITimeoutError):
            await client.responses.create(model="m", input="Hello")
    assert await asyncio.wait_for(ended, 5) is False


def say(*calls: ToolCall, text: str | None = None, refusal: str | None = None) -> Say:
    return Say(Turn(text=text, calls=calls, refusal=refusal))


async def test_scripted_calls_and_text_in_one_turn(wire: Wire) -> None:
    calls = (
        ToolCall("unknown", "{}"),
        ToolCall("calculate_metrics", '{"claim": 1}'),
        ToolCall("unknown", "{}"),
    )
    said = await faulty(wire, say(*calls, text="Let me see.")).say(PROMPT, METRICS)
    assert said.calls == [("unknown", {}), ("calculate_metrics", {"claim": 1}), ("unknown", {})]
    if wire is not Gemini:
        assert said.text == "Let me see."
        assert len(set(said.ids)) == 3


async def test_arguments_that_are_not_json() -> None:
    url = serve_in_thread(director=Script(say(ToolCall("calculate_metrics", '{"claim": oops'))))
    client = Responses(url, [{"role": "user", "content": PROMPT}])
    assert [item.arguments for item in (await client.send(())).output if item.type == "function_call"] == [
        '{"claim": oops'
    ]
    chat = await Chat(url, [{"role": "user", "content": PROMPT}]).send(())
    calls: Any = chat.choices[0].message.tool_calls
    assert calls[0].function.arguments == '{"claim": oops'
    assert chat.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("arguments", ["oops", "[]", '{"amount": NaN}'])
async def test_gemini_reports_arguments_that_are_no_object(arguments: str) -> None:
    url = serve_in_thread(director=Script(say(ToolCall("calculate_metrics", arguments))))
    reply = await Gemini(url, ["Hello"]).send(())
    assert reply.candidates
    assert reply.candidates[0].finish_reason == types.FinishReason.MALFORMED_FUNCTION_CALL
    assert not reply.function_calls


async def test_a_refusal() -> None:
    url = serve_in_thread(director=Script(say(refusal="I will not")))
    content: Any = (await Responses(url, [{"role": "user", "content": "Hello"}]).send(())).output[0]
    assert content.content[0].refusal == "I will not"
    message = (await Chat(url, [{"role": "user", "content": "Hello"}]).send(())).choices[0].message
    assert (message.content, message.refusal) == (None, "I will not")
    candidates = (await Gemini(url, ["Hello"]).send(())).candidates or []
    assert candidates[0].finish_reason == types.FinishReason.PROHIBITED_CONTENT
    assert candidates[0].content
    assert not candidates[0].content.parts


async def test_empty_and_huge_answers(wire: Wire) -> None:
    assert not (await faulty(wire, say(text="")).say(PROMPT)).text
    assert not (await faulty(wire, say()).say(PROMPT)).text
    huge = "ü" * 10_000_000
    assert (await faulty(wire, say(text=huge)).say(PROMPT)).text == huge


def test_a_value_can_be_set_in_itself() -> None:
    value = [0]
    assert changed({"a": 1}, [("set", 1, value), ("set", 2, value)]) == b'{"a": [[0]]}'
