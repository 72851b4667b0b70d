"""Our own agent loop, on one screen: call the model, run all tool calls of the turn in parallel, repeat.

A tool is an async function that takes durable steps. `ToolCalls` lets one tool's code run at a time, in the same order
on every replay, while the steps of all tools overlap.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

import restate
from openai import AsyncOpenAI, pydantic_function_tool
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from pydantic import BaseModel

from durable.exact.openai import AsReceived
from durable.streaming import attempt, model_call
from durable.tool_calls import ToolCalls
from shared import llm

MODEL = llm.openai_model()
client = AsyncOpenAI(http_client=llm.http_client())
DURABLE = replace(llm.RETRIES, serde=AsReceived(ChatCompletion))

Given = TypeVar("Given")


@dataclass(frozen=True)
class Call(Generic[Given]):
    """The context of a tool call: Restate's context, and the value that the run was given."""

    ctx: restate.Context
    given: Given


@dataclass(frozen=True)
class Tool(Generic[Given]):
    """A tool of the loop: its name, its arguments as a Pydantic model, and an async function that takes them."""

    name: str
    description: str
    arguments: type[BaseModel]
    function: Callable[[Call[Given], Any], Awaitable[object]]


@dataclass(frozen=True)
class Agent(Generic[Given]):
    """A model with instructions and tools."""

    instructions: str
    tools: Sequence[Tool[Given]]
    model: str = MODEL
    tools_at_once: int | None = None
    """The number of tool calls of a turn that run at the same time; None: all of them."""
    streams: bool = False
    """Whether the model streams its answer, and `durable.streaming` reports its tokens."""

    async def run(self, ctx: restate.Context, prompt: str, given: Given) -> str:
        """The model's answer to the prompt; the tools see `given`, the model does not.

        Raises: TerminalError when the model cannot be reached, says nothing, or asks for tools in each of `MAX_TURNS`
        turns.
        """
        schemas = [
            pydantic_function_tool(tool.arguments, name=tool.name, description=tool.description) for tool in self.tools
        ]

        async def call_model(messages: list[ChatCompletionMessageParam]) -> ChatCompletion:
            asked = partial(client.chat.completions.create, model=self.model, messages=messages, tools=schemas)
            return await (streamed_answer(asked) if self.streams else asked())

        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": self.instructions},
            {"role": "user", "content": prompt},
        ]
        for _ in range(llm.MAX_TURNS):
            reported = model_call()
            completion = await ctx.run_typed("call LLM", call_model, DURABLE, messages)
            answer = completion.choices[0].message
            functions = [(call.id, call.function) for call in answer.tool_calls or [] if call.type == "function"]
            reported.in_journal(answer.content or "", [(id, call.name, call.arguments) for id, call in functions])
            if not answer.tool_calls:
                return llm.answer(answer.content)
            messages.append(answer.model_dump(exclude_none=True))
            calls = ToolCalls(ctx, [call.id for call in answer.tool_calls], self.tools_at_once)
            messages += await asyncio.gather(*(self._run_tool(calls, call, given) for call in answer.tool_calls))
        raise restate.TerminalError(f"the model gave no answer in {llm.MAX_TURNS} turns")

    async def _run_tool(self, calls: ToolCalls, call: Any, given: Given) -> ChatCompletionMessageParam:
        async with calls.turn(call.id) as ctx:
            try:
                tool, arguments = self._called(call)
            except ValueError as error:  # includes ValidationError
                content = f"error: {error}"
            else:
                content = str(await tool.function(Call(ctx, given), arguments))
        return {"role": "tool", "tool_call_id": call.id, "content": content}

    def _called(self, call: Any) -> tuple[Tool[Given], BaseModel]:
        """The tool of a call, and its arguments. Raises: ValueError, with the message for the model."""
        function = getattr(call, "function", None)
        tool = next((tool for tool in self.tools if function and tool.name == function.name), None)
        if not (function and tool):
            raise ValueError(f"there is no tool {function.name if function else call.type}")
        return tool, tool.arguments.model_validate_json(function.arguments)


async def streamed_answer(asked: Callable[..., Any]) -> ChatCompletion:
    """The whole answer of a model that streams it. Reports its tokens."""
    said, state = attempt(), ChatCompletionStreamState()
    async for chunk in await asked(stream=True, stream_options={"include_usage": True}):
        state.handle_chunk(chunk)
        for choice in chunk.choices[:1]:
            said(choice.delta.content or "")
    answer: dict[str, Any] = state.current_completion_snapshot.to_dict(exclude_none=True)
    for call in answer["choices"][0]["message"].get("tool_calls", []):
        del call["index"]  # a field of the stream that a message does not have
    return ChatCompletion.construct(**answer)
