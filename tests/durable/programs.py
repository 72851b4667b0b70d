"""Tool programs: the work of a test's tool as data, so that a test (or Hypothesis) can specify it.

A program is a list of commands: `["step", name]`, `["gather", [name, ...]]`, `["select", name, seconds]` (a step or a
timer, whichever is first), `["sleep", seconds]`, `["call", name]` (a step in another service), `["body", name]`
(work outside any step), `["together", [name, ...]]` (`asyncio.gather`, which is a mistake),
`["turn", [program, ...]]` (an agent inside the tool that makes these tool calls). Each name is a step that the lab
observes, with the faults planned for it.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import restate
from pydantic import BaseModel
from restate.extensions import current_context

from durable.tool_calls import ToolCalls
from lab.observed import observed
from shared.serving import service_name
from tests.proof.simulated import current

Program = Sequence[Any]


class Request(BaseModel):
    """A request to the agents `*/twins/programs.py`; `limit` is the number of tool calls that run at once."""

    prompt: str
    limit: int | None = None
    naive: bool = False
    """Without any ordering of the tool calls, if the SDK itself orders them."""
    never: bool = False
    """With a tool `never`, whose calls the SDK does not run."""


elsewhere = restate.Service(service_name("Elsewhere"))


@elsewhere.handler()
async def perform_there(ctx: restate.Context, given: list[str]) -> str:
    name, tag = given

    async def action() -> str:
        return await work(name, tag)

    return await ctx.run_typed(name, action)


async def work(name: str, tag: str) -> str:
    """The work of a step with this name; `tag` tells the lab which test it belongs to."""
    if simulation := current.get(None):
        return await simulation.step(name)

    @observed(name)
    async def named(tag: str) -> str:
        return name

    return await named(tag)


async def perform(program: Program, tag: str) -> str:
    """Run the commands in order; returns their results, separated by blanks."""
    return " ".join([await _perform(command, tag) for command in program])


async def _perform(command: Sequence[Any], tag: str) -> str:
    ctx = current_context()
    assert ctx

    def step(name: str) -> restate.RestateDurableFuture[str]:
        async def action() -> str:
            return await work(name, tag)

        return ctx.run_typed(name, action)

    match command:
        case ["step", name]:
            return await step(name)
        case ["gather", names]:
            return "+".join([await each for each in await restate.gather(*map(step, names))])
        case ["select", name, seconds]:
            who, _ = await restate.select(step=step(name), timer=ctx.sleep(timedelta(seconds=seconds)))
            return f"{name}:{who}"
        case ["sleep", seconds]:
            await ctx.sleep(timedelta(seconds=seconds))
            return "slept"
        case ["call", name]:
            return await ctx.service_call(perform_there, [name, tag])
        case ["together", names]:
            return "+".join(await asyncio.gather(*map(step, names)))
        case ["body", name]:
            return await work(name, tag)
        case ["turn", programs]:
            return "(" + " | ".join(await together(ctx, programs, tag)) + ")"
    raise restate.TerminalError(f"no such command: {command}", status_code=400)


async def together(ctx: restate.Context, programs: Sequence[Program], tag: str, limit: int | None = None) -> list[str]:
    """Run the programs as the tool calls of one turn, without any agent SDK."""
    calls = ToolCalls(ctx, [str(number) for number in range(len(programs))], limit)
    slots = asyncio.Semaphore(limit or len(programs))

    async def call(number: int, program: Program) -> str:
        async with slots, calls.turn(str(number)):
            return await perform(program, tag)

    return await asyncio.gather(*(call(number, program) for number, program in enumerate(programs)))
