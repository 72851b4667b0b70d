"""The rules for a streamed answer match those of `durable.answers` for a whole one, wherever the bytes split."""

import copy
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable import answers
from durable.answer_streams import AnswerStream, BadStream, ErrorEvent, Undecided
from durable.held_steps import mended
from offline_model.changes import changed_list
from offline_model.wires.chat import CHAT
from offline_model.wires.gemini import GEMINI
from offline_model.wires.responses import RESPONSES
from offline_model.writes import event
from tests import wires
from tests.durable.test_answers import DECIDED, UNDECIDED, WIRES, ids, ids_of

OFFLINE = {"OpenAI Chat": CHAT, "OpenAI Responses": RESPONSES, "Gemini": GEMINI}


def wire_of(answer: dict[str, Any]) -> str:
    return {"choices": "OpenAI Chat", "output": "OpenAI Responses"}.get(
        next((key for key in ("choices", "output") if key in answer), ""), "Gemini"
    )


def events_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of an answer, as the offline model streams it."""
    answer = copy.deepcopy(answer)
    if "promptFeedback" in answer:
        return [answer]
    match wire_of(answer):
        case "OpenAI Chat":
            message = answer["choices"][0]["message"]
            for key in [key for key, value in message.items() if value is None]:
                del message[key]
        case "Gemini":
            answer["responseId"] = "r"
        case _:
            answer["output"] = [item for item in answer["output"] if item["type"] != "reasoning"]
    events = OFFLINE[wire_of(answer)].chunks(answer, {"stream_options": {"include_usage": True}})
    if answer.get("status") == "incomplete":
        events[-1]["type"] = "response.incomplete"
    return events


def stream_of(events: list[dict[str, Any]], closing: bytes = b"", *, escaped: bool = True) -> bytes:
    return b"".join([b": keep-alive\n\n", *(event(each, escaped=escaped) for each in events), closing])


def filtered(data: bytes, cuts: list[int] | None = None) -> bytes:
    """The output of the filter, which gets the data cut at these places."""

    def passed() -> Iterator[bytes]:
        stream = AnswerStream()
        places = [0, *sorted(cut % (len(data) + 1) for cut in cuts or ()), len(data)]
        for start, end in itertools.pairwise(places):
            yield from stream.feed(data[start:end])
        yield from stream.end()

    return b"".join(passed())


def parsed(data: bytes) -> list[dict[str, Any]]:
    lines = data.decode().split("\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


quick = settings(max_examples=int(os.environ.get("EXAMPLES", 20)), deadline=None)

line_ends = st.sampled_from(["\n", "\r\n", "\r"])

cuts = st.lists(st.integers(0, 10_000), max_size=10)
text = st.text(max_size=30) | st.sampled_from(["Grüße 🎉🎊 an 日本", "\u2028\x85"])
closing = st.sampled_from([b"", b"data: [DONE]\n\n"])


@pytest.mark.parametrize("wire", WIRES)
@quick
@given(said=text, calls=st.integers(0, 3), cuts=cuts, closing=closing, escaped=st.booleans(), end=line_ends)
def test_an_answer_without_a_fault_is_not_changed(
    wire: str, said: str, calls: int, cuts: list[int], closing: bytes, escaped: bool, end: str
) -> None:
    answer = wires.turn(wire, said, [(f"c{at}", "tool", json.dumps({"a": said})) for at in range(calls)])
    data = stream_of(events_of(answer), closing, escaped=escaped).replace(b"\n", end.encode())
    assert filtered(data, cuts) == data


def calls_in(events: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any], str]]:
    """Each place of a call that may have an id: the number of the call, the place, and the key."""
    gemini = 0
    for each in events:
        for choice in each.get("choices", ()):
            calls = choice["delta"].get("tool_calls", ())
            yield from ((call["index"], call, "id") for call in calls if "name" in call["function"])
        for candidate in each.get("candidates", ()):
            for part in candidate["content"].get("parts", ()):
                yield gemini, part["functionCall"], "id"
                gemini += 1
        if "item" in each:
            yield each["output_index"], each["item"], "call_id"
        for at, item in enumerate(each.get("response", {}).get("output", ())):
            yield at, item, "call_id"


@pytest.mark.parametrize("wire", WIRES)
@quick
@given(given_ids=st.lists(ids, max_size=5), cuts=cuts)
def test_each_call_has_an_id_of_its_own(wire: str, given_ids: list[object], cuts: list[int]) -> None:
    answer = wires.turn(wire, calls=[(id, "tool", '{"a": "🎉"}') for id in given_ids])
    before = events_of(answer)
    after = parsed(filtered(stream_of(before), cuts))
    found: list[list[Any]] = [[] for _ in given_ids]
    for (at, now, key), (_, old, _) in zip(calls_in(after), calls_in(before), strict=True):
        found[at].append(now.pop(key, None))
        old.pop(key, None)
    assert after == before, "nothing but ids has changed"
    answers.mend_calls(answer)
    for id, whole, (streamed, *others) in zip(given_ids, ids_of(wire, answer), found, strict=True):
        assert all(other == streamed for other in others), "a call has one id in all events"
        if whole is None or whole == id:
            assert streamed == whole
        else:
            assert re.fullmatch("call_[0-9a-f]{32}", streamed)
    own = [id for id, *_ in found if id]
    assert len(set(own)) == len(own)


def test_arguments_become_text() -> None:
    call = {"type": "function_call", "id": "i", "call_id": "c", "name": "tool", "arguments": {"é": [1.0]}}
    done = {"type": "response.output_item.done", "output_index": 0, "item": call}
    end = {"type": "response.completed", "response": {"output": [call]}}
    items = [after.get("item") or after["response"]["output"][0] for after in parsed(filtered(stream_of([done, end])))]
    piece = {"index": 0, "id": "c", "function": {"name": "tool", "arguments": {"é": [1.0]}}}
    choice = {"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": "tool_calls"}
    [chunk] = parsed(filtered(stream_of([{"choices": [choice]}])))
    items.append(chunk["choices"][0]["delta"]["tool_calls"][0]["function"])
    assert [item["arguments"] for item in items] == ['{"é":[1.0]}'] * 3


def test_parts_of_a_content_become_a_text() -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Approved."}]
    choice = {"index": 0, "delta": {"content": parts}, "finish_reason": "stop"}
    [chunk] = parsed(filtered(stream_of([{"choices": [choice]}])))
    assert chunk["choices"][0]["delta"] == {"content": "Approved."}


def test_a_call_keeps_its_id_where_a_server_counts_the_items_otherwise() -> None:
    calls = [{"type": "function_call", "call_id": id} for id in "ab"]
    added = [{"type": "response.output_item.added", "output_index": 0, "item": call} for call in calls]
    end = {"type": "response.completed", "response": {"output": [{"type": "reasoning"}, *calls]}}
    data = stream_of([*added, end])
    assert filtered(data) == data


def chat_pieces(pieces: list[str]) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"content": piece} for piece in pieces]
    deltas += [{"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]}]
    deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    return [{"choices": [choice]} for choice in [*choices, {"index": 0, "delta": {}, "finish_reason": "tool_calls"}]]


def chat_texts(events: list[dict[str, Any]]) -> list[str]:
    deltas = [each["choices"][0]["delta"] for each in events]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    said = "".join(delta.get("content", "") for delta in deltas)
    return [said, "".join(call["function"]["arguments"] for call in calls)]


def gemini_pieces(pieces: list[str]) -> list[dict[str, Any]]:
    parts = [{"text": piece, **also} for also in ({"thought": True}, {}) for piece in pieces]
    chunks: list[dict[str, Any]] = [{"candidates": [{"content": {"parts": [part]}}]} for part in parts]
    return [*chunks, {"candidates": [{"content": {"parts": [{"text": "."}]}, "finishReason": "STOP"}]}]


def gemini_texts(events: list[dict[str, Any]]) -> list[str]:
    parts = [part for each in events for part in each["candidates"][0].get("content", {}).get("parts", ())]
    return [
        "".join(part["text"] for part in parts if "thought" in part),
        "".join(part["text"] for part in parts if "thought" not in part).removesuffix("."),
    ]


def responses_pieces(pieces: list[str]) -> list[dict[str, Any]]:
    where = {"item_id": "m", "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [{"type": "response.output_text.delta", **where, "delta": piece} for piece in pieces]
    whole = "".join(pieces)
    item = {"type": "message", "content": [{"type": "output_text", "text": whole}]}
    events.append({"type": "response.output_text.done", **where, "text": whole})
    return [*events, {"type": "response.completed", "response": {"output": [item]}}]


def responses_texts(events: list[dict[str, Any]]) -> list[str]:
    deltas = "".join(each.get("delta", "") for each in events)
    return [deltas, events[-2]["text"], events[-1]["response"]["output"][0]["content"][0]["text"]]


@pytest.mark.parametrize(
    ("streamed", "texts"),
    [(chat_pieces, chat_texts), (gemini_pieces, gemini_texts), (responses_pieces, responses_texts)],
    ids=["chat", "gemini", "responses"],
)
@quick
@given(pieces=st.lists(st.text(st.sampled_from("a\ud83c\udf89🎉"), max_size=3)), cuts=cuts, escaped=st.booleans())
def test_half_an_emoji_waits_for_its_other_half(
    streamed: Callable[[list[str]], Any],
    texts: Callable[[Any], list[str]],
    pieces: list[str],
    cuts: list[int],
    escaped: bool,
) -> None:
    passed = parsed(filtered(stream_of(streamed(pieces), escaped=escaped), cuts))
    for found in texts(passed):
        assert found == mended("".join(pieces))


@pytest.mark.parametrize(("answer", "problem"), UNDECIDED, ids=[problem for _, problem in UNDECIDED])
def test_what_is_no_decision(answer: dict[str, Any], problem: str) -> None:
    with pytest.raises(Undecided) as told:
        filtered(stream_of(events_of(answer)))
    assert str(told.value) == problem


@pytest.mark.parametrize("answer", DECIDED, ids=json.dumps)
def test_what_is_left_to_the_sdk(answer: dict[str, Any]) -> None:
    data = stream_of(events_of(answer))
    assert filtered(data) == data


@pytest.mark.parametrize("wire", WIRES)
def test_the_end_is_demanded(wire: str) -> None:
    events = events_of(wires.turn(wire, "Hello", [("a", "tool", "{}")]))
    whole = len(events) - (wire == "OpenAI Chat")  # the usage comes after the end
    for most in range(whole):
        for closing in (b"", b"data: [DONE]\n\n", b"data: {"):
            with pytest.raises(BadStream, match=r"middle|not JSON"):
                filtered(stream_of(events[:most], closing))
    assert filtered(stream_of(events[:whole]))


ERRORS: list[tuple[dict[str, Any], int]] = [
    ({"error": {"code": 503, "status": "UNAVAILABLE"}}, 503),
    ({"error": {"code": "400"}}, 400),
    ({"error": {"type": "server_error", "code": None}}, 500),
    ({"error": {"code": "invalid_api_key"}}, 400),
    ({"error": {"type": "authentication_error"}}, 401),
    ({"error": {"type": "insufficient_quota"}}, 429),
    ({"error": "overloaded"}, 500),
    ({"type": "error", "code": "rate_limit_exceeded", "message": "Slow down."}, 429),
    ({"type": "error", "error": {"type": "invalid_request_error"}}, 400),
    ({"type": "response.failed", "response": {"error": {"code": "server_error"}}}, 500),
    ({"type": "response.failed", "response": {"error": {"code": "invalid_prompt"}}}, 400),
    ({"type": "response.failed"}, 500),
]


@pytest.mark.parametrize(("error", "status"), ERRORS, ids=map(str, ERRORS))
def test_an_error_event(error: dict[str, Any], status: int) -> None:
    with pytest.raises(ErrorEvent) as told:
        filtered(stream_of([error]))
    assert told.value.status == status


def test_an_error_event_that_only_its_name_or_place_tells() -> None:
    for data in (b'event: error\ndata: {"message": "No."}\n\n', b'{\n"error": {\n"code": 500}\n}\n', b'{"error": 1}'):
        with pytest.raises(ErrorEvent, match="500"):
            filtered(data)


@quick
@given(cuts=cuts, end=line_ends)
def test_what_a_stream_may_have_besides(cuts: list[int], end: str) -> None:
    data = """\ufeff: é

