"""The footprint of an agent before its first claim: packages, their size on the disk, and the time of a start."""

import json
import re
import statistics
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from pydantic import BaseModel

from shared.claims import InsuranceClaim
from tour.runtime import journal, node, processes, stack
from tour.runtime.frameworks import FAN_OUT, TYPESCRIPT, Framework, Pattern
from tour.runtime.processes import free_port

SERVED = ("restate-sdk[serde]", "hypercorn", "pydantic")
"""The packages that every agent in Python is served with."""

WHOLE_JOURNAL = Pattern(
    "whole-journal", "Restate's middleware alone", "twins/whole_journal_agent.py", FAN_OUT.service, "whole_journal"
)
"""The agent on Vercel AI without the middleware of ours, which spares the journal."""

STARTS = 3
"""How often each agent is started; the median counts."""

NO_MODEL = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9"}
"""Addresses without a model: none is called here, and with an address set, no offline model is started."""


class Footprint(BaseModel):
    """The packages of an agent, the size of their files in bytes, and the time (s) of a start until it answers."""

    packages: int
    size: int
    start: float


async def footprints(frameworks: Sequence[Framework], folder: Path) -> list[Footprint]:
    """What each of these agents needs. Logs are in `folder`. Raises: TourError when one cannot be started."""
    starts: list[list[float]] = [[] for _ in frameworks]
    for _ in range(STARTS):
        for framework, times in zip(frameworks, starts, strict=True):
            command, log = stack.command(framework.entrypoint), folder / f"{framework.name}.log"
            times.append(await started(framework, command, log))
    return [
        Footprint(packages=len(sizes), size=sum(sizes.values()), start=statistics.median(times))
        for times, sizes in zip(starts, map(sizes_of, frameworks), strict=True)
    ]


async def started(framework: Framework, command: Sequence[str | Path], log: Path) -> float:
    """The seconds from this command until the agent answers; then it is stopped. Raises: TourError."""
    port = free_port()
    env = NO_MODEL | {"PORT": str(port), "HOST": "127.0.0.1"}
    began = time.perf_counter()
    async with processes.running(f"The agent {framework.name}", command, log, env) as process:
        await process.until(f"http://127.0.0.1:{port}/health", http2=framework.on_node)
        return time.perf_counter() - began


async def whole_journal(folder: Path, claim: InsuranceClaim) -> int:
    """The bytes of a claim's journal where Restate's middleware for Vercel AI journals all that it gets."""
    [framework] = [framework for framework in TYPESCRIPT if framework.name == "vercel_ai"]
    async with stack.running(folder, frameworks=[framework], pattern=WHOLE_JOURNAL) as running:
        id = await running.submit(framework, claim, "whole", "whole")
        await running.answer(id)
        return (await journal.read(running.admin, id))[id].size


def sizes_of(framework: Framework) -> dict[str, int]:
    """The bytes of each package that a framework's agent needs, directly or through another one."""
    return _of_npm(framework.packages) if framework.on_node else _of_python((*SERVED, *framework.packages))


def _of_python(names: Sequence[str]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    seen, left = set[str](), [Requirement(name) for name in names]
    while left:
        wanted = left.pop()
        if str(wanted) in seen:
            continue
        seen.add(str(wanted))
        distribution = metadata.distribution(wanted.name)
        files = (Path(str(file.locate())) for file in distribution.files or () if file.suffix != ".pyc")
        sizes[re.sub(r"[-_.]+", "-", wanted.name).lower()] = sum(file.stat().st_size for file in files if file.exists())
        needed = map(Requirement, distribution.requires or ())
        extras = [{"extra": extra} for extra in wanted.extras or {""}]
        left += [each for each in needed if not each.marker or any(map(each.marker.evaluate, extras))]
    return sizes


def _of_npm(names: Sequence[str]) -> dict[str, int]:
    """By the lock, in which a package's own version of another one is in its own folder."""
    lock: dict[str, Any] = json.loads((node.TYPESCRIPT / "package-lock.json").read_text())["packages"]
    sizes: dict[str, int] = {}
    left = [(name, "") for name in names]
    while left:
        name, above = left.pop()
        path = f"{above}/node_modules/{name}".lstrip("/")
        while path not in lock and above:
            above = above.rpartition("/node_modules/")[0]
            path = f"{above}/node_modules/{name}".lstrip("/")
        if path in sizes or path not in lock:
            continue
        home = node.TYPESCRIPT / path
        own = (file for file in home.rglob("*") if "node_modules" not in file.relative_to(home).parts)
        sizes[path] = sum(file.stat().st_size for file in own if file.is_file())
        optional = lock[path].get("peerDependenciesMeta", {})
        peers = [peer for peer in lock[path].get("peerDependencies", {}) if peer not in optional]
        left += [(each, path) for each in (*lock[path].get("dependencies", {}), *peers)]
    return sizes
