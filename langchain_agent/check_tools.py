"""The three checks as three tools, each with one durable step."""

from langchain.tools import BaseTool, ToolRuntime, tool
from restate.ext.langchain import restate_context

from shared.checks import CHECKS, Check
from shared.claims import InsuranceClaim


def as_tool(check: Check) -> BaseTool:
    @tool(check.tool, description=check.description)
    async def run_check(claim: InsuranceClaim, runtime: ToolRuntime[InsuranceClaim]) -> str:
        if mismatch := runtime.context.mismatch_with(claim):
            return mismatch
        return await restate_context().run_typed(check.name, check.function, claim=claim)

    return run_check


CHECK_TOOLS = {name: as_tool(check) for name, check in CHECKS.items()}
