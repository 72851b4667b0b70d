"""A Restate that the environment names, and the addresses by which it and the local agents find each other."""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from shared.variables import restate_headers, trim
from tour.runtime import restate_server
from tour.runtime.errors import TourError
from tour.runtime.restate_server import Ports, Restate

LOOPBACK = "127.0.0.1"


def restate() -> Restate | None:
    """The Restate of `RESTATE_ADMIN_URL` and `RESTATE_INGRESS_URL`; None if the environment names none."""
    trim("RESTATE_")
    admin = os.environ.get("RESTATE_ADMIN_URL")
    ingress = os.environ.get("RESTATE_INGRESS_URL") or f"http://{LOOPBACK}:{Ports().ingress}"
    return Restate(ingress.rstrip("/"), admin.rstrip("/"), headers=restate_headers()) if admin else None


async def ready(named: Restate) -> Restate:
    """This Restate, once it answers. Raises: TourError if it does not answer, or refuses us."""
    for client, path in ((named.ingress_client(), "/restate/health"), (named.admin_client(), "/health")):
        async with client:
            try:
                (await client.get(path, timeout=5)).raise_for_status()
            except httpx.HTTPError as error:
                why = str(error).partition("\n")[0]
                raise TourError(
                    f"Restate does not answer on {client.base_url.join(path)}: {why}",
                    "Start that Restate, or unset RESTATE_INGRESS_URL and RESTATE_ADMIN_URL to use an embedded one.",
                ) from error
    await named.until_ready()
    return named


@asynccontextmanager
async def serving(
    data: Path, log: Path, say: Callable[[str], None], *, ports: Ports, env: Mapping[str, str] | None = None
) -> AsyncIterator[Restate]:
    """The Restate that the environment names; else an embedded one from `restate_server.serving`.

    Raises: TourError if it does not answer, or cannot be started.
    """
    if there := restate():
        yield await ready(there)
    else:
        async with restate_server.serving(data, log, say, ports=ports, env=env) as embedded:
            yield embedded


def agents_listen_on() -> str:
    """The address on which the agents listen: loopback, unless both `TOUR_AGENT_HOST` and `HOST` are set."""
    return (os.environ.get("TOUR_AGENT_HOST") and os.environ.get("HOST")) or LOOPBACK


def agent_url(port: int) -> str:
    """The address at which Restate finds the agent that listens on this port: its host is `TOUR_AGENT_HOST`."""
    return url(os.environ.get("TOUR_AGENT_HOST") or LOOPBACK, port)


def url(host: str, port: int) -> str:
    """The URL of a port on this host, which may be an IPv6 address. A wildcard address becomes loopback."""
    host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
