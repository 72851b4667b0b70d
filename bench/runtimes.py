"""Five runtimes, one agent: what docs/benchmark.md begins with, from the figures of the part `peers`."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter

from bench.against_peers import Peers, Versus
from bench.crashes import MIDDLE, Recovery
from bench.measuring import Block, agent_cpu_of, cpu, median, p50, rate, ratios, server_cpu_of
from bench.siblings import Siblings
from bench.upkeep import Upkeep

PEERS = {"Temporal": "temporal", "DBOS": "dbos.sqlite", "LangGraph": "langgraph.async", "Prefect": "prefect"}
"""A peer of each runtime: on Pydantic AI, if it has an agent on it, and with its own default."""

OURS = {"Restate, with `durable/`": "pydantic_ai_agent", "Restate, as documented": "pydantic_ai_agent.documented"}

SDK = "Pydantic AI"
"""Restate's agent on this SDK is in the table. LangGraph's is on LangChain, and compared with Restate's on that."""


@dataclass(frozen=True)
class Load:
    """A runtime at one concurrency. `times` are its median latencies over those of Restate with `durable/`."""

    concurrency: int
    latency: float
    times: list[float]
    rates: list[float]
    """The same, of the claims per second."""
    cpu_times: list[float]
    """The same, of the CPU of agent and server."""
    agent_cpu: float
    server_cpu: float


@dataclass(frozen=True)
class Runtime:
    """All figures of one runtime."""

    title: str
    loads: list[Load]
    middle: Recovery
    kills: int
    redone: int
    """The number of kills after which finished work was done again."""
    wrong: int
    siblings: Siblings
    upkeep: Upkeep


def runtimes(peers: Peers) -> Iterator[Runtime]:
    """One after the other, as far as they were measured."""
    on_sdk = [versus for versus in peers.versus if versus.restate == SDK]
    for (title, name), side in zip(OURS.items(), ("ours", "documented"), strict=True):
        yield from _runtime(peers, title, name, on_sdk, attrgetter(side))
    for title, name in PEERS.items():
        yield from _runtime(
            peers, title, name, [each for each in peers.versus if each.peer == name], attrgetter("theirs")
        )


def _runtime(
    peers: Peers, title: str, name: str, of: list[Versus], side: Callable[[Versus], list[Block]]
) -> Iterator[Runtime]:
    kills = [recovery for recovery in peers.recoveries if recovery.name == name]
    if not (of and kills):
        return
    [middle] = [recovery for recovery in kills if recovery.point == MIDDLE.name]
    yield Runtime(
        title=title,
        loads=[_load(each, of, side) for each in dict.fromkeys(versus.concurrency for versus in of)],
        middle=middle,
        kills=len(kills),
        redone=sum(bool(each.repeated_checks or each.repeated_model_calls) for each in kills),
        wrong=sum(not each.right for each in kills),
        siblings=next(each for each in peers.siblings if each.name == name),
        upkeep=next(each for each in peers.upkeep if each.name == name),
    )


def _load(concurrency: int, of: list[Versus], side: Callable[[Versus], list[Block]]) -> Load:
    blocks = [block for versus in of if versus.concurrency == concurrency for block in side(versus)]
    beside = [block for versus in of if versus.concurrency == concurrency for block in versus.ours]
    return Load(
        concurrency=concurrency,
        latency=median(blocks, p50),
        times=ratios(blocks, beside, p50),
        rates=ratios(blocks, beside, rate),
        cpu_times=ratios(blocks, beside, cpu),
        agent_cpu=median(blocks, agent_cpu_of),
        server_cpu=median(blocks, server_cpu_of),
    )


FIGURES: dict[str, Callable[[Runtime], float]] = {
    "latency of one claim at a time": lambda each: statistics.median(each.loads[0].times),
    "latency of several at a time": lambda each: statistics.median(each.loads[-1].times),
    "CPU of agent and server": lambda each: statistics.median(each.loads[0].cpu_times),
    "wait after a crash": lambda each: each.middle.beyond,
    "finished work that is done again": lambda each: each.redone,
    "memory of agent and server": lambda each: each.upkeep.agent_memory + each.upkeep.server_memory,
    "size of the server": lambda each: each.upkeep.server,
    "bytes kept of a claim": lambda each: each.upkeep.record,
    "lines of the agent": lambda each: each.upkeep.lines,
}
"""Figures of which less is better."""


def better(runtimes: list[Runtime]) -> Iterator[tuple[str, list[str]]]:
    """For each figure, the peers that are better in it than Restate with `durable/`, by more than a tenth."""
    ours = runtimes[0]
    peers = [runtime for runtime in runtimes if runtime.title in PEERS]
    for figure, of in FIGURES.items():
        if found := [peer.title for peer in peers if of(peer) < 0.9 * of(ours)]:
            yield figure, found
