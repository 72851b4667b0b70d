"""The events of a claim's stream, as a front end puts them together."""

import asyncio
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from ag_ui_validate import create_validator


@dataclass
class Story:
    """What a stream has told."""

    messages: dict[int, str] = field(default_factory=dict)
    """By the number of the model call, the text that was not taken back."""
    calls: list[str] = field(default_factory=list)
    """The ids of the tool calls."""
    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    restarts: int = 0
    answer: str | None = None
    error: str | None = None


def told(events: Iterable[dict[str, Any]]) -> Story:
    """Put the events together. Raises: AssertionError where they break the protocol."""
    story, texts, validator = Story(), dict[str, str](), create_validator()
    for event in events:
        validator.feed(event)
        assert story.answer is story.error is None, "an event after the last one"
        match event:
            case {"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": text}:
                texts[id] = texts.get(id, "") + text
            case {"type": "CUSTOM", "name": "restart", "value": {"messageId": id}}:
                del texts[id]
                story.restarts += 1
            case {"type": "CUSTOM", "name": name}:
                story.notes.append(name)
            case {"type": "TOOL_CALL_START", "toolCallId": id}:
                story.calls.append(id)
            case {"type": "STEP_STARTED", "stepName": name}:
                story.begun.append(name)
            case {"type": "STEP_FINISHED", "stepName": name}:
                story.ended.append(name)
            case {"type": "RUN_FINISHED", "result": answer}:
                story.answer = answer
            case {"type": "RUN_ERROR", "message": error}:
                story.error = error
    if story.answer is not None:
        validator.finalize()
    found = validator.report().diagnostics
    assert not [each for each in found if each.severity == "error"], found
    story.messages = {int(id.partition(".")[0]): text for id, text in texts.items()}
    assert len(story.messages) == len(texts), "two texts of one model call"
    return story


@dataclass
class Listener:
    """Follows the stream of an invocation from a server that may be killed meanwhile."""

    url: str
    invocation: str
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def listen(self, most: int | None = None) -> None:
        """Listen until the invocation has ended, or so many more events have come."""
        until = len(self.seen) + most if most is not None else None
        async with httpx.AsyncClient(base_url=self.url, timeout=60) as client:
            while not self.over and (until is None or len(self.seen) < until):
                with suppress(httpx.TransportError):
                    await self._connect(client, until)
                await asyncio.sleep(0.05)

    async def heard(self, type: str, times: int = 1) -> None:
        """Wait until so many events of this type have come."""
        while sum(event["type"] == type for event in self.seen) < times:
            assert not self.over, f"the stream has ended, and {type} did not come {times} times"
            await asyncio.sleep(0.01)

    @property
    def over(self) -> bool:
        """Whether the last event has come."""
        return bool(self.seen) and self.seen[-1]["type"] in ("RUN_FINISHED", "RUN_ERROR")

    async def _connect(self, client: httpx.AsyncClient, until: int | None) -> None:
        headers = {"last-event-id": str(len(self.seen) - 1)} if self.seen else {}
        async with client.stream("GET", f"/stream/{self.invocation}", headers=headers) as response:
            if response.status_code == 503:  # Restate is down
                return
            assert response.status_code == 200, await response.aread()
            id = ""
            async for line in response.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    id = value
                elif name == "data":
                    assert int(id) == len(self.seen), f"event {id} where {len(self.seen)} should be"
                    self.seen.append(json.loads(value))
                    if until is not None and len(self.seen) >= until:
                        return
