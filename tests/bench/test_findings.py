"""docs/comparison.json has what its command finds, whatever the day, the machine and the times."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.findings import FILE, Findings
from tour.runtime.frameworks import ROOT


@pytest.mark.server
@pytest.mark.nightly
async def test_the_findings_have_not_drifted(tmp_path: Path) -> None:
    made = tmp_path / "comparison.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.findings", "--repeat", "2", "--out", made),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "TOUR_HOME": str(tmp_path), "TOUR_PORTS": "free", "COLUMNS": "100"},
        cwd=ROOT,
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    assert lasting(made) == lasting(FILE)


def lasting(file: Path) -> dict[str, Any]:
    """What does not depend on the day, the machine and the times."""
    found = Findings.model_validate_json(file.read_bytes())
    for each in found.frameworks:
        each.journal = round(each.journal, -2)  # a session has times, of a digit more or less
    return found.model_dump(
        exclude={"made": True, "machine": True, "frameworks": {"__all__": {"added": True, "footprint": {"start"}}}}
    )
