"""The peers: the same agent on other durable runtimes, each an agent process with its store."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from bench.measuring import Side
from bench.peers import environments, postgres, prefect_server, temporal_server
from shared.claims import InsuranceClaim, sample_claims
from tour.runtime import processes
from tour.runtime.errors import TourError
from tour.runtime.frameworks import ROOT
from tour.runtime.processes import Process, free_port

ATTEMPT = 0.05
"""Seconds between two attempts of a caller to reach a peer."""


@dataclass(frozen=True)
class Peer:
    """One peer on one store. `name` is its name in the lab and for the model."""

    name: str
    title: str
    script: str
    store: Literal["sqlite", "postgres", "prefect", "temporal"]
    sdk: str
    """The name of the framework of the tour that is built on the same SDK."""
    durability: str = ""
    """LangGraph's mode of this name."""


PREFECT_S_DATABASE = "Postgres" if postgres.programs(postgres.TRIGRAMS) else "SQLite"
"""The database of Prefect's server: Postgres, if there is one. SQLite is often locked, and the client then waits."""

PEERS = (
    Peer("temporal.openai", "Temporal, OpenAI Agents SDK", "temporal_openai_agent.py", "temporal", "openai_agents"),
    Peer("temporal", "Temporal, Pydantic AI", "temporal_pydantic_agent.py", "temporal", "pydantic_ai_agent"),
    Peer("dbos.sqlite", "DBOS, SQLite", "dbos_agent.py", "sqlite", "pydantic_ai_agent"),
    Peer("dbos.postgres", "DBOS, Postgres", "dbos_agent.py", "postgres", "pydantic_ai_agent"),
    Peer("langgraph.sqlite", "LangGraph sync, SQLite", "langgraph_agent.py", "sqlite", "langchain_agent", "sync"),
    Peer("langgraph.async", "LangGraph async, SQLite", "langgraph_agent.py", "sqlite", "langchain_agent", "async"),
    Peer("langgraph.postgres", "LangGraph sync, Postgres", "langgraph_agent.py", "postgres", "langchain_agent", "sync"),
    Peer("prefect", f"Prefect, {PREFECT_S_DATABASE}", "prefect_agent.py", "prefect", "pydantic_ai_agent"),
)


@dataclass(frozen=True)
class Running:
    """A running peer."""

    peer: Peer
    process: Process
    url: str
    client: httpx.AsyncClient
    server: int | None
    """The process id of its store, if that is a server."""
    servers: tuple[int, ...]
    """The process ids of all servers that it needs: Prefect's server has a database."""
    store: str
    """The address of its store."""
    database: str
    """The URL of its database, if that is a Postgres."""
    results: Path | None
    """The folder of the files with results, if there are any."""

    @property
    def name(self) -> str:
        return self.peer.name

    @property
    def title(self) -> str:
        return self.peer.title

    async def kill(self) -> None:
        await self.process.kill()

    async def start(self) -> None:
        await self.process.restart()
        await self.process.until(f"{self.url}/health")

    async def send(self, id: str, claim: InsuranceClaim) -> str:
        """Send the claim, with its id, until the peer can be reached; then wait for the answer."""
        while True:
            with contextlib.suppress(httpx.TransportError):
                return await self.post(id, claim)
            await asyncio.sleep(ATTEMPT)

    async def post(self, id: str, claim: InsuranceClaim) -> str:
        """Send a claim once, and wait. Raises: TourError when it is not decided; httpx.TransportError."""
        response = await self.client.post(f"/run/{id}", json=claim.model_dump(mode="json"))
        if response.status_code != 200:
            raise TourError(
                f"{self.title} did not decide: {response.status_code} {response.text}\n{self.process.log_tail()}",
                f"Its log: {self.process.log}",
            )
        return str(response.json())

    @property
    def side(self) -> Side:
        """This peer as a side of the benchmark. Each claim is a workflow of its own."""
        claim = sample_claims()["broken-leg"]

        async def send() -> None:
            answer = await self.post(uuid.uuid4().hex, claim)
            if not answer.startswith("Approved:"):
                raise TourError(f"{self.title} decided: {answer}", f"Its log: {self.process.log}")

        return Side(send, self.process.pid, self.server)


@asynccontextmanager
async def running(peer: Peer, folder: Path, env: Callable[[str], Mapping[str, str]]) -> AsyncIterator[Running]:
    """A peer on a new store, for as long as the block runs. `env` gives its variables for the model and the lab.

    Logs and data are in `folder`, but for Postgres' data. Raises: TourError when a part cannot be started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    script = ROOT / "bench" / "peers" / peer.script
    python = await environments.python(script, folder / "uv.log")
    port = free_port()
    variables = {"PORT": str(port), "HOST": "127.0.0.1", "PYTHONPATH": str(ROOT), **env(peer.name)}
    if peer.durability:
        variables["LANGGRAPH_DURABILITY"] = peer.durability
    results: Path | None = None
    database = ""
    servers: list[int] = []
    async with AsyncExitStack() as exits:

        async def a_postgres(extension: str) -> str:
            log = folder / "postgres.log"
            made = await exits.enter_async_context(postgres.serving(log, extension))
            servers.append(made.process.pid)
            return made.url

        match peer.store:
            case "sqlite":
                variables["PEER_STORE"] = f"sqlite:///{folder / 'store.db'}"
            case "postgres":
                database = variables["PEER_STORE"] = await a_postgres(postgres.PROCEDURES)
            case "prefect":
                if PREFECT_S_DATABASE == "Postgres":
                    database = await a_postgres(postgres.TRIGRAMS)
                results = folder / "prefect"
                prefect = await exits.enter_async_context(prefect_server.serving(results, database))
                servers.append(prefect.process.pid)
                variables |= prefect.env
            case "temporal":
                temporal = await exits.enter_async_context(temporal_server.serving(folder / "temporal"))
                servers.append(temporal.process.pid)
                variables["PEER_STORE"] = temporal.address
        process = await exits.enter_async_context(
            processes.running(peer.title, [python, script], folder / "agent.log", variables)
        )
        url = f"http://127.0.0.1:{port}"
        client = await exits.enter_async_context(
            httpx.AsyncClient(base_url=url, timeout=None, limits=httpx.Limits(max_connections=None), trust_env=False)
        )
        await process.until(f"{url}/health")
        yield Running(
            peer,
            process,
            url,
            client,
            server=servers[-1] if servers else None,
            servers=tuple(servers),
            store=variables["PEER_STORE"],
            database=database,
            results=results,
        )
