"""The events of a claim's stream, assembled as a front end does."""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

from ag_ui_validate import create_validator

from tour.runtime.streams import LAST, Event, events, put_together


@dataclass
class Story:
    """The contents of a stream."""

    messages: dict[int, str] = field(default_factory=dict)
    """The text that was not taken back, by the number of the model call."""
    calls: list[str] = field(default_factory=list)
    """The ids of the tool calls."""
    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    restarts: int = 0
    answer: str | None = None
    error: str | None = None


def told(events: Iterable[Event]) -> Story:
    """Assemble the events. Raises: AssertionError if they break the protocol."""
    story, texts, validator = Story(), dict[str, str](), create_validator()
    for event in events:
        validator.feed(event)
        assert story.answer is story.error is None, "an event after the last one"
        put_together(texts, event)
        match event:
            case {"type": "CUSTOM", "name": "restart"}:
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
    seen: list[Event] = field(default_factory=list)

    async def listen(self, most: int | None = None) -> None:
        """Listen until the invocation has ended, or this number of further events has come."""
        until = len(self.seen) + most if most is not None else None
        if most == 0 or self.over:
            return
        async with aclosing(events(self.url, self.invocation, len(self.seen))) as coming:
            async for id, event in coming:
                assert id == len(self.seen), f"event {id} where {len(self.seen)} should be"
                self.seen.append(event)
                if len(self.seen) == until:
                    return

    async def heard(self, type: str, times: int = 1) -> None:
        """Wait until this number of events of this type has come."""
        while sum(event["type"] == type for event in self.seen) < times:
            assert not self.over, f"the stream has ended, and {type} did not come {times} times"
            await asyncio.sleep(0.01)

    @property
    def over(self) -> bool:
        """Whether the last event has come."""
        return bool(self.seen) and self.seen[-1]["type"] in LAST
