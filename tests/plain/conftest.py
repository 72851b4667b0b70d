"""The plain agents of the SDKs beside the durable ones, all on one scripted model server."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TypeAlias

import httpx
import pytest
import pytest_asyncio

from shared.claims import InsuranceClaim
from tests.conformance.cases import tagged
from tests.plain.examples import TODAY
from tests.plain.scripted_model import Case, ScriptedModel
from tour.runtime import processes, stack
from tour.runtime.frameworks import PLAIN, Framework
from tour.runtime.processes import free_port
from tour.runtime.stack import Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "both" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.asyncio(loop_scope="package"), append=False)
            item.add_marker(pytest.mark.server)


AT_ONCE = 60
"""The concurrent claims of all agents: most of a claim's time is waiting."""

Outcome: TypeAlias = tuple[str, Case]
"""An answer, or an error that begins with a status; and the requests to the model."""

ENDS = 120.0
"""Seconds in which each claim ends, even on a slow machine."""

To: TypeAlias = Callable[[Framework, Sequence[object]], Awaitable[Outcome]]


@dataclass
class Both:
    """A plain and a durable agent of each framework."""

    model: ScriptedModel
    running: Stack
    plain: dict[str, httpx.AsyncClient]
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def to_plain(self, framework: Framework, script: Sequence[object]) -> Outcome:
        """The plain agent's outcome of a claim with this script, and its requests."""
        claim, case = self._claim(script)
        client = self.plain[framework.name]
        try:
            response = await client.post("/run/1", json=framework.body(claim, session=claim.reason))
        except httpx.TimeoutException:
            return "599: not ended", case
        if response.status_code == 200:
            return str(response.json()), case
        return f"{response.status_code}: {response.text}", case

    async def to_durable(self, framework: Framework, script: Sequence[object]) -> Outcome:
        """The same for the durable agent."""
        claim, case = self._claim(script)
        id = await self.running.submit(framework, claim, key=claim.reason, session=claim.reason)
        try:
            async with asyncio.timeout(ENDS):
                return await self.running.answer(id), case
        except TimeoutError:
            await self.running.admin.patch(f"/invocations/{id}/kill")
            return "599: not ended", case

    async def outcomes(self, to: To, framework: Framework, scripts: Sequence[Sequence[object]]) -> list[Outcome]:
        """The outcomes of these scripts, in order, for one of the two agents."""

        async def one(script: Sequence[object]) -> Outcome:
            async with self.room:
                return await to(framework, script)

        return await asyncio.gather(*map(one, scripts))

    async def suspend_after(self, framework: Framework, timeout: str) -> None:
        """Let Restate suspend the agent's invocations after this time without progress; `0s`: at every await."""
        service = f"/services/{framework.service()}"
        changed = await self.running.admin.patch(service, json={"inactivity_timeout": timeout})
        changed.raise_for_status()

    def _claim(self, script: Sequence[object]) -> tuple[InsuranceClaim, Case]:
        claim, case = tagged(), Case(script)
        self.model.cases[claim.reason] = case
        return claim, case


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def both(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Both]:
    folder, model = tmp_path_factory.mktemp("plain"), ScriptedModel()
    async with AsyncExitStack() as exits:
        url = await exits.enter_async_context(model.serving())
        urls = {"OPENAI_BASE_URL": f"{url}/v1", "GOOGLE_GEMINI_BASE_URL": url, "MODEL_TIMEOUT": "10"}
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in urls.items():
                patch.setenv(variable, value)
            running = await exits.enter_async_context(stack.running(folder, frameworks=TODAY))
            plain = {}
            for framework in TODAY:
                port = free_port()
                command = stack.command(framework.script(PLAIN))
                log = folder / f"{framework.name}.plain.log"
                env = {"PORT": str(port), "HOST": "127.0.0.1", **urls}
                process = await exits.enter_async_context(processes.running("A plain agent", command, log, env))
                url = f"http://127.0.0.1:{port}"
                client = httpx.AsyncClient(base_url=url, timeout=ENDS, trust_env=False)
                plain[framework.name] = await exits.enter_async_context(client)
                await process.until(f"{url}/health")
            yield Both(model, running, plain)


def is_an_answer(outcome: str) -> bool:
    """Whether this is an answer: an error begins with its status."""
    return not re.match(r"\d{3}: ", outcome)
