"""A conversation between a caller and a model, over any wire: messages, tools and the model's turns."""

import itertools
import re
from dataclasses import dataclass
from typing import Any, TypeAlias

_PLACE = re.compile(r"\b(city|cities|town|location|place)\b", re.IGNORECASE)


@dataclass(frozen=True)
class ToolCall:
    """A call that the model asks for. `arguments` is JSON text; a script may put any text there."""

    name: str
    arguments: str
    id: str = ""
    """Empty in a turn, because the wire assigns it. Gemini's wire has no ids: clients make their own."""


@dataclass(frozen=True)
class Turn:
    """One turn of the model: text, tool calls, both, a refusal, or nothing at all."""

    text: str | None = None
    calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None


@dataclass(frozen=True)
class UserText:
    text: str


@dataclass(frozen=True)
class AssistantText:
    text: str


@dataclass(frozen=True)
class ToolResult:
    """The result of the call `call_id` of the tool `name`, as the SDK's text."""

    name: str
    text: str
    call_id: str = ""


Message: TypeAlias = UserText | AssistantText | ToolCall | ToolResult


@dataclass(frozen=True)
class Tool:
    """A tool that the model may call. `parameters` is plain JSON schema, as `plain_schema` makes it."""

    name: str
    description: str
    parameters: dict[str, Any]

    @property
    def wants_place(self) -> bool:
        """Whether its one required parameter is a string named or described like a place."""
        required = self.parameters.get("required", [])
        name = str(required[0]) if len(required) == 1 else ""
        schema = self.parameters.get("properties", {}).get(name, {})
        words = re.sub("(?<=[a-z])(?=[A-Z])|_", " ", name) + " " + str(schema.get("description"))
        return schema.get("type") == "string" and bool(_PLACE.search(words))


@dataclass(frozen=True)
class Conversation:
    """A request over any wire: the caller, the wire, and all messages so far, in order."""

    caller: str
    wire: str
    model: str
    system: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]

    @property
    def _prompt_at(self) -> int:
        return max((at for at, message in enumerate(self.messages) if isinstance(message, UserText)), default=0)

    @property
    def prompt(self) -> str:
        """The latest user text."""
        return next((m.text for m in self.messages[self._prompt_at :] if isinstance(m, UserText)), "")

    @property
    def results(self) -> tuple[ToolResult, ...]:
        """The tool results since the model's last turn."""
        earlier = max((at for at, m in enumerate(self.messages) if not isinstance(m, ToolResult)), default=-1)
        return tuple(m for m in self.messages[earlier + 1 :] if isinstance(m, ToolResult))

    @property
    def turn(self) -> int:
        """The number of the model's turns since the prompt. Adjacent texts and calls are one turn."""
        speaks = (isinstance(m, AssistantText | ToolCall) for m in self.messages[self._prompt_at :])
        return sum(by_model for by_model, _ in itertools.groupby(speaks))

    @property
    def said_before(self) -> tuple[str, ...]:
        """The model's texts before the prompt."""
        return tuple(m.text for m in self.messages[: self._prompt_at] if isinstance(m, AssistantText))


class BadRequest(ValueError):
    """A request that the real API would also refuse, or that this model cannot answer. The message names the cause."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
