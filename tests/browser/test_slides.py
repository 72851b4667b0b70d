"""The slides in a real browser: nothing is cut off, everything is legible from the last row, nothing is fetched."""

from playwright.async_api import Browser, Request, ViewportSize

from workshop import slides

OVERFLOW = """
[...document.querySelectorAll('section')].filter(
    slide => slide.scrollHeight > slide.clientHeight || slide.scrollWidth > slide.clientWidth
).map(slide => slide.textContent.trim().slice(0, 40))
"""
SMALLEST = """
Math.min(...[...document.querySelectorAll('section :is(h1, p, li, code)')].map(
    text => parseFloat(getComputedStyle(text).fontSize) * text.getBoundingClientRect().width / text.offsetWidth
))
"""


async def test_every_slide_fits_and_can_be_read(browser: Browser) -> None:
    page = await browser.new_page(viewport=ViewportSize(width=1280, height=720))
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    await page.goto(slides.PAGE.as_uri())
    assert await page.locator("section").count() > 20
    assert await page.evaluate(OVERFLOW) == []
    assert await page.evaluate(SMALLEST) >= 17
    assert [url for url in asked if not url.startswith(("data:", slides.PAGE.as_uri()))] == []
