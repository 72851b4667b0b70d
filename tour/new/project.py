"""Writes the project: the agent of a framework under a new name, and the files that all projects share."""

import importlib.util
import json
import keyword
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2

from tour.runtime.errors import TourError
from tour.runtime.frameworks import FRAMEWORKS, ROOT, Framework, Pattern

HERE = Path(__file__).parent


AGENT = Pattern("new", "a trip", "twins/my_agent.py", "MyAgent")
"""The agent of new projects, in the folder of each framework."""

SDKS = {
    framework.name.removesuffix("_agent").replace("_", "-"): framework
    for framework in FRAMEWORKS
    if framework.script(AGENT).exists()
}
"""The frameworks of new projects, by the value of `--sdk`."""


def write(folder: Path, sdk: str) -> None:
    """Write a project into this new folder, whose name the agent gets. Raises: TourError before any file is written."""
    name = folder.resolve().name
    if sdk not in SDKS:
        raise TourError(f"There is no SDK {sdk}.", f"Choose from: {', '.join(SDKS)}")
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise TourError(
            f"{name} cannot be the name of a Python module.",
            "Use small letters, digits and single underscores, such as my_agent.",
        )
    if folder.exists():
        raise TourError(f"{folder} exists already.", "Choose another name, or remove it.")
    if importlib.util.find_spec(name):
        raise TourError(f"There is a Python module {name} already.", f"Choose another name, such as {name}_of_mine.")
    if not folder.resolve().parent.is_dir():
        raise TourError(f"There is no folder {folder.resolve().parent}.", "Create it first, or name another one.")
    files = dict(_files(name, sdk))  # build all files before writing the first
    folder.mkdir()
    for file, text in files.items():
        (folder / file).write_text(text)


def commands(name: str, sdk: str) -> tuple[str, str, str]:
    """The commands of a project: the first asks the agent, the second kills it, the third judges it."""
    file, request = file_name(name, sdk), '"Book a weekend in Lisbon."'
    return f"uv run tour try {file} {request}", "uv run pytest", f"uv run tour judge --text {request} {file}"


def file_name(name: str, sdk: str) -> str:
    """The name of the agent's file."""
    return f"{name}{SDKS[sdk].script(AGENT).suffix}"


def _files(name: str, sdk: str) -> Iterator[tuple[str, str]]:
    framework = SDKS[sdk]
    service = "".join(part.capitalize() for part in name.split("_"))
    renamed = {"my_agent": name, "MyAgent": service, "../../shared/held_steps.ts": "./held_steps.ts"}
    agent = framework.script(AGENT).read_text()
    for old, new in renamed.items():
        agent = agent.replace(old, new)
    yield file_name(name, sdk), agent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    values = {
        "name": name,
        "file": file_name(name, sdk),
        "service": service,
        "framework": framework,
        "google": framework.wire == "Gemini",
        "call": "/".join([service, *(["anna"] if framework.keyed else []), "run"]),
        "commands": commands(name, sdk),
        "extra": "openai" if sdk == "restate-loop" else sdk,
        "dependencies": [] if framework.on_node else _dependencies(framework),
        "tour": ROOT,
    }
    for template in environment.list_templates():
        file = template.removesuffix(".jinja").replace("my_agent", name).replace("dot.", ".")
        yield file, environment.get_template(template).render(values)
    if framework.on_node:
        yield "held_steps.ts", (ROOT / "typescript/shared/held_steps.ts").read_text()
        package, lock = _node_packages(name)
        yield "package.json", json.dumps(package, indent=2) + "\n"
        yield "package-lock.json", json.dumps(lock, indent=2) + "\n"


def _dependencies(framework: Framework) -> list[str]:
    """The requirements for this agent's imports, besides `durable`."""
    wanted = {re.split(r"[\[>=]", package)[0] for package in framework.packages} | {"hypercorn", "pydantic"}
    of_tour = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return sorted(line for line in of_tour if re.split(r"[\[>=]", line)[0] in wanted)


def _node_packages(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """`package.json` and its lock: the tour's, without the packages that only check code."""
    package, lock = (
        json.loads((ROOT / "typescript" / file).read_text()) for file in ("package.json", "package-lock.json")
    )
    root = {"name": name, "dependencies": package["dependencies"]}
    kept = {path: one for path, one in lock["packages"].items() if path and not one.get("dev")}
    package = {"name": name, "private": True, "type": "module", "engines": package["engines"], **root}
    return package, lock | {"name": name, "packages": {"": root | {"engines": package["engines"]}, **kept}}
