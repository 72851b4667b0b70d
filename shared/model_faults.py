"""The lab's hand on the offline model: the planned faults of the step `model`, and a ledger line per answer."""

import hashlib
import json

from shared.lab import Fault as Planned
from shared.lab import Lab
from shared.offline_model import (
    Conversation,
    Cut,
    Delay,
    Fault,
    Hang,
    Say,
    Status,
    ToolCall,
    Truncated,
    Turn,
)

STEP = "model"


def digest(prompt: str) -> str:
    """What stands for the invocation in the ledger's lines of the model, which sees no more than the prompt."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:16]


class LabDirector:
    """Asks the lab what to do with each request of a model call."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def direct(self, conversation: Conversation, turn: int) -> Fault | None:
        """The fault to answer with, or None. In the ledger the `digest` of the prompt stands for the
        invocation, and the detail tells the turn and the tools that the model was shown, as JSON."""
        where = (conversation.caller, digest(conversation.prompt), STEP)
        shown = {tool.name: tool.parameters for tool in conversation.tools}
        self._lab.record(*where, "start", json.dumps({"turn": turn, "tools": shown}))
        planned = self._lab.take(
            *where, conversation.prompt, ["delay", "status", "hang", "cut", "truncate", "say"], turn
        )
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
        case "say":
            said = json.loads(fault.detail)
            calls = tuple(ToolCall(call["name"], call["arguments"]) for call in said.get("calls", ()))
            return Say(Turn(text=said.get("text"), calls=calls, refusal=said.get("refusal")))
    raise ValueError(f"the model cannot {fault.kind}")
