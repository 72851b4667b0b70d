"""LangGraph with LangChain's agent: after each step, the graph's state is saved as a checkpoint in the database.

PEER_STORE=sqlite:////tmp/langgraph.db uv run --group bench bench/peers/langgraph_agent.py

The three checks are tasks (`@task`). The result of each is stored as a pending write of the step that called it, so a
step that runs again repeats only the tasks that had not ended. With `LANGGRAPH_DURABILITY=sync`, the graph waits for a
checkpoint before the next step; with the default, "async", it does not, and a crash can lose the last one. LangGraph
does not recover a claim on its own: the claim goes on when its caller sends it again with its id (the `thread_id`).

The settings are the checkpointers' defaults: SQLite in WAL mode with `synchronous=FULL` (SQLite's own default) and one
connection; Postgres with the server's `synchronous_commit`, which is on by default, and a connection pool as in
LangGraph's guide.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import task
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Durability
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette

from bench import serving
from bench.peers.serving import once, store
from bench.serving import serve_http
from lab.observed import invocation
from shared import llm
from shared.claims import InsuranceClaim

DURABILITY = cast(Durability, os.environ.get("LANGGRAPH_DURABILITY", "async"))

CHECKS = [task(check) for check in serving.CHECKS.values()]


@tool
async def calculate_metrics(claim: InsuranceClaim, runtime: ToolRuntime[InsuranceClaim]) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := runtime.context.mismatch_with(claim):
        return [mismatch]
    return list(await asyncio.gather(*(check(claim) for check in CHECKS)))


def agent(checkpointer: BaseCheckpointSaver[str]) -> CompiledStateGraph[Any, Any]:
    return create_agent(
        name="ParallelToolClaimAgent",
        model=ChatOpenAI(model=llm.openai_model(), timeout=llm.MODEL_TIMEOUT),
        system_prompt=llm.INSTRUCTIONS,
        tools=[calculate_metrics],
        context_schema=InsuranceClaim,
        checkpointer=checkpointer,
    )


@asynccontextmanager
async def checkpointer() -> AsyncIterator[BaseCheckpointSaver[str]]:
    if store().startswith("sqlite:///"):
        async with AsyncSqliteSaver.from_conn_string(store().removeprefix("sqlite:///")) as saver:
            await saver.setup()
            yield saver
        return
    pool = AsyncConnectionPool[AsyncConnection[DictRow]](
        store(),
        max_size=20,
        open=False,
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
    )
    async with pool:
        postgres = AsyncPostgresSaver(pool)
        await postgres.setup()
        yield postgres


graph: CompiledStateGraph[Any, Any]


@asynccontextmanager
async def opened(app: Starlette) -> AsyncIterator[None]:
    global graph
    async with checkpointer() as saver:
        graph = agent(saver)
        yield


@once
async def run(id: str, claim: InsuranceClaim) -> str:
    invocation.set(id)
    config: RunnableConfig = {"configurable": {"thread_id": id}, "recursion_limit": 2 * llm.MAX_TURNS}
    before = await graph.aget_state(config)
    if before.values and not before.tasks:  # `next` leaves out a task whose writes are stored and not yet applied
        state = before.values
    else:
        prompt = {"messages": [{"role": "user", "content": f"Claim: {claim.model_dump_json()}"}]}
        given = None if before.tasks else prompt  # None continues from the last checkpoint
        state = await graph.ainvoke(given, config, context=claim, durability=DURABILITY)
    return llm.answer(state["messages"][-1].text)


if __name__ == "__main__":
    serve_http("LangGraph", InsuranceClaim, run, opened)
