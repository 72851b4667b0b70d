"""The three checks as three tools, each with one durable step."""

from pydantic import BaseModel

from restate_loop.agent_loop import Call, Tool
from shared.checks import CHECKS, Check
from shared.claims import InsuranceClaim


class Arguments(BaseModel):
    claim: InsuranceClaim


def as_tool(check: Check) -> Tool[InsuranceClaim]:
    async def tool(call: Call[InsuranceClaim], arguments: Arguments) -> str:
        if mismatch := call.given.mismatch_with(arguments.claim):
            return mismatch
        return await call.ctx.run_typed(check.name, check.function, claim=arguments.claim)

    return Tool(check.tool, check.description, Arguments, tool)


CHECK_TOOLS = {name: as_tool(check) for name, check in CHECKS.items()}
