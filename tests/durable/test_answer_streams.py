"""Streamed answers obey the rules of whole ones, on each wire, wherever the network cuts their bytes."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable.answer_streams import BrokenOff, ErrorEvent, NoDecision, filtered
from durable.answers import mend_calls
from offline_model.conversation import Conversation, ToolCall, Turn
from offline_model.wires.chat import CHAT
from offline_model.wires.gemini import GEMINI
from offline_model.wires.responses import RESPONSES
from offline_model.wires.wire import Wire
from offline_model.writes import event

WIRES = [CHAT, RESPONSES, GEMINI]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
CALLS = st.builds(lambda text: ToolCall("f", json.dumps({"x": text})), TEXTS)
TURNS = st.one_of(
    st.builds(Turn, text=TEXTS), st.builds(lambda calls: Turn(calls=(*calls,)), st.lists(CALLS, min_size=1, max_size=3))
)
PATHS: dict[int, tuple[dict[str, str], dict[str, Any]]] = {
    id(CHAT): ({}, {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}),
    id(RESPONSES): ({}, {"model": "m", "input": "x", "stream": True}),
    id(GEMINI): (
        {"model": "m", "method": "streamGenerateContent"},
        {"contents": [{"role": "user", "parts": [{"text": "x"}]}]},
    ),
}


def streamed(wire: Wire, turn: Turn) -> list[dict[str, Any]]:
    """The data of the events with which the offline model streams this turn."""
    path, body = PATHS[id(wire)]
    conversation: Conversation = wire.parse(path, body)
    reply = wire.reply(conversation, turn).model_dump(mode="json", by_alias=True, exclude_none=True)
    return wire.chunks(reply, body)


def through(*chunks: bytes) -> bytes:
    async def given() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def all() -> bytes:
        return b"".join([passed async for passed in filtered(given())])

    return asyncio.run(all())


def data(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in stream.decode().split("\n") if line.startswith("data: {")]


@pytest.mark.parametrize("wire", WIRES)
@settings(deadline=None)
@given(turn=TURNS, cut=st.integers(0, 9999), escaped=st.booleans())
def test_a_good_stream_says_the_same(wire: Wire, turn: Turn, cut: int, escaped: bool) -> None:
    chunks = streamed(wire, turn)
    stream = wire.opening + b"".join(event(chunk, escaped=escaped) for chunk in chunks) + wire.closing
    cut %= len(stream)
    passed = through(stream[:cut], stream[cut:])
    assert data(passed) == chunks
    if not escaped:
        assert passed == stream


@pytest.mark.parametrize("wire", WIRES)
@settings(deadline=None)
@given(turn=TURNS, at=st.integers(0, 99))
def test_a_stream_that_ends_too_early_is_broken_off(wire: Wire, turn: Turn, at: int) -> None:
    chunks = streamed(wire, turn)
    ends = re.compile(rb'"(finish_reason|finishReason)": "|"response.completed"')
    end = next(place for place, chunk in enumerate(chunks) if ends.search(event(chunk)))
    with pytest.raises(BrokenOff):
        through(*map(event, chunks[: at % (end + 1)]))


@pytest.mark.parametrize("wire", WIRES)
@settings(deadline=None)
@given(number=st.integers(2, 4), id=st.sampled_from(["same", "", 7]))
def test_each_call_has_an_id_of_its_own(wire: Wire, number: int, id: object) -> None:
    def renamed(value: Any) -> Any:
        if isinstance(value, list):
            return [renamed(each) for each in value]
        if not isinstance(value, dict):
            return value
        new = {key: renamed(each) for key, each in value.items()}
        if wire is RESPONSES:
            return new | {"call_id": id} if "call_id" in value else new
        return new | {"id": id} if "args" in value or ("function" in value and "id" in value) else new

    chunks = renamed(streamed(wire, Turn(calls=(ToolCall("f", "{}"),) * number)))
    passed = through(*map(event, chunks))
    told = re.findall(r'"(?:call_id|id)": ?"(same|call_[0-9a-f]+)"', passed.decode())
    whole = [each for each in told if each]
    assert len({*whole}) == number
    if id == "same":
        assert whole[0] == "same", "the first call keeps its id"
    if wire is RESPONSES:
        answer = data(passed)[-1]["response"]
        assert not mend_calls(answer), "the whole answer has the same ids as the events"
        added = [each["item"]["call_id"] for each in data(passed) if each["type"] == "response.output_item.done"]
        assert added == [item["call_id"] for item in answer["output"]]


ERRORS: list[tuple[Wire, dict[str, Any]]] = [
    (CHAT, {"error": {"message": "overloaded", "code": "server_error"}}),
    (RESPONSES, {"type": "error", "message": "overloaded", "code": "server_error"}),
    (RESPONSES, {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "x"}}}),
    (GEMINI, {"error": {"code": 503, "message": "overloaded"}}),
]


@pytest.mark.parametrize(("wire", "error"), ERRORS)
def test_an_error_in_the_middle_is_raised(wire: Wire, error: dict[str, Any]) -> None:
    with pytest.raises(ErrorEvent):
        through(*map(event, [*streamed(wire, Turn(text="Approved."))[:2], error]))


@pytest.mark.parametrize("wire", WIRES)
def test_a_cut_off_answer_and_a_refusal_are_no_decision(wire: Wire) -> None:
    cut_off = b"".join(map(event, streamed(wire, Turn(text="Approved."))))
    for whole, half in (
        (b'"finish_reason": "stop"', b'"finish_reason": "length"'),
        (b'"STOP"', b'"MAX_TOKENS"'),
        (b'"status": "completed"', b'"status": "incomplete"'),
        (b'"type": "response.completed"', b'"type": "response.incomplete"'),
    ):
        cut_off = cut_off.replace(whole, half)
    with pytest.raises(NoDecision, match="cut off"):
        through(cut_off)
    with pytest.raises(NoDecision, match="refuses"):
        through(*map(event, streamed(wire, Turn(refusal="I do not decide."))))


@pytest.mark.parametrize("wire", WIRES)
def test_an_emoji_whose_halves_come_apart_is_whole(wire: Wire) -> None:
    chunks = streamed(wire, Turn(text="one two"))
    first = b"".join(map(event, chunks))
    split = first.replace(b'"one"', b'"one \\ud83c"', 1).replace(b'" two"', b'"\\udf89 two"', 1)
    assert split != first
    passed = through(split).decode()
    assert "🎉 two" in passed
    assert "\ufffd" not in passed


def test_what_is_not_json_is_no_answer() -> None:
    with pytest.raises(BrokenOff, match="not JSON"):
        through(b"data: <html>\n\n")
    with pytest.raises(BrokenOff):
        through()
