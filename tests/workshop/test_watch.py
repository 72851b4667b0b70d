"""`tour workshop watch` checks a file each time it is saved, and leaves nothing behind."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from workshop.chapters import chapter

pytestmark = pytest.mark.server


async def until(output: asyncio.StreamReader, said: str) -> str:
    """The output up to a line with these words. Raises: AssertionError if it ends first."""
    read = ""
    while said not in read:
        line = (await output.readline()).decode()
        assert line, read
        read += line
    return read


async def test_each_save_is_checked_and_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    file = tmp_path / "ch00_setup.py"
    file.write_text(chapter(0).exercise.read_text())
    watching = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from tour.cli import main; main()", "workshop", "watch", "0"),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"TOUR_WORKSHOP": str(tmp_path)},
    )
    assert watching.stdout
    assert "`greet` is not a durable step" in await until(watching.stdout, "Checked in")

    file.write_text("import restate\nreturn [\n")
    assert "not valid Python" in await until(watching.stdout, "Checked in")

    hangs = (
        chapter(0).exercise.read_text().replace("    # EXERCISE", "    await __import__('asyncio').sleep(99)\n    #")
    )
    file.write_text(hangs)
    await until(watching.stdout, "Chapter 0")

    saved = tmp_path / "saved by an editor"
    saved.write_text(chapter(0).solution.read_text())
    saved.rename(file)
    said = await until(watching.stdout, "Checked in")
    assert "✓ `greet` is a durable step" in said
    assert "no answer" not in said, "it waited for the check of the file before"
    assert (tmp_path / "progress.json").exists()

    children = psutil.Process(watching.pid).children(recursive=True)
    assert {"workshop.spare", "offline_model"} <= {word for child in children for word in child.cmdline()}
    watching.send_signal(signal.SIGINT)
    assert "Stopped." in (await watching.stdout.read()).decode()
    assert await watching.wait() == 130
    assert not psutil.wait_procs(children, timeout=10)[1]
