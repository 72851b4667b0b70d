"""Pydantic AI: the tool calls of a turn in parallel, and tokens as they arrive. Both work with `RestateAgent`."""

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic_ai import RunContext, ToolDefinition
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.capabilities.abstract import WrapModelRequestHandler
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, ToolFailedError, ToolRetryError
from pydantic_ai.messages import (
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
)
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.models.wrapper import WrapperModel
from restate.ext.pydantic import restate_context

from durable.streaming import attempt, model_call
from durable.tool_calls import ToolCalls

ANSWERED = (ToolRetryError, ToolFailedError, CallDeferred, ApprovalRequired)
"""The exceptions of a tool that do not end the run."""


class ParallelToolCalls(AbstractCapability[Any]):
    """Lets the tool calls of a turn overlap, except calls whose arguments do not fit: the SDK does not execute them."""

    def __init__(self) -> None:
        self._valid: dict[str, ToolDefinition] = {}

    async def for_run(self, ctx: RunContext[Any]) -> "ParallelToolCalls":
        return ParallelToolCalls()

    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        self._valid = {}  # drops calls of the last turn that were not executed
        return request_context

    async def after_tool_validate(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: dict[str, Any]
    ) -> dict[str, Any]:
        if tool_def.kind == "function" or ctx.tool_call_approved:  # others are answered outside the run
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
        if call.tool_call_id in self._valid:  # the first executed call: by now all are validated
            one_at_a_time = any(tool.sequential for tool in self._valid.values()) or (
                ctx.tool_manager is not None and ctx.tool_manager.get_parallel_execution_mode() == "sequential"
            )
            ToolCalls(restate_context(), list(self._valid), limit=1 if one_at_a_time else None)
            self._valid = {}
        async with ToolCalls.of(call.tool_call_id).turn(call.tool_call_id, answered=ANSWERED):
            return await handler(args)


class StreamedModel(WrapperModel):
    """A model that streams its answer, and reports the tokens. For a `RestateAgent` with the capability `Streamed`."""

    async def request(self, *args: Any, **kwargs: Any) -> ModelResponse:
        said = attempt()
        async with self.wrapped.request_stream(*args, **kwargs) as answer:
            async for event in answer:
                match event:
                    case PartStartEvent(part=TextPart(content=text)):
                        said(text)
                    case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                        said(text)
        return answer.get()


class Streamed(AbstractCapability[Any]):
    """Reports each turn of the model when it is in the journal."""

    async def wrap_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, handler: WrapModelRequestHandler
    ) -> ModelResponse:
        call = model_call()
        response = await handler(request_context)
        text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
        calls = [(each.tool_call_id, each.tool_name, each.args_as_json_str()) for each in response.tool_calls]
        call.in_journal(text, calls)
        return response
