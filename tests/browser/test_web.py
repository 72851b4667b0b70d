"""A person's actions on the page, and their results."""

import re

import httpx
import pytest
from playwright.async_api import Browser, Page, Request, ViewportSize, expect

from shared.claims import sample_claims
from tour.runtime.frameworks import FRAMEWORKS, STREAMING
from tour.runtime.stack import CHECKS

ALL = len(FRAMEWORKS)

LONG = 60_000
"""Milliseconds that the agents may take to restart after a kill, on two cores."""


async def opened(browser: Browser, url: str, scheme: str = "light") -> Page:
    context = await browser.new_context(viewport=ViewportSize(width=1280, height=800))
    page = await context.new_page()
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await page.goto(url)
    await expect(page.get_by_role("button", name="Send to all agents")).to_be_enabled()
    return page


async def choose(page: Page, label: str, option: str) -> None:
    await page.get_by_label(label).click()
    await page.get_by_role("option", name=option, exact=True).click()
    await expect(page.get_by_role("listbox")).to_have_count(0)


async def send(page: Page) -> None:
    await page.get_by_role("button", name="Send to all agents").click()


async def answered(page: Page) -> str:
    """Wait until all have answered; returns the page's text about the ledger."""
    status = page.get_by_role("status").filter(has_text="Ledger")
    await expect(status).to_contain_text(f"{ALL} of {ALL} answered", timeout=LONG)
    return await status.inner_text()


async def test_send_watch_it_grow_and_read(browser: Browser, url: str) -> None:
    page = await opened(browser, url)
    for check in CHECKS:
        await choose(page, f"The check {check}", "takes 3 s longer")
    await send(page)
    loop = page.get_by_role("img", name="Timeline of a loop of our own")
    await expect(loop.locator("rect.check.running")).to_have_count(3, timeout=LONG)  # side by side, and not done yet
    before = float(await loop.locator("rect.check.running").first.get_attribute("x") or 0)
    await expect(loop.locator("rect.check.running").first).not_to_have_attribute(
        "x", f"{before:.1f}"
    )  # the scale grows
    assert f"{ALL} of {ALL}" not in await page.get_by_role("status").filter(has_text="Ledger").inner_text()
    assert f"{3 * ALL} checks started, {3 * ALL} ended, 0 faults injected into them" in await answered(page)
    await expect(loop.locator("rect")).to_have_count(5)
    await expect(loop.locator("rect.running")).to_have_count(0)
    await expect(page.get_by_text("Approved:")).to_have_count(ALL)
    links = page.get_by_role("link", name="invocation")
    await expect(links).to_have_count(ALL)
    async with page.context.expect_page() as opening:
        await links.first.click()
    step = (await opening.value).get_by_text("eligibility").first
    await expect(step).to_be_visible(timeout=LONG)


@pytest.mark.in_turn(1)
async def test_a_failing_check_for_one_while_another_is_not_disturbed(browser: Browser, url: str) -> None:
    breaks, calm = await opened(browser, url), await opened(browser, url)
    await choose(breaks, "The check fraud", "fails twice")
    await choose(breaks, "The model", "answers 429 twice")
    await send(breaks)
    await send(calm)
    assert f"{5 * ALL} checks started, {5 * ALL} ended, {2 * ALL} faults injected into them" in await answered(breaks)
    assert f"{3 * ALL} checks started, {3 * ALL} ended, 0 faults injected into them" in await answered(calm)
    await expect(breaks.get_by_text("fraud ×3: 2 retried")).to_have_count(ALL)
    await expect(breaks.get_by_text("eligibility ×1", exact=True)).to_have_count(ALL)
    await expect(breaks.locator("svg g path.fail").first).to_be_visible()
    await expect(calm.locator("svg g path.fail")).to_have_count(0)


@pytest.mark.in_turn(1)
async def test_kill_an_agent_and_see_it_recover(browser: Browser, url: str) -> None:
    page = await opened(browser, url)
    await choose(page, "The check cost", "takes 3 s longer")
    await send(page)
    chain = page.get_by_role("img", name="Timeline of LangChain")
    await expect(chain.get_by_text("eligibility ×1")).to_be_visible()
    await page.get_by_role("button", name="kill -9 LangChain").click()
    await answered(page)
    await expect(chain.get_by_text("cost ×2: 1 interrupted")).to_be_visible()
    await expect(page.get_by_text("was killed (SIGKILL), started again")).to_have_count(1)
    await expect(page.get_by_text("Approved:")).to_have_count(ALL)


