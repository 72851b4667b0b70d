"""A wire: the requests and responses of an API; and the code that the three wires share."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from offline_model.conversation import (
    AssistantText,
    BadRequest,
    Conversation,
    Message,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    UserText,
)
from offline_model.schema import plain_schema

if TYPE_CHECKING:
    from pydantic import BaseModel

CHARACTERS_PER_TOKEN = 4
"""OpenAI's rule of thumb for English text, with which the usage is estimated over all text in and out."""


@dataclass(frozen=True)
class Wire:
    """One API: its requests, its responses, and its errors."""

    parse: Callable[[dict[str, str], dict[str, Any]], Conversation]
    """Parameters of the path, JSON body -> conversation. Raises: BadRequest."""
    reply: Callable[[Conversation, Turn], "BaseModel"]
    error: Callable[[int, str], dict[str, Any]]
    streams: Callable[[Request, dict[str, Any]], bool]
    """Whether this request, with its JSON body, asks for a stream of events. Raises: BadRequest."""
    chunks: Callable[[dict[str, Any], dict[str, Any]], list[dict[str, Any]]]
    """The reply as JSON, the request's body -> the data of each event."""
    error_event: Callable[[dict[str, Any], int], dict[str, Any]] = lambda error, at: {"error": error}
    """An error after `at` chunks -> the data of its event."""
    opening: bytes = b": keep-alive\n\n"
    """The start of a stream, before the first chunk."""
    closing: bytes = b""

    def failure(self, status: int, message: str, headers: dict[str, str] | None = None) -> Response:
        return JSONResponse({"error": self.error(status, message)}, status, headers)


@dataclass(frozen=True)
class System:
    text: str


Said: TypeAlias = Message | System


def openai_conversation(wire: str, path: dict[str, str], body: dict[str, Any], said: list[Said]) -> Conversation:
    """The part that OpenAI's two wires share. Tools that are not functions run at OpenAI, so they are left out here."""
    if not isinstance(body.get("model"), str):
        raise BadRequest("model: must name a model")
    tools = []
    for at, tool in enumerate(list_of(body.get("tools") or [], "tools")):
        match tool:
            case {"type": "function"}:
                function: Any = tool.get("function", tool)
                if not isinstance(function, dict) or not isinstance(function.get("name"), str):
                    raise BadRequest(f"tools[{at}]: a function needs a name")
                tools.append(tool_of(function["name"], function.get("description"), function.get("parameters")))
            case {"type": str()}:
                pass
            case _:
                raise BadRequest(f"tools[{at}]: needs a type")
    return conversation_of(wire, path, body["model"], said, [] if body.get("tool_choice") == "none" else tools)


def openai_streams(_: Request, body: dict[str, Any]) -> bool:
    match body.get("stream"):
        case None | True | False as stream:
            return stream is True
    raise BadRequest("stream: must be true or false")


def openai_error(status: int, message: str) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    kind = "rate_limit_error" if status == 429 else kind
    return {"message": message, "type": kind, "param": None, "code": None}


def conversation_of(wire: str, path: dict[str, str], model: str, said: list[Said], tools: list[Tool]) -> Conversation:
    """The conversation of a request. Raises: BadRequest, like the real APIs, unless calls and results match by id, or
    by name (Gemini)."""
    names = {m.id: m.name for m in said if isinstance(m, ToolCall) and m.id}
    calls = Counter(m.id or m.name for m in said if isinstance(m, ToolCall))
    results = Counter(m.call_id or m.name for m in said if isinstance(m, ToolResult))
    if unanswered := calls - results:
        raise BadRequest(f"no tool output found for function call {', '.join(unanswered)}")
    if unasked := results - calls:
        raise BadRequest(f"no function call found for tool output {', '.join(unasked)}")
    system = "\n".join(m.text for m in said if isinstance(m, System) and m.text)
    messages = tuple(
        replace(m, name=names.get(m.call_id, m.name)) if isinstance(m, ToolResult) else m
        for m in said
        if not isinstance(m, System)
    )
    if not messages:
        raise BadRequest("the conversation is empty")
    return Conversation(path.get("caller", ""), wire, model, system, messages, tuple(tools))


def tool_of(name: str, description: Any, schema: Any) -> Tool:
    try:
        return Tool(name, str(description or ""), plain_schema(schema))
    except (AttributeError, TypeError) as error:
        raise BadRequest(f"tools: the parameters of {name} are not a JSON schema: {error}") from None


def message_of(role: str, text: str, where: str) -> Said:
    match role:
        case "user":
            return UserText(text)
        case "assistant":
            return AssistantText(text)
        case "system" | "developer":
            return System(text)
    raise BadRequest(f"{where}: {role!r} is not user, assistant, system or developer")


def text_of(content: Any, where: str) -> str:
    """The text of a message: a string, or a list of parts that hold text."""
    texts = []
    for at, part in enumerate([content] if isinstance(content, str) else list_of(content, where)):
        match part:
            case str(text) | {"text": str(text)} | {"refusal": str(text)}:
                texts.append(text)
            case _:
                raise BadRequest(f"{where}[{at}]: the offline model reads text only")
    return "\n".join(texts)


_PIECE = re.compile(r"\s*[^\s\ud800-\udbff]{0,16}[\ud800-\udbff]|\s*\S{1,16}|\s+")


def pieces_of(text: str) -> list[str]:
    """The words, each with the space before it, long words in parts. Joined, they are the text.

    A piece ends in the middle of an emoji that is written as two surrogates.
    """
    return _PIECE.findall(text)


def in_surrogates(turn: Turn) -> Turn:
    """The same turn, with each emoji as the two surrogates of its JSON escape."""

    def pair(character: re.Match[str]) -> str:
        code = ord(character[0]) - 0x10000
        return chr(0xD800 + (code >> 10)) + chr(0xDC00 + (code & 0x3FF))

    def split(text: str | None) -> str | None:
        return text and re.sub("[\U00010000-\U0010ffff]", pair, text)

    calls = tuple(replace(call, arguments=split(call.arguments) or "") for call in turn.calls)
    return Turn(split(turn.text), calls, split(turn.refusal))


def list_of(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequest(f"{where}: must be a list")
    return value


def key_of(conversation: Conversation) -> str:
    """The same key for the same conversation; the next turn has more messages, and so another key."""
    return hashlib.sha256(repr(conversation).encode()).hexdigest()[:24]


def tokens_of(conversation: Conversation, turn: Turn) -> tuple[int, int]:
    """The estimated tokens in (instructions, messages, tools) and out (text and calls)."""
    tools = (f"{tool.name}{tool.description}{json.dumps(tool.parameters)}" for tool in conversation.tools)
    messages = (text for message in conversation.messages for text in astuple(message))
    told = [conversation.system, *tools, *messages]
    said = [turn.text or "", turn.refusal or "", *(call.name + call.arguments for call in turn.calls)]
    return -(-sum(map(len, told)) // CHARACTERS_PER_TOKEN), -(-sum(map(len, said)) // CHARACTERS_PER_TOKEN)
