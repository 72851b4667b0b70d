"""Temporal with Pydantic AI: the agent's run is a workflow, each model call and each check an activity.

PEER_STORE=127.0.0.1:7233 uv run --group bench bench/peers/temporal_pydantic_agent.py

The three checks are activities that run in parallel. An activity that has ended is an event of the workflow's history,
in the server's database. When the process starts again, its worker is given the open workflows, and replays them.

The settings are the defaults of temporalio and of Pydantic AI's `TemporalDurability`, which replaces `TemporalAgent`:
an activity is tried again until it succeeds, first after a second, then after twice as long each time. An attempt of a
model call may take 60 s, and 30 s without a heartbeat. That of a check may take 10 s, as in the documentation's
examples, without heartbeats: until then, the server does not know that the process is gone. The imports are passed
through Temporal's sandbox, as its documentation advises: otherwise each workflow would import them again.
"""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from openai import AsyncOpenAI
    from pydantic_ai import Agent, RunContext, Tool, UsageLimits
    from pydantic_ai.durable_exec.temporal import PydanticAIPlugin, PydanticAIWorkflow, TemporalDurability
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from restate import TerminalError

    from bench.peers.temporal_worker import CHECK_TIMEOUT, CHECKS, serve_worker
    from shared import llm
    from shared.claims import InsuranceClaim


async def calculate_metrics(tool_context: RunContext[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := tool_context.deps.mismatch_with(claim):
        return [mismatch]
    checks = (workflow.execute_activity(check, claim, start_to_close_timeout=CHECK_TIMEOUT) for check in CHECKS)
    return list(await asyncio.gather(*checks))


model_name = llm.openai_model()
provider = OpenAIProvider(openai_client=AsyncOpenAI(timeout=llm.MODEL_TIMEOUT, max_retries=0))
agent = Agent(
    OpenAIResponsesModel(model_name, provider=provider),
    name="ParallelToolClaimAgent",
    instructions=llm.INSTRUCTIONS,
    deps_type=InsuranceClaim,
    tools=[Tool(calculate_metrics, metadata={"temporal": False})],  # its checks are the activities
    capabilities=[TemporalDurability()],
)


@workflow.defn(failure_exception_types=[TerminalError])
class Decide(PydanticAIWorkflow):
    __pydantic_ai_agents__ = (agent,)

    @workflow.run
    async def run(self, claim: InsuranceClaim) -> str:
        prompt = f"Claim: {claim.model_dump_json()}"
        result = await agent.run(prompt, deps=claim, usage_limits=UsageLimits(request_limit=llm.MAX_TURNS))
        return llm.answer(result.output)


if __name__ == "__main__":
    serve_worker(Decide, PydanticAIPlugin())
