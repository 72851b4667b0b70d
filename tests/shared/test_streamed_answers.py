"""Streamed answers with faults, through the official clients, configured as in the agents."""

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import httpx2
import openai
import pytest
import pytest_asyncio
from google import genai
from google.genai import types
from restate import TerminalError

from offline_model.conversation import ToolCall, Turn
from offline_model.faults import Cut, ErrorEvent, Fault, Raw, Say, SplitBytes, SplitEscapes, Truncated
from offline_model.server import serve_in_thread
from shared import llm
from tests.offline_model import streamed
from tests.offline_model.clients import Chat, Gemini, Responses, Script, Wire
from tests.offline_model.streamed import STREAMED, STREAMS, Streamed

PARTY = Turn(text="Grüße 🎉🎊 an 日本, wörtlich.")
ALONE = Turn(text="no \ud83c")


@pytest.fixture(params=STREAMED, ids=lambda wire: wire.__name__.lower())
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param  # type: ignore[no-any-return]


@pytest_asyncio.fixture(autouse=True)
async def clients_of_the_agents(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    options = llm.gemini_client()["http_options"]

    def openai_client(url: str) -> nullcontext[openai.AsyncOpenAI]:
        return nullcontext(openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", http_client=http))

    def gemini_client(url: str) -> genai.Client:
        return genai.Client(api_key="none", http_options=types.HttpOptions(**options, base_url=url))

    monkeypatch.setattr(streamed, "openai_client", openai_client)
    monkeypatch.setattr(streamed, "gemini_client", gemini_client)
    async with options["httpx_async_client"] as http:
        yield


@pytest.fixture(scope="module")
def script() -> Script:
    return Script(None)


@pytest.fixture(scope="module")
def url(script: Script) -> str:
    return serve_in_thread(director=script)


@pytest.fixture
def client(wire: Wire, url: str) -> Streamed:
    return STREAMED[wire](url)


async def failure(client: Streamed, script: Script, fault: Fault) -> Exception:
    """The error of an agent's model call."""
    script.fault = fault
    with pytest.raises(Exception) as told:  # noqa: PT011 - each client wraps it in its own
        await client.say("Hello")
    return llm.model_error(told.value)


async def test_a_stream_that_breaks_off_is_asked_for_again(client: Streamed, script: Script) -> None:
    cut = await failure(client, script, Cut())
    assert isinstance(cut, openai.APIConnectionError | httpx2.RemoteProtocolError)
    assert client.pieces
    truncated = await failure(client, script, Truncated())
    assert isinstance(truncated, llm.BadAnswer)
    assert "in the middle" in str(truncated)
    assert client.pieces


async def test_an_error_event_is_as_the_status_it_stands_for(client: Streamed, script: Script) -> None:
    busy = await failure(client, script, ErrorEvent(503, "too busy"))
    assert isinstance(busy, llm.BadAnswer)
    assert "too busy" in str(busy)
    assert isinstance(await failure(client, script, ErrorEvent(429, "slow down")), llm.BadAnswer)
    refused = await failure(client, script, ErrorEvent(400, "bad key"))
    assert isinstance(refused, TerminalError)
    assert refused.status_code == 400
    assert refused.message == "the model's provider refuses the call: 400: bad key"
    assert client.pieces


@pytest.mark.parametrize(
    "fault", [SplitBytes(PARTY), SplitEscapes(PARTY), Say(ALONE)], ids=lambda fault: type(fault).__name__
)
async def test_a_text_is_whole(client: Streamed, script: Script, fault: Fault) -> None:
    script.fault = fault
    said = await client.say("Hello")
    assert said.text == "".join(client.pieces) == (PARTY.text if fault != Say(ALONE) else "no \ufffd")
    assert all(piece.encode() for piece in client.pieces)


async def test_a_refusal_ends_the_claim(client: Streamed, script: Script) -> None:
    refused = await failure(client, script, Say(Turn(refusal="I must not.")))
    assert isinstance(refused, TerminalError)
    assert refused.message == "the model refuses: I must not."


async def test_each_call_has_an_id_of_its_own(client: Streamed, script: Script) -> None:
    calls = [ToolCall("check", json.dumps({"claim": claim}), "same") for claim in ("🎉", "b")]
    script.fault = Say(Turn(calls=tuple(calls)))
    said = await client.say("Hello")
    first, second = said.ids
    assert first == "same"
    assert second != "same"
    assert said.calls == [("check", {"claim": "🎉"}), ("check", {"claim": "b"})]


SSE = {"content-type": "text/event-stream; charset=utf-8"}


async def test_what_is_no_stream_of_an_answer(client: Streamed, script: Script) -> None:
    comment = (
        "" if isinstance(client, Gemini) else ": keep-alive\n\n"
    )  # Google's client takes a comment for a broken chunk
    for body in ("", comment, "data: <html>\n\n", "data: [DONE]\n\n", "<html>"):
        assert isinstance(await failure(client, script, Raw(200, SSE, body)), llm.BadAnswer), body
    out = await failure(client, script, Raw(200, SSE, 'data: {"error": {"code": "insufficient_quota"}}\n\n'))
    assert isinstance(out, TerminalError)
    assert out.status_code == 429


async def test_a_compressed_stream_is_read(wire: Wire) -> None:
    path, body, _ = STREAMS[wire]
    async with httpx2.AsyncClient() as plain:
        whole = (await plain.post(serve_in_thread() + path, json=body)).content

    def answer(_: httpx2.Request) -> httpx2.Response:
        packed = {"content-type": "text/event-stream", "content-encoding": "gzip"}
        return httpx2.Response(200, headers=packed, stream=httpx2.ByteStream(gzip.compress(whole)))

    async with llm.http_client() as client:
        client._transport = httpx2.MockTransport(answer)
        assert (await client.post("http://model" + path, json=body)).content == whole


@pytest.mark.parametrize("wire", [Chat, Responses])
async def test_a_connection_is_kept(wire: Wire, url: str, script: Script) -> None:
    """The next call needs no new connection, though OpenAI's client stops reading at `[DONE]`."""
    script.fault = None
    connections = set()

    async def note(response: httpx2.Response) -> None:
        connections.add(response.extensions["network_stream"].get_extra_info("client_addr"))

    http = llm.http_client()
    http.event_hooks["response"].append(note)
    _, body, _ = STREAMS[wire]
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", http_client=http) as client:
        create: Any = client.chat.completions.create if wire is Chat else client.responses.create
        for _ in range(3):
            assert [event async for event in await create(**body)]
    assert len(connections) == 1
