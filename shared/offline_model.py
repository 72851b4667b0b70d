"""The offline model: OpenAI Responses, OpenAI Chat and Gemini over real HTTP, with no key and no network.

uv run python -m shared.offline_model --port 8090 --latency 0.3

    OPENAI_BASE_URL=http://127.0.0.1:8090/v1          POST /v1/responses, /v1/chat/completions
    GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:8090      POST /v1beta/models/{model}:generateContent

One more path segment in front names who asks (`http://127.0.0.1:8090/langchain_agent/v1`). The model is
stateless and deterministic: `decide` computes a turn from the conversation it is sent, and from nothing else.
A `Director` may put a fault or a scripted turn in the place of an answer. It does not stream.
"""

import argparse
import ast
import asyncio
import hashlib
import itertools
import json
import logging
import os
import re
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from shared.sockets import listen

if TYPE_CHECKING:
    import uvicorn
    from pydantic import BaseModel

CHARACTERS_PER_TOKEN = 4
"""The usage is an estimate: OpenAI's rule of thumb for English text, over all text in and out."""


@dataclass(frozen=True)
class ToolCall:
    """A call that the model asks for. `arguments` is JSON text; a script may put any text there."""

    name: str
    arguments: str
    id: str = ""
    """Empty in a turn: the wire gives it one. Gemini's wire has none: clients make their own."""


@dataclass(frozen=True)
class Turn:
    """What the model says once: text, tool calls, both, a refusal, or nothing at all."""

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
    """The result of the call `call_id` of the tool `name`, as the text that the SDK made of it."""

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
    """A request of any wire: who asks, over which wire, and what was said and done so far, in order."""

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
        """How many turns the model has had since the prompt; text and calls side by side are one turn."""
        speaks = (isinstance(m, AssistantText | ToolCall) for m in self.messages[self._prompt_at :])
        return sum(by_model for by_model, _ in itertools.groupby(speaks))

    @property
    def decided(self) -> int:
        """How many claims the model decided before the prompt."""
        said = (m.text for m in self.messages[: self._prompt_at] if isinstance(m, AssistantText))
        return sum(_decided_in(text) for text in said)


@dataclass(frozen=True)
class Status:
    """Answers with an HTTP status, an error body of the wire and, if given, a Retry-After header (s)."""

    code: int
    retry_after: float | None = None
    message: str = "a planned fault of the offline model"


@dataclass(frozen=True)
class Hang:
    """Says nothing for so many seconds, then answers; ends early when the client or the server goes."""

    seconds: float


@dataclass(frozen=True)
class Cut:
    """Sends the headers and half of the body, then closes the TCP connection."""


@dataclass(frozen=True)
class Truncated:
    """Sends a complete HTTP response that holds half of the JSON."""


@dataclass(frozen=True)
class Say:
    """Says this instead of deciding."""

    turn: Turn


@dataclass(frozen=True)
class Delay:
    """Answers, or does `then`, so many seconds later."""

    seconds: float
    then: "Fault | None" = None


Fault: TypeAlias = Status | Hang | Cut | Truncated | Say | Delay


class Director(Protocol):
    """Decides what goes wrong. It is asked once per request, in a worker thread: it may block."""

    def direct(self, conversation: Conversation, turn: int) -> Fault | None:
        """What happens to this answer; `turn` counts the model's turns since the latest user text, from 0."""


