"""The hints of a chapter, one at a time. The chapter's page has them; the learner's folder stores the number seen."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tour.runtime.errors import TourError
from workshop import chapters
from workshop.chapters import Chapter

_HINT = re.compile(r"<details><summary>Hint \d+</summary>\n+(.+?)\n</details>", re.DOTALL)


@dataclass(frozen=True)
class Hint:
    """One hint in Markdown, with its number from 1, and the number of hints in the chapter."""

    number: int
    of: int
    text: str


def all_of(chapter: Chapter) -> Sequence[Hint]:
    """The hints of the chapter's page, in order: each tells more than the one before."""
    texts = _HINT.findall((chapter.folder / "README.md").read_text())
    return [Hint(number, len(texts), text) for number, text in enumerate(texts, 1)]


def seen(chapter: Chapter) -> Sequence[Hint]:
    """The hints that the learner has seen. Raises: TourError."""
    return all_of(chapter)[: _counts().get(str(chapter.number), 0)]


def next_of(chapter: Chapter) -> Sequence[Hint]:
    """The next hint, which then counts as seen; empty if there is none. Raises: TourError."""
    counts = _counts()
    before = counts.get(str(chapter.number), 0)
    shown = all_of(chapter)[before : before + 1]
    if shown:
        counts[str(chapter.number)] = before + 1
        file = chapters.mine() / FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(counts, indent=1) + "\n")
    return shown


def forget(chapter: Chapter) -> None:
    """Restart with the first hint. Raises: TourError."""
    counts = _counts()
    if counts.pop(str(chapter.number), 0):
        (chapters.mine() / FILE).write_text(json.dumps(counts, indent=1) + "\n")


FILE = "hints.json"
"""The file with the number of hints shown, by chapter."""


def _counts() -> dict[str, int]:
    file = chapters.mine() / FILE
    if not file.exists():
        return {}
    try:
        return {str(int(number)): int(count) for number, count in json.loads(file.read_text()).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise TourError(
            f"The list of hints that you have seen cannot be read: {error}", f"Remove {file}; it contains nothing else."
        ) from error
