# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "hypercorn>=0.18.0",
#   "httpx2>=2.16",
#   "prefect>=3.9.1",
#   "pydantic-ai-slim[openai]>=2.66.0",
#   "restate-sdk[serde]==1.3.0",
#   "starlette>=1.10.0",
# ]
# ///
"""Prefect with Pydantic AI: the agent's run is a flow, each model call and each check a task with a stored result.

    uv run --script bench/peers/prefect_agent.py  # with the variables of `python -m bench.peers.prefect_server`

It has an environment of its own: Prefect needs older versions of FastAPI, cachetools and python-dateutil.

The three checks are tasks in the flow. Prefect's cache keys contain the id of the flow run, so a flow run that runs
again reads the stored results and repeats only the other tasks. It runs again when a caller sends the claim again with
its id: the flow run's name is the id of the claim.

The settings are Prefect's defaults: the state of a flow run is in the server's database; results are files in
`PREFECT_HOME`, written without `fsync`.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# Prefect reads these at its import. Without an address, it would start a server of its own.
os.environ["PREFECT_API_URL"] = os.environ["PEER_STORE"]
os.environ["DO_NOT_TRACK"] = "1"

from openai import AsyncOpenAI
from prefect import flow, get_client, task
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.flow_engine import run_flow_async
from pydantic_ai import Agent, RunContext, Tool, UsageLimits
from pydantic_ai.durable_exec.prefect import PrefectDurability, TaskConfig
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from starlette.applications import Starlette

from bench import serving
from bench.peers.serving import once
from bench.serving import serve_http
from lab.observed import invocation
from shared import llm
from shared.claims import InsuranceClaim

CHECKS = [task(check, persist_result=True) for check in serving.CHECKS.values()]


async def calculate_metrics(tool_context: RunContext[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := tool_context.deps.mismatch_with(claim):
        return [mismatch]
    return list(await asyncio.gather(*(check(claim) for check in CHECKS)))


model_name = llm.openai_model()
provider = OpenAIProvider(openai_client=AsyncOpenAI(timeout=llm.MODEL_TIMEOUT))
agent = Agent(
    OpenAIResponsesModel(model_name, provider=provider),
    name="ParallelToolClaimAgent",
    instructions=llm.INSTRUCTIONS,
    deps_type=InsuranceClaim,
    tools=[Tool(calculate_metrics, metadata={"prefect": False})],  # its checks are the tasks
    capabilities=[PrefectDurability(model_task_config=TaskConfig(retries=2))],
)


@flow(persist_result=True)  # type: ignore[untyped-decorator]  # Prefect is not in the project's environment
async def decide(claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    result = await agent.run(prompt, deps=claim, usage_limits=UsageLimits(request_limit=llm.MAX_TURNS))
    return llm.answer(result.output)


client: PrefectClient


@asynccontextmanager
async def connected(app: Starlette) -> AsyncIterator[None]:
    global client
    async with get_client() as client:
        yield


@once
async def run(id: str, claim: InsuranceClaim) -> str:
    invocation.set(id)
    named = FlowRunFilter(name=FlowRunFilterName(any_=[id]))
    known = await client.read_flow_runs(flow_run_filter=named, limit=1)
    flow_run = known[0] if known else await client.create_flow_run(decide, name=id, parameters={"claim": claim})
    if flow_run.state and flow_run.state.is_completed():
        return str(await flow_run.state.aresult())
    return str(await run_flow_async(decide, flow_run=flow_run, parameters={"claim": claim}))


if __name__ == "__main__":
    serve_http("Prefect", InsuranceClaim, run, connected)