def create_app(*, latency: float = 0.0, director: Director | None = None) -> Starlette:
    """The model as an ASGI app; each answer takes `latency` seconds."""

    def route(path: str, wire: Wire) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                conversation = wire.parse(request.path_params, _json_object(await request.body()))
            except BadRequest as error:
                return wire.failure(error.status, str(error))
            fault = None
            if director:
                fault = await run_in_threadpool(director.direct, conversation, conversation.turn)
            return await _answer(request, wire, conversation, Delay(latency, fault))

        return Route(path, endpoint, methods=["POST"])

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        wire = GEMINI if "/models/" in request.url.path else CHAT
        return wire.failure(error.status_code, f"{request.method} {request.url.path}: {error.detail}")

    async def gone(_: Request, __: Exception) -> Response:
        return Response(status_code=400)

    routes = [Route("/health", health)]
    for caller in ("", "/{caller}"):
        routes += [route(f"{caller}/v1/responses", RESPONSES), route(f"{caller}/v1/chat/completions", CHAT)]
        for version in ("v1", "v1alpha", "v1beta"):
            routes.append(route(f"{caller}/{version}/models/{{model}}:{{method}}", GEMINI))
    app = Starlette(routes=routes, exception_handlers={HTTPException: unknown, ClientDisconnect: gone})
    app.state.stopping = asyncio.Event()
    return app


def serve(*, port: int = 0, latency: float = 0.0, director: Director | None = None) -> None:
    """Serve on 127.0.0.1 until SIGTERM or Ctrl-C; prints the URL. Raises: OSError if the port is taken."""
    with suppress(KeyboardInterrupt), listen("127.0.0.1", port) as listener:
        for types in ("google.genai.types", "openai.types.chat", "openai.types.responses"):
            import_module(types)  # now, since it would make the first answers slow
        server = _server(create_app(latency=latency, director=director))
        print(_url(listener), flush=True)
        server.run([listener])


def serve_in_thread(*, latency: float = 0.0, director: Director | None = None) -> str:
    """Serve from a daemon thread of this process, on a free port of 127.0.0.1; returns the base URL."""
    listener = listen("127.0.0.1", 0)  # early connections wait in its queue
    server = _server(create_app(latency=latency, director=director))
    threading.Thread(target=server.run, args=([listener],), name="offline-model", daemon=True).start()
    return _url(listener)


# --- What the model says ----------------------------------------------------------------------------------

VERDICTS = ("Approved:", "Rejected:", "Needs review:")
NO_VERDICT = "No decision:"
_SUMMARIZE = re.compile(r"\bsummari[sz]e\b", re.IGNORECASE)
_SO_FAR = "claims decided so far"
_VOCABULARY = (
    r"eligible|not eligible: .+",
    r"reasonable|above standard rates: by .+",
    r"(low|medium|high) risk: .+",
)
_PLACE = re.compile(r"\b(city|cities|town|location|place)\b", re.IGNORECASE)
_BETWEEN_CITIES = re.compile(
    r"[,;:?!&/()\n]|(?<!\bSt)\.(?=\s|$)|\b(?:and|or|in|for|at|near|with|than|compared to|versus|vs)\b",
    re.IGNORECASE,
)
_NO_CITY = re.compile(
    r"a|about|afternoon|are|can|check|could|currently|evening|find|forecast|get|give|hello|hey|hi|how|how's|i|is|it"
    r"|know|like|look|me|morning|my|need|next|night|now|please|report|right|show|tell|temperature|thanks|the|there"
    r"|these|this|today|tomorrow|tonight|want|warm|cold|weather|week|weekend|what|what's|which|will|would|you",
    re.IGNORECASE,
)


def decide(conversation: Conversation) -> Turn:
    """The model's turn: from the results of the last turn's tool calls, or calls that the prompt asks for.

    When the first turn's calls came to nothing, it makes them as they should have been, once. Where it has no tools and
    is asked to summarize a conversation, it does.
    """
    if not conversation.tools and _SUMMARIZE.search(conversation.prompt):
        return Turn(text=_summary(conversation.prompt))
    if conversation.results:
        answer = _conclude(conversation)
        if conversation.turn > 1 or not answer.startswith(NO_VERDICT):
            return Turn(text=answer)
    calls = [
        ToolCall(tool.name, json.dumps(arguments, ensure_ascii=False))
        for tool in conversation.tools
        for arguments in _arguments(tool, conversation.prompt)
    ]
    return Turn(calls=tuple(calls)) if calls else Turn(text=_what_is_missing(conversation.tools))


