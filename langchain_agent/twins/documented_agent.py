"""LangChain."""

import restate
from langchain.agents import create_agent
from langchain.tools import tool
from langchain_openai import ChatOpenAI
from restate.ext.langchain import RestateMiddleware, restate_context

from shared import llm
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name


@tool
async def calculate_metrics(claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    ctx = restate_context()
    checks = await restate.gather(
        ctx.run_typed("eligibility", check_eligibility, claim=claim),
        ctx.run_typed("cost", compare_to_standard_rates, claim=claim),
        ctx.run_typed("fraud", check_fraud, claim=claim),
    )
    return [await check for check in checks]


agent = create_agent(
    model=ChatOpenAI(model=llm.openai_model()),
    system_prompt=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
    middleware=[RestateMiddleware()],
)
claim_service = restate.Service(service_name("ParallelToolClaimAgent"))


@claim_service.handler()
async def run(_ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    state = await agent.ainvoke({"messages": [{"role": "user", "content": prompt}]})
    return str(state["messages"][-1].text)


if __name__ == "__main__":
    serve(claim_service)
