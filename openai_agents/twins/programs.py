"""OpenAI Agents SDK: an agent whose tools are programs."""

import json

import restate
from agents import (
    Agent,
    RunConfig,
    ToolExecutionConfig,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrailData,
    function_tool,
    tool_input_guardrail,
)
from restate.ext.openai import durable_function_tool

from durable.adapters.openai_agents import ParallelRunner
from openai_agents.sdk import keep_terminal_errors
from shared import llm
from shared.serving import GUARDS, serve, service_name
from tests.durable.programs import Request, elsewhere, perform


@tool_input_guardrail
def no_weapons(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
    if "weapon" in (data.context.tool_arguments or ""):
        return ToolGuardrailFunctionOutput.reject_content("no weapons")
    return ToolGuardrailFunctionOutput.allow()


@durable_function_tool(failure_error_function=keep_terminal_errors)
async def work(tag: str, program: str) -> str:
    """Run a program."""
    return await perform(json.loads(program), tag)


@durable_function_tool(failure_error_function=keep_terminal_errors)
async def delegate(tag: str) -> str:
    """Let another agent do it."""
    return await ask(inner, Request(prompt=f"inner {tag}"))


@function_tool
async def refuse(tag: str) -> str:
    """Answers an error to the model."""
    raise ValueError(f"refused {tag}")


@function_tool(needs_approval=True)
async def never(tag: str) -> str:
    """Waits for a person's approval."""
    raise AssertionError(tag)


async def for_the_word(context: object, arguments: dict[str, object], id: str) -> bool:
    return "please" in str(arguments)


@function_tool(needs_approval=for_the_word)
async def perhaps(tag: str, word: str) -> str:
    """Waits for a person's approval for some words."""
    return word


work.tool_input_guardrails = [no_weapons]
model = llm.openai_model()
inner = Agent[None](name="Inner", model=model, tools=[work])
agent = Agent[None](name="Programs", model=model, tools=[work, delegate, refuse])
asking = Agent[None](name="Asking", model=model, tools=[work, never, perhaps])
service = restate.Service(service_name("Programs"), invocation_context_managers=GUARDS)


async def ask(agent: Agent[None], request: Request) -> str:
    config = RunConfig(tool_execution=ToolExecutionConfig(max_function_tool_concurrency=request.limit))
    result = await ParallelRunner.run(agent, request.prompt, run_options=llm.RETRIES, run_config=config)
    return llm.answer(result.final_output)


@service.handler()
async def run(ctx: restate.Context, request: Request) -> str:
    return await ask(asking if request.never else agent, request)


if __name__ == "__main__":
    serve(service, elsewhere)