def lines_of(result: str) -> list[str]:
    """The strings in a tool result: of JSON, of a Python literal (`str` of a list), else its lines.

    A mapping with an `error` gives only that, as one `error: …`, so that no word in it counts as a result.
    """
    text = result.strip()
    if text.startswith(("[", "(", "{", '"', "'")):
        for parse in (json.loads, ast.literal_eval):
            with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                return _strings(parse(text))
    return [line.strip(" \t-*•") for line in text.splitlines() if line.strip(" \t-*•")]


def plain_schema(schema: Any, root: Any = None, within: tuple[str, ...] = ()) -> dict[str, Any]:
    """A schema without references, combinations and Gemini's upper-case types; `nullable` marks a null type.

    Of several alternatives the first counts; a recursive schema ends where it recurs. Raises: BadRequest.
    """
    if not isinstance(schema, dict):  # true and false are schemas too
        return {}
    root = root or schema
    kinds = schema.get("type") or []
    kinds = [str(kind).lower() for kind in (kinds if isinstance(kinds, list) else [kinds])]
    options = [plain_schema(option, root, within) for option in schema.get("anyOf") or schema.get("oneOf") or []]
    parts = [plain_schema(part, root, within) for part in schema.get("allOf") or []]
    parts += [option for option in options if option.get("type", "") != "null"][:1]
    if (ref := schema.get("$ref")) and ref not in within:
        within = (*within, ref)
        parts.append(plain_schema(_resolve(root, ref), root, within))
    plain: dict[str, Any] = {}
    for part in parts:
        plain = {**plain, **part, **_joined(plain, part)}
    combining = ("$ref", "$defs", "allOf", "anyOf", "oneOf", "type")
    own = {key: value for key, value in schema.items() if key not in combining}
    if "properties" in own:
        own["properties"] = {name: plain_schema(sub, root, within) for name, sub in own["properties"].items()}
    plain = {**plain, **own, **_joined(plain, own)}
    if named := [kind for kind in kinds if kind != "null"] or kinds:
        plain["type"] = named[0]
    if len(named) < len(kinds) or any(option.get("type") == "null" for option in options):
        plain["nullable"] = True
    return plain


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    properties = {**one.get("properties", {}), **other.get("properties", {})}
    required = list(dict.fromkeys([*one.get("required", []), *other.get("required", [])]))
    return {"properties": properties, "required": required} if properties else {}


def _resolve(root: Any, ref: str) -> Any:
    try:
        for key in ref.removeprefix("#/").split("/"):
            root = root[key]
    except (KeyError, TypeError):
        raise BadRequest(f"tools: cannot resolve the $ref {ref!r}") from None
    return root


def _arguments(tool: Tool, prompt: str) -> list[dict[str, Any]]:
    """The arguments of each call that a prompt asks of a tool: from a JSON object, or one call per city."""
    objects = _objects(prompt)
    for value in objects:
        if arguments := _fill(tool.parameters, value):
            return [arguments]
    if objects or not tool.wants_place:  # a city in a claim is no question about it
        return []
    return [{tool.parameters["required"][0]: city} for city in _cities(prompt)]


def _objects(prompt: str) -> list[dict[str, Any]]:
    """The outermost JSON objects in a prompt. What their strings hold, JSON or not, stays data."""
    decoder = json.JSONDecoder(parse_constant=_not_a_number)
    objects, at = [], 0
    while (at := prompt.find("{", at)) >= 0:
        try:
            value, at = decoder.raw_decode(prompt, at)
            objects.append(value)
        except (ValueError, RecursionError):
            at += 1
    return objects


