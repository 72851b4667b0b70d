"""DBOS with Pydantic AI: the agent's run is a workflow, each model call and each check is a step in the database.

PEER_STORE=sqlite:////tmp/dbos.db uv run --group bench bench/peers/dbos_agent.py

The three checks are steps that run in parallel. DBOS numbers each step at its start, and asyncio starts tasks in the
order of their creation, so a recovered workflow gives each step its old number. At its start (`DBOS.launch`), the
process recovers the open workflows.

The settings are DBOS' defaults: SQLite with a rollback journal and `synchronous=FULL` (SQLite's own defaults); Postgres
with the server's `synchronous_commit`, which is on by default. By default a step is not retried; here a model call is.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dbos import DBOS, DBOSConfig, SetWorkflowID
from openai import AsyncOpenAI
from pydantic_ai import Agent, RunContext, UsageLimits
from pydantic_ai.durable_exec.dbos import DBOSDurability
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from starlette.applications import Starlette

from bench import serving
from bench.peers.serving import store
from bench.serving import serve_http
from lab.observed import invocation
from shared import llm
from shared.claims import InsuranceClaim

CHECKS = [DBOS.step()(check) for check in serving.CHECKS.values()]


async def calculate_metrics(tool_context: RunContext[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := tool_context.deps.mismatch_with(claim):
        return [mismatch]
    tasks = [asyncio.create_task(check(claim)) for check in CHECKS]
    # With return_exceptions, all end and are in the database before an error is raised.
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [str(result) for result in results]


model_name = llm.openai_model()
provider = OpenAIProvider(openai_client=AsyncOpenAI(timeout=llm.MODEL_TIMEOUT))
agent = Agent(
    OpenAIResponsesModel(model_name, provider=provider),
    name="ParallelToolClaimAgent",
    instructions=llm.INSTRUCTIONS,
    deps_type=InsuranceClaim,
    tools=[calculate_metrics],
    capabilities=[DBOSDurability(model_step_config={"retries_allowed": True, "max_attempts": 3})],
)


@DBOS.workflow()
async def decide(claim: InsuranceClaim) -> str:
    invocation.set(DBOS.workflow_id or "")
    prompt = f"Claim: {claim.model_dump_json()}"
    result = await agent.run(prompt, deps=claim, usage_limits=UsageLimits(request_limit=llm.MAX_TURNS))
    return llm.answer(result.output)


async def run(id: str, claim: InsuranceClaim) -> str:
    with SetWorkflowID(id):  # a known id gives a handle to its workflow
        handle = await DBOS.start_workflow_async(decide, claim)
    return await handle.get_result()


@asynccontextmanager
async def launched(app: Starlette) -> AsyncIterator[None]:
    config: DBOSConfig = {"name": "claims", "system_database_url": store(), "log_level": "WARNING"}
    DBOS(config=config)
    DBOS.launch()
    yield
    DBOS.destroy()


if __name__ == "__main__":
    serve_http("DBOS", InsuranceClaim, run, launched)
