"""The judge breaks the agent of the last chapter, but not its solution."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from workshop.attempt import Attempt, Wrong
from workshop.chapters import chapter

pytestmark = [pytest.mark.server, pytest.mark.nightly, pytest.mark.timeout(1800)]


async def judged(file: Path) -> str:
    """The output of the check on a passing agent. Raises: Wrong."""
    shown = StringIO()
    await chapter(13).check.check(Attempt(file, Console(file=shown, width=200)))
    return shown.getvalue()


async def test_the_exercise_breaks_promises() -> None:
    with pytest.raises(Wrong, match="Broken promises: ") as wrong:
        await judged(chapter(13).exercise)
    assert "bad input is the caller's fault" in wrong.value.shown


async def test_the_score_can_be_full() -> None:
    assert "✓ a finished HTTP request is not made again" in await judged(Path(__file__).parent / "judged_agent.py")


async def test_a_file_that_does_not_run(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import shared.servings\n")
    with pytest.raises(Wrong, match="cannot judge your agent") as wrong:
        await judged(file)
    assert "No module named 'shared.servings'" in "\n".join(wrong.value.shown)
