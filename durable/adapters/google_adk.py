"""Google ADK: the tool calls of a turn in parallel, and tokens as they arrive. Plugins that replace Restate's."""

import json
from collections.abc import AsyncGenerator
from typing import Any

from google.adk.agents.callback_context import CallbackContext
from google.adk.models import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext
from google.genai import types
from restate.ext.adk import RestatePlugin, restate_context

from durable import parts
from durable.streaming import attempt, model_call
from durable.tool_calls import ToolCalls

parts.check(__name__)


class ParallelRestatePlugin(RestatePlugin):
    """Restate's plugin, except that the tool calls of a turn overlap."""

    async def before_model_callback(
        self, *, callback_context: CallbackContext, llm_request: LlmRequest
    ) -> LlmResponse | None:
        response = await super().before_model_callback(callback_context=callback_context, llm_request=llm_request)
        if ids := [part.function_call.id or "" for part in _parts(response) if part.function_call]:
            ToolCalls(restate_context(), ids)
        return response

    async def before_tool_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext
    ) -> dict[str, Any] | None:
        id = tool_context.function_call_id or ""
        await ToolCalls.of(id).begin(id)
        return None

    async def after_tool_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext, result: dict[str, Any]
    ) -> dict[str, Any] | None:
        id = tool_context.function_call_id or ""
        ToolCalls.of(id).end(id)
        return None

    async def on_tool_error_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext, error: Exception
    ) -> dict[str, Any] | None:
        id = tool_context.function_call_id or ""
        await ToolCalls.of(id).fail(id, error)
        return None


class StreamedRestatePlugin(RestatePlugin):
    """Restate's plugin, which also reports each turn of the model when it is in the journal."""

    async def before_model_callback(
        self, *, callback_context: CallbackContext, llm_request: LlmRequest
    ) -> LlmResponse | None:
        call = model_call()
        response = await super().before_model_callback(callback_context=callback_context, llm_request=llm_request)
        calls = [part.function_call for part in _parts(response) if part.function_call]
        call.in_journal(_text(response), [(each.id, each.name or "", json.dumps(each.args or {})) for each in calls])
        return response


class Streamed(BaseLlm):
    """A model that streams its answer, and reports the tokens."""

    llm: BaseLlm

    def __init__(self, llm: BaseLlm) -> None:
        super().__init__(**{"model": llm.model, "llm": llm})

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        said = attempt()
        async for response in self.llm.generate_content_async(llm_request, stream=True):
            if response.partial:
                said(_text(response))
            else:
                yield response


def _text(response: LlmResponse | None) -> str:
    return "".join(part.text or "" for part in _parts(response) if not part.thought)


def _parts(response: LlmResponse | None) -> list[types.Part]:
    return (response.content.parts if response and response.content else None) or []
