"""Faults in the middle of a stream, as the official clients see them."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest
from google.genai import errors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.ledger import Fault as Planned
from lab.ledger import Lab
from offline_model import answers, writes
from offline_model.conversation import Conversation, ToolCall, Turn, UserText
from offline_model.faults import (
    Changed,
    Cut,
    ErrorEvent,
    Fault,
    LabDirector,
    Raw,
    SplitBytes,
    SplitEscapes,
    Stall,
    Status,
    Truncated,
)
from offline_model.server import serve_in_thread
from tests.offline_model.clients import METRICS, PROMPT, Chat, Gemini, Responses, Script, Wire, faulty
from tests.offline_model.streamed import STREAMED, STREAMS, Streamed

pytestmark = pytest.mark.long

SAID = "I can only call tools, and this request offers none."


def streaming(wire: Wire, fault: Fault) -> Streamed:
    return STREAMED[wire](serve_in_thread(director=Script(fault)))


async def test_a_stream_is_cut(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    client = streaming(wire, Cut())
    with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError, httpx2.RemoteProtocolError)):
        await client.say("Hello")
    said = "".join(client.pieces)
    assert said
    assert SAID.startswith(said)
    assert said != SAID
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


async def test_a_stream_ends_in_the_middle_without_an_error() -> None:
    responses, chat, gemini = (streaming(wire, Truncated()) for wire in (Responses, Chat, Gemini))
    with pytest.raises(RuntimeError, match=r"response\.completed"):
        await responses.say("Hello")
    with pytest.raises(AssertionError):  # these two clients leave it to their caller to miss the end
        await chat.say("Hello")
    assert not any(choice.finish_reason for chunk in chat.events for choice in chunk.choices)
    with pytest.raises(AssertionError):
        await gemini.say("Hello")
    assert not any(chunk.candidates[0].finish_reason for chunk in gemini.events)
    assert all(0 < len("".join(client.pieces)) < len(SAID) for client in (chat, gemini, responses))


async def test_a_stream_stalls_and_goes_on(wire: Wire) -> None:
    times: list[float] = []
    client = streaming(wire, Stall(0.3))
    client.on_event = lambda _: times.append(time.monotonic())
    assert (await client.say("Hello")).text == SAID
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert max(pauses) > 0.25
    assert (await faulty(wire, Stall(0.01)).say("Hello")).text == SAID


async def test_an_error_event_ends_a_stream() -> None:
    fault = ErrorEvent(503, "too busy")
    chat, gemini, responses = (streaming(wire, fault) for wire in (Chat, Gemini, Responses))
    with pytest.raises(openai.APIError, match="too busy") as told:
        await chat.say("Hello")
    assert told.value.type == "server_error"
    with pytest.raises(errors.ServerError, match=r"503 UNAVAILABLE.*too busy"):
        await gemini.say("Hello")
    with pytest.raises(RuntimeError, match=r"response\.completed"):  # the client itself raises nothing
        await responses.say("Hello")
    last = responses.events[-1]
    assert (last.type, last.code, last.message) == ("error", "server_error", "too busy")
    assert last.sequence_number == len(responses.events) - 1
    assert all(0 < len("".join(client.pieces)) < len(SAID) for client in (chat, gemini, responses))
    with pytest.raises(openai.InternalServerError, match="too busy"):
        await faulty(Chat, fault).say("Hello")


PARTY = Turn(text="Grüße 🎉🎊 an 日本, wörtlich.")


async def test_the_bytes_of_a_character_come_in_two_writes(wire: Wire) -> None:
    said = await streaming(wire, SplitBytes(PARTY)).say("Hello")
    assert said.text == PARTY.text == (await faulty(wire, SplitBytes(PARTY)).say("Hello")).text
    path, body, _ = STREAMS[wire]
    url = serve_in_thread(director=Script(SplitBytes(PARTY)))
    async with httpx.AsyncClient(base_url=url) as client, client.stream("POST", path, json=body) as answer:
        reads = [read async for read in answer.aiter_raw()]
    assert any(read[-1] >= 0xC2 for read in reads)
    assert "🎉" in b"".join(reads).decode()


async def test_half_an_emoji_ends_a_chunk(wire: Wire) -> None:
    client = streaming(wire, SplitEscapes(PARTY))
    await client.say("Hello")
    assert any(piece.endswith("\ud83c") for piece in client.pieces)
    assert "".join(client.pieces).encode("utf-16", "surrogatepass").decode("utf-16") == PARTY.text
    assert (await faulty(wire, SplitEscapes(PARTY)).say("Hello")).text == PARTY.text


async def test_half_an_emoji_of_an_argument_ends_a_chunk() -> None:
    arguments = json.dumps({"claim": "🎉"}, ensure_ascii=False)
    for wire in (Responses, Chat):
        client = streaming(wire, SplitEscapes(Turn(calls=(ToolCall("check", arguments),))))
        await client.say("Hello")
        assert any(piece.endswith("\ud83c") for piece in client.pieces)


async def test_the_faults_of_a_whole_answer(wire: Wire) -> None:
    with pytest.raises((openai.RateLimitError, errors.ClientError), match="429"):
        await streaming(wire, Status(429)).say(PROMPT, METRICS)
    path, body, _ = STREAMS[wire]
    async with httpx.AsyncClient() as client:
        url = serve_in_thread(director=Script(Raw(299, {"content-type": "text/html"}, "<p>gateway")))
        answer = await client.post(url + path, json=body)
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (299, "text/html", "<p>gateway")


values = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["\ud83d", "\n\n"])
change = st.one_of(
    st.tuples(st.sampled_from(["drop", "set", "twice"]), st.integers(0, 1000), values),
    st.tuples(st.just("nest"), st.integers(0, 1000), st.integers(1, 100)),
)


@settings(
    max_examples=int(os.environ.get("EXAMPLES", 20)),
    derandomize="EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=st.lists(change, min_size=1, max_size=4))
async def test_any_change_leaves_a_stream_of_events(wire: Wire, script: Script, scripted: str, changes: Any) -> None:
    script.fault = Changed(changes)
    path, body, _ = STREAMS[wire]
    async with httpx.AsyncClient(base_url=scripted) as client:
        answer = await client.post(path, json=body)
    data = [line.removeprefix("data: ") for line in answer.text.split("\n") if line.startswith("data: ")]
    assert answer.status_code == 200
    if wire is Chat:
        assert data.pop() == "[DONE]"
    assert data
    for each in data:
        json.loads(each)


async def test_a_client_that_hangs_up_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    class Watched(writes.Writes):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await super().__call__(scope, receive, send)
            loop.call_soon_threadsafe(ended.set)

    monkeypatch.setattr(answers, "Writes", Watched)
    path, body, _ = STREAMS[Chat]
    url = serve_in_thread(director=Script(Stall(60)))
    async with httpx.AsyncClient(base_url=url) as client, client.stream("POST", path, json=body) as answer:
        assert (await anext(answer.aiter_lines())).startswith(": keep-alive")
        assert not ended.is_set()
    await asyncio.wait_for(ended.wait(), 10)


def test_a_server_that_stops_ends_its_streams(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab.db")
    lab.plan(Planned("model", "stall", 60))
    environment = {**os.environ, "TOUR_LAB": str(tmp_path / "lab.db")}
    command = [sys.executable, "-m", "offline_model"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        path, body, _ = STREAMS[Chat]
        with httpx.stream("POST", url + path, json=body, timeout=20) as answer:
            lines = answer.iter_lines()
            assert next(lines) == ": keep-alive"
            process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                list(lines)
        assert process.wait(20) == -signal.SIGTERM


def test_the_faults_are_planned_in_the_lab(tmp_path: Path) -> None:
    said = json.dumps({"text": "🎉"})
    plan = {
        Stall(2.5): Planned("model", "stall", 2.5),
        ErrorEvent(): Planned("model", "error-event"),
        ErrorEvent(429): Planned("model", "error-event", 429),
        SplitBytes(): Planned("model", "split-bytes"),
        SplitEscapes(Turn(text="🎉")): Planned("model", "split-escapes", detail=said),
    }
    conversation = Conversation("", "chat", "m", "", (UserText("Hello"),), ())
    lab = Lab(tmp_path / "lab.db")
    lab.plan(*plan.values())
    director = LabDirector(lab)
    assert [director.direct(conversation, 0) for _ in plan] == list(plan)
    assert director.direct(conversation, 0) is None
    lab.close()
