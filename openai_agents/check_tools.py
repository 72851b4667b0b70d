"""The three checks as three tools, each with one durable step."""

from agents import FunctionTool, RunContextWrapper
from restate.ext.openai import durable_function_tool, restate_context

from openai_agents.sdk import keep_terminal_errors
from shared.checks import CHECKS, Check
from shared.claims import InsuranceClaim


def as_tool(check: Check) -> FunctionTool:
    @durable_function_tool(
        name_override=check.tool,
        description_override=check.description,
        failure_error_function=keep_terminal_errors,
    )
    async def tool(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> str:
        if mismatch := tool_context.context.mismatch_with(claim):
            return mismatch
        return await restate_context().run_typed(check.name, check.function, claim=claim)

    return tool


CHECK_TOOLS = {name: as_tool(check) for name, check in CHECKS.items()}
