"""The disk under the Restate server is full, in the middle of claims. Then there is room again."""

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conformance.cases import tagged
from tests.faults.claims import LANGUAGES, QUICK, half_done, judged, submit
from tour.runtime import stack

pytestmark = pytest.mark.server

PYTHON = LANGUAGES[0]

SIZE = 512 * 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own. It takes the rights of root."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tour", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        refused = f"root may not mount a disk here: {mounted.stderr}"
        pytest.fail(refused) if os.environ.get("CI") else pytest.skip(refused)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """While the block runs, there is no room."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(2**20))
    try:
        yield
    finally:
        ballast.unlink()


async def test_x(disk: Path, tmp_path: Path) -> None:
    async with stack.running(tmp_path, data=disk, frameworks=[PYTHON], server_env=QUICK) as running:

        def du():
            s = os.statvfs(disk)
            return (s.f_blocks - s.f_bfree) * s.f_bsize / 2**20

        print("used", du())
        claims = [tagged() for _ in range(4)]
        done = tagged()
        await running.answer(await submit(running, PYTHON, done))
        ids = [await half_done(running, PYTHON, claim) for claim in claims]
        since = time.time()
        with full(disk):
            print("full", du())
            for i in range(30):
                claim = tagged()
                try:
                    async with asyncio.timeout(1):
                        r = await running.ingress.post(
                            f"/restate/send/{PYTHON.path('x', running.pattern)}", json=PYTHON.body(claim)
                        )
                        print(i, r.status_code, r.text)
                except (httpx.HTTPError, TimeoutError) as e:
                    print(i, repr(e))
                alive = running.restate.process.alive
                try:
                    h = (await running.admin.get("/health", timeout=1)).status_code
                except (httpx.HTTPError, TimeoutError) as e:
                    h = repr(e)
                print(i, "alive", alive, h, running.restate.process.child.returncode)
                if not alive:
                    break
                await asyncio.sleep(0.3)
        print(running.restate.process.log_tail(60))
        if not running.restate.process.alive:
            pass
        await asyncio.sleep(3)
        print("room, alive:", running.restate.process.alive)
        room = time.time()
        if not running.restate.process.alive:
            await running.restate.restart()
        else:
            r = await running.ingress.post(
                f"/restate/send/{PYTHON.path('x', running.pattern)}", json=PYTHON.body(tagged()), timeout=5
            )
            print(r.status_code, r.text)
        for claim, id in zip(claims, ids):
            print(await judged(running, PYTHON, claim, id, since))
        print(time.time() - room)
