"""A new SDK is one folder: no list in the tour has to name it."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from tour.runtime.frameworks import ROOT

ACME = Path(__file__).parent / "acme_agent"


def links_to_the_tree(folder: Path) -> Path:
    """A folder with a link to each entry of the tree."""
    tree = folder / "tree"
    tree.mkdir()
    for entry in ROOT.iterdir():
        (tree / entry.name).symlink_to(entry)
    return tree


async def tour(tree: Path, home: Path, *arguments: str) -> str:
    """The output of `tour` with these arguments, in this tree."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from tour.cli import main; main()", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ,
            "PYTHONPATH": str(tree),
            "TOUR_HOME": str(home),
            "TOUR_PORTS": "free",
            "COLUMNS": "100",
            "UV_NO_SYNC": "1",  # or uv, which starts the bank for Node, installs this tree for everybody
        },
        cwd=tree,
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    return said


@pytest.mark.server
async def test_another_sdk_is_one_folder(tmp_path: Path) -> None:
    tree = links_to_the_tree(tmp_path)
    shutil.copytree(ACME, tree / ACME.name)
    said = await tour(
        *(tree, tmp_path, "compare", "--only", "acme_agent,restate_loop", "--fail", "cost", "--step-latency", "0.1")
    )
    assert "Acme: Approved:" in said
    assert "a loop of our own: Approved:" in said
