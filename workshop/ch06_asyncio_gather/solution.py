"""Chapter 6: why not asyncio.gather. Two experts work at the same time, in rounds; then the damage is paid.

uv run tour workshop check 6
"""

import restate

from shared.serving import serve, service_name
from workshop.ch06_asyncio_gather.experts import estimate, settle, visit

damage_service = restate.Service(service_name("DamageService"))


@damage_service.handler()
async def run(ctx: restate.Context, damage: str) -> str:
    visits = await restate.gather(
        ctx.run_typed("visit a", visit, expert="a", damage=damage),
        ctx.run_typed("visit b", visit, expert="b", damage=damage),
    )
    reports = [await step for step in visits]
    estimates = await restate.gather(
        ctx.run_typed("estimate a", estimate, expert="a", report=reports[0]),
        ctx.run_typed("estimate b", estimate, expert="b", report=reports[1]),
    )
    return await ctx.run_typed("settle", settle, estimates=[await step for step in estimates])


if __name__ == "__main__":
    serve(damage_service)
