# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "hypercorn>=0.18.0",
#   "httpx2>=2.16",
#   "restate-sdk[serde]==1.3.0",
#   "starlette>=1.10.0",
#   "temporalio-openai-agents>=1.1.0",
# ]
# ///
"""Temporal with the OpenAI Agents SDK: the agent's run is a workflow, each model call and each check an activity.

    uv run --script bench/peers/temporal_openai_agent.py  # with PEER_STORE=127.0.0.1:7233 and PYTHONPATH=.

It has an environment of its own: temporalio's plugin 1.1 needs the OpenAI Agents SDK 0.22.

The three checks are activities that run in parallel; the tool itself runs in the workflow, as a `function_tool` does.
An activity that has ended is an event of the workflow's history, in the server's database. When the process starts
again, its worker is given the open workflows, and replays them.

The settings are the defaults of temporalio and of its plugin: an activity is tried again until it succeeds, first after
a second, then after twice as long each time. An attempt of a model call may take 60 s, that of a check 10 s, as in the
documentation's examples. There are no heartbeats: until then, the server does not know that the process is gone.
The imports are passed through Temporal's sandbox, as its documentation advises.
"""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from agents import Agent, RunContextWrapper, Runner, function_tool
    from restate import TerminalError
    from temporalio.openai_agents import OpenAIAgentsPlugin

    from bench.peers.temporal_worker import CHECK_TIMEOUT, CHECKS, serve_worker
    from shared import llm
    from shared.claims import InsuranceClaim


@function_tool
async def calculate_metrics(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := tool_context.context.mismatch_with(claim):
        return [mismatch]
    checks = (workflow.execute_activity(check, claim, start_to_close_timeout=CHECK_TIMEOUT) for check in CHECKS)
    return list(await asyncio.gather(*checks))


agent = Agent[InsuranceClaim](
    name="ParallelToolClaimAgent",
    model=llm.openai_model(),
    instructions=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
)


@workflow.defn(failure_exception_types=[TerminalError])
class Decide:
    @workflow.run
    async def run(self, claim: InsuranceClaim) -> str:
        prompt = f"Claim: {claim.model_dump_json()}"
        result = await Runner.run(agent, prompt, context=claim, max_turns=llm.MAX_TURNS)
        return llm.answer(result.final_output)


if __name__ == "__main__":
    serve_worker(Decide, OpenAIAgentsPlugin())
