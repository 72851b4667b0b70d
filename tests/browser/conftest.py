"""The page in a real browser: `tour web`, and Debian's Chromium."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests import forking

LATENCIES = ("--model-latency=0.3", "--step-latency=0.5")


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser these tests are skipped, but never in CI."""
    for item in items:
        if "tests/browser" in item.path.as_posix():
            item.add_marker(pytest.mark.server)
            if "browser" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            if not chromium() and not os.environ.get("CI"):
                item.add_marker(pytest.mark.skip("no browser: install Chromium (Debian: apt-get install chromium)"))


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The address of a page that runs for all of these tests."""
    with tempfile.TemporaryDirectory(prefix="tour-web-") as home:
        process = subprocess.Popen(
            [sys.executable, "-c", forking.TOUR, "web", "--port=0", *LATENCIES],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TOUR_HOME": home, "TOUR_PORTS": "free", "PYTHONUNBUFFERED": "1"},
        )
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("The page: "):
                break
        else:
            pytest.fail("".join(said))
        yield said[-1].split()[2]
        process.terminate()
        process.communicate(timeout=30)


@pytest_asyncio.fixture(loop_scope="session")
async def browser(running_browser: Browser) -> AsyncIterator[Browser]:
    """The browser of all these tests; each test has its own windows."""
    yield running_browser
    for context in running_browser.contexts:
        await context.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        browser = await playwright.chromium.launch(executable_path=chromium(), args=options + quiet)
        yield browser
        await browser.close()
