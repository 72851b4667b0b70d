"""The name, the guards and the server of every agent."""

import asyncio
import gc
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import restate
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from pydantic import ValidationError
from restate.exceptions import RetryableError, SdkInternalException
from restate.extensions import current_context
from restate.server import install_shutdown_hook, send_status

from durable.draining import MODEL_CALLS_IN_FLIGHT
from durable.held_steps import causes, hold_failures, holding
from offline_model.sockets import listen
from shared import llm
from shared.claims import invalid
from shared.variables import number, trim
from shared.watchdog import patience, watched

GRACE = 0.5
"""Seconds that open invocations get to end on SIGTERM or Ctrl-C; Restate retries the rest."""

DRAIN = 25.0
"""Seconds that model calls in flight get to end on SIGTERM: the default of the variable `DRAIN`."""

RETRIED: list[type[Exception]] = [RetryableError]
"""The errors of a handler that Restate retries, in addition to failed steps."""


def service_name(name: str) -> str:
    """`name`, or `<TOUR_SERVICE_PREFIX>.<name>` where several agents share one Restate."""
    prefix = os.environ.get("TOUR_SERVICE_PREFIX")
    return f"{prefix}.{name}" if prefix else name


@asynccontextmanager
async def terminal_errors() -> AsyncIterator[None]:
    """End the invocation with the error that its handler raises; for the `invocation_context_managers` of a service.

    A handler works on journal entries, so every replay would repeat its own error. The error becomes a `TerminalError`
    (500) that names the cause in one line. Restate retries only failed steps, its own signals and `RETRIED` errors. An
    invalid claim is the caller's fault: it becomes a 400 that names the field, where the Restate SDK answers 500. If a
    provider refuses a model call, the invocation ends with the provider's status.
    """
    context = current_context()
    assert context
    if not context.request().body:  # the SDK would call the handler with None
        raise restate.TerminalError("invalid request: body: JSON is required", status_code=400)
    steps = holding(context).steps
    steps.translate = llm.model_error
    try:
        yield
    except Exception as error:
        if steps.over:
            raise SdkInternalException from error
        chain = list(causes(error))
        if any(isinstance(cause, tuple(RETRIED)) for cause in chain):
            raise
        terminal = next((cause for cause in chain if isinstance(cause, restate.TerminalError)), None)
        if terminal is None:
            raise restate.TerminalError(llm.one_line(f"{type(error).__name__}: {error}")) from error
        if isinstance(terminal.__cause__, ValidationError):
            kind = re.findall("[A-Z][a-z]+", terminal.__cause__.title)[-1].lower()  # "claim", for both classes
            message = f"invalid {kind}: {invalid(terminal.__cause__)}"
            raise restate.TerminalError(message, status_code=400) from error
        raise restate.TerminalError(llm.one_line(terminal.message), terminal.status_code, terminal.metadata) from error


GUARDS: list[Callable[[], AbstractAsyncContextManager[None]]] = [hold_failures, terminal_errors]
"""The `invocation_context_managers` of every service. A service may add others before or after them."""


def serve(*services: restate.Service | restate.VirtualObject | restate.Workflow) -> None:
    """Serve on `HOST`:`PORT` (127.0.0.1:9080) over HTTP/2 until SIGTERM or Ctrl-C; exits with 1 if the port is taken.

    After SIGTERM, model calls in flight get `DRAIN` seconds to end. A second SIGTERM, or Ctrl-C, cuts them off.
    """
    if any(variable.startswith(("TOUR_LAB", "OTEL_EXPORTER_OTLP_")) for variable in os.environ):
        from shared import observers

        RETRIED.append(observers.install(services[0].name))
    trim("RESTATE_")
    key = os.environ.get("RESTATE_IDENTITY_KEY")
    serve_app(restate.app(services, identity_keys=[key] if key else None), *(service.name for service in services))


def serve_app(app: Any, *names: str) -> None:
    """Serve any ASGI app as `serve` does, and print `names` with the address."""
    watchdog, drain = patience(), number("DRAIN", DRAIN)
    number("TOOL_CALLS_AT_ONCE", 1)  # `durable` reads it in each turn; this reports a bad value early
    listener = _listen(os.environ.get("HOST", "127.0.0.1"), os.environ.get("PORT", "9080"))
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.graceful_timeout = GRACE
    # Restate keeps one HTTP/2 connection with a stream per invocation: hypercorn must not close it.
    config.keep_alive_max_requests = config.h2_max_concurrent_streams = 2**31 - 1
    config.keep_alive_timeout = float("inf")
    config.loglevel = "ERROR"
    host, port = listener.getsockname()[:2]
    print(
        f"{', '.join(names)} on http://{host}:{port}",
        file=sys.stderr,
        flush=True,
    )
    gc.freeze()  # otherwise each full collection, and each exit, goes through all that was imported: 0.5 s at exit
    asyncio.run(_serve_until_signalled(_until_draining(app), config, watchdog, drain))


async def _serve_until_signalled(app: Any, config: Config, watchdog: float, drain: float) -> None:
    stop = asyncio.Event()
    server = asyncio.create_task(hypercorn_serve(app, config, shutdown_trigger=stop.wait))
    stopping = asyncio.create_task(_signalled(drain))
    with watched(watchdog):
        await asyncio.wait({server, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            await server  # raises the reason why it failed
        stop.set()
        await asyncio.wait({server}, timeout=2 * GRACE)  # hypercorn may wait longer than told
    # Python would wait for the thread of a synchronous step, however long that takes.
    at_last = threading.Timer(2 * GRACE, os._exit, (0,))
    at_last.daemon = True
    at_last.start()


async def _signalled(drain: float) -> None:
    """Wait for Ctrl-C, or for SIGTERM and then for the model calls in flight: up to `drain` seconds, or a signal."""
    loop, signals = asyncio.get_running_loop(), asyncio.Queue[int]()
    # This replaces the Restate SDK's hook for SIGTERM. The hook closes streams to which Restate still writes, and
    # hypercorn then breaks the connection, with the model calls on it.
    install_shutdown_hook(loop, lambda: None, signal.SIGTERM)
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, signals.put_nowait, signum)
    if await signals.get() == signal.SIGTERM:
        drained = asyncio.create_task(MODEL_CALLS_IN_FLIGHT.drained())
        another = asyncio.create_task(signals.get())
        await asyncio.wait({drained, another}, timeout=drain, return_when=asyncio.FIRST_COMPLETED)


def _until_draining(app: Any) -> Any:
    """The app, which answers 503 while it drains: Restate retries, and Envoy chooses another replica."""

    async def open_app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and MODEL_CALLS_IN_FLIGHT.draining:
            await send_status(send, receive, 503)
        else:
            await app(scope, receive, send)

    return open_app


def _listen(host: str, port: str) -> socket.socket:
    try:
        return listen(host, int(port))
    except (OSError, ValueError, OverflowError) as error:
        sys.exit(
            f"Cannot listen on {host}:{port}: {error}.\n"
            f"Stop the program that uses the port, or choose another one: PORT=9180 uv run {sys.argv[0]}"
        )
