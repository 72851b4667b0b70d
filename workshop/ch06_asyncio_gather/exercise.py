"""Chapter 6: why not asyncio.gather. Two experts work at the same time, in two steps each; then the damage is paid.

uv run tour workshop check 6
"""

import asyncio

import restate

from shared.serving import serve, service_name
from workshop.ch06_asyncio_gather.experts import estimate, settle, visit

damage_service = restate.Service(service_name("DamageService"))


async def expert(ctx: restate.Context, name: str, damage: str) -> int:
    report = await ctx.run_typed(f"visit {name}", visit, expert=name, damage=damage)
    return await ctx.run_typed(f"estimate {name}", estimate, expert=name, report=report)


@damage_service.handler()
async def run(ctx: restate.Context, damage: str) -> str:
    # EXERCISE: make both visits with one `restate.gather`, then both estimates with another.
    estimates = await asyncio.gather(expert(ctx, "a", damage), expert(ctx, "b", damage))
    return await ctx.run_typed("settle", settle, estimates=estimates)


if __name__ == "__main__":
    serve(damage_service)
