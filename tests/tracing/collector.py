"""A real OpenTelemetry collector: rotel, which takes OTLP over HTTP and gRPC, and prints each span."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.tracing_cost import collector
from tour.runtime.processes import POLL, Process
from tour.runtime.stack import CHECKS


@dataclass(frozen=True)
class Span:
    """A span as the collector prints it; `start` and `end` are in nanoseconds since the epoch."""

    trace: str
    id: str
    parent: str
    service: str
    name: str
    start: int
    end: int
    status: str
    text: str
    """The whole text, with attributes and events."""

    def attribute(self, name: str) -> str | None:
        found = re.search(rf"-> {re.escape(name)}: \w+\((.*)\)", self.text)
        return found[1] if found else None


@dataclass(frozen=True)
class Collector:
    """A running collector; `http` and `grpc` are its addresses."""

    process: Process
    http: str
    grpc: str

    def printed(self) -> str:
        """All received spans, as text."""
        return self.process.log.read_text(errors="replace")

    def spans(self) -> list[Span]:
        """All received spans, by their start."""
        found: list[Span] = []
        for resource in re.split(r"(?m)^(?=ResourceSpans #)", self.printed())[1:]:
            service = _value(resource, r"-> service\.name: Str\((.*)\)")
            spans = re.split(r"(?m)^(?=Span #\d+$)", resource)[1:]
            found += [_span(service, text) for text in spans if "Status message" in text]  # else it still prints
        return sorted(found, key=lambda span: span.start)

    async def until(self, enough: Callable[[list[Span]], bool]) -> list[Span]:
        """The spans, once there are enough. Raises: TimeoutError, with the spans so far, after 60 s."""
        deadline = time.monotonic() + 60
        while not enough(spans := self.spans()):
            if time.monotonic() > deadline:
                raise TimeoutError("\n".join(f"{span.trace} {span.service} {span.name}" for span in spans))
            await asyncio.sleep(POLL)
        return spans

    async def trace(self, invocation: str) -> list[Span]:
        """All spans of an invocation's trace, once it has ended."""
        spans = await self.until(lambda spans: _has_ended(spans, invocation))
        # What the agent has made before its end is sent at the next of its intervals, which are short here.
        await asyncio.sleep(1)
        [trace] = {span.trace for span in self.spans() if span.attribute("restate.invocation.id") == invocation}
        return [span for span in self.spans() if span.trace == trace] if spans else []


def checks(spans: list[Span]) -> dict[str, list[Span]]:
    """The spans of each check."""
    return {check: [span for span in spans if span.name == check] for check in CHECKS}


@asynccontextmanager
async def collecting(folder: Path) -> AsyncIterator[Collector]:
    """A collector on free ports of loopback, while the block runs."""
    async with collector(folder, "--debug-log", "traces", "--debug-log-verbosity", "detailed") as (process, http, grpc):
        yield Collector(process, http, grpc)


def _has_ended(spans: list[Span], invocation: str) -> bool:
    return any(
        span.name.startswith("invocation-end ") and span.attribute("restate.invocation.id") == invocation
        for span in spans
    )


def _span(service: str, text: str) -> Span:
    return Span(
        trace=_value(text, r"^ *Trace ID *: ?(.*)$"),
        id=_value(text, r"^    ID +: (.*)$"),
        parent=_value(text, r"^ *Parent ID *: ?(.*)$"),
        service=service,
        name=_value(text, r"^ *Name *: ?(.*)$"),
        start=int(_value(text, r"^Start time: (\d+)$")),
        end=int(_value(text, r"^End time: (\d+)$")),
        status=_value(text, r"^ *Status code *: ?(.*)$"),
        text=text,
    )


def _value(text: str, pattern: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else ""
