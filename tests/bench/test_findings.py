"""docs/comparison.md equals its command's output, independent of the day, the machine and the times."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tour.runtime.frameworks import ROOT


@pytest.mark.server
@pytest.mark.nightly
async def test_the_findings_have_not_drifted(tmp_path: Path) -> None:
    made = tmp_path / "comparison.md"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.findings", "--repeat", "2", "--out", made),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "TOUR_HOME": str(tmp_path), "TOUR_PORTS": "free", "COLUMNS": "100"},
        cwd=ROOT,
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said

    def lasting(findings: str) -> str:
        return re.sub(r"^Made .*|-?\d+\.\d+ [sx]\b|--repeat \d+", "…", findings, flags=re.MULTILINE)

    assert lasting(made.read_text()) == lasting((ROOT / "docs" / "comparison.md").read_text())
