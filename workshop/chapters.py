"""The chapters of the workshop, and the learner's own copies of their exercises.

A chapter is a folder with `README.md` (the idea, the exercise, hints, the expected output), `exercise.py` (with a gap),
`solution.py` and `check.py`. The learner works on a copy, in `workshop/mine/` or in the folder that `TOUR_WORKSHOP`
names.
"""

import itertools
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType

from tour.runtime.errors import TourError
from tour.runtime.frameworks import ROOT

HOME = ROOT / "workshop"


@dataclass(frozen=True)
class Chapter:
    """One chapter. `minutes`: the time that a class needs, including reading and slides."""

    number: int
    name: str
    title: str
    minutes: int
    solved_by: str = ""
    """The repository's file that solves it; if empty, the chapter has its own solution."""
    open: bool = False
    """Whether its solution is never shown."""
    for_home: bool = False
    """Whether a class of 90 minutes leaves it out."""

    @property
    def part(self) -> int:
        """Part 1 keeps the promise, part 2 applies it. Each fits a class of 90 minutes, without chapters `for_home`."""
        return 1 if self.number <= 6 else 2

    @property
    def folder(self) -> Path:
        return HOME / f"ch{self.number:02}_{self.name}"

    @property
    def exercise(self) -> Path:
        return self.folder / "exercise.py"

    @property
    def solution(self) -> Path:
        return ROOT / self.solved_by if self.solved_by else self.folder / "solution.py"

    @property
    def mine(self) -> Path:
        """The learner's file, whether it exists or not."""
        return mine() / f"{self.folder.name}.py"

    @property
    def check(self) -> ModuleType:
        """Its module `check`, which has a coroutine function with the same name."""
        return import_module(f"workshop.{self.folder.name}.check")


CHAPTERS = (
    Chapter(0, "setup", "set-up", 8),
    Chapter(1, "forgets", "an agent that forgets", 9),
    Chapter(2, "durable_model_calls", "durable model calls", 9),
    Chapter(3, "fan_out", "fan out", 11),
    Chapter(4, "break_a_step", "break a step", 11),
    Chapter(5, "kill_the_process", "kill the process", 14),
    Chapter(6, "asyncio_gather", "why not asyncio.gather", 13),
    Chapter(7, "own_loop", "a loop of your own", 11),
    Chapter(8, "sessions", "sessions", 11),
    Chapter(
        9, "second_sdk", "the second SDK", 18, solved_by="pydantic_ai_agent/parallel_tools_agent.py", for_home=True
    ),
    Chapter(10, "choose", "choose", 7),
    Chapter(11, "a_person", "a person", 13),
    Chapter(12, "a_team_of_agents", "a team of agents", 15),
    Chapter(13, "the_judge", "the judge", 20, open=True),
    Chapter(14, "streaming", "streaming", 10, for_home=True),
)


def chapter(number: int) -> Chapter:
    """The chapter with this number. Raises: TourError."""
    if not 0 <= number < len(CHAPTERS):
        raise TourError(
            f"There is no chapter {number}.", f"They go from 0 to {len(CHAPTERS) - 1}; list them: uv run tour workshop"
        )
    return CHAPTERS[number]


def start(chapter: Chapter) -> bool:
    """Copy the exercise for the learner. Returns False, and changes nothing, if there is a copy."""
    if chapter.mine.exists():
        return False
    chapter.mine.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(chapter.exercise, chapter.mine)
    return True


def put(chapter: Chapter, source: Path) -> Path | None:
    """Replace the learner's file by `source`, keep the old file under another name, and return that name.

    Returns None if there was no file, or the same one.
    """
    chapter.mine.parent.mkdir(parents=True, exist_ok=True)
    kept = None
    if chapter.mine.exists() and chapter.mine.read_bytes() != source.read_bytes():
        names = (chapter.mine.with_suffix(f".{number}.py") for number in itertools.count(1))
        kept = next(name for name in names if not name.exists())
        chapter.mine.rename(kept)
    shutil.copy(source, chapter.mine)
    return kept


def done() -> Mapping[int, datetime]:
    """The numbers of the passed chapters, with the time of each. Raises: TourError."""
    file = _progress()
    if not file.exists():
        return {}
    try:
        return {int(number): datetime.fromisoformat(at) for number, at in json.loads(file.read_text()).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise TourError(
            f"Your progress cannot be read: {error}", f"Repair or remove {file}; it contains nothing else."
        ) from error


def mark(chapter: Chapter, passed: bool) -> None:
    """Record that the chapter has passed its check now; with `passed` False, delete the record."""
    times = {str(number): at.isoformat(timespec="seconds") for number, at in done().items()}
    times.pop(str(chapter.number), None)
    if passed:
        times[str(chapter.number)] = datetime.now().isoformat(timespec="seconds")
    mine().mkdir(parents=True, exist_ok=True)
    _progress().write_text(json.dumps(times, indent=1) + "\n")


def mine() -> Path:
    """The folder of the learner's files."""
    return Path(os.environ.get("TOUR_WORKSHOP") or HOME / "mine")


def _progress() -> Path:
    return mine() / "progress.json"
