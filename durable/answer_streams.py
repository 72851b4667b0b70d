"""The rules of `durable.answers` for an answer that a model's server streams.

A filter of the bytes of server-sent events, on OpenAI Chat, OpenAI Responses and Gemini: each event is passed on as it
comes, changed where a rule needs it. A stream that ends before its answer does, or has an error, raises: half of an
answer would be taken for a decision.
"""

import json
import re
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any
from uuid import uuid4

from durable.answers import no_decision
from durable.held_steps import mended

BOUNDARY = re.compile(rb"\r\n\r\n|\n\n|\r\r")
LINE = re.compile(r"\r\n|\n|\r")
CALLS = ("function_call", "custom_tool_call")


class BrokenOff(Exception):
    """A stream that is no answer, or not a whole one."""


class NoDecision(Exception):
    """A streamed answer that is cut off, or a refusal."""


class ErrorEvent(Exception):
    """An error in the middle of a stream: what the provider says of it, as `error` of a response would have it."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(json.dumps(error))
        self.error = error


async def filtered(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The stream's bytes, changed where a rule needs it. Raises: BrokenOff, NoDecision, ErrorEvent."""
    answer, rest = _Answer(), b""
    async for chunk in chunks:
        rest += chunk
        while boundary := BOUNDARY.search(rest):
            event, rest = rest[: boundary.end()], rest[boundary.end() :]
            yield answer.event(event)
    if rest.strip():
        yield answer.event(rest)
    if not answer.ended:
        raise BrokenOff("the model's answer breaks off")


class _Answer:
    """What has come of an answer."""

    def __init__(self) -> None:
        self.ended = False
        self._said: dict[str, Any] = {}
        """Chat: the message. Gemini: the candidate."""
        self._ids: dict[object, str] = {}
        """By place, the ids of the tool calls."""
        self._halves: dict[object, str] = {}
        """By text, half of a surrogate pair whose other half is to come."""

    def event(self, raw: bytes) -> bytes:
        """The event, changed where a rule needs it."""
        lines = LINE.split(raw.decode("utf-8", "surrogatepass").removeprefix("\ufeff"))
        data = "\n".join(line[5:].removeprefix(" ") for line in lines if line.startswith("data:"))
        if not data or data == "[DONE]":
            return raw
        try:
            event = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BrokenOff(f"an event of the model's answer is not JSON ({error}): {data[:300]}") from None
        changed = isinstance(event, dict) and self._changed(event)
        if not changed and "\\u" not in data and b"\xed" not in raw:
            return raw
        others = [line for line in lines if line and not line.startswith("data:")]
        return ("\n".join([*others, f"data: {mended(json.dumps(event, ensure_ascii=False))}"]) + "\n\n").encode()

    def _changed(self, event: dict[str, Any]) -> bool:
        if event.get("type") == "error" or isinstance(event.get("error"), dict):
            raise ErrorEvent(event["error"] if isinstance(event.get("error"), dict) else event)
        if isinstance(event.get("type"), str):
            return self._responses(event)
        if "candidates" in event or "promptFeedback" in event:
            return self._gemini(event)
        return any([self._chat(choice) for choice in _objects(event.get("choices")) if not choice.get("index")])

    def _chat(self, choice: dict[str, Any]) -> bool:
        delta = _object(choice.get("delta"))
        changed = [self._whole(delta, name) for name in ("content", "refusal")]
        for name in ("content", "refusal"):
            if isinstance(delta.get(name), str):
                self._said[name] = self._said.get(name, "") + delta[name]
        for place, call in enumerate(_objects(delta.get("tool_calls"))):
            self._said["tool_calls"] = [{}]
            place = call.get("index", place)
            if "id" in call or place not in self._ids:
                changed.append(self._named(call, "id", place))
            function = _object(call.get("function"))
            if isinstance(function.get("arguments"), dict):
                function["arguments"] = json.dumps(function["arguments"], separators=(",", ":"), ensure_ascii=False)
                changed.append(True)
        if reason := choice.get("finish_reason"):
            self._end({"choices": [{"finish_reason": reason, "message": self._said}]})
        return any(changed)

    def _responses(self, event: dict[str, Any]) -> bool:
        match event:
            case {"type": "response.failed", "response": {"error": dict(error)}}:
                raise ErrorEvent(error)
            case {"type": "response.completed" | "response.incomplete", "response": dict(response)}:
                output = response.get("output")
                items = enumerate(output) if isinstance(output, list) else ()
                changed = [self._called(item, place) for place, item in items]
                self._end(response)
                return any(changed)
            case {"type": "response.output_item.added" | "response.output_item.done", "item": dict(item)}:
                return self._called(item, event.get("output_index", item.get("id")))
            case {"type": "response.output_text.delta" | "response.refusal.delta"}:
                return self._whole(event, "delta", event.get("item_id"))
        return False

    def _called(self, item: Any, place: object) -> bool:
        return isinstance(item, dict) and item.get("type") in CALLS and self._named(item, "call_id", place)

    def _gemini(self, event: dict[str, Any]) -> bool:
        changed = False
        for candidate in _objects(event.get("candidates"))[:1]:
            parts = _objects(_object(candidate.get("content")).get("parts"))
            self._said["content"] = {"parts": [*_object(self._said.get("content")).get("parts", []), *parts]}
            for part in parts:
                changed |= self._whole(part, "text", bool(part.get("thought")))
                call = _object(part.get("functionCall"))
                if call.get("id") is not None:
                    changed |= self._named(call, "id", len(self._ids))
            self._said |= {name: value for name, value in candidate.items() if name.startswith("finish") and value}
        blocked = _object(event.get("promptFeedback")).get("blockReason")
        if blocked or self._said.get("finishReason"):
            said = {"candidates": [self._said]} if self._said else {}
            self._end(said | {"promptFeedback": event.get("promptFeedback")})
        return changed

    def _named(self, call: dict[str, Any], key: str, place: object) -> bool:
        """Let the call of this place have an id of its own; returns whether that changes the event."""
        id = call.get(key)
        if place not in self._ids:
            free = isinstance(id, str) and id and id not in self._ids.values()
            self._ids[place] = str(id) if free else f"call_{uuid4().hex}"
        call[key] = self._ids[place]
        return bool(id != call[key])

    def _whole(self, holder: dict[str, Any], key: str, text: object = None) -> bool:
        """Hold half of a surrogate pair back until the other half comes; returns whether that changes the event."""
        said = holder.get(key)
        if not isinstance(said, str):
            return False
        whole = self._halves.pop((key, text), "") + said
        if "\ud800" <= whole[-1:] <= "\udbff":
            self._halves[key, text], whole = whole[-1], whole[:-1]
        holder[key] = whole
        return whole != said

    def _end(self, answer: dict[str, Any]) -> None:
        self.ended = True
        if problem := no_decision(answer):
            raise NoDecision(problem)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
