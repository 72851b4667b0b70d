"""The model streams as the providers do: the official clients get the same from the events as from a whole answer."""

import json
import os
import time
from typing import Any

import httpx
import pytest
from google.genai import types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import TypeAdapter

from offline_model.conversation import ToolCall, Turn
from offline_model.faults import Say
from offline_model.server import serve_in_thread
from offline_model.wires.wire import pieces_of
from tests.offline_model.clients import CHECKS, METRICS, PROMPT, Chat, Gemini, Responses, Script, Wire
from tests.offline_model.streamed import QUESTION, STREAMED, STREAMS

pytestmark = pytest.mark.long

texts = st.text(max_size=60) | st.lists(st.sampled_from(["Approved:", " ", "\n", "🎉", "é", "x" * 40])).map("".join)
objects = st.dictionaries(texts, texts | st.integers() | st.lists(texts, max_size=2), max_size=3)
calls = st.builds(
    lambda arguments, ascii: ToolCall("check", json.dumps(arguments, ensure_ascii=ascii)), objects, st.booleans()
)
turns = st.one_of(
    st.builds(Turn, text=st.none() | texts, calls=st.lists(calls, max_size=3).map(tuple)),
    st.builds(Turn, refusal=texts),
)


@given(text=st.text(st.characters(), max_size=200) | texts)
def test_pieces_put_together_are_the_text(text: str) -> None:
    assert "".join(pieces_of(text)) == text
    assert all(0 < len(piece.strip()) <= 17 for piece in pieces_of(text)[:-1])


def told(reply: Any) -> tuple[Any, ...]:
    """The contents of a reply: its id, finish reason, texts, calls, usage."""
    match reply:
        case Response(id=id, status=status, output=output, usage=usage):
            parts = [part.to_dict() for item in output if item.type == "message" for part in item.content]
            said = [part.get("text", part.get("refusal")) for part in parts]
            asked = [(i.id, i.call_id, i.name, i.arguments) for i in output if i.type == "function_call"]
            return id, status, said, asked, usage
        case ChatCompletion(id=id, choices=[choice], usage=usage):
            message: Any = choice.message
            called = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
            return id, choice.finish_reason, message.content, message.refusal, message.role, called, usage
        case types.GenerateContentResponse(response_id=id, candidates=[candidate], usage_metadata=usage):
            return id, candidate.finish_reason, candidate.finish_message, candidate.content, usage
    raise AssertionError(reply)


@settings(
    max_examples=int(os.environ.get("EXAMPLES", 20)),
    derandomize="EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(turn=turns)
async def test_any_turn_is_the_same_whole_and_streamed(wire: Wire, script: Script, scripted: str, turn: Turn) -> None:
    script.fault = Say(turn)
    streaming = STREAMED[wire](scripted, QUESTION[wire])
    streamed, whole = await streaming.send(()), await wire(scripted, QUESTION[wire]).send(())
    assert told(streamed) == told(whole)
    if wire is Gemini:
        assert "".join(streaming.pieces) == (turn.text or "")
    else:
        said = [turn.text or "", turn.refusal or "", *(call.arguments for call in turn.calls)]
        assert "".join(streaming.pieces) == "".join(said)


async def test_a_claim_is_decided_the_same(wire: Wire, url: str) -> None:
    asked, streaming = await wire(url).say(PROMPT, METRICS), STREAMED[wire](url)
    assert await streaming.say(PROMPT, METRICS) == asked
    assert len(streaming.pieces) > 5 or wire is Gemini
    streaming = STREAMED[wire](url)
    said = await streaming.say(PROMPT, METRICS, results=lambda _: CHECKS)
    assert said.text == f"Approved: {'; '.join(CHECKS)}."
    assert "".join(streaming.pieces).endswith(said.text)


async def test_the_events_as_they_are_on_the_wire(wire: Wire, script: Script, scripted: str) -> None:
    script.fault = Say(Turn(text="Let me see.", calls=(ToolCall("check", '{"a": 1}'), ToolCall("check", "{}"))))
    path, body, chunk = STREAMS[wire]
    async with httpx.AsyncClient(base_url=scripted) as client:
        answer = await client.post(path, json=body)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *frames, rest = answer.text.split("\n\n")
    assert rest == ""
    if wire is not Gemini:  # whose client takes a comment for a broken chunk
        assert frames.pop(0) == ": keep-alive"
    if wire is Chat:
        assert frames.pop() == "data: [DONE]"
    events = [dict(line.split(": ", 1) for line in frame.splitlines()) for frame in frames]
    data = [json.loads(event["data"]) for event in events]
    for each in data:
        TypeAdapter(chunk).validate_python(each)
    assert [event.get("event") for event in events] == [each.get("type") for each in data]
    if wire is Responses:
        assert [each["sequence_number"] for each in data] == list(range(len(data)))
        assert [each["type"].removeprefix("response.") for each in data] == [
            *("created", "in_progress", "output_item.added", "content_part.added"),
            *(["output_text.delta"] * 3),
            *("output_text.done", "content_part.done", "output_item.done"),
            *("output_item.added", *(["function_call_arguments.delta"] * 2), "function_call_arguments.done"),
            *("output_item.done", "output_item.added", "function_call_arguments.delta"),
            *("function_call_arguments.done", "output_item.done", "completed"),
        ]
    if wire is Chat:
        *_, finish, usage = data
        assert data[0]["choices"][0]["delta"]["role"] == "assistant"
        assert finish["choices"][0]["finish_reason"] == "tool_calls"
        assert (usage["choices"], usage["usage"]["total_tokens"] > 0) == ([], True)
        assert not any("usage" in each for each in data[:-1])


async def test_chat_tells_the_usage_only_if_asked_and_gemini_streams_events_only(scripted: str) -> None:
    async with httpx.AsyncClient(base_url=scripted) as client:
        path, body, _ = STREAMS[Chat]
        assert '"usage"' not in (await client.post(path, json={**body, "stream_options": None})).text
        path, body, _ = STREAMS[Gemini]
        answer = await client.post(path.removesuffix("?alt=sse"), json=body)
    assert answer.status_code == 400
    assert "?alt=sse" in answer.json()["error"]["message"]


async def test_the_latency_comes_before_and_between_the_chunks(wire: Wire) -> None:
    times = [time.monotonic()]
    client = STREAMED[wire](serve_in_thread(latency=0.4), on_event=lambda _: times.append(time.monotonic()))
    await client.say("Hello")
    first, last = times[1] - times[0], times[-1] - times[0]
    assert 0.2 <= first < last
    assert last - first > 0.05
    assert last >= 0.35
