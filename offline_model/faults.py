"""Faults of an answer, which the lab plans as faults of the step `model`. The ledger has a line per answer."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from lab.ledger import Fault as Planned
from lab.ledger import Kind, Lab
from offline_model.changes import Change
from offline_model.conversation import Conversation, ToolCall, Turn


@dataclass(frozen=True)
class Status:
    """Answers with an HTTP status, an error body of the wire and, if given, a Retry-After header (s)."""

    code: int
    retry_after: float | None = None
    message: str = "a planned fault of the offline model"


@dataclass(frozen=True)
class Hang:
    """Says nothing for `seconds`, then answers. Ends early when the client hangs up or the server stops."""

    seconds: float


@dataclass(frozen=True)
class Cut:
    """Sends the headers and half of the body, or of the stream's events, then closes the TCP connection."""


@dataclass(frozen=True)
class Truncated:
    """Sends a complete HTTP response that holds half of the JSON, or of the stream's events."""


@dataclass(frozen=True)
class Stall:
    """Sends half of the body, or of the stream's events, then nothing for `seconds`, then the rest."""

    seconds: float


@dataclass(frozen=True)
class ErrorEvent:
    """Sends half of the stream's events, then the wire's error event as the last one. Without streaming, a Status."""

    code: int = 500
    message: str = "a planned fault of the offline model"


@dataclass(frozen=True)
class SplitBytes:
    """Answers, or says `turn`, in UTF-8. In each event, the first non-ASCII character is split over two writes."""

    turn: Turn | None = None


@dataclass(frozen=True)
class SplitEscapes:
    """Answers, or says `turn`. In a stream, each emoji is split over two chunks, with half a surrogate pair in each."""

    turn: Turn | None = None


MOMENT = 0.01
"""Seconds between the writes of a character: time for a client to read the first."""


@dataclass(frozen=True)
class Say:
    """Says this instead of deciding."""

    turn: Turn


@dataclass(frozen=True)
class Delay:
    """Answers, or does `then`, after `seconds`."""

    seconds: float
    then: "Fault | None" = None


@dataclass(frozen=True)
class Raw:
    """Answers with this status, these headers and this body, unchecked."""

    status: int
    headers: dict[str, str]
    body: str


@dataclass(frozen=True)
class Changed:
    """Answers with these changes, which count the values of a stream across all its chunks."""

    changes: list[Change]


Fault: TypeAlias = (
    Status | Hang | Cut | Truncated | Stall | ErrorEvent | SplitBytes | SplitEscapes | Say | Delay | Raw | Changed
)


class Director(Protocol):
    """Decides the fault of an answer. It is asked once per request, in a worker thread, so it may block."""

    def direct(self, conversation: Conversation, turn: int) -> Fault | None:
        """The fault of this answer, if any; `turn` counts the model's turns since the latest user text, from 0."""


STEP = "model"

KINDS: tuple[Kind, ...] = (
    *("delay", "status", "hang", "cut", "truncate", "stall", "error-event", "split-bytes", "split-escapes"),
    *("say", "raw", "change"),
)


def digest(prompt: str) -> str:
    """The name of the invocation in the model's ledger lines: the model sees only the prompt.

    Python's `3000.0` and JavaScript's `3000` are the same claim.
    """
    return hashlib.sha256(re.sub(r"(?<=\d)\.0\b", "", prompt).encode()).hexdigest()[:16]


class LabDirector:
    """Asks the lab for the fault of each model call."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def direct(self, conversation: Conversation, turn: int) -> Fault | None:
        """The fault to answer with, or None. In the ledger, the `digest` of the prompt stands for the
        invocation, and the detail is JSON with the turn and the tools that the request offers."""
        where = (conversation.caller, digest(conversation.prompt), STEP)
        shown = {tool.name: tool.parameters for tool in conversation.tools}
        self._lab.record(*where, "start", json.dumps({"turn": turn, "tools": shown}))
        planned = self._lab.take(*where, conversation.prompt, KINDS, turn)
        delay = sum(fault.value for fault in planned if fault.kind == "delay")
        then = next((_as_model_fault(fault) for fault in planned if fault.kind != "delay"), None)
        return Delay(delay, then) if delay else then


def _as_model_fault(fault: Planned) -> Fault:
    match fault.kind:
        case "status":
            return Status(int(fault.value), retry_after=1 if fault.value == 429 else None)
        case "hang":
            return Hang(fault.value)
        case "cut":
            return Cut()
        case "truncate":
            return Truncated()
        case "stall":
            return Stall(fault.value)
        case "error-event":
            return ErrorEvent(int(fault.value or 500))
        case "split-bytes":
            return SplitBytes(_turn(json.loads(fault.detail)) if fault.detail else None)
        case "split-escapes":
            return SplitEscapes(_turn(json.loads(fault.detail)) if fault.detail else None)
        case "say":
            return Say(_turn(json.loads(fault.detail)))
        case "raw":
            return Raw(**json.loads(fault.detail))
        case "change":
            return Changed([(how, where, value) for how, where, value in json.loads(fault.detail)])
    raise ValueError(f"the model cannot {fault.kind}")


def _turn(said: dict[str, Any]) -> Turn:
    calls = tuple(ToolCall(call["name"], call["arguments"]) for call in said.get("calls", ()))
    return Turn(text=said.get("text"), calls=calls, refusal=said.get("refusal"))
