"""The rules of `durable.answers` for an answer that arrives as a stream of server-sent events.

    stream = AnswerStream()
    async for data in response.aiter_bytes():
        for event in stream.feed(data):
            yield event
    for event in stream.end():
        yield event

An event passes as soon as it is complete: byte for byte, unless a rule changes its data. Comments and unknown events
pass. If a piece of text ends in half a surrogate pair, that half waits for the next piece. Without its other half, it
becomes U+FFFD. The events tell OpenAI Chat, OpenAI Responses and Gemini apart.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from durable import answers
from durable.answers import fields, objects
from durable.held_steps import mended

Event = dict[str, Any]
"""The parsed data of an event."""


class BadStream(Exception):
    """The stream is not an answer, or not a whole one. Asking again may help."""


class Undecided(Exception):
    """The answer is not a decision: it is cut off, or a refusal."""


class ErrorEvent(Exception):
    """An event says that the server has failed."""

    def __init__(self, status: int, error: Any) -> None:
        super().__init__(f"{status}: {json.dumps(error)}")
        self.status = status
        """The HTTP status of such an error."""
        self.body = {"error": error}
        """The JSON of the body of such an error."""


class AnswerStream:
    """A filter for the bytes of one stream. Raises BadStream, Undecided or ErrorEvent at the event that shows it."""

    def __init__(self) -> None:
        self._rest = b""
        self._halves = _Halves()
        self._wires = (_Chat(self._halves), _Responses(self._halves), _Gemini(self._halves))

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The events that these bytes complete."""
        self._rest += data
        while end := _END.search(self._rest):
            event, self._rest = self._rest[: end.end()], self._rest[end.end() :]
            yield self._passed(event)

    def end(self) -> Iterator[bytes]:
        """The rest, when the server has sent everything. Raises: BadStream if the answer has no end."""
        if self._rest:
            yield self._passed(self._rest)
        self._assert_ended()

    def _passed(self, event: bytes) -> bytes:
        """The event for the client, after the events that must precede it."""
        data = _data(event)
        if not data:
            return event
        if data == b"[DONE]":
            self._assert_ended()
            return event
        try:
            parsed = json.loads(data)
            if not isinstance(parsed, dict):
                return event
            if b"event: error" in event.splitlines():
                parsed.setdefault("type", "error")
            if error := _error(parsed):
                raise ErrorEvent(_status(error), error)
            changed = any([wire.mend(parsed) for wire in self._wires])
            before = [_event(piece) for piece in self._halves.left]
            self._halves.left.clear()
            if changed or _has_half(data, parsed):
                event = _event(parsed, event)
        except (ValueError, RecursionError) as problem:
            raise BadStream(f"an event is not JSON ({problem}): {data.decode(errors='replace')}") from None
        for wire in self._wires:
            if (answer := wire.ended) and (undecided := answers.no_decision(answer)):
                raise Undecided(mended(undecided))
        return b"".join([*before, event])

    def _assert_ended(self) -> None:
        if not any(wire.ended for wire in self._wires):
            raise BadStream("it ends in the middle")


_END = re.compile(rb"\n\n|\n\r\n?|\r\r\n?")
"""The end of a line, then an empty line. Lines end with CRLF, LF or CR."""


def _data(event: bytes) -> bytes:
    lines = event.removeprefix(codecs.BOM_UTF8).splitlines()
    data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
    # Google sends an error in the middle of a stream as plain JSON, without `data:`.
    return b"\n".join(data or (lines if event.startswith(b"{") else [])).strip()


def _event(data: Event, like: bytes = b"") -> bytes:
    """The event with this data, and the other lines of the event that it replaces.

    The JSON is ASCII, because some clients end a line at every line separator of Unicode.
    """
    whole = json.loads(mended(json.dumps(data, ensure_ascii=False)))
    others = [line for line in like.splitlines() if line and not line.startswith(b"data:")]
    return b"\n".join([*others, b"data: " + json.dumps(whole).encode(), b"", b""])


def _has_half(data: bytes, parsed: Event) -> bool:
    might = re.search(rb"\\u[dD][89a-fA-F]|\xed", data)
    return bool(might and re.search("[\ud800-\udfff]", json.dumps(parsed, ensure_ascii=False)))


