"""An agent loop of our own, in one screen: call the model, run all tool calls of the turn in parallel, repeat.

A tool is a plain function that *starts* durable steps and returns their futures, without awaiting them. So the
journal entries of a turn are created in the order in which the model listed the calls, which is the same on every
replay, while the steps themselves overlap. All steps of a turn are one fan-out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import restate
from openai import AsyncOpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from pydantic import BaseModel, ValidationError
from restate import RestateDurableFuture

from shared import llm
from shared.fan_out import FanOut

MODEL = llm.openai_model()
client = AsyncOpenAI(timeout=llm.MODEL_TIMEOUT)


Given = TypeVar("Given")

Started: TypeAlias = Sequence[RestateDurableFuture[str]] | str
"""The steps of a tool call, started; or what to tell the model about a call that cannot be made."""


@dataclass(frozen=True)
class Turn(Generic[Given]):
    """What a tool has at hand: Restate's context, the fan-out of this turn, and what the run was given."""

    ctx: restate.Context
    fan_out: FanOut
    given: Given


@dataclass(frozen=True)
class Tool(Generic[Given]):
    """A tool of the loop: its name, its arguments as a Pydantic model, and a function that starts its steps."""

    name: str
    description: str
    arguments: type[BaseModel]
    start: Callable[[Turn[Given], Any], Started]


@dataclass(frozen=True)
class Agent(Generic[Given]):
    """A model with instructions and tools."""

    instructions: str
    tools: Sequence[Tool[Given]]

    async def run(self, ctx: restate.Context, prompt: str, given: Given) -> str:
        """The model's answer to the prompt; the tools see `given`, the model does not.

        Raises: TerminalError when the model cannot be reached, says nothing, or asks for tools in every one of
        `MAX_TURNS` turns.
        """
        schemas = [
            pydantic_function_tool(tool.arguments, name=tool.name, description=tool.description) for tool in self.tools
        ]

        async def call_model(messages: list[ChatCompletionMessageParam]) -> ChatCompletion:
            return await client.chat.completions.create(model=MODEL, messages=messages, tools=schemas)

        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": self.instructions},
            {"role": "user", "content": prompt},
        ]
        for _ in range(llm.MAX_TURNS):
            completion = await ctx.run_typed("call LLM", call_model, llm.MODEL_CALL, messages)
            answer = completion.choices[0].message
            if not answer.tool_calls:
                return llm.answer(answer.content, answer.refusal)
            messages.append(answer.model_dump(exclude_none=True))
            turn = Turn(ctx, FanOut(), given)
            started = [(call.id, self._start(turn, call)) for call in answer.tool_calls]
            await turn.fan_out.gather(*[step for _, steps in started if not isinstance(steps, str) for step in steps])
            for call_id, steps in started:
                content = steps if isinstance(steps, str) else str([await step for step in steps])
                messages.append({"role": "tool", "tool_call_id": call_id, "content": content})
        raise restate.TerminalError(f"the model gave no answer in {llm.MAX_TURNS} turns")

    def _start(self, turn: Turn[Given], call: Any) -> Started:
        tool = next((tool for tool in self.tools if tool.name == call.function.name), None)
        if tool is None:
            return f"error: there is no tool {call.function.name}"
        try:
            arguments = tool.arguments.model_validate_json(call.function.arguments)
        except ValidationError as error:
            return f"error: {error}"
        return tool.start(turn, arguments)
