"""LangChain: the tool calls of a turn in parallel, and tokens as they arrive.

The middlewares replace Restate's. Each must be the outermost one.
"""

import json
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from langchain.agents.middleware.types import ModelRequest, ModelResponse
from langchain.agents.structured_output import AutoStrategy, ToolStrategy
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tracers.context import register_configure_hook
from langgraph.config import get_config
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command
from restate.ext.langchain import RestateMiddleware, restate_context

from durable import parts
from durable.streaming import attempt, model_call
from durable.tool_calls import ToolCalls

parts.check(__name__)


class ParallelRestateMiddleware(RestateMiddleware):
    """Restate's middleware, except that the tool calls of a turn overlap."""

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        response = await super().awrap_model_call(request, handler)
        calls = [call for message in response.result if isinstance(message, AIMessage) for call in message.tool_calls]
        answers = names_of_answers(request)
        if ids := [call["id"] or "" for call in calls if call["name"] not in answers]:
            ToolCalls(restate_context(), ids, get_config().get("max_concurrency"))
        return response

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        id = request.tool_call["id"] or ""
        async with ToolCalls.of(id).turn(id):
            result = await handler(request)
            if isinstance(result, ToolMessage):
                result.id = str(restate_context().uuid())  # LangGraph's id would differ on a replay
            return result


class StreamedRestateMiddleware(RestateMiddleware):
    """Restate's middleware, with a model that streams and tokens that are reported."""

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        async def reported(request: ModelRequest[Any]) -> ModelResponse[Any]:
            _REPORTED.set(_Tokens())
            return await handler(request)

        call = model_call()
        model = request.model.model_copy(update={"streaming": True, "stream_usage": True})
        response = await super().awrap_model_call(request.override(model=model), reported)
        message = next(message for message in response.result if isinstance(message, AIMessage))
        calls = [(each["id"], each["name"], json.dumps(each["args"])) for each in message.tool_calls]
        call.in_journal(message.text, calls)
        return response


class _Tokens(AsyncCallbackHandler):
    """Reports the tokens of an attempt of a model call."""

    def __init__(self) -> None:
        self._said = attempt()

    async def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        if isinstance(chunk, ChatGenerationChunk):
            self._said(chunk.message.text)


_REPORTED = ContextVar[_Tokens | None]("tokens", default=None)
register_configure_hook(_REPORTED, inheritable=True)


def names_of_answers(request: ModelRequest[Any]) -> set[str]:
    """The names of the tools through which the model gives a structured answer: LangChain does not run them."""
    match request.response_format:
        case ToolStrategy() as strategy:
            return {spec.name for spec in strategy.schema_specs}
        case AutoStrategy(schema=schema):
            return {spec.name for spec in ToolStrategy[Any](schema).schema_specs}
    return set()
