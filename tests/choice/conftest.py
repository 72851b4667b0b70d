"""A Restate that suspends at every await, so that all is replayed; a model that follows scripts; an MCP server."""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from offline_model.sockets import serving
from tests.conformance.approvals import until
from tests.plain.scripted_model import Case, ScriptedModel
from tour.runtime import journal, stack
from tour.runtime.frameworks import Framework, Pattern
from tour.runtime.stack import Stack

FEATURES = Pattern("features", "", "twins/features.py", "Features")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and "world" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)
            item.add_marker(pytest.mark.server)


@dataclass
class World:
    """The agents with their features, the model and the MCP server's calls, by the tag that they are for."""

    running: Stack
    model: ScriptedModel
    calls: Counter[str] = field(default_factory=Counter)

    def case(self, *script: object) -> tuple[str, Case]:
        """A tag that a prompt has to have, and what the model says to it."""
        tag, case = f"case {uuid.uuid4().hex}", Case(script)
        self.model.cases[tag] = case
        return tag, case

    async def begin(self, framework: Framework, feature: str, prompt: str, key: str) -> str:
        """Send the prompt to the program of a feature; returns the invocation's id."""
        path = f"{framework.service(FEATURES)}/{of_path(key)}/{feature}"
        response = await self.running.ingress.post(f"/restate/send/{path}", json=prompt)
        id: str = response.json()["invocationId"]
        return id

    async def answer(self, id: str) -> Any:
        """The JSON of the answer, or an error as text, such as `422: no weapons`. One that is retried is ended."""
        waits = asyncio.create_task(self.running.ingress.get(f"/restate/invocation/{id}/attach"))
        sql = f"SELECT last_failure FROM sys_invocation WHERE id = '{id}' AND retry_count > {RETRIED}"
        while not waits.done():
            if rows := await journal.query(self.running.admin, sql):
                waits.cancel()
                await self.running.admin.patch(f"/invocations/{id}/kill")
                return f"retried: {rows[0]['last_failure'].partition('Traceback')[0]}"
            await asyncio.wait({waits}, timeout=0.1)
        response = waits.result()
        said = response.json()
        return said if response.status_code == 200 else f"{response.status_code}: {said['message']}"

    async def asked(self, framework: Framework, feature: str, prompt: str, key: str) -> Any:
        return await self.answer(await self.begin(framework, feature, prompt, key))

    async def waiting(self, framework: Framework, key: str) -> str:
        """The name of the awakeable in the program's state, once it is there."""
        where = f"service_name = '{framework.service(FEATURES)}' AND service_key = '{of_path(key)}' AND key = 'waiting'"

        async def names() -> list[str]:
            rows = await journal.query(self.running.admin, f"SELECT value_utf8 FROM state WHERE {where}")
            return [json.loads(row["value_utf8"]) for row in rows]

        return (await until(names))[0]


def of_path(key: str) -> str:
    """The key of a Virtual Object as it can be in a path."""
    return key.replace(" ", "-")


RETRIED = 5
"""An invocation that has failed so often would be retried without an end."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    model = ScriptedModel()
    calls = Counter[str]()
    async with AsyncExitStack() as exits:
        url = await exits.enter_async_context(model.serving())
        mcp = await exits.enter_async_context(mcp_serving(calls))
        urls = {"OPENAI_BASE_URL": f"{url}/v1", "GOOGLE_GEMINI_BASE_URL": url}
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in urls.items():
                patch.setenv(variable, value)
            running = await exits.enter_async_context(
                stack.running(
                    tmp_path_factory.mktemp("features"),
                    pattern=FEATURES,
                    server_env={
                        "RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT": "0s",
                        "RESTATE_DEFAULT_RETRY_POLICY__INITIAL_INTERVAL": "50ms",
                    },
                    agent_env={"MCP_URL": mcp},
                )
            )
            yield World(running, model, calls)


@asynccontextmanager
async def mcp_serving(calls: Counter[str]) -> AsyncIterator[str]:
    """An MCP server with one tool, `find`, which counts its calls by their tag; gives the address."""
    from mcp.server import MCPServer  # takes half a second of each process that collects tests

    server = MCPServer("found")

    @server.tool()
    async def find(tag: str) -> str:
        """Find it."""
        calls[tag] += 1
        return "found it"

    async with serving(server.streamable_http_app(stateless_http=True, json_response=True), ws="none") as url:
        yield f"{url}/mcp"