@pytest.mark.in_turn(1)
async def test_the_text_comes_live_through_a_reload_and_a_kill(browser: Browser, url: str) -> None:
    page = await opened(browser, url)
    await choose(page, "Compare", f"All agents: {STREAMING.title}")
    await choose(page, "The model", "is silent for 6 s in its second answer")
    await send(page)
    loop = page.locator(".card", has=page.get_by_role("button", name="kill -9 a loop of our own", exact=True))
    text = loop.locator(".answer")
    await expect(text).to_have_text(re.compile("."), timeout=LONG)
    half = await text.inner_text()
    await page.reload()
    await expect(text).to_have_text(half)
    await text.evaluate(
        "text => { seen = []; new MutationObserver(() => seen.push(text.innerText)).observe(text, "
        "{childList: true, characterData: true, subtree: true}) }"
    )
    await loop.get_by_role("button", name="kill -9").click()
    await answered(page)
    answer = await text.inner_text()
    assert answer.startswith(half)
    assert len(answer) > len(half)
    assert all(answer.startswith(each) for each in await page.evaluate("seen")), "the half is taken back, and not kept"
    await expect(page.get_by_text("Approved:")).to_have_count(ALL)
    await expect(page.get_by_text("was killed (SIGKILL), started again")).to_have_count(1)


@pytest.mark.in_turn(1)
async def test_a_check_that_ends_for_good(browser: Browser, url: str) -> None:
    page = await opened(browser, url)
    await choose(page, "The check cost", "ends with an error 422")
    await send(page)
    await answered(page)
    await expect(page.get_by_text("422: cost: planned by the lab")).to_have_count(ALL)


@pytest.mark.in_turn(1)
async def test_a_person_decides_on_the_page(browser: Browser, url: str) -> None:
    page = await opened(browser, url)
    view = "All agents: a person decides"
    await choose(page, "Compare", view)
    await choose(page, "Sample", "round-emergency")
    await send(page)
    await expect(page.get_by_text("asks", exact=False).filter(has_text=" asks")).to_have_count(
        len(FRAMEWORKS), timeout=LONG
    )
    other = await opened(browser, url)  # the page keeps nothing: another one has the same list
    await choose(other, "Compare", view)
    for framework in FRAMEWORKS:
        await other.get_by_label(f"Reason for {framework.title}").fill("<b>invoice</b> seen")
        row = other.locator(".card").filter(has=other.get_by_label(f"Reason for {framework.title}"))
        await row.get_by_role("button", name="Approve" if framework.keyed else "Refuse").click()
    await answered(page)
    await expect(page.get_by_text("approved by a person: <b>invoice</b> seen")).to_have_count(1)
    await expect(page.get_by_text("refused by a person: <b>invoice</b> seen")).to_have_count(len(FRAMEWORKS) - 1)
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)


async def test_an_invalid_claim_is_refused_at_its_field(browser: Browser, url: str) -> None:
    page = await opened(browser, url)
    await page.get_by_label("Amount in US dollars").fill("-3")
    await page.get_by_label("Date").fill("yesterday")
    await page.get_by_label("Reason").fill("")
    await send(page)
    for message in ("greater than 0", "YYYY-MM-DD", "at least 1 character"):
        await expect(page.get_by_text(message)).to_be_visible()
    await expect(page.locator("svg")).to_have_count(0)
    await choose(page, "Sample", "tooth-filling")
    await expect(page.get_by_text("greater than 0")).to_have_count(0)


@pytest.mark.in_turn(1)
async def test_nothing_of_a_claim_is_markup(browser: Browser, url: str) -> None:
    page = await opened(browser, url)
    markup = "<img src=nowhere onerror='document.title = `taken`'><b class=taken>x</b>"
    for label in ("Reason", "Category", "Place of service"):
        await page.get_by_label(label).fill(markup)
    await send(page)
    await answered(page)
    assert await page.title() == "Tour of Agents"
    assert await page.locator("b.taken, img").count() == 0
    assert await page.get_by_text("Rejected").count() > 0


async def test_nothing_is_fetched_from_elsewhere(browser: Browser, url: str) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    await page.goto(url)
    await expect(page.get_by_role("button", name="Send to all agents")).to_be_enabled()
    assert asked
    assert not [each for each in asked if not each.startswith((url, "data:", "blob:"))]


def test_another_host_name_is_refused(url: str) -> None:
    """Otherwise a foreign page could reach this one through a domain name that resolves to loopback."""
    assert httpx.get(url, headers={"host": "example.org"}).status_code == 400


