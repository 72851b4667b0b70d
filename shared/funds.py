"""Money set aside while a claim is decided: two durable steps, which may run again and count once."""

import functools
import os

import httpx2
from restate import TerminalError

from lab import bank


async def reserve_funds(key: str, amount: float) -> str:
    """`reserved`. Raises: TerminalError when this key has been released: a release is final."""
    response = await _request("PUT", key, {"amount": amount})
    if response.status_code == 409:
        raise TerminalError(f"the funds of {key} have been released", status_code=409)
    return str(response.raise_for_status().json())


async def release_funds(key: str) -> str:
    """`released`, even if nothing was reserved: a reservation that is still under way is then refused."""
    response = await _request("DELETE", key)
    return str(response.raise_for_status().json())


async def _request(method: str, key: str, body: dict[str, float] | None = None) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=10) as client:
        return await client.request(method, f"{_url()}/reservations/{key}", json=body)


@functools.cache
def _url() -> str:
    return os.environ.get("FUNDS_URL") or bank.serve_in_thread()
