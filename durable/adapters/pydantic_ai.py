"""Pydantic AI: the tool calls of a turn in parallel. A capability of the agent, beside Restate's `RestateAgent`."""

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic_ai import RunContext, ToolDefinition
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, ToolFailedError, ToolRetryError
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.models import ModelRequestContext
from restate.ext.pydantic import restate_context

from durable.tool_calls import ToolCalls

ANSWERED = (ToolRetryError, ToolFailedError, CallDeferred, ApprovalRequired)
"""What a tool raises that does not end the run."""


class ParallelToolCalls(AbstractCapability[Any]):
    """Lets the tool calls of a turn overlap. Calls whose arguments do not fit are left out: they are not executed."""

    def __init__(self) -> None:
        self._valid: dict[str, ToolDefinition] = {}

    async def for_run(self, ctx: RunContext[Any]) -> "ParallelToolCalls":
        return ParallelToolCalls()

    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        self._valid = {}  # of the last turn, those that were not executed
        return request_context

    async def after_tool_validate(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: dict[str, Any]
    ) -> dict[str, Any]:
        if tool_def.kind == "function" or ctx.tool_call_approved:  # others are answered outside of the run
            self._valid[call.tool_call_id] = tool_def
        return args

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: Callable[[dict[str, Any]], Awaitable[Any]],
    ) -> Any:
        if call.tool_call_id in self._valid:  # the first one that is executed, after all have been validated
            one_at_a_time = any(tool.sequential for tool in self._valid.values()) or (
                ctx.tool_manager is not None and ctx.tool_manager.get_parallel_execution_mode() == "sequential"
            )
            ToolCalls(restate_context(), list(self._valid), limit=1 if one_at_a_time else None)
            self._valid = {}
        async with ToolCalls.of(call.tool_call_id).turn(call.tool_call_id, answered=ANSWERED):
            return await handler(args)
