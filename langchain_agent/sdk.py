"""Shared by the agents on LangChain: the model, and a middleware that tells it of calls that cannot be parsed."""

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import ModelRequest, ModelResponse
from langchain_core.messages import AIMessage, ToolMessage
from langchain_openai import ChatOpenAI

import durable.exact.langchain
import durable.quick_spans  # noqa: F401 - a claim takes less time
from shared import llm


def openai_model(role: str = "") -> ChatOpenAI:
    """The model, with a client that reaches it."""
    return ChatOpenAI(model=llm.openai_model(role), timeout=llm.MODEL_TIMEOUT, http_async_client=llm.http_client())


class AskAgain(AgentMiddleware[Any, Any]):
    """Asks the model again when no call of its turn can be parsed; LangChain would end without an answer.

    It belongs outside Restate's middleware, so that each of these model calls is a durable step.
    """

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        response = await handler(request)
        for _ in range(llm.MAX_TURNS):
            message = response.result[0]
            if not isinstance(message, AIMessage) or message.tool_calls or not message.invalid_tool_calls:
                break
            told = [
                ToolMessage(f"error: {call['error']}", tool_call_id=call["id"]) for call in message.invalid_tool_calls
            ]
            request = request.override(messages=[*request.messages, message, *told])
            response = await handler(request)
        return response
