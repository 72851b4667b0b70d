"""The three checks as three tools, each with one durable step."""

from google.adk.tools.function_tool import FunctionTool
from google.adk.tools.tool_context import ToolContext
from restate.ext.adk import restate_context

from google_adk.sdk import submitted
from shared.checks import CHECKS, Check
from shared.claims import InsuranceClaim


def as_tool(check: Check) -> FunctionTool:
    async def tool(claim: InsuranceClaim, tool_context: ToolContext) -> str:
        if mismatch := submitted(tool_context).mismatch_with(claim):
            return mismatch
        return await restate_context().run_typed(check.name, check.function, claim=claim)

    tool.__name__, tool.__doc__ = check.tool, check.description  # ADK takes both from the function
    return FunctionTool(tool)


CHECK_TOOLS = {name: as_tool(check) for name, check in CHECKS.items()}