:

retry: 10
id: 1
event: ping
data

data: null

data:{"choices":[{"delta":{"content":"é"},
data: "finish_reason":
data:"stop"}]}

data: {"unknown": []}

data: [DONE]

: bye"""
    told = data.replace("\n", end).encode()
    assert filtered(told, cuts) == told


def test_the_other_lines_of_a_changed_event_stay() -> None:
    choice = {"delta": {"content": "\ud83c!"}, "finish_reason": "stop"}
    changed = filtered(b": keep-alive\r\nid: 1\r\ndata: " + json.dumps({"choices": [choice]}).encode() + b"\r\n\r\n")
    assert changed.startswith(b": keep-alive\nid: 1\ndata: {")
    assert changed.endswith(b"}\n\n")
    assert parsed(changed)[0]["choices"][0]["delta"] == {"content": "\ufffd!"}


values = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["\ud83d", "\n\n", [], {}])
change = st.one_of(
    st.tuples(st.sampled_from(["drop", "set", "twice"]), st.integers(0, 1000), values),
    st.tuples(st.just("nest"), st.integers(0, 1000), st.integers(1, 2_000)),
)


@pytest.mark.parametrize("wire", WIRES)
@quick
@given(changes=st.lists(change, min_size=1, max_size=4), cuts=cuts)
def test_nothing_that_a_server_sends_is_an_error_here(wire: str, changes: Any, cuts: list[int]) -> None:
    answer = wires.turn(wire, "Hello 🎉", [("a", "tool", "{}"), ("a", "tool", "{}")])
    try:
        filtered(stream_of(changed_list(events_of(answer), changes)), cuts)
    except (BadStream, Undecided, ErrorEvent) as told:
        str(told).encode("utf-8", "surrogatepass")
