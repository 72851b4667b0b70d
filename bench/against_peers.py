"""The peers: the same agent on other durable runtimes, with the same model and checks, in one run.

Each peer takes turns with Restate's agent on the same SDK. Then each agent is killed at every point of a claim.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress

from bench.as_it_comes import AS_IT_COMES
from bench.contenders import PEERS, running
from bench.crashes import POINTS, Durable, Recovery, recoveries
from bench.durability import WARM_UP, durable_side
from bench.measuring import Block, Extent, alternate, block, ratios
from tour.runtime import stack
from tour.runtime.frameworks import Framework


class Versus(BaseModel):
    """A peer and Restate's agent on the same SDK, at one concurrency: the blocks of each, in order.

    `as_it_comes` is Restate's agent without the modules that make SDKs quick (bench/as_it_comes.py).
    """

    peer: str
    title: str
    restate: str
    concurrency: int
    theirs: list[Block]
    ours: list[Block]
    as_it_comes: list[Block]

    def ratios(self, of: Callable[[Block], float]) -> list[float]:
        """The peer over Restate, for each pair of neighbouring blocks."""
        return ratios(self.theirs, self.ours, of)

    def ratios_as_it_comes(self, of: Callable[[Block], float]) -> list[float]:
        """The same, on the SDK as it comes."""
        return ratios(self.theirs, self.as_it_comes, of)


class Peers(BaseModel):
    """The results: each peer against Restate, and the recovery of each peer and each of Restate's agents."""

    versus: list[Versus]
    recoveries: list[Recovery]


async def peers(folder: Path, frameworks: Sequence[Framework], extent: Extent, console: Console) -> Peers:
    """Measure the peers on the SDKs of these frameworks, one at a time.

    Raises: TourError when one cannot be started, or does not decide a claim.
    """
    measured = Peers(versus=[], recoveries=[])
    by_sdk = {framework.name: framework for framework in frameworks}
    chosen = [peer for peer in PEERS if peer.sdk in by_sdk]
    async with stack.running(folder / "restate", frameworks=frameworks) as ours:
        await ours.add(AS_IT_COMES)
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task(
                "",
                total=len(chosen) * len(extent.against) * extent.blocks + (len(chosen) + len(frameworks)) * len(POINTS),
            )
            for peer in chosen:
                framework = by_sdk[peer.sdk]
                async with running(peer, folder / peer.name, ours.env) as theirs:
                    sides = theirs.side, durable_side(ours, framework), durable_side(ours, framework, AS_IT_COMES)
                    for side in sides:
                        await block(side, WARM_UP, 1)
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
                                as_it_comes=blocks[2],
                            )
                        )
                    progress.update(bar, description=f"{peer.title}, killed")
                    async for recovery in recoveries(theirs, ours.lab):
                        measured.recoveries.append(recovery)
                        progress.advance(bar)
            for framework in frameworks:
                progress.update(bar, description=f"{framework.title}, killed")
                async for recovery in recoveries(Durable(ours, framework), ours.lab):
                    measured.recoveries.append(recovery)
                    progress.advance(bar)
    return measured