def _error(event: Event) -> Any:
    """The error in the event, if there is one."""
    if event.get("type") == "response.failed":
        return fields(event.get("response")).get("error") or event
    return event.get("error") or (event if event.get("type") == "error" else None)


_REFUSALS = {
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    **dict.fromkeys(answers.OUT_OF_MONEY, 429),
}
"""The HTTP statuses of errors that have only a name. Others have 400 if the name begins with `invalid_`, else 500."""


def _status(error: Any) -> int:
    told = fields(error)
    names = [str(told.get(key)) for key in ("code", "status", "type")]
    for name in names:
        if re.fullmatch("[45][0-9][0-9]", name):
            return int(name)
    for name in names:
        if status := _REFUSALS.get(name, 400 if name.startswith("invalid_") else None):
            return status
    return 500


class _Halves:
    """First halves of surrogate pairs, each held back until the next piece of the same text arrives."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, Callable[[str], Event]]] = {}
        self.left: list[Event] = []
        """Events with the halves left by texts that have ended."""

    def join(self, text: str, holder: Event, key: str, alone: Callable[[str], Event]) -> bool:
        """Prepend the held half to this piece of the text, and hold the half at its end.

        `alone` makes an event with only a piece of this text. Returns whether the piece has changed.
        """
        piece = holder.get(key)
        if not isinstance(piece, str) or not piece:
            return False
        half, _ = self._held.pop(text, ("", alone))
        joined = half + piece
        if "\ud800" <= joined[-1] <= "\udbff":
            self._held[text] = joined[-1], alone
            joined = joined[:-1]
        holder[key] = joined
        return joined != piece

    def over(self) -> None:
        """Note that the texts have ended."""
        self.left += [alone(half) for half, alone in self._held.values()]
        self._held.clear()


class _Wire:
    """The rules for the events of one API. Events of other APIs stay unchanged."""

    def __init__(self, halves: _Halves) -> None:
        self.halves = halves

    def mend(self, event: Event) -> bool:
        """Mend the event, and remember its contents; returns whether it changed."""
        raise NotImplementedError

    ended: Event | None = None
    """The whole answer, as far as `answers.no_decision` looks at it; None before its end."""


class _Chat(_Wire):
    def __init__(self, halves: _Halves) -> None:
        super().__init__(halves)
        self._choices: dict[int, Event] = {}

    def mend(self, event: Event) -> bool:
        changed = False
        for choice in objects(event.get("choices")):
            delta, index = fields(choice.get("delta")), _index(choice, 0)
            begun = {"message": {"content": "", "refusal": "", "tool_calls": []}, "finish_reason": None}
            so_far = self._choices.setdefault(index, begun)
            message = so_far["message"]
            alone = partial(_chat_piece, event, index)
            changed |= answers.join_parts({"choices": [{"message": delta}]})
            for key in [key for key in delta if key != "role"]:
                changed |= self.halves.join(f"{index} {key}", delta, key, partial(alone, key))
            for position, call in enumerate(objects(delta.get("tool_calls"))):
                at = _index(call, position)
                changed |= self._mend_call(at, call, message["tool_calls"])
                text, function = f"{index} call {at}", fields(call.get("function"))
                changed |= self.halves.join(text, function, "arguments", partial(alone, at))
            for key in ("content", "refusal"):
                if isinstance(piece := delta.get(key), str):
                    message[key] += piece
            if reason := choice.get("finish_reason"):
                so_far["finish_reason"] = reason
                self.halves.over()
            if index == 0 and so_far["finish_reason"]:
                self.ended = {"choices": [so_far]}
        return changed

    def _mend_call(self, at: int, call: Event, known: list[Event]) -> bool:
        """Give the first piece of a call an id; `known` are the earlier calls."""
        for first in known:
            if first["index"] == at:
                return call.get("id") not in (None, first["id"]) and bool(call.pop("id"))
        changed = answers.mend_calls({"choices": [{"message": {"tool_calls": [*known, call]}}]})
        known.append({"index": at, "id": call["id"]})
        return changed


def _chat_piece(event: Event, choice: int, where: str | int, piece: str) -> Event:
    """An event like this one with only a piece of a text, or of the arguments of a call."""
    delta: Event = {where: piece} if isinstance(where, str) else {}
    if isinstance(where, int):
        delta = {"tool_calls": [{"index": where, "function": {"arguments": piece}}]}
    choices = [{"index": choice, "delta": delta, "finish_reason": None}]
    return {**event, "choices": choices, "usage": None}


class _Responses(_Wire):
    ENDS = ("response.completed", "response.incomplete")

    def __init__(self, halves: _Halves) -> None:
        super().__init__(halves)
        self._calls: list[tuple[Any, Any, str]] = []
        """For each call so far: its position in the output, the id from the server, and the id that it has here."""

    def mend(self, event: Event) -> bool:
        kind, response = str(event.get("type")), fields(event.get("response"))
        if not kind.startswith("response."):
            return False
        changed = self._mend_call(event.get("output_index"), fields(event.get("item")))
        met: list[str] = []
        for at, item in enumerate(objects(response.get("output"))):
            changed |= self._mend_call(at, item, met)
        if kind.endswith(".delta"):
            text = [kind, *(event.get(key) for key in ("item_id", "output_index", "content_index", "summary_index"))]
            changed |= self.halves.join(str(text), event, "delta", lambda half: {**event, "delta": half})
        if kind.endswith(".done") or kind in self.ENDS:
            self.halves.over()
        if kind in self.ENDS:
            if "output" not in response:
                raise BadStream(f"its last event has no output: {json.dumps(event)}")
            self.ended = response
        return changed

    def _mend_call(self, at: Any, item: Event, met: list[str] | None = None) -> bool:
        """Give a call the same id in all events. `met` has the ids so far in a whole response.

        Some servers number the items of a stream differently from those of the response at its end.
        """
        if item.get("type") not in answers.CALLS:
            return False
        given = item.get("call_id")
        own = [id for position, told, id in self._calls if told == given and position == at]
        if met is not None:
            own = [id for id in [*own, *(id for _, told, id in self._calls if told == given)] if id not in met]
        if own:
            item["call_id"] = own[0]
            changed = answers.mend_calls({"output": [item]}) or own[0] != given
        else:
            others = [{"type": "function_call", "call_id": id} for _, _, id in self._calls]
            changed = answers.mend_calls({"output": [*others, item]})
            self._calls.append((at, given, item["call_id"]))
        if met is not None:
            met.append(item["call_id"])
        return changed


class _Gemini(_Wire):
    def __init__(self, halves: _Halves) -> None:
        super().__init__(halves)
        self._candidates: dict[int, Event] = {}

    def mend(self, event: Event) -> bool:
        changed = False
        for candidate in objects(event.get("candidates")):
            index = _index(candidate, 0)
            so_far = self._candidates.setdefault(index, {"content": {"parts": []}})
            parts = so_far["content"]["parts"]
            for part in objects(fields(candidate.get("content")).get("parts")):
                thought = {"thought": True} if part.get("thought") else {}
                alone = partial(_gemini_piece, event, index, thought)
                changed |= self.halves.join(f"{index} {thought}", part, "text", alone)
                calls = [other for other in parts if "functionCall" in other]
                changed |= answers.mend_calls({"candidates": [{"content": {"parts": [*calls, part]}}]})
                parts.append(part)
            for key in ("finishReason", "finishMessage"):
                if candidate.get(key):
                    so_far[key] = candidate[key]
            if candidate.get("finishReason"):
                self.halves.over()
            if index == 0 and "finishReason" in so_far:
                self.ended = {"candidates": [so_far]}
        if not self.ended and fields(event.get("promptFeedback")).get("blockReason"):
            self.ended = {"promptFeedback": event["promptFeedback"]}
        return changed


def _gemini_piece(event: Event, candidate: int, thought: Event, piece: str) -> Event:
    """An event like this one with only a piece of a text."""
    content = {"role": "model", "parts": [{"text": piece, **thought}]}
    also: Event = {key: event[key] for key in ("responseId", "modelVersion") if key in event}
    return {**also, "candidates": [{"index": candidate, "content": content}]}


def _index(value: Event, default: int) -> int:
    index = value.get("index")
    return index if isinstance(index, int) else default
