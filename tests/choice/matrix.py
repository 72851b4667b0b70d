"""The matrix of docs/comparison.md: what each framework brings on Restate."""

import re

from tour.runtime.frameworks import FRAMEWORKS, ROOT

PAGE = ROOT / "docs" / "comparison.md"
HEADING = "## What each brings on Restate"
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def read(page: str) -> dict[str, dict[str, str]]:
    """The cells without their links, by the feature and the framework's name."""
    section = page.partition(HEADING)[2].partition("\n## ")[0]
    rows = [LINK.sub(r"\1", line).strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    [_, *titles], _, *features = rows
    names = {framework.title: framework.name for framework in FRAMEWORKS}
    return {
        feature: {names[title]: cell for title, cell in zip(titles, cells, strict=True)} for feature, *cells in features
    }


MATRIX = read(PAGE.read_text())