@pytest.mark.in_turn(1)
async def test_with_the_keyboard_alone(browser: Browser, url: str) -> None:
    page = await opened(browser, url)
    await page.get_by_label("The check fraud").focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("listbox").wait_for()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("The check fraud")).to_have_value("fails twice")
    for _ in range(5):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.innerText") == "Send to all agents":
            break
    await page.keyboard.press("Enter")
    assert f"{2 * ALL} faults injected into them" in await answered(page)


@pytest.mark.in_turn(1)
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits(browser: Browser, url: str, scheme: str) -> None:
    page = await opened(browser, url, scheme)
    await send(page)
    await answered(page)
    for width, height in ((1024, 768), (1280, 800), (1920, 1080)):
        await page.set_viewport_size(ViewportSize(width=width, height=height))
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        if width >= 1280:
            for framework in FRAMEWORKS:
                timeline = page.get_by_role("img", name=f"Timeline of {framework.title}")
                await expect(timeline).to_be_in_viewport(ratio=0.99)
        smallest = await page.evaluate(
            "Math.min(...[...document.querySelectorAll('svg text')].map(text => text.getBoundingClientRect().height))"
        )
        assert smallest >= 10
    ink, paper = [
        sum(map(int, re.findall(r"\d+", await page.evaluate(f"getComputedStyle(document.body).{style}"))[:3]))
        for style in ("color", "backgroundColor")
    ]
    assert (ink > paper + 300) if scheme == "dark" else (paper > ink + 300)


@pytest.mark.in_turn(1)
async def test_the_code_side_by_side(browser: Browser, url: str) -> None:
    page = await opened(browser, url)
    await page.get_by_role("tab", name="Their code").click()
    for region in ("the tool", "the agent", "the service"):
        await expect(page.get_by_role("heading", name=region)).to_be_visible()
    source = FRAMEWORKS[0].entrypoint.read_text()
    shown = await page.get_by_role("region", name="The code of the service").locator("pre").first.inner_text()
    assert shown.strip() in source
    await expect(page.locator("pre .common").first).to_be_visible()
    for framework in FRAMEWORKS[2:]:
        await page.get_by_role("checkbox", name=framework.title).click()
    await expect(page.get_by_role("region", name="The code of the tool").locator("pre")).to_have_count(2)


@pytest.mark.in_turn(1)
async def test_one_framework_three_ways(browser: Browser, url: str) -> None:
    page = await opened(browser, url)
    await choose(page, "Compare", "a loop of our own, every way")
    await page.get_by_role("button", name="kill -9 parallel tool calls").click()
    await expect(page.get_by_text("has not been started yet")).to_be_visible()
    await page.get_by_role("button", name="Send it every way").click()
    await expect(page.get_by_text("6 of 6 answered")).to_be_visible(timeout=LONG)  # more agents start first
    overlap = {}
    for pattern in ("one tool that fans out", "parallel tool calls", "tool calls one by one"):
        checks = page.get_by_role("img", name=f"Timeline of {pattern}").locator("rect.check")
        await expect(checks).to_have_count(3)
        boxes = [await checks.nth(number).bounding_box() for number in range(3)]
        overlap[pattern] = max(box["x"] for box in boxes if box) < min(box["x"] + box["width"] for box in boxes if box)
    assert overlap == {"one tool that fans out": True, "parallel tool calls": True, "tool calls one by one": False}


@pytest.mark.in_turn(1)
async def test_every_sample_can_be_chosen(browser: Browser, url: str) -> None:
    page = await opened(browser, url)
    for name, claim in sample_claims().items():
        await choose(page, "Sample", name)
        await expect(page.get_by_label("Reason")).to_have_value(claim.reason)
        await expect(page.get_by_label("Amount in US dollars")).to_have_value(f"{claim.amount:.2f}")


@pytest.mark.in_turn(1)
async def test_on_a_phone_the_results_come_first_on_a_round_axis(browser: Browser, url: str) -> None:
    context = await browser.new_context(viewport=ViewportSize(width=390, height=844))
    page = await context.new_page()
    await page.goto(url)
    button = page.get_by_role("button", name="Send to all agents")
    await expect(button).to_be_in_viewport()
    await button.click()
    await answered(page)
    first = page.get_by_role("img", name="Timeline of").first
    await expect(first).to_be_in_viewport()
    ticks = [
        float(tick.removesuffix(" s"))
        for tick in await first.get_by_text(re.compile(r"^[\d.]+ s$")).all_text_contents()
    ]
    assert 3 <= len(ticks) <= 5
    assert re.fullmatch(r"[125]0*", f"{ticks[1] * 10:.0f}"), ticks
    assert not await page.evaluate("document.documentElement.scrollWidth > innerWidth")
