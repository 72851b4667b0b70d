"""The environment of a script whose packages are not those of the project: from the script's lock file, by uv."""

import asyncio
import os
import sys
from pathlib import Path

from tour.runtime.errors import TourError
from tour.runtime.processes import start


async def python(script: Path, log: Path) -> Path:
    """The interpreter for this script: of its own environment, which is installed if it has a lock file.

    Raises: TourError when uv is missing, or a package cannot be installed.
    """
    if not script.with_name(f"{script.name}.lock").exists():
        return Path(sys.executable)
    uv, options = os.environ.get("UV", "uv"), ("--script", str(script))
    synced = await start("uv", [uv, "sync", "--quiet", "--locked", *options], log)
    if await synced.child.wait() != 0:
        raise TourError(f"The packages of {script.name} cannot be installed:\n{synced.log_tail()}", f"Its log: {log}")
    found = await asyncio.create_subprocess_exec(
        *(uv, "python", "find", *options), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    said, _ = await found.communicate()
    return Path(said.decode().strip())
