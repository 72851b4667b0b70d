"""The agents in TypeScript run if npm has been reached once; otherwise they are left out."""

import asyncio
import json
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tour.runtime import node
from tour.runtime.errors import TourError
from tour.runtime.frameworks import FRAMEWORKS, PYTHON, TYPESCRIPT
from tour.runtime.processes import free_port

pytestmark = pytest.mark.server  # npm and Node take long

LISTED = "node_modules/.package-lock.json"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `typescript/` without packages, and an npm with an empty cache."""
    home = tmp_path / "typescript"
    home.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(node.TYPESCRIPT / name, home)
    monkeypatch.setattr(node, "TYPESCRIPT", home)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    return home


@pytest.fixture
def npm(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """An npm that installs only its list; returns the folders in which it was asked to."""
    asked: list[Path] = []

    async def npm_ci(title: str, packages: Path, work: Path, expected: Path, *options: str, **_: Any) -> None:
        asked.append(work)
        expected.mkdir()
        shutil.copy(packages / "package-lock.json", work / LISTED)

    monkeypatch.setattr(node, "npm_ci", npm_ci)
    return asked


async def test_for_python_alone_nothing_is_installed(folder: Path, npm: list[Path]) -> None:
    assert await node.able(PYTHON[:2], pytest.fail) == list(PYTHON[:2])
    assert npm == []
    assert not (folder / "node_modules").exists()


async def test_they_are_installed_once(folder: Path, npm: list[Path]) -> None:
    said: list[str] = []
    assert await node.able(FRAMEWORKS, said.append) == list(FRAMEWORKS)
    assert len(said) == 1
    assert said[0].startswith("Installing")
    assert await node.able(TYPESCRIPT, pytest.fail) == list(TYPESCRIPT)
    assert len(npm) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["node_modules", "package-lock.json", "package.json"]


async def test_they_are_installed_again_when_the_lock_has_changed(folder: Path, npm: list[Path]) -> None:
    await node.install(print)
    lock = json.loads((folder / "package-lock.json").read_text())
    lock["packages"]["node_modules/ai"]["version"] = "99.0.0"
    (folder / "package-lock.json").write_text(json.dumps(lock))
    await node.install(print)
    await node.install(pytest.fail)
    assert len(npm) == 2


async def test_they_are_installed_again_where_an_npm_of_the_reader_was_interrupted(
    folder: Path, npm: list[Path]
) -> None:
    """npm writes its list last. A truncated list does not count."""
    (folder / "node_modules/ai").mkdir(parents=True)
    await node.install(print)
    assert not (folder / "node_modules/ai").exists()
    listed = folder / LISTED
    listed.write_text(listed.read_text()[:1000])
    await node.install(print)
    await node.install(pytest.fail)
    assert len(npm) == 2


async def test_of_two_that_install_at_once_the_first_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent of the first may be loading its packages when the second has them."""
    number = 0

    async def npm_ci(title: str, packages: Path, work: Path, expected: Path, *options: str, **_: Any) -> None:
        nonlocal number
        number += 1
        expected.mkdir()
        (expected / f"by {number}").touch()
        await asyncio.sleep(0.01 * number)
        shutil.copy(packages / "package-lock.json", work / LISTED)

    monkeypatch.setattr(node, "npm_ci", npm_ci)
    await asyncio.gather(node.install(print), node.install(print))
    assert number == 2
    assert (folder / "node_modules/by 1").exists()


async def test_the_checkers_are_installed_only_for_those_who_check(folder: Path, npm: list[Path]) -> None:
    await node.install(print)
    lock = json.loads((folder / LISTED).read_text())
    lock["packages"] = {path: package for path, package in lock["packages"].items() if not package.get("dev")}
    (folder / LISTED).write_text(json.dumps(lock))
    await node.install(pytest.fail)
    await node.install(print, dev=True)
    assert len(npm) == 2


async def test_where_a_collector_is_named_the_packages_for_traces_are_installed(
    folder: Path, npm: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.install(print)
    lock = json.loads((folder / LISTED).read_text())
    lock["packages"] = {path: package for path, package in lock["packages"].items() if not package.get("dev")}
    (folder / LISTED).write_text(json.dumps(lock))
    await node.able(TYPESCRIPT, pytest.fail)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    assert await node.able(TYPESCRIPT, print) == list(TYPESCRIPT)
    assert len(npm) == 2


async def test_without_npm_s_registry_they_are_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{free_port()}/")
    said: list[str] = []
    assert await node.able(FRAMEWORKS, said.append) == list(PYTHON)
    _, left_out = said
    assert left_out.startswith("Left out: Vercel AI and a loop in TypeScript")
    assert "ECONNREFUSED" in left_out
    assert "\n" not in left_out
    with pytest.raises(TourError, match="npm could not install") as error:
        await node.able(TYPESCRIPT, said.append)
    assert "Connect to the network once" in error.value.remedy
    assert sorted(path.name for path in folder.iterdir()) == ["package-lock.json", "package.json"]


async def test_where_nothing_can_be_written_they_are_left_out(
    folder: Path, npm: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "TYPESCRIPT", Path("/proc"))
    said: list[str] = []
    assert await node.able(FRAMEWORKS, said.append) == list(PYTHON)
    assert "\n" not in said[-1]
    assert "cannot be installed" in said[-1]


async def test_an_installation_that_is_interrupted_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {*psutil.Process().children(recursive=True)}
    with socket.create_server(("127.0.0.1", 0)) as registry:  # it never answers
        registry.setblocking(False)
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{registry.getsockname()[1]}/")
        installing = asyncio.create_task(node.able(FRAMEWORKS, lambda line: None))
        connection, _ = await asyncio.get_running_loop().sock_accept(registry)
        with connection:
            started = {*psutil.Process().children(recursive=True)} - others
            assert started
            began = time.monotonic()
            installing.cancel()
            await asyncio.wait({installing})
    assert installing.cancelled()
    assert time.monotonic() - began < 2
    _, alive = psutil.wait_procs(started, 1)
    assert not alive
    assert sorted(path.name for path in folder.iterdir()) == ["package-lock.json", "package.json"]
