"""The cost of durability: the same agent on Restate and without it, in turns."""

import uuid
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress

from bench.as_it_comes import AS_IT_COMES
from bench.measuring import Block, Extent, Side, alternate, ratios, warm_up
from shared.claims import sample_claims
from tour.runtime import processes, stack
from tour.runtime.errors import TourError
from tour.runtime.frameworks import FAN_OUT, PLAIN, Framework, Pattern
from tour.runtime.processes import free_port
from tour.runtime.stack import Stack


class Cost(BaseModel):
    """One framework at one concurrency: the blocks of each side, in order.

    `as_it_comes` is the durable agent without the modules that make SDKs quick (bench/as_it_comes.py); it is empty for
    one in TypeScript, which needs none.
    """

    framework: str
    title: str
    concurrency: int
    durable: list[Block]
    plain: list[Block]
    as_it_comes: list[Block]

    def ratios(self, of: Callable[[Block], float]) -> list[float]:
        """Durable over plain, for each pair of neighbouring blocks."""
        return ratios(self.durable, self.plain, of)

    def ratios_as_it_comes(self, of: Callable[[Block], float]) -> list[float]:
        """The same, on the SDK as it comes."""
        return ratios(self.as_it_comes, self.plain, of)


async def durability(folder: Path, frameworks: Sequence[Framework], extent: Extent, console: Console) -> list[Cost]:
    """Measure one framework after the other, at each concurrency.

    The offline model answers at once and the checks take no time, so that they do not hide the cost of durability.
    Raises: TourError when an agent cannot be started, or a claim is not decided.
    """
    costs: list[Cost] = []
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("", total=len(frameworks) * len(extent.concurrency) * extent.blocks)
        for framework in frameworks:  # one at a time: idle agents take memory, and at times a core
            home = folder / framework.name
            async with stack.running(home, frameworks=[framework]) as running, AsyncExitStack() as exits:
                await running.add(AS_IT_COMES)
                sides = [durable_side(running, framework), await plain_side(running, framework, exits, home)]
                if framework.name in running.agents_of(AS_IT_COMES):
                    sides.append(durable_side(running, framework, AS_IT_COMES))
                await warm_up(sides)
                for concurrency in extent.concurrency:
                    progress.update(bar, description=f"{framework.title}, {concurrency} at a time")
                    measured = await alternate(sides, extent, concurrency, lambda: progress.advance(bar))
                    durable, plain, *others = measured
                    costs.append(
                        Cost(
                            framework=framework.name,
                            title=framework.title,
                            concurrency=concurrency,
                            durable=durable,
                            plain=plain,
                            as_it_comes=others[0] if others else [],
                        )
                    )
    return costs


def durable_side(running: Stack, framework: Framework, pattern: Pattern = FAN_OUT) -> Side:
    """An agent on Restate, as its callers see it. Each claim is an invocation and a session of its own."""
    claim = sample_claims()["broken-leg"]

    async def send() -> None:
        key = uuid.uuid4().hex  # a Virtual Object takes one claim of a key at a time
        response = await running.ingress.post(
            f"/restate/call/{framework.path(key, pattern)}", json=framework.body(claim, session=key)
        )
        _decided(response)

    server = running.restate.process
    return Side(send, running.agents_of(pattern)[framework.name].process.pid, server.pid if server else None)


async def plain_side(
    running: Stack, framework: Framework, exits: AsyncExitStack, folder: Path, **variables: str
) -> Side:
    """The agent without Restate, as its callers see it, until `exits` are closed. Raises: TourError."""
    claim = sample_claims()["broken-leg"]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = stack.command(framework.script(PLAIN))
    env = running.env(f"{framework.prefix()}.plain") | {"PORT": str(port), "HOST": "127.0.0.1"} | variables
    process = await exits.enter_async_context(
        processes.running("The agent without Restate", command, folder / f"{framework.name}.plain.log", env)
    )
    await process.until(f"{url}/health")
    client = await exits.enter_async_context(
        httpx.AsyncClient(base_url=url, timeout=None, limits=httpx.Limits(max_connections=None))
    )

    async def send() -> None:
        _decided(await client.post(f"/run/{(id := uuid.uuid4().hex)}", json=framework.body(claim, session=id)))

    return Side(send, process.pid, None)


def _decided(response: httpx.Response) -> None:
    if response.status_code != 200 or not response.json().startswith("Approved:"):
        raise TourError(f"A claim was not decided: {response.status_code} {response.text}", "Try `uv run tour` first.")
