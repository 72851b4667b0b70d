"""The official clients of OpenAI and Google, with the same requests on each wire."""

import asyncio
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx
import openai
from google import genai
from google.genai import types
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from offline_model.conversation import Conversation
from offline_model.faults import Fault
from offline_model.server import serve_in_thread
from shared import checks
from shared.claims import InsuranceClaim, sample_claims

BROKEN_LEG = sample_claims()["broken-leg"]
CLAIM = BROKEN_LEG.model_dump(mode="json")
PROMPT = f"Claim: {json.dumps(CLAIM)}"
CHECKS = [asyncio.run(check.function(BROKEN_LEG)) for check in checks.CHECKS.values()]
"""The results of all checks."""


def tool(name: str, description: str = "", **properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "description": description, "parameters": schema}


METRICS = tool("calculate_metrics", "Check a claim.", claim=InsuranceClaim.model_json_schema())
WEATHER = tool("get_weather", "Get the weather in a city.", city={"type": "string"})


NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Loads no certificates, which would take each new client 20 ms, and Gemini's three times that."""


def openai_client(url: str, **options: Any) -> openai.AsyncOpenAI:
    http = openai.DefaultAsyncHttpxClient(verify=NO_TLS)
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, http_client=http, **options)


def gemini_client(url: str) -> genai.Client:
    transport = httpx.AsyncHTTPTransport(verify=NO_TLS)  # without one, it takes aiohttp, which the agent does not
    options = types.HttpOptions(
        base_url=url, client_args={"verify": NO_TLS}, async_client_args={"transport": transport}
    )
    return genai.Client(api_key="none", http_options=options)


@dataclass
class Said:
    """A client's view of one answer."""

    text: str | None
    calls: list[tuple[str, Any]]
    ids: list[str | None]
    tokens: tuple[int, int, int]


@dataclass
class Client:
    """One wire: asks, and answers tool calls with `results` until there are no more."""

    url: str
    history: list[Any] = field(default_factory=list)

    async def say(self, prompt: str, *tools: dict[str, Any], results: Callable[[str], Any] | None = None) -> Said:
        raise NotImplementedError

    async def send(self, tools: tuple[dict[str, Any], ...]) -> Any:
        raise NotImplementedError


class Responses(Client):
    path: ClassVar[str] = "/v1/responses"

    async def say(self, prompt: str, *tools: dict[str, Any], results: Callable[[str], Any] | None = None) -> Said:
        self.history.append({"role": "user", "content": prompt})
        reply = await self.send(tools)
        calls = [item for item in reply.output if item.type == "function_call"]
        while results and calls:
            self.history += [item.model_dump(exclude_none=True) for item in reply.output]
            for call in calls:
                output = str(results(call.name))
                self.history.append({"type": "function_call_output", "call_id": call.call_id, "output": output})
            reply = await self.send(tools)
            calls = [item for item in reply.output if item.type == "function_call"]
        self.history += [item.model_dump(exclude_none=True) for item in reply.output if not calls]
        usage = reply.usage
        assert usage
        return Said(
            reply.output_text,
            [(call.name, json.loads(call.arguments)) for call in calls],
            [call.call_id for call in calls],
            (usage.input_tokens, usage.output_tokens, usage.total_tokens),
        )

    async def send(self, tools: tuple[dict[str, Any], ...]) -> Response:
        async with openai_client(self.url) as client:
            functions: Any = [{"type": "function", "strict": True, **tool} for tool in tools]
            return await client.responses.create(model="gpt-5.4", input=self.history, tools=functions)


class Chat(Client):
    path: ClassVar[str] = "/v1/chat/completions"

    async def say(self, prompt: str, *tools: dict[str, Any], results: Callable[[str], Any] | None = None) -> Said:
        self.history.append({"role": "user", "content": prompt})
        reply = await self.send(tools)
        calls: list[Any] = reply.choices[0].message.tool_calls or []
        while results and calls:
            self.history.append(reply.choices[0].message.model_dump(exclude_none=True))
            for call in calls:
                content = json.dumps(results(call.function.name))
                self.history.append({"role": "tool", "tool_call_id": call.id, "content": content})
            reply = await self.send(tools)
            calls = reply.choices[0].message.tool_calls or []
        message, usage = reply.choices[0].message, reply.usage
        if not calls:
            self.history.append(message.model_dump(exclude_none=True))
        assert usage
        return Said(
            message.content,
            [(call.function.name, json.loads(call.function.arguments)) for call in calls],
            [call.id for call in calls],
            (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens),
        )

    async def send(self, tools: tuple[dict[str, Any], ...]) -> ChatCompletion:
        async with openai_client(self.url) as client:
            functions: Any = [{"type": "function", "function": tool} for tool in tools] or openai.omit
            return await client.chat.completions.create(model="gpt-5.4", messages=self.history, tools=functions)


class Gemini(Client):
    path: ClassVar[str] = "/v1beta/models/gemini-2.5-flash:generateContent"

    async def say(self, prompt: str, *tools: dict[str, Any], results: Callable[[str], Any] | None = None) -> Said:
        self.history.append(types.Content(role="user", parts=[types.Part(text=prompt)]))
        reply = await self.send(tools)
        calls = reply.function_calls or []
        while results and calls:
            parts = [
                types.Part.from_function_response(name=call.name or "", response={"result": results(call.name or "")})
                for call in calls
            ]
            assert reply.candidates
            self.history += [reply.candidates[0].content, types.Content(role="user", parts=parts)]
            reply = await self.send(tools)
            calls = reply.function_calls or []
        assert reply.candidates
        if not calls:
            self.history.append(reply.candidates[0].content)
        usage = reply.usage_metadata
        assert usage
        return Said(
            reply.text if not calls else None,
            [(call.name or "", call.args) for call in calls],
            [call.id for call in calls],
            (usage.prompt_token_count or 0, usage.candidates_token_count or 0, usage.total_token_count or 0),
        )

    def config(self, tools: tuple[dict[str, Any], ...]) -> types.GenerateContentConfig:
        functions: Any = [
            {
                "name": tool["name"],
                "description": tool["description"],
                "parameters_json_schema": tool["parameters"],
            }
            for tool in tools
        ]
        return types.GenerateContentConfig(
            tools=[types.Tool(function_declarations=functions)] if tools else None,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )

    async def send(self, tools: tuple[dict[str, Any], ...]) -> types.GenerateContentResponse:
        client = gemini_client(self.url)
        try:
            return await client.aio.models.generate_content(
                model="gemini-2.5-flash", contents=self.history, config=self.config(tools)
            )
        finally:
            await client.aio.aclose()
            client.close()


WIRES: list[type[Responses] | type[Chat] | type[Gemini]] = [Responses, Chat, Gemini]
Wire = type[Responses] | type[Chat] | type[Gemini]


@dataclass
class Script:
    """A director that says the same in each turn, and remembers the conversations."""

    fault: Fault | None
    seen: list[tuple[Conversation, int]] = field(default_factory=list)

    def direct(self, conversation: Conversation, turn: int) -> Fault | None:
        self.seen.append((conversation, turn))
        return self.fault


def faulty(wire: Wire, fault: Fault) -> Client:
    return wire(serve_in_thread(director=Script(fault)))
