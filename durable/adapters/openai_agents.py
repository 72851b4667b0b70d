"""OpenAI Agents SDK: the tool calls of a turn in parallel. A runner that replaces Restate's `DurableRunner`."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from agents import (
    Agent,
    FunctionTool,
    Handoff,
    ModelResponse,
    MultiProvider,
    RunConfig,
    RunContextWrapper,
    Runner,
    RunResult,
    RunResultStreaming,
    ToolInputGuardrail,
)
from agents.items import TResponseStreamEvent
from agents.models.interface import Model
from agents.tool_context import ToolContext
from agents.tool_guardrails import ToolGuardrailFunctionOutput, ToolInputGuardrailData
from openai.types.responses import ResponseCompletedEvent
from restate import RunOptions
from restate.ext.openai import restate_context

from durable.exact.openai_agents import ids_of_calls, in_journal, streamed_into_journal
from durable.tool_calls import ToolCalls


class ParallelRunner:
    """Runs an agent with Restate's durable model calls; the tool calls of a turn overlap."""

    @staticmethod
    async def run(
        agent: Agent[Any],
        input: Any,
        *,
        run_options: RunOptions[Any],
        run_config: RunConfig | None = None,
        **kwargs: Any,
    ) -> RunResult:
        """Like `Runner.run`. A tool that runs another agent also calls this."""
        return await Runner.run(_in_turn(agent), input, run_config=_durable(run_config, run_options), **kwargs)

    @staticmethod
    def run_streamed(
        agent: Agent[Any],
        input: Any,
        *,
        run_options: RunOptions[Any],
        run_config: RunConfig | None = None,
        **kwargs: Any,
    ) -> RunResultStreaming:
        """Like `Runner.run_streamed`. `durable.streaming` reports the tokens; a turn is one event, from the journal."""
        return Runner.run_streamed(_in_turn(agent), input, run_config=_durable(run_config, run_options), **kwargs)


def _durable(config: RunConfig | None, run_options: RunOptions[Any]) -> RunConfig:
    config = config or RunConfig()
    limit = config.tool_execution.max_function_tool_concurrency if config.tool_execution else None
    return replace(config, model_provider=_DurableModelCalls(run_options, limit))


class _DurableModelCalls(MultiProvider):
    def __init__(self, run_options: RunOptions[Any], limit: int | None) -> None:
        super().__init__()
        self._run_options = run_options
        self._limit = limit

    def get_model(self, model_name: str | None) -> Model:
        return _DurableModel(super().get_model(model_name or None), self._run_options, self._limit)


class _DurableModel(Model):
    """A model whose answers are durable steps. The function calls in an answer are expected as tool calls."""

    def __init__(self, model: Model, run_options: RunOptions[Any], limit: int | None) -> None:
        self._model = model
        self._run_options = run_options
        self._limit = limit

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        response = await in_journal(self._model, self._run_options, *args, **kwargs)
        if ids := ids_of_calls(response, kwargs["tools"]):
            ToolCalls(restate_context(), ids, self._limit)
        return response

    async def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[TResponseStreamEvent]:
        response = await streamed_into_journal(self._model, self._run_options, *args, **kwargs)
        if ids := ids_of_calls(response, args[3]):
            ToolCalls(restate_context(), ids, self._limit)
        yield ResponseCompletedEvent(type="response.completed", response=response, sequence_number=0)


def _in_turn(agent: Agent[Any]) -> Agent[Any]:
    """The agent, and the agents it hands off to, with tools that take turns."""
    tools = [_tool_in_turn(tool) if isinstance(tool, FunctionTool) else tool for tool in agent.tools]
    handoffs = [_in_turn(to) if isinstance(to, Agent) else _handoff_in_turn(to) for to in agent.handoffs]
    return agent.clone(tools=tools, handoffs=handoffs)


def _handoff_in_turn(handoff: Handoff[Any, Any]) -> Handoff[Any, Any]:
    async def invoke(*args: Any) -> Agent[Any]:
        return _in_turn(await handoff.on_invoke_handoff(*args))

    return replace(handoff, on_invoke_handoff=invoke)


def _tool_in_turn(tool: FunctionTool) -> FunctionTool:
    async def invoke(context: ToolContext[Any], arguments: str) -> Any:
        async with ToolCalls.of(context.tool_call_id).turn(context.tool_call_id):
            return await tool.on_invoke_tool(context, arguments)

    async def needs_approval(context: RunContextWrapper[Any], arguments: dict[str, Any], id: str) -> bool:
        assert callable(tool.needs_approval)
        if needed := await tool.needs_approval(context, arguments, id):
            ToolCalls.of(id).drop(id)
        return needed

    guardrails = [_reporting(guardrail) for guardrail in tool.tool_input_guardrails or []]
    approval = needs_approval if callable(tool.needs_approval) else tool.needs_approval
    return replace(tool, on_invoke_tool=invoke, tool_input_guardrails=guardrails or None, needs_approval=approval)


def _reporting(guardrail: ToolInputGuardrail[Any]) -> ToolInputGuardrail[Any]:
    """The guardrail, which also drops a call that it rejects: that call never begins."""

    async def check(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
        allowed = False
        try:
            output = await guardrail.run(data)
            allowed = output.behavior["type"] == "allow"
            return output
        finally:
            if not allowed:
                ToolCalls.of(data.context.tool_call_id).drop(data.context.tool_call_id)

    return replace(guardrail, guardrail_function=check, name=guardrail.get_name())
