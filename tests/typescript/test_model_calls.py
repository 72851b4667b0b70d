"""A model call costs money: it ends with the attempt that made it, and a process that is told to end waits for it."""

import asyncio
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.typescript.model import answering
from tests.typescript.test_entrypoints import CLAIM, call, each_framework, entrypoint, restate
from tour.runtime.frameworks import TYPESCRIPT, Framework
from tour.runtime.restate_server import Restate

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.server,
]

__all__ = ["restate"]

SCRIPT = "parallel_tools_agent.ts"


@each_framework
async def test_a_claim_that_is_cancelled_or_killed_gives_up_its_model_call(
    restate: Restate, framework: Framework, tmp_path: Path
) -> None:
    async with answering(seconds=60) as model, httpx.AsyncClient(timeout=30) as client:
        env = {"OPENAI_BASE_URL": f"http://127.0.0.1:{model.port}/v1"}
        async with entrypoint(restate, framework, SCRIPT, tmp_path / "log", env) as process:
            for times, how in enumerate(("cancel", "kill"), 1):
                sent = await client.post(f"{restate.ingress}/restate/send/ParallelToolClaimAgent/run", json=CLAIM)
                await model.until_asked(times)
                await client.patch(f"{restate.admin}/invocations/{sent.json()['invocationId']}/{how}")
                await model.until_given_up(times)
            await asyncio.sleep(1)  # a client that tries again does so after half a second
            assert process.alive
    assert len(model.asked) == 2


@each_framework
async def test_a_process_that_is_told_to_end_lets_its_model_call_end(
    restate: Restate, framework: Framework, tmp_path: Path
) -> None:
    async with answering(seconds=2) as model:
        env = {"OPENAI_BASE_URL": f"http://127.0.0.1:{model.port}/v1"}
        async with entrypoint(restate, framework, SCRIPT, tmp_path / "log", env) as process:
            answer = asyncio.create_task(call(restate, "ParallelToolClaimAgent/run", CLAIM))
            await model.until_asked(1)
            process.child.terminate()
            assert await asyncio.wait_for(process.child.wait(), 20) == 0
            assert (len(model.asked), model.given_up) == (1, 0)
            await process.restart()
            assert (await answer).json().startswith("Approved:")
    assert len(model.asked) == 2, "one for each turn"


@pytest.mark.parametrize("how", ["a second signal", "Ctrl-C", "the time is over"])
async def test_it_does_not_wait_for_ever(restate: Restate, how: str, tmp_path: Path) -> None:
    async with answering(seconds=60) as model, httpx.AsyncClient(timeout=30) as client:
        env = {"OPENAI_BASE_URL": f"http://127.0.0.1:{model.port}/v1"}
        env |= {"DRAIN": "0.5"} if how == "the time is over" else {}
        async with entrypoint(restate, TYPESCRIPT[1], SCRIPT, tmp_path / "log", env) as process:
            sent = await client.post(f"{restate.ingress}/restate/send/ParallelToolClaimAgent/run", json=CLAIM)
            await model.until_asked(1)
            began = time.monotonic()
            process.child.send_signal(signal.SIGINT if how == "Ctrl-C" else signal.SIGTERM)
            if how == "a second signal":
                await asyncio.sleep(0.5)
                assert process.alive
                process.child.terminate()
            assert await asyncio.wait_for(process.child.wait(), 20) == 0
            assert time.monotonic() - began < 5
            await client.patch(f"{restate.admin}/invocations/{sent.json()['invocationId']}/kill")
