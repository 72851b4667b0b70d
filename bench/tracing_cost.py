"""The cost of traces: the same agent without and with them, in turns."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress

from bench.durability import durable_side
from bench.measuring import Block, Extent, alternate, ratios, warm_up
from tour.runtime import stack
from tour.runtime.frameworks import FAN_OUT, Framework
from tour.runtime.processes import Process, free_port, running


class Traced(BaseModel):
    """One framework, one claim at a time: the blocks without and with traces, in order."""

    framework: str
    title: str
    off: list[Block]
    on: list[Block]

    def ratios(self, of: Callable[[Block], float]) -> list[float]:
        """With traces over without, for each pair of neighbouring blocks."""
        return ratios(self.on, self.off, of)


@asynccontextmanager
async def collector(folder: Path, *options: str) -> AsyncIterator[tuple[Process, str, str]]:
    """rotel, which drops the spans that it gets; with its addresses for OTLP over HTTP and gRPC. Raises: TourError."""
    program = Path(str(import_module("rotel").__file__)).with_name("rotel-agent")
    http, grpc = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    command: list[str | Path] = [program, "start", "--otlp-http-endpoint", http, "--otlp-grpc-endpoint", grpc]
    command += ["--exporter", "blackhole", *options]
    log = folder / "collector.log"
    async with running("The collector", command, log, {"NO_COLOR": "1"}) as process:
        await process.until(lambda: "Starting Rotel" in log.read_text())
        yield process, f"http://{http}", f"http://{grpc}"


async def tracing_cost(folder: Path, frameworks: Sequence[Framework], extent: Extent, console: Console) -> list[Traced]:
    """Measure one framework after the other. Raises: TourError."""
    measured: list[Traced] = []
    folder.mkdir(parents=True, exist_ok=True)
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("", total=len(frameworks) * extent.blocks)
        async with collector(folder) as (_, url, _):
            traced = replace(FAN_OUT, name="traced", variant="traced", env={"OTEL_EXPORTER_OTLP_ENDPOINT": url})
            for framework in frameworks:
                progress.update(bar, description=f"{framework.title}, traces")
                async with stack.running(folder / framework.name, frameworks=[framework]) as agents:
                    await agents.add(traced)
                    sides = durable_side(agents, framework), durable_side(agents, framework, traced)
                    await warm_up(sides)
                    off, on = await alternate(sides, extent, 1, lambda: progress.advance(bar))
                measured.append(Traced(framework=framework.name, title=framework.title, off=off, on=on))
    return measured
