"""The agent process of the storms: a service with only durable steps, which records the events of each step.

`PLAIN=1` leaves out `hold_failures`: then the siblings of a failed step start again.
"""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import Any

import restate

from durable.held_steps import hold_failures
from durable.tool_calls import ToolCalls
from shared.serving import serve_app
from tests.proof.million.evidence import Evidence, Kind, Record, result
from tests.proof.million.storm import Invocation, Step
from tests.proof.million.witness import attempt, witnessed

AGENT = int(os.environ.get("AGENT") or 0)
START = int(os.environ.get("AGENT_START") or 0)
service = restate.Service(
    f"Steps{AGENT}", invocation_context_managers=[] if os.environ.get("PLAIN") else [hold_failures]
)
evidence = Evidence(Path(os.environ["EVIDENCE"]))
failures = Counter[tuple[int, int]]()
"""The number of failures of each step in this process."""


class StepFailed(Exception):
    """The planned failure of a step."""


@service.handler()
async def fan_out(ctx: restate.Context, invocation: Invocation) -> list[str]:
    return await perform(ctx, invocation.number, invocation.calls[0])


@service.handler()
async def tool_calls(ctx: restate.Context, invocation: Invocation) -> list[str]:
    turn = ToolCalls(ctx, [str(number) for number in range(len(invocation.calls))])

    async def call(id: int) -> list[str]:
        async with turn.turn(str(id)) as own:
            return await perform(own, invocation.number, invocation.calls[id])

    answers = await asyncio.gather(*map(call, range(len(invocation.calls))))
    return [each for answer in answers for each in answer]


async def perform(ctx: restate.Context, invocation: int, call: list[list[Step]]) -> list[str]:
    """Run the fan-outs one after the other; returns the result of each step."""
    results = []
    for steps in call:
        futures = [ctx.run_typed(str(step.id), action(invocation, step)) for step in steps]
        results += [await future for future in await restate.gather(*futures)]
    return results


def action(invocation: int, step: Step) -> Callable[[], Any]:
    def start() -> Record:
        started = Record(Kind.STARTED, *attempt.get(), invocation, step.id, SystemRandom().getrandbits(32))
        evidence.append(started)
        return started

    def end(started: Record) -> str:
        about = (invocation, step.id)
        if failures[about] < step.failures:
            failures[about] += 1
            evidence.append(started._replace(kind=Kind.FAILED))
            raise StepFailed(f"step {step.id} of invocation {invocation}")
        evidence.append(started._replace(kind=Kind.RETURNED))
        return result(invocation, step.id, started.run)

    async def waits() -> str:
        started = start()
        await asyncio.sleep(step.milliseconds / 1000)
        return end(started)

    def blocks() -> str:
        started = start()
        time.sleep(step.milliseconds / 1000)
        return end(started)

    return blocks if step.blocks else waits


if __name__ == "__main__":
    logging.disable()  # the SDK logs the traceback of each planned failure
    serve_app(witnessed(restate.app([service]), evidence, AGENT, START), service.name)