def _not_a_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _fill(schema: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """A tool's arguments from a JSON object: each by name, or all of the object where an object is required.

    {} if it gives none of them, or lacks a required one. OpenAI's strict schemas require every parameter: the
    optional ones are nullable there, and are null.
    """
    arguments: dict[str, Any] = {}
    required = schema.get("required", [])
    for name, parameter in schema.get("properties", {}).items():
        if name in value:
            arguments[name] = _select(parameter, value[name])
        elif name in required and parameter.get("properties"):
            arguments[name] = _select(parameter, value)
    found = {name: argument for name, argument in arguments.items() if argument is not None}
    missing = [name for name in required if name not in found]
    if not found or not all(schema["properties"].get(name, {}).get("nullable") for name in missing):
        return {}
    return found | dict.fromkeys(missing)


def _select(schema: dict[str, Any], value: Any) -> Any:
    """The part of a value that the schema names; None if a required property is missing."""
    if "properties" not in schema:
        return value
    if not isinstance(value, dict) or not all(name in value for name in schema.get("required", [])):
        return None
    return {name: _select(sub, value[name]) for name, sub in schema["properties"].items() if name in value}


def _cities(question: str) -> list[str]:
    """The cities that a question names, each once; names in lower case count only after `in`, `for` …"""
    named = re.search(r"\b(?:in|for|at|near)\s+(.*)", question, re.IGNORECASE | re.DOTALL)
    found = []
    for part in _BETWEEN_CITIES.split(named[1] if named else question):
        words = part.split()
        while words and _NO_CITY.fullmatch(words[0]):
            words.pop(0)
        while words and _NO_CITY.fullmatch(words[-1]):
            words.pop()
        found.append(" ".join(words).strip("\"'"))
    cities = [city for city in found if city and not city[0].islower()]
    return list(dict.fromkeys(cities or [city for city in found if city and named]))


def _conclude(conversation: Conversation) -> str:
    places = {tool.name for tool in conversation.tools if tool.wants_place}
    reports = [line for r in conversation.results if r.name in places for line in lines_of(r.text)]
    checks = [line for r in conversation.results if r.name not in places for line in lines_of(r.text) or ["no text"]]
    sentences = [f"{line.rstrip('.')}." for line in reports]
    if checks or not reports:
        session = f" (claim {conversation.decided + 1} in this session)" if conversation.decided else ""
        sentences.insert(0, _verdict(checks) + session)
    return " ".join(sentences)


def _verdict(lines: list[str]) -> str:
    """The decision on these check results, quoting them; any other line means that a check failed."""
    by_check = [[line for line in dict.fromkeys(lines) if re.fullmatch(words, line)] for words in _VOCABULARY]
    quoted = [line for check in by_check for line in check]
    other = [line for line in lines if line not in quoted]
    if other or not all(by_check):
        said = " ".join(" ".join(other or lines or ["no tool result"]).split())
        return f"{NO_VERDICT} {said if len(said) <= 300 else said[:299] + '…'}"
    if any(line.startswith(("not eligible", "high risk")) for line in quoted):
        verdict = "Rejected:"
    elif any(line.startswith(("above", "medium risk")) for line in quoted):
        verdict = "Needs review:"
    else:
        verdict = "Approved:"
    return f"{verdict} {'; '.join(quoted)}."


def _summary(history: str) -> str:
    """Of a conversation as ADK writes it down, an author and what was said on each line."""
    said = [line.partition(": ") for line in history.splitlines()]
    decided = sum(_decided_in(text) for author, _, text in said if author != "user")
    return f"Conversation language: English. {decided} {_SO_FAR}."


def _decided_in(text: str) -> int:
    """How many claims are decided in what the model said: in a decision, one; in a summary, as many as it says."""
    summary = re.search(rf"(\d+) {_SO_FAR}", text)
    return int(summary[1]) if summary else int(text.startswith(VERDICTS))


def _what_is_missing(tools: tuple[Tool, ...]) -> str:
    if not tools:
        return "I can only call tools, and this request offers none."
    needs = (
        f"I can call {tool.name} for each city that you name; which city?"
        if tool.wants_place
        else f"I can call {tool.name} with JSON that gives {', '.join(tool.parameters.get('required', []))}."
        for tool in tools
    )
    return " ".join(needs)


def _strings(value: Any) -> list[str]:
    match value:
        case {"error": error} if error:
            return [f"error: {error}"]
        case dict():
            return [line for part in value.values() for line in _strings(part)]
        case list() | tuple():
            return [line for part in value for line in _strings(part)]
        case str():
            return lines_of(value)
    return [str(value)]


# --- The wires: a request becomes a Conversation, a Turn becomes the official response type -----------------


class BadRequest(ValueError):
    """A request that the real API would refuse too, or that this model cannot answer; says what is wrong."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Wire:
    """One API: how it asks, how it is answered, and what its errors look like."""

    parse: Callable[[dict[str, str], dict[str, Any]], Conversation]
    """Parameters of the path, JSON body -> conversation. Raises: BadRequest."""
    reply: Callable[[Conversation, Turn], "BaseModel"]
    error: Callable[[int, str], dict[str, Any]]

    def failure(self, status: int, message: str, headers: dict[str, str] | None = None) -> Response:
        return JSONResponse({"error": self.error(status, message)}, status, headers)


@dataclass(frozen=True)
class _System:
    text: str


_Said: TypeAlias = Message | _System


def _parse_responses(path: dict[str, str], body: dict[str, Any]) -> Conversation:
    for stateful in ("previous_response_id", "conversation"):
        if body.get(stateful):
            raise BadRequest(f"{stateful}: the offline model keeps no state; send the whole conversation")
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else _list(given, "input")
    said: list[_Said] = [_System(_text(body.get("instructions") or "", "instructions"))]
    for at, item in enumerate(items):
        match item:
            case {"type": "function_call", "name": str(name), "arguments": str(text), "call_id": str(call)}:
                said.append(ToolCall(name, text, call))
            case {"type": "function_call_output", "call_id": str(call), "output": output}:
                said.append(ToolResult("", _text(output, f"input[{at}].output"), call))
            case {"type": "reasoning"}:
                pass
            case {"role": str(role), "content": content} if item.get("type", "message") == "message":
                said.append(_message(role, _text(content, f"input[{at}].content"), f"input[{at}].role"))
            case _:
                known = "role, content | type=function_call, name, arguments, call_id"
                raise BadRequest(f"input[{at}]: needs {known} | type=function_call_output, call_id, output")
    return _openai("responses", path, body, said)


def _parse_chat(path: dict[str, str], body: dict[str, Any]) -> Conversation:
    said: list[_Said] = []
    for at, message in enumerate(_list(body.get("messages"), "messages")):
        where = f"messages[{at}]"
        match message:
            case {"role": "tool", "tool_call_id": str(call), "content": content}:
                said.append(ToolResult("", _text(content, f"{where}.content"), call))
            case {"role": "assistant"}:
                calls = _list(message.get("tool_calls") or [], f"{where}.tool_calls")
                content = message.get("content") or message.get("refusal") or ""
                if content or not calls:
                    said.append(AssistantText(_text(content, f"{where}.content")))
                said += [_chat_call(call, f"{where}.tool_calls[{index}]") for index, call in enumerate(calls)]
            case {"role": str(role), "content": content}:
                said.append(_message(role, _text(content, f"{where}.content"), f"{where}.role"))
            case _:
                raise BadRequest(f"{where}: needs a role and content, and the role tool a tool_call_id")
    return _openai("chat", path, body, said)


def _chat_call(call: Any, where: str) -> ToolCall:
    match call:
        case {"id": str(id), "function": {"name": str(name), "arguments": str(arguments)}}:
            return ToolCall(name, arguments, id)
    raise BadRequest(f"{where}: needs an id, function.name and function.arguments")


def _openai(wire: str, path: dict[str, str], body: dict[str, Any], said: list[_Said]) -> Conversation:
    """What OpenAI's two wires have in common. A tool that is no function runs at OpenAI, hence not here."""
    if body.get("stream"):
        raise BadRequest("stream: the offline model does not stream; send stream=false")
    if not isinstance(body.get("model"), str):
        raise BadRequest("model: must name a model")
    tools = []
    for at, tool in enumerate(_list(body.get("tools") or [], "tools")):
        match tool:
            case {"type": "function"}:
                function: Any = tool.get("function", tool)
                if not isinstance(function, dict) or not isinstance(function.get("name"), str):
                    raise BadRequest(f"tools[{at}]: a function needs a name")
                tools.append(_tool(function["name"], function.get("description"), function.get("parameters")))
            case {"type": str()}:
                pass
            case _:
                raise BadRequest(f"tools[{at}]: needs a type")
    return _conversation(wire, path, body["model"], said, [] if body.get("tool_choice") == "none" else tools)


def _parse_gemini(path: dict[str, str], body: dict[str, Any]) -> Conversation:
    from google.genai import types
    from pydantic import ValidationError

    if path["method"] == "streamGenerateContent":
        raise BadRequest("streamGenerateContent: the offline model does not stream; use generateContent")
    if path["method"] != "generateContent":
        raise BadRequest(f"{path['method']}: the offline model knows generateContent only", 404)
    try:
        contents = [types.Content.model_validate(part) for part in _list(body.get("contents"), "contents")]
        system = types.Content.model_validate(body.get("systemInstruction") or {})
        declared = [types.Tool.model_validate(tool) for tool in _list(body.get("tools") or [], "tools")]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadRequest(f"{error.title}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    said: list[_Said] = [_System(part.text or "") for part in system.parts or []]
    for content in contents:
        parts = content.parts or []
        text = "\n".join(part.text for part in parts if part.text and not part.thought)
        if text or not parts:
            said.append(AssistantText(text) if content.role == "model" else UserText(text))
        for part in parts:
            if call := part.function_call:
                arguments = json.dumps(call.args or {}, ensure_ascii=False)
                said.append(ToolCall(call.name or "", arguments, call.id or ""))
            if result := part.function_response:
                text = json.dumps(result.response, ensure_ascii=False)
                said.append(ToolResult(result.name or "", text, result.id or ""))
    tools = []
    for function in (function for tool in declared for function in tool.function_declarations or []):
        schema = function.parameters_json_schema
        if function.parameters:
            schema = function.parameters.model_dump(mode="json", by_alias=True, exclude_none=True)
        tools.append(_tool(function.name or "", function.description, schema))
    return _conversation("gemini", path, path["model"], said, tools)


def _conversation(wire: str, path: dict[str, str], model: str, said: list[_Said], tools: list[Tool]) -> Conversation:
    """Raises BadRequest, as the real APIs do, unless calls and results match: by id or (Gemini) by name."""
    names = {m.id: m.name for m in said if isinstance(m, ToolCall) and m.id}
    calls = Counter(m.id or m.name for m in said if isinstance(m, ToolCall))
    results = Counter(m.call_id or m.name for m in said if isinstance(m, ToolResult))
    if unanswered := calls - results:
        raise BadRequest(f"no tool output found for function call {', '.join(unanswered)}")
    if unasked := results - calls:
        raise BadRequest(f"no function call found for tool output {', '.join(unasked)}")
    system = "\n".join(m.text for m in said if isinstance(m, _System) and m.text)
    messages = tuple(
        replace(m, name=names.get(m.call_id, m.name)) if isinstance(m, ToolResult) else m
        for m in said
        if not isinstance(m, _System)
    )
    if not messages:
        raise BadRequest("the conversation is empty")
    return Conversation(path.get("caller", ""), wire, model, system, messages, tuple(tools))


def _tool(name: str, description: Any, schema: Any) -> Tool:
    try:
        return Tool(name, str(description or ""), plain_schema(schema))
    except (AttributeError, TypeError) as error:
        raise BadRequest(f"tools: the parameters of {name} are not a JSON schema: {error}") from None


def _message(role: str, text: str, where: str) -> _Said:
    match role:
        case "user":
            return UserText(text)
        case "assistant":
            return AssistantText(text)
        case "system" | "developer":
            return _System(text)
    raise BadRequest(f"{where}: {role!r} is none of user, assistant, system, developer")


def _text(content: Any, where: str) -> str:
    """The text of a message: a string, or a list of parts that hold text."""
    texts = []
    for at, part in enumerate([content] if isinstance(content, str) else _list(content, where)):
        match part:
            case str(text) | {"text": str(text)} | {"refusal": str(text)}:
                texts.append(text)
            case _:
                raise BadRequest(f"{where}[{at}]: the offline model reads text only")
    return "\n".join(texts)


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequest(f"{where}: must be a list")
    return value


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is JSON, but no text
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object")
    return value


def _reply_responses(conversation: Conversation, turn: Turn) -> "BaseModel":
    from openai.types.responses import Response

    key, (read, written) = _key(conversation), _tokens(conversation, turn)
    content: list[dict[str, Any]] = []
    if turn.text is not None:
        content.append({"type": "output_text", "text": turn.text, "annotations": []})
    if turn.refusal is not None:
        content.append({"type": "refusal", "refusal": turn.refusal})
    message = {"type": "message", "id": f"msg_{key}", "role": "assistant", "status": "completed"}
    calls = [
        {
            "type": "function_call",
            "id": f"fc_{key}{at}",
            "call_id": call.id or f"call_{key}{at}",
            "name": call.name,
            "arguments": call.arguments,
            "status": "completed",
        }
        for at, call in enumerate(turn.calls)
    ]
    usage = {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }
    reply = {
        "id": f"resp_{key}",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "model": conversation.model,
        "output": [{**message, "content": content}, *calls] if content else calls,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
    }
    return Response.model_validate(reply)


def _reply_chat(conversation: Conversation, turn: Turn) -> "BaseModel":
    from openai.types.chat import ChatCompletion

    key, (read, written) = _key(conversation), _tokens(conversation, turn)
    calls = [
        {
            "type": "function",
            "id": call.id or f"call_{key}{at}",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for at, call in enumerate(turn.calls)
    ]
    message = {"role": "assistant", "content": turn.text, "refusal": turn.refusal}
    reply = {
        "id": f"chatcmpl-{key}",
        "object": "chat.completion",
        "created": 0,
        "model": conversation.model,
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls" if calls else "stop",
                "message": {**message, "tool_calls": calls or None},
            }
        ],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }
    return ChatCompletion.model_validate(reply)


def _reply_gemini(conversation: Conversation, turn: Turn) -> "BaseModel":
    from google.genai.types import GenerateContentResponse

    parts: list[dict[str, Any]] = [{"text": turn.text}] if turn.text else []
    reason, message = "STOP", None
    try:
        parts += [{"function_call": _gemini_call(call)} for call in turn.calls]
    except ValueError as error:  # such arguments do not fit this wire: the real API drops the turn and says so
        parts, reason, message = [], "MALFORMED_FUNCTION_CALL", f"Malformed function call: {error}"
    if turn.refusal is not None:
        parts, reason, message = [], "PROHIBITED_CONTENT", turn.refusal
    candidate = {"content": {"role": "model", "parts": parts or None}, "finish_reason": reason}
    read, written = _tokens(conversation, turn)
    reply = {
        "response_id": _key(conversation),
        "model_version": conversation.model,
        "candidates": [{"index": 0, **candidate, "finish_message": message}],
        "usage_metadata": {
            "prompt_token_count": read,
            "candidates_token_count": written,
            "total_token_count": read + written,
        },
    }
    return GenerateContentResponse.model_validate(reply)


def _gemini_call(call: ToolCall) -> dict[str, Any]:
    arguments = json.loads(call.arguments, parse_constant=_not_a_number)
    if not isinstance(arguments, dict):
        raise ValueError(f"{call.arguments} is not an object")
    return {"id": call.id or None, "name": call.name, "args": arguments}


def _key(conversation: Conversation) -> str:
    """The same for the same conversation; another one in its next turn, which holds more."""
    return hashlib.sha256(repr(conversation).encode()).hexdigest()[:24]


def _tokens(conversation: Conversation, turn: Turn) -> tuple[int, int]:
    """Estimated tokens in (instructions, messages, tools) and out (text and calls)."""
    tools = (f"{tool.name}{tool.description}{json.dumps(tool.parameters)}" for tool in conversation.tools)
    messages = (text for message in conversation.messages for text in astuple(message))
    told = [conversation.system, *tools, *messages]
    said = [turn.text or "", turn.refusal or "", *(call.name + call.arguments for call in turn.calls)]
    return -(-sum(map(len, told)) // CHARACTERS_PER_TOKEN), -(-sum(map(len, said)) // CHARACTERS_PER_TOKEN)


def _openai_error(status: int, message: str) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    kind = "rate_limit_error" if status == 429 else kind
    return {"message": message, "type": kind, "param": None, "code": None}


def _gemini_error(status: int, message: str) -> dict[str, Any]:
    name = "INTERNAL" if status >= 500 else "INVALID_ARGUMENT"
    names = {401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
    return {"code": status, "message": message, "status": names.get(status, name)}


RESPONSES = Wire(_parse_responses, _reply_responses, _openai_error)
CHAT = Wire(_parse_chat, _reply_chat, _openai_error)
GEMINI = Wire(_parse_gemini, _reply_gemini, _gemini_error)


# --- Answering and serving ------------------------------------------------------------------------------


async def _answer(request: Request, wire: Wire, conversation: Conversation, fault: Fault | None) -> Response:
    match fault:
        case Delay(seconds) | Hang(seconds):
            if not await _pause(request, seconds):
                return wire.failure(503, "the offline model stops")
            then = fault.then if isinstance(fault, Delay) else None
            return await _answer(request, wire, conversation, then)
        case Status(code, retry_after, message):
            headers = None if retry_after is None else {"Retry-After": f"{retry_after:g}"}
            return wire.failure(code, message, headers)
    reply = wire.reply(conversation, fault.turn if isinstance(fault, Say) else decide(conversation))
    response = JSONResponse(reply.model_dump(mode="json", by_alias=True, exclude_none=True))
    half = bytes(response.body[: len(response.body) // 2])
    match fault:
        case Truncated():
            return Response(half, media_type="application/json")
        case Cut():
            return _Half(half, headers=dict(response.headers))
    return response


async def _pause(request: Request, seconds: float) -> bool:
    """Wait; False, at once, when the client hangs up or the server stops."""
    if seconds <= 0:
        return True

    async def hung_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    ends = {asyncio.create_task(hung_up()), asyncio.create_task(request.app.state.stopping.wait())}
    done, waiting = await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    return not done


class _Half(Response):
    """Announces more than it sends: uvicorn then closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})


def _no_cuts(record: logging.LogRecord) -> bool:
    return "returned without completing response" not in record.getMessage()


def _server(app: Starlette) -> "uvicorn.Server":
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.state.stopping.set()
            await super().shutdown(sockets)

    logging.getLogger("uvicorn.error").addFilter(_no_cuts)
    # A log_config would close the log handlers of the process that this thread lives in. Clients keep idle
    # connections for 5 s or more: a server that closes them first breaks a request now and then.
    wire: Any = {"http": "h11", "ws": "none", "lifespan": "off", "timeout_keep_alive": 75}
    return Server(uvicorn.Config(app, **wire, log_config=None, log_level="warning", access_log=False))


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


def _main() -> None:
    parser = argparse.ArgumentParser(description="The offline model, on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each answer takes")
    arguments = parser.parse_args()

    from shared import offline_model  # this module runs as `__main__`; the director knows it by its name

    director: Director | None = None
    if path := os.environ.get("TOUR_LAB"):
        from shared.lab import Lab
        from shared.model_faults import LabDirector

        director = LabDirector(Lab(path))
    try:
        offline_model.serve(port=arguments.port, latency=arguments.latency, director=director)
    except (OSError, OverflowError) as error:
        sys.exit(f"The offline model cannot listen on 127.0.0.1:{arguments.port}: {error}")


if __name__ == "__main__":
    _main()
