"""README's picture of the live page: two agents are killed during a check, and recover.

uv run python -m tests.browser.picture    # writes docs/web.png; on an idle machine
"""

import asyncio
import subprocess
import sys

from playwright.async_api import async_playwright

from tests.browser.conftest import chromium
from tests.browser.test_web import answered, choose, opened, send
from tour.runtime.frameworks import BY_NAME, ROOT

KILLED = ("langchain_agent", "vercel_ai")


async def draw(url: str) -> None:
    """Send a claim with a long cost check, kill the agents during that check, and photograph the end."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = await opened(browser, url)
        await send(page)  # the first claim of a process pays for imports
        await answered(page)
        await choose(page, "The check cost", "takes 3 s longer")
        await send(page)
        for name in KILLED:
            lane = page.get_by_role("img", name=f"Timeline of {BY_NAME[name].title}", exact=True)
            await lane.locator("rect.check.running").nth(0).wait_for()
        await asyncio.sleep(0.8)  # eligibility and fraud are finished
        for name in KILLED:
            await page.get_by_role("button", name=f"kill -9 {BY_NAME[name].title}", exact=True).click()
        await answered(page)
        await page.get_by_role("alert").first.wait_for(state="detached")
        await page.mouse.move(0, 790)
        await page.screenshot(path=ROOT / "docs" / "web.png", full_page=True)
        await browser.close()


def main() -> None:
    command = [
        sys.executable,
        "-uc",
        "from tour.cli import main; main()",
        "web",
        "--port=0",
        "--model=offline",
        "--step-latency=0.5",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = next(line.split()[2] for line in process.stdout if line.startswith("The page: "))
        asyncio.run(draw(url))
        process.terminate()


if __name__ == "__main__":
    main()
