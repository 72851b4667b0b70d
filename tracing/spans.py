"""OpenTelemetry traces: the model calls, tool calls and checks of an agent, beneath the spans that Restate exports.

This module is inactive, and does not import OpenTelemetry, unless the variable `OTEL_EXPORTER_OTLP_ENDPOINT` (or
`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) names a collector: see docs/tracing.md.

The module `spans` in the folder of an agent SDK has a function `instrument(provider, contents)`, which passes the
tracer provider to the SDK's instrumentation. `contents`: whether spans may hold prompts, claims and answers.
"""

import asyncio
import atexit
import functools
import importlib
import logging
import os
import sys
import threading
import tomllib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from lab.observed import handler_context

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

P = ParamSpec("P")
T = TypeVar("T")

FLUSH = 1.0
"""Seconds that unsent spans get when the process ends."""

DELAY = "500"
"""Milliseconds between two exports, unless `OTEL_BSP_SCHEDULE_DELAY` is set. A kill loses waiting spans."""

ROOT = Path(__file__).parent.parent

_tracer: "Tracer | None" = None


def wanted() -> bool:
    """Whether the environment names a collector."""
    return any(os.environ.get(f"OTEL_EXPORTER_OTLP_{which}ENDPOINT") for which in ("TRACES_", ""))


def install(name: str) -> None:
    """Export the spans of this process, which serves the service `name`, if the environment names a collector.

    A missing collector costs one line on stderr, and no claim. If a package is missing, this exits and names the
    package; if the protocol is unknown, it exits and names the known ones.
    """
    global _tracer
    if not wanted() or _tracer:
        return
    exporter = _exporter()
    try:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from tracing.invocation_tracer import InvocationTracerProvider
    except ImportError as error:
        _missing(error)
    service = os.environ.get("OTEL_SERVICE_NAME") or os.environ.get("TOUR_SERVICE_PREFIX") or name
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}), shutdown_on_exit=False)
    os.environ.setdefault("OTEL_BSP_SCHEDULE_DELAY", DELAY)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    atexit.register(_flush, provider.shutdown)
    _tracer = provider.get_tracer("tour-of-agents")
    contents = os.environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "").lower() in ("true", "1")
    for side in ("INPUTS", "OUTPUTS"):  # the only setting of OpenInference's instrumentations for it
        os.environ.setdefault(f"OPENINFERENCE_HIDE_{side}", str(not contents).lower())
    try:
        for file in ROOT.glob("*/sdk.toml"):
            if tomllib.loads(file.read_text())["module"] in sys.modules:
                spans = importlib.import_module(f"{file.parent.name}.spans")
                spans.instrument(InvocationTracerProvider(provider), contents)
    except ImportError as error:
        _missing(error)


def traced(
    step: str,
) -> Callable[[Callable[P, Coroutine[None, None, T]]], Callable[P, Coroutine[None, None, T]]]:
    """Make a span of the invocation's trace for each run of an async function in a durable step named `step`.

    A replay does not run a finished step again, so it makes no second span. Without a collector, the decorator returns
    the function unchanged.
    """

    def decorate(work: Callable[P, Coroutine[None, None, T]]) -> Callable[P, Coroutine[None, None, T]]:
        if not wanted():
            return work

        @functools.wraps(work)
        async def run(*args: P.args, **kwargs: P.kwargs) -> T:
            if not _tracer:  # another server than `serve` runs the agent
                return await work(*args, **kwargs)
            from opentelemetry.trace import StatusCode

            from tracing.invocation_tracer import parent

            # Restate's tracer would take a retried step for a replay as long as other entries follow.
            context = handler_context()
            if not context:
                return await work(*args, **kwargs)
            request = context.request()
            attributes = {
                "tour.framework": os.environ.get("TOUR_SERVICE_PREFIX", ""),
                "tour.step": step,
                "restate.invocation.id": request.id,
            }
            with _tracer.start_as_current_span(step, context=parent(request), attributes=attributes) as span:
                try:
                    return await work(*args, **kwargs)
                except asyncio.CancelledError:
                    span.set_status(StatusCode.ERROR, "abandoned: the attempt ended first")
                    raise

        return run

    return decorate


def _exporter() -> Any:
    variables = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next(filter(None, map(os.environ.get, variables)), "http/protobuf")
    wire = {"http/protobuf": "http", "grpc": "grpc"}.get(protocol)
    if wire is None:
        sys.exit(f"The OTLP protocol {protocol} is unknown: use http/protobuf (the default) or grpc.")
    try:
        module = importlib.import_module(f"opentelemetry.exporter.otlp.proto.{wire}.trace_exporter")
    except ImportError as error:
        _missing(
            error, "" if wire == "http" else "; for grpc also `uv pip install opentelemetry-exporter-otlp-proto-grpc`"
        )
    logger = logging.getLogger("opentelemetry.exporter")
    logger.addHandler(_SayOnce())
    logger.propagate = False
    return module.OTLPSpanExporter()


def _missing(error: ImportError, more: str = "") -> Any:
    sys.exit(
        f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but {error.name or error} is not installed.\n"
        f"Install the packages for tracing with `uv sync --group tracing`{more}, or unset the variable."
    )


class _SayOnce(logging.Handler):
    """Says once per process that spans are lost; the exporter would say so at each attempt."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.setLevel(logging.CRITICAL + 1)
            print(f"The collector gets no traces, and claims continue without: {record.getMessage()}", file=sys.stderr)


def _flush(shutdown: Callable[[], None]) -> None:
    # In a separate thread, because a collector that does not answer would delay the end by ten seconds or more.
    last = threading.Thread(target=shutdown, daemon=True)
    last.start()
    last.join(FLUSH)
