"""The page of slides is up to date with its source, and self-contained."""

import os
import re
from pathlib import Path

import pytest

from tour.runtime.errors import TourError
from workshop import slides


@pytest.mark.long
async def test_the_page_is_what_marp_makes_of_the_slides(tmp_path: Path) -> None:
    page = tmp_path / "slides.html"
    try:
        await slides.render(page, print)
    except TourError as error:
        if os.environ.get("CI") or not error.problem.startswith("npm could not install"):
            raise
        pytest.skip(error.problem.splitlines()[0])
    assert page.read_text() == slides.PAGE.read_text(), "render it again: uv run tour workshop slides"
    assert [path.name for path in tmp_path.iterdir()] == [page.name]


def test_the_page_names_no_other_address() -> None:
    assert set(re.findall(r"https?://[\w./@-]+", slides.PAGE.read_text())) == {
        "http://www.w3.org/2000/svg",  # a name, not an address
        f"https://unpkg.com/@marp-team/marp-cli@{slides.MARP.version}/lib/bespoke.js.LICENSE.txt",  # in a comment
    }


async def test_what_marp_says_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not slides.MARP.installed():
        pytest.skip("Marp is not installed yet")
    monkeypatch.setattr(slides, "SLIDES", tmp_path / "nowhere.md")
    with pytest.raises(TourError, match="Marp ended with code 1"):
        await slides.render(tmp_path / "slides.html", print)
