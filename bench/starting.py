"""The start of an agent: the time and memory of its import, and the time from `uv run` until it answers."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress

from bench.footprint import NO_MODEL, started
from bench.measuring import Extent
from tour.runtime import node
from tour.runtime.errors import TourError
from tour.runtime.frameworks import ROOT, Framework

IMPORT = """
import importlib, json, sys, time
import psutil
began = time.perf_counter()
importlib.import_module(sys.argv[1])
print(json.dumps([time.perf_counter() - began, psutil.Process().memory_info().rss / 2**20]))
"""
NODE_IMPORT = """
const began = performance.now();
await import(process.argv[1]);
console.log(JSON.stringify([(performance.now() - began) / 1000, process.memoryUsage.rss() / 2 ** 20]));
process.exit(0);
"""
"""The same on Node, where an agent's file serves when it is imported, on a free port."""


class Start(BaseModel):
    """The starts of one framework's agent; each list has one value per start.

    `imports` (s) and `memory` (MiB) are those of a new interpreter that imports the agent's module. `ready` is the time
    (s) from `uv run` of its entrypoint until it answers on its port.
    """

    framework: str
    title: str
    imports: list[float]
    memory: list[float]
    ready: list[float]


async def starting(folder: Path, frameworks: Sequence[Framework], extent: Extent, console: Console) -> list[Start]:
    """Start all agents in turn, once for each block. Raises: TourError when one cannot be started."""
    folder.mkdir(parents=True, exist_ok=True)
    starts = [
        Start(framework=framework.name, title=framework.title, imports=[], memory=[], ready=[])
        for framework in frameworks
    ]
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("Start of the agents", total=len(frameworks) * extent.blocks)
        for _ in range(extent.blocks):
            for framework, start in zip(frameworks, starts, strict=True):
                seconds, memory = await _import(framework.entrypoint)
                start.imports.append(seconds)
                start.memory.append(memory)
                program = ["node"] if framework.on_node else []
                command = [os.environ.get("UV", "uv"), "run", "--quiet", *program, str(framework.entrypoint)]
                start.ready.append(await started(framework, command, folder / f"{framework.name}.log"))
                progress.advance(bar)
    return starts


async def _import(script: Path) -> tuple[float, float]:
    module = ".".join(script.relative_to(ROOT).with_suffix("").parts)
    on_node = script.suffix == ".ts"
    command = (
        [node.NODE, "--input-type=module", "-e", NODE_IMPORT, script]
        if on_node
        else [sys.executable, "-c", IMPORT, module]
    )
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=os.environ | NO_MODEL | {"PORT": "0"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, problem = await process.communicate()
    if process.returncode:
        raise TourError(f"{script} cannot be imported:\n{problem.decode()}", "Run this file alone to see why.")
    seconds, memory = json.loads(said)
    return seconds, memory
