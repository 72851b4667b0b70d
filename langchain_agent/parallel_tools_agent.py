"""LangChain: one tool that fans out to three durable steps.

uv run langchain_agent/parallel_tools_agent.py
"""

import restate
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.errors import GraphRecursionError
from restate.ext.langchain import RestateMiddleware, restate_context

from shared import llm
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim
from shared.serving import final_errors, serve, service_name


@tool
async def calculate_metrics(claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    ctx = restate_context()
    results = await restate.gather(
        ctx.run_typed("eligibility", check_eligibility, claim=claim),
        ctx.run_typed("cost", compare_to_standard_rates, claim=claim),
        ctx.run_typed("fraud", check_fraud, claim=claim),
    )
    return [await result for result in results]


agent = create_agent(
    name="ParallelToolClaimAgent",
    model=ChatOpenAI(model=llm.openai_model(), max_retries=0),
    system_prompt=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
    middleware=[RestateMiddleware(run_options=llm.MODEL_CALL)],
)

claim_service = restate.Service(
    service_name("ParallelToolClaimAgent"), invocation_context_managers=[final_errors(GraphRecursionError)]
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json(by_alias=True)}"
    state = await agent.ainvoke(
        {"messages": [{"role": "user", "content": prompt}]}, {"recursion_limit": 2 * llm.MAX_TURNS}
    )
    return str(state["messages"][-1].text)


if __name__ == "__main__":
    serve(claim_service)
