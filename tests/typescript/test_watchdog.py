"""A frozen process ends itself, with its stack in the log; after a restart, it continues all of its claims."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from lab.ledger import Fault, Lab
from tests.faults.claims import stopped
from tests.typescript.model import Model, answering
from tests.typescript.test_entrypoints import CLAIM, call, entrypoint, restate
from tour.runtime.frameworks import TYPESCRIPT
from tour.runtime.restate_server import Restate

__all__ = ["restate"]

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.server,
]

AGENT = TYPESCRIPT[1]
WATCHDOG = 1


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model() -> AsyncIterator[Model]:
    async with answering() as model:
        yield model


async def test_a_step_freezes_the_process_and_all_claims_in_it_are_decided(
    restate: Restate, model: Model, tmp_path: Path
) -> None:
    lab, other = Lab(tmp_path / "lab.sqlite"), CLAIM | {"reason": "another broken leg"}
    lab.plan(
        Fault("cost", "delay", 0.5, about=str(CLAIM["reason"])),
        Fault("cost", "freeze", about=str(CLAIM["reason"])),
        Fault("fraud", "delay", 2, about="another broken leg"),
    )
    env = {
        "TOUR_LAB": str(tmp_path / "lab.sqlite"),
        "WATCHDOG": str(WATCHDOG),
        "OPENAI_BASE_URL": f"http://127.0.0.1:{model.port}/v1",
    }
    async with entrypoint(restate, AGENT, "parallel_tools_agent.ts", tmp_path / "log", env) as process:
        answers = [asyncio.create_task(call(restate, "ParallelToolClaimAgent/run", claim)) for claim in (CLAIM, other)]
        assert await asyncio.wait_for(process.child.wait(), 20) == 70
        said = process.log.read_text()
        assert "The event loop has not turned for 1 s: this process ends with exit code 70, so that" in said
        assert "/typescript/shared/observers.ts:" in said.partition("It was at:")[2]
        await process.restart()
        for answer in answers:
            assert (await answer).json().startswith("Approved:")
    lab.close()


async def test_a_process_that_was_stopped_goes_on(restate: Restate, model: Model, tmp_path: Path) -> None:
    """The process has not turned its loop for long, because it was stopped."""
    env = {"WATCHDOG": str(WATCHDOG), "OPENAI_BASE_URL": f"http://127.0.0.1:{model.port}/v1"}
    async with entrypoint(restate, AGENT, "parallel_tools_agent.ts", tmp_path / "log", env) as process:
        with stopped(process):
            await asyncio.sleep(2 * WATCHDOG)
        assert (await call(restate, "ParallelToolClaimAgent/run", CLAIM)).json().startswith("Approved:")
        await asyncio.sleep(WATCHDOG)
        assert process.alive
