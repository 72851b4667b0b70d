"""The disk of the Restate server fills up in the middle of claims. Then there is room again."""

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conformance.cases import tagged
from tests.faults.claims import LANGUAGES, figure, half_done, judged, submit
from tour.runtime import stack
from tour.runtime.errors import TourError
from tour.runtime.evidence import Runs
from tour.runtime.stack import Stack

pytestmark = [pytest.mark.server, pytest.mark.nightly]

PYTHON = LANGUAGES[0]

SIZE = 320 * 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small separate disk, which requires root."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tour", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"root may not mount a disk here: {mounted.stderr}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Fill the disk while the block runs."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(2**20))
    try:
        yield
    finally:
        ballast.unlink()


async def test_claims_outlive_a_full_disk(disk: Path, tmp_path: Path) -> None:
    """The server ends, or continues without a writable log: it depends on which of its files cannot grow."""
    async with stack.running(tmp_path, data=disk, frameworks=[PYTHON]) as running:
        server, decided = running.restate.process, tagged()
        assert server
        answer = await running.answer(first := await submit(running, PYTHON, decided))
        claims = [tagged() for _ in range(3)]
        with full(disk):
            ids = [await half_done(running, PYTHON, claim, lasting=4 + at) for at, claim in enumerate(claims)]
            since = time.time()
            accepted = [id async for id in large_claims(running)]
            refused = time.time() - since
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(server.child.wait(), 2)
            how = "lives on, and accepts nothing" if server.alive else f"ends with code {server.child.returncode}"
            assert "No space left on device" in server.log.read_text()
        room = time.time()
        await running.restate.restart()
        runs = [await judged(running, PYTHON, claim, id, since) for claim, id in zip(claims, ids, strict=True)]
        waited = time.time() - room
        assert all(each["eligibility"] == Runs(starts=1) for each in runs)
        assert sum(each["cost"].interrupted for each in runs) > 0, "some were in flight"
        assert await submit(running, PYTHON, decided) == first
        assert await running.answer(first) == answer
        for id in accepted:
            assert (await running.answer(id)).startswith("400: invalid claim: reason"), "it was accepted, and is known"
    figure(f"no room: the server accepts {len(accepted)} claims of 4 MB more, and {how}", refused)
    figure("there is room, the server is started again, and the claims are answered", waited)


async def large_claims(running: Stack) -> AsyncIterator[str]:
    """Send invalid, oversized claims until Restate accepts no more; yields their ids."""
    while True:
        claim = tagged().model_copy(update={"reason": os.urandom(2**21).hex()})
        try:
            async with asyncio.timeout(3):
                yield await running.submit(PYTHON, claim, "", "")
        except (httpx.HTTPError, TimeoutError, TourError):
            return
