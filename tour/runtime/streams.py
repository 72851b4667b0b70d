"""The stream of a claim's events, which a front end assembles: docs.ag-ui.com/concepts/events."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Any

import httpx

Event = dict[str, Any]

LAST = ("RUN_FINISHED", "RUN_ERROR")
"""The types of the last event."""

SILENCE = 60.0
"""Seconds without a byte after which the server is asked again. It sends a comment every 15 s."""


async def events(url: str, invocation: str, first: int = 0) -> AsyncGenerator[tuple[int, Event]]:
    """The events of an invocation with their ids, from the id `first` to the last event.

    `url` is the address of the stream server. If that server or Restate is killed meanwhile, the events resume.
    Raises: httpx.HTTPStatusError, such as 404 if there is no such invocation.
    """
    async with httpx.AsyncClient(base_url=url, timeout=SILENCE) as client:
        while True:
            headers = {"last-event-id": str(first - 1)}
            with suppress(httpx.TransportError):
                async with client.stream("GET", f"/stream/{invocation}", headers=headers) as response:
                    if response.status_code == 204:  # there are no more
                        return
                    if response.status_code != 503:  # Restate is down
                        response.raise_for_status()
                    async for id, event in sent(response):
                        first = id + 1
                        yield id, event
                        if event["type"] in LAST:
                            return
            await asyncio.sleep(0.05)


def put_together(texts: dict[str, str], event: Event) -> None:
    """Apply this event to the texts of the model's messages, by id. A message that is taken back is removed."""
    match event:
        case {"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": text}:
            texts[id] = texts.get(id, "") + text
        case {"type": "CUSTOM", "name": "restart", "value": {"messageId": id}}:
            del texts[id]


async def sent(response: httpx.Response) -> AsyncIterator[tuple[int, Event]]:
    """The events of a response, with their ids."""
    rest = ""
    async for text in response.aiter_text():
        *whole, rest = (rest + text).split("\n\n")
        for each in whole:
            fields = dict(line.partition(": ")[::2] for line in each.split("\n"))
            if "data" in fields:  # otherwise a comment
                yield int(fields["id"]), json.loads(fields["data"])
