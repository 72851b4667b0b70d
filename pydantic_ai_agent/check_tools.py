"""The three checks as three tools, each with one durable step."""

from pydantic_ai import RunContext, Tool
from restate.ext.pydantic import restate_context

from shared.checks import CHECKS, Check
from shared.claims import InsuranceClaim


def as_tool(check: Check) -> Tool[InsuranceClaim]:
    async def tool(tool_context: RunContext[InsuranceClaim], claim: InsuranceClaim) -> str:
        if mismatch := tool_context.deps.mismatch_with(claim):
            return mismatch
        return await restate_context().run_typed(check.name, check.function, claim=claim)

    return Tool(tool, name=check.tool, description=check.description)


CHECK_TOOLS = {name: as_tool(check) for name, check in CHECKS.items()}
