"""Google ADK: the tool calls of a turn in parallel. A plugin in place of Restate's own."""

from typing import Any

from google.adk.agents.callback_context import CallbackContext
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext
from restate.ext.adk import RestatePlugin, restate_context

from durable import parts
from durable.tool_calls import ToolCalls

parts.check(__name__)


class ParallelRestatePlugin(RestatePlugin):
    """Restate's plugin, but the tool calls of a turn overlap."""

    async def before_model_callback(
        self, *, callback_context: CallbackContext, llm_request: LlmRequest
    ) -> LlmResponse | None:
        response = await super().before_model_callback(callback_context=callback_context, llm_request=llm_request)
        parts = (response.content.parts if response and response.content else None) or []
        if ids := [part.function_call.id or "" for part in parts if part.function_call]:
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
