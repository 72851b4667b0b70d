"""The response to a request: the model's turn, whole or as a stream of events, or a fault in its place."""

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from offline_model.changes import changed_list, dumped
from offline_model.conversation import Conversation, Turn
from offline_model.decide import decide
from offline_model.faults import (
    MOMENT,
    Changed,
    Cut,
    Delay,
    ErrorEvent,
    Fault,
    Hang,
    Raw,
    Say,
    SplitBytes,
    SplitEscapes,
    Stall,
    Status,
    Truncated,
)
from offline_model.wires.wire import Wire, in_surrogates
from offline_model.writes import Writes, event, in_character, wanted


@dataclass(frozen=True)
class Asked:
    """A parsed request: its JSON body, and whether a stream of events answers it."""

    request: Request
    wire: Wire
    conversation: Conversation
    body: dict[str, Any]
    streams: bool


async def answer(asked: Asked, fault: Fault | None, latency: float) -> Response:
    """The model's answer, or its fault, after `latency` seconds; a stream begins after half that time."""
    before = latency / 2 if asked.streams else latency
    return await _answer(asked, Delay(before, fault), latency - before)


async def _answer(asked: Asked, fault: Fault | None, spread: float) -> Response:
    wire = asked.wire
    match fault:
        case Delay(seconds) | Hang(seconds):
            if seconds > 0 and not await _pause(asked.request, seconds):
                return wire.failure(503, "the offline model is stopping")
            return await _answer(asked, fault.then if isinstance(fault, Delay) else None, spread)
        case Status(code, retry_after, message):
            headers = None if retry_after is None else {"Retry-After": f"{retry_after:g}"}
            return wire.failure(code, message, headers)
        case ErrorEvent(code, message) if not asked.streams:
            return wire.failure(code, message)
        case Raw(code, others, body):
            return Response(body.encode("utf-8", "surrogatepass"), code, others)
    return _written(asked, _chunks(asked, fault), fault, spread)


def _chunks(asked: Asked, fault: Fault | None) -> list[Any]:
    """The data of a stream's events, or the whole answer as a single one."""
    match fault:
        case Say(turn) | SplitBytes(Turn() as turn) | SplitEscapes(Turn() as turn):
            pass
        case _:
            turn = decide(asked.conversation)
    if isinstance(fault, SplitEscapes):
        turn = in_surrogates(turn)
    reply = asked.wire.reply(asked.conversation, turn).model_dump(mode="json", by_alias=True, exclude_none=True)
    chunks: list[Any] = asked.wire.chunks(reply, asked.body) if asked.streams else [reply]
    match fault:
        case Changed(changes):
            return changed_list(chunks, changes)
        case ErrorEvent(code, message):
            half = len(chunks) // 2
            return [*chunks[:half], asked.wire.error_event(asked.wire.error(code, message), half)]
    return chunks


def _written(asked: Asked, chunks: list[Any], fault: Fault | None, spread: float) -> Response:
    """The answer in the writes that the fault asks for: only half, the second half later, or more writes."""
    escaped = not isinstance(fault, SplitBytes)  # escapes allow half an emoji
    if asked.streams:
        events = [event(chunk, escaped=escaped) for chunk in chunks]
        closing = b"" if isinstance(fault, ErrorEvent) else asked.wire.closing
        pieces = [piece for piece in (asked.wire.opening, *events, closing) if piece]
    else:
        body = dumped(chunks[0], escaped=escaped)
        if not isinstance(fault, Cut | Truncated | Stall | SplitBytes):
            return Response(body, media_type="application/json")
        pieces = [body[: len(body) // 2], body[len(body) // 2 :]]
    writes = [(spread * at / max(len(pieces) - 1, 1), piece) for at, piece in enumerate(pieces)]
    half = len(writes) // 2
    match fault:
        case Cut() | Truncated():
            writes = writes[:half]
        case Stall(seconds):
            writes[half:] = [(at + seconds, piece) for at, piece in writes[half:]]
        case SplitBytes():
            writes = [(at + MOMENT * n, part) for at, piece in writes for n, part in enumerate(in_character(piece))]
    media_type = "text/event-stream" if asked.streams else "application/json"
    return Writes(asked.request, writes, media_type, whole=not isinstance(fault, Cut))


async def _pause(request: Request, seconds: float) -> bool:
    """Wait. Returns False, at once, when the client hangs up or the server stops."""
    async with wanted(request) as wait:
        return await wait(seconds)
