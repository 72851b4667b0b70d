"""Streams the events of invocations to their callers, as server-sent events. It is also the deployment of the log.

    POST /stream/<service>/<handler>      invokes a handler, as Restate's ingress does, and streams the events
    GET  /stream/<invocation>             streams the events of an invocation from the first one, or from the one
                                          after `Last-Event-ID`

The server keeps no state: it can be killed, and several can run, each registered with Restate or not.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx
import restate
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from durable.event_log import LISTENERS, End, Events, as_json, begin, event_log
from durable.streaming import LIVE

POLL = 1.0
"""Seconds without an event after which the log is read: another server may have recorded events."""

PATIENCE = 25
"""How often Restate is asked for an invocation, 0.2 s apart, before it counts as unknown."""

KEEP_ALIVE = 15.0
"""Seconds without an event after which a comment is sent, because proxies cut off silent connections."""


def app(client: httpx.AsyncClient) -> Starlette:
    """The server as an ASGI app. The client asks Restate's ingress, and waits for answers without a time limit."""
    ends: dict[str, asyncio.Task[None]] = {}
    known = False

    async def recorded(request: Request, invocation: str, first: int) -> Events:
        try:
            return await _read(client.request, invocation, first)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 404:
                raise
        raise HTTPException(503, f"Restate does not know this server: uv run tour register {request.base_url}")

    async def invoke(request: Request) -> Response:
        nonlocal known
        if not known:  # before an invocation starts that nobody could see
            await recorded(request, "none", 0)
            known = True
        kept = {name: value for name, value in request.headers.items() if name in ("content-type", "idempotency-key")}
        path = f"/restate/send/{quote(request.path_params['path'])}"
        sent = await client.post(path, content=await request.body(), headers=kept | LIVE)
        if sent.status_code >= 300:
            return Response(sent.content, sent.status_code, media_type="application/json")
        accepted = sent.json()
        return _stream(accepted["invocationId"], 0, fresh=accepted["status"] == "Accepted")

    async def rejoin(request: Request) -> Response:
        invocation = quote(request.path_params["invocation"], safe="")
        last = request.headers.get("last-event-id", "-1")
        if not (last.removeprefix("-").isascii() and last.removeprefix("-").isdecimal() and -1 <= int(last) < 10**15):
            raise HTTPException(400, f"Last-Event-ID: {last!r} is not an event: give the id of the last event received")
        found = await recorded(request, invocation, int(last) + 1)
        if found.ended and not found.events:
            return Response(status_code=204)  # an EventSource that has seen everything does not connect again
        if not found.events and not found.ended and await _unknown(client, invocation):
            raise HTTPException(404, f"there is no invocation {invocation}")
        return _stream(invocation, int(last) + 1)

    def _stream(invocation: str, first: int, *, fresh: bool = False) -> Response:
        headers = {"cache-control": "no-store", "content-location": f"/stream/{invocation}"}
        return StreamingResponse(sent_events(invocation, first, fresh), media_type="text/event-stream", headers=headers)

    async def sent_events(invocation: str, first: int, fresh: bool) -> AsyncIterator[str]:
        if invocation not in ends:
            ends[invocation] = asyncio.create_task(_record_end(client, invocation))
            ends[invocation].add_done_callback(lambda _: ends.pop(invocation))
        async for found in _events(client, invocation, first, fresh):
            yield "".join(f"id: {id}\ndata: {event}\n\n" for id, event in found) or ": waits\n\n"

    async def problem(_: Request, error: Exception) -> Response:
        match error:
            case HTTPException():
                return JSONResponse({"message": error.detail}, error.status_code)
        return JSONResponse({"message": f"Restate does not answer on {client.base_url}: {error}"}, 503)

    return Starlette(
        routes=[
            Route("/health", lambda _: JSONResponse({"status": "ok"})),
            Route("/stream/{path:path}", invoke, methods=["POST"]),
            Route("/stream/{invocation}", rejoin, methods=["GET"]),
            Mount("/", restate.app([event_log])),
        ],
        exception_handlers={HTTPException: problem, httpx.HTTPError: problem},
    )


async def _events(
    client: httpx.AsyncClient, invocation: str, first: int, fresh: bool
) -> AsyncIterator[list[tuple[int, str]]]:
    """The events from this id, with their ids, until the invocation has ended. An empty list: none for a while.

    The log of a `fresh` invocation is not read at once: events that it gets meanwhile are read with the next ones.
    """
    if first == 0:  # known before the agent reports anything
        yield [(0, as_json(begin(invocation)))]
        first = 1
    ask = partial(_until_answered, client)
    listener = asyncio.Queue[Events]()
    LISTENERS[invocation].add(listener)
    try:
        nothing = Events(first=first, events=[], ended=False)
        found, silent = nothing if fresh else await _read(ask, invocation, first), 0.0
        while True:
            if found.first > first:  # another server recorded some
                found = await _read(ask, invocation, first)
            if new := found.events[first - found.first :]:
                yield [*enumerate(new, first)]
                first, silent = first + len(new), 0.0
            if found.ended:
                return
            try:
                found = await asyncio.wait_for(listener.get(), POLL)
            except TimeoutError:
                found = await _read(ask, invocation, first)
                if (silent := silent + POLL) >= KEEP_ALIVE:
                    yield []
                    silent = 0.0
    finally:
        LISTENERS[invocation].discard(listener)
        if not LISTENERS[invocation]:
            del LISTENERS[invocation]


async def _read(ask: Callable[..., Awaitable[httpx.Response]], invocation: str, first: int) -> Events:
    response = await ask("POST", f"/restate/call/AgentEvents/{invocation}/read", json=first)
    return Events.model_validate_json(response.raise_for_status().content)


async def _unknown(client: httpx.AsyncClient, invocation: str) -> bool:
    """Whether Restate does not know an invocation; after a restart, Restate may need a moment."""
    for _ in range(PATIENCE):
        if (await client.get(f"/restate/invocation/{invocation}/output")).status_code not in (400, 404):
            return False
        await asyncio.sleep(0.2)
    return True


async def _record_end(client: httpx.AsyncClient, invocation: str) -> None:
    """Wait until an invocation has ended, and record its end behind all reports of its agent."""
    attached = await _until_answered(client, "GET", f"/restate/invocation/{invocation}/attach")
    if attached.status_code == 200:
        how = End(answer=attached.json())
    else:
        message = attached.json().get("message", attached.text)
        how = End(error=message, code=attached.status_code)
    path = f"/restate/call/AgentEvents/{invocation}/end"
    (await _until_answered(client, "POST", path, json=how.model_dump())).raise_for_status()


async def _until_answered(client: httpx.AsyncClient, method: str, path: str, **body: Any) -> httpx.Response:
    """Ask until Restate answers: it may be down for a while."""
    while True:
        try:
            response = await client.request(method, path, **body)
        except httpx.TransportError:
            await asyncio.sleep(POLL)
            continue
        if response.status_code not in (502, 503):
            return response
        await asyncio.sleep(POLL)
