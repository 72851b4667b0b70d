"""A new SDK is one folder: no list in the tour has to name it."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from tour.runtime.frameworks import ROOT

ACME = Path(__file__).parent / "acme_agent"


@pytest.mark.server
async def test_another_sdk_is_one_folder(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for entry in ROOT.iterdir():
        (tree / entry.name).symlink_to(entry)
    shutil.copytree(ACME, tree / ACME.name)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from tour.cli import main; main()"),
        *("compare", "--only", "acme_agent,restate_loop", "--fail", "cost", "--step-latency", "0.1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(tree), "TOUR_HOME": str(tmp_path), "TOUR_PORTS": "free"},
        cwd=tree,
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    assert "Acme: Approved:" in said
    assert "a loop of our own: Approved:" in said
