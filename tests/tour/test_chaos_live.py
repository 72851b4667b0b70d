"""A small storm from the command line; unit tests cover the verdict."""

from pathlib import Path

import pytest

from tests.tour.test_tour import tour


@pytest.mark.server
async def test_a_small_storm_passes(tmp_path: Path) -> None:
    process = await tour("chaos", "--claims", "20", "--seed", "3", home=tmp_path)
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    assert said.count("holds") == 4, said
    assert "2 of 2 kills" in said
