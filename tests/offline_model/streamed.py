"""The official clients with streaming: they assemble the same replies, chunk by chunk."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import openai
from google.genai import types
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from tests.offline_model.clients import Chat, Client, Gemini, Responses, Wire, gemini_client, openai_client


@dataclass
class Streamed(Client):
    """Remembers the events of the latest answer, and calls `on_event` at each."""

    events: list[Any] = field(default_factory=list)
    on_event: Callable[[Any], None] = lambda event: None

    def note(self, event: Any) -> None:
        self.events.append(event)
        self.on_event(event)

    @property
    def pieces(self) -> list[str]:
        """The pieces of text, of a refusal and of arguments, in their order."""
        raise NotImplementedError


class StreamedResponses(Streamed, Responses):
    async def send(self, tools: tuple[dict[str, Any], ...]) -> Response:
        self.events = []
        functions: Any = [{"type": "function", "strict": True, **tool} for tool in tools]
        async with (
            openai_client(self.url) as client,
            client.responses.stream(model="gpt-5.4", input=self.history, tools=functions) as stream,
        ):
            async for event in stream:
                self.note(event)
            return await stream.get_final_response()

    @property
    def pieces(self) -> list[str]:
        return [event.delta for event in self.events if event.type.endswith(".delta")]


class StreamedChat(Streamed, Chat):
    async def send(self, tools: tuple[dict[str, Any], ...]) -> ChatCompletion:
        self.events = []
        functions: Any = [{"type": "function", "function": tool} for tool in tools] or openai.omit
        async with (
            openai_client(self.url) as client,
            client.chat.completions.stream(
                model="gpt-5.4", messages=self.history, tools=functions, stream_options={"include_usage": True}
            ) as stream,
        ):
            async for event in stream:
                if event.type == "chunk":
                    self.note(event.chunk)
            return await stream.get_final_completion()

    @property
    def pieces(self) -> list[str]:
        deltas = [choice.delta for chunk in self.events for choice in chunk.choices]
        said = [
            piece
            for delta in deltas
            for piece in (
                delta.content,
                delta.refusal,
                *(call.function.arguments for call in delta.tool_calls or ()),
            )
        ]
        return [piece for piece in said if piece]


class StreamedGemini(Streamed, Gemini):
    async def send(self, tools: tuple[dict[str, Any], ...]) -> types.GenerateContentResponse:
        self.events = []
        client = gemini_client(self.url)
        try:
            async for chunk in await client.aio.models.generate_content_stream(
                model="gemini-2.5-flash", contents=self.history, config=self.config(tools)
            ):
                self.note(chunk)
        finally:
            await client.aio.aclose()
            client.close()
        parts: list[types.Part] = []
        for part in self._parts:
            if part.text and parts and parts[-1].text:
                parts[-1] = types.Part(text=parts[-1].text + part.text)
            else:
                parts.append(part)
        last: types.GenerateContentResponse = self.events[-1]
        assert last.candidates
        candidate = last.candidates[0]
        content = types.Content(role="model", parts=parts or None)
        return last.model_copy(update={"candidates": [candidate.model_copy(update={"content": content})]})

    @property
    def _parts(self) -> list[types.Part]:
        return [part for chunk in self.events for part in chunk.candidates[0].content.parts or ()]

    @property
    def pieces(self) -> list[str]:
        return [part.text for part in self._parts if part.text]


STREAMED: dict[Wire, type[Streamed]] = {Responses: StreamedResponses, Chat: StreamedChat, Gemini: StreamedGemini}

QUESTION: dict[Wire, Any] = {
    Responses: [{"role": "user", "content": "Hello"}],
    Chat: [{"role": "user", "content": "Hello"}],
    Gemini: ["Hello"],
}

STREAMS: dict[Wire, tuple[str, dict[str, Any], Any]] = {
    Responses: (Responses.path, {"model": "m", "input": "Hello", "stream": True}, ResponseStreamEvent),
    Chat: (
        Chat.path,
        {
            "model": "m",
            "messages": QUESTION[Chat],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
        ChatCompletionChunk,
    ),
    Gemini: (
        Gemini.path.replace(":generateContent", ":streamGenerateContent?alt=sse"),
        {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
        types.GenerateContentResponse,
    ),
}
"""Path, body, and the type of a chunk."""
