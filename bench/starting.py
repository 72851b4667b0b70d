"""The start of an agent: the time and memory of its import, and the time from `uv run` until it answers."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress

from bench.measuring import Extent
from tour.runtime import processes
from tour.runtime.errors import TourError
from tour.runtime.frameworks import ROOT, Framework
from tour.runtime.processes import free_port

NO_MODEL = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9"}
"""Addresses without a model: none is called here, and with an address set, no offline model is started."""

IMPORT = """
import importlib, json, sys, time
import psutil
began = time.perf_counter()
importlib.import_module(sys.argv[1])
print(json.dumps([time.perf_counter() - began, psutil.Process().memory_info().rss / 2**20]))
"""


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
                start.ready.append(await _ready(framework, folder / f"{framework.name}.log"))
                progress.advance(bar)
    return starts


async def _import(script: Path) -> tuple[float, float]:
    module = ".".join(script.relative_to(ROOT).with_suffix("").parts)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", IMPORT, module),
        cwd=ROOT,
        env=os.environ | NO_MODEL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, problem = await process.communicate()
    if process.returncode:
        raise TourError(f"{script} cannot be imported:\n{problem.decode()}", "Run this file alone to see why.")
    seconds, memory = json.loads(said)
    return seconds, memory


async def _ready(framework: Framework, log: Path) -> float:
    port = free_port()
    env = NO_MODEL | {"PORT": str(port), "HOST": "127.0.0.1"}
    command = [os.environ.get("UV", "uv"), "run", "--quiet", str(framework.entrypoint)]
    began = time.perf_counter()
    async with processes.running(f"The agent {framework.name}", command, log, env) as process:
        await process.until(f"http://127.0.0.1:{port}/health")
        return time.perf_counter() - began
