"""Every command of README, docs and workshop runs unchanged, and prints the output on its page.

The commands run in order, in a copy of the checkout, on the usual ports of a network namespace, so that they are free.
A server runs until another one needs its port, or until the reader reaches the end.
"""

import asyncio
import fcntl
import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest

from tests import forking
from tests.docs.namespace import Namespace, open_namespace
from tests.docs.pages import PAGES, Command, commands_of, missing
from tests.docs.terminal import Server, Terminal
from tour.runtime import node, restate_server
from tour.runtime.frameworks import FRAMEWORKS, PYTHON, ROOT
from tour.runtime.processes import who_listens
from tour.runtime.restate_server import Ports, Program
from workshop.chapters import CHAPTERS, mark
from workshop.slides import MARP

CLI = Program("restate", "Restate CLI", "60 MB", Path(__file__).parent)

USUAL = (Ports().ingress, Ports().admin, Ports().node, 8070, 9080, 9180, *(each.port() for each in FRAMEWORKS))


@dataclass(frozen=True)
class Instead:
    """The substitute for a command that cannot run unchanged, and the reason. It must exit with 0."""

    why: str
    run: str = ""
    """Run this instead."""
    exit: int = 0
    test: str = ""
    """Another test runs it."""


WAITING = """restate sql "SELECT service_key, value_utf8 FROM state WHERE key = 'waiting'\""""


def _of_the_claim(command: str) -> dict[str, Instead]:
    """Run this command for the one claim of docs/approval.md."""
    claims = """restate sql "SELECT id FROM sys_invocation WHERE target_service_name = 'ApprovalClaimAgent'\""""
    id = f"$({claims} 2>/dev/null | grep --only-matching 'inv_[0-9A-Za-z]*')"
    return {command: Instead("inv_… is the reader's", run=command.replace("inv_…", id))}


_DECIDE = "curl localhost:8080/restate/call/ClaimApproval/inv_…/decide --json"

INSTEAD = {
    WAITING: Instead("a reader is slower than an agent", run=f"until {WAITING} | grep inv_; do sleep 0.1; done"),
    **_of_the_claim(f"""{_DECIDE} '{{"approved": true, "reason": "invoice seen"}}'"""),
    **_of_the_claim(f"""{_DECIDE} '{{"approved": false, "reason": "too much"}}'"""),
    **_of_the_claim("curl localhost:8080/restate/invocation/inv_…/attach"),
    "curl -X PATCH localhost:9070/invocations/inv_…/cancel": Instead(
        "that claim has an answer", test="tests/conformance/test_approval.py::test_a_claim_is_withdrawn"
    ),
    "uv run --all-groups pytest": Instead(
        "it would run these tests, too", run="uv run pytest tests/shared/test_claims_and_checks.py"
    ),
    "pip install uv": Instead("it changes the machine; CI does it first", run="grep 'pip install .*uv' .ci/run"),
    "apt-get install chromium": Instead("likewise", run="grep 'apt-get install .*chromium' .ci/run"),
    "uv run npm ci --omit=dev --prefix typescript": Instead(
        "there is no network", test="tests/tour/test_node.py::test_they_are_installed_once"
    ),
    "diff openai_agents/parallel_tools_agent.py langchain_agent/parallel_tools_agent.py": Instead(
        "the files differ", exit=1
    ),
    "curl -X POST localhost:8080/restate/call/NaiveParallel/naive": Instead(
        "it never ends", run="curl --max-time 5 -X POST localhost:8080/restate/call/NaiveParallel/naive", exit=28
    ),
    "uv sync --group tracing": Instead(
        "the tests have it, and their environment stays as it is",
        run="uv export --quiet --frozen --only-group tracing --output-file tracing.txt",
    ),
    "PHOENIX_HOST=127.0.0.1 PHOENIX_TELEMETRY_ENABLED=false "
    "uv tool run --from arize-phoenix==20.26.1 phoenix serve": Instead(
        "600 MB; the tests have a smaller collector", test="tests/tracing/test_traces.py::test_one_trace_per_claim"
    ),
    "PORT=9180 uv run …": Instead("… is the reader's", run="PORT=9180 uv run restate_loop/weather_agent.py"),
    "uv run tour register URL": Instead(
        "URL is the reader's; the README has one", test="tests/docs/test_pages.py::test_what_the_pages_say"
    ),
    "uv run tour register URL --http1": Instead(
        "likewise", test="tests/tour/test_named.py::test_an_agent_behind_a_proxy_that_has_no_http_2"
    ),
    "uv run tour --sample NAME": Instead(
        "NAME is the reader's", run="uv run tour --sample tooth-filling --only langchain_agent"
    ),
    "uv run tour --model offline": Instead(
        "it is `uv run tour` where no key is set",
        test="tests/tour/test_tour.py::test_the_model_that_answers_is_named_and_chosen",
    ),
    "uv run tour compare --fail fraud=2 --crash cost --delay 1s": Instead(
        "seven recoveries take long",
        test="tests/tour/test_tour.py::test_a_comparison_with_faults_shows_what_ran_how_often",
    ),
    "uv run tour compare --patterns": Instead(
        "forty-two agents take long",
        run="COLUMNS=100 uv run tour compare --patterns --only openai_agents --svg docs/patterns.svg",
    ),
    "uv run tour judge -- python restate_loop/parallel_tools_agent.py": Instead(
        "half a minute", test="tests/tour/test_judge.py::test_the_tour_s_agents_keep_their_promises"
    ),
    "uv run tour judge -- COMMAND": Instead(
        "COMMAND is the reader's", test="tests/tour/test_judge.py::test_the_tour_s_agents_keep_their_promises"
    ),
    "uv run python -m bench.findings": Instead(
        "it is compared with what it wrote there",
        test="tests/bench/test_findings.py::test_the_findings_have_not_drifted",
    ),
    'uv run tour try my_agent.py "Book a weekend in Lisbon."': Instead(
        "it runs in the folder of a new agent", test="tests/tour/test_new.py::test_two_commands"
    ),
    "uv run tour chaos --claims 200 --seed 1": Instead(
        "it takes minutes", test="tests/tour/test_chaos_live.py::test_a_small_storm_passes"
    ),
    "uv run --all-groups tour bench": Instead(
        "three quarters of an hour", test="tests/bench/test_bench.py::test_every_part_is_measured"
    ),
    "uv run python -m tests.proof.exhaustive": Instead(
        "it takes minutes", test="tests/proof/test_exhaustive.py::test_every_order_and_every_crash"
    ),
    "uv run python -m tests.proof.faults": Instead(
        "it takes a quarter of an hour", test="tests/proof/test_faults.py::test_a_plain_gather_is_found"
    ),
    "uv run python -m tests.proof.million --steps 3000000 --out docs/million.json": Instead(
        "it takes hours", test="tests/proof/million/test_million.py::test_a_part_of_today_s_storm"
    ),
    "uv run python -m tests.conformance.documented": Instead(
        "an hour", run="uv run python -m tests.conformance.documented none"
    ),
    "TOUR_AGENT=openai_agents=openai_agents/twins/documented_agent.py uv run pytest tests/conformance -k live": Instead(
        "many of its cases hang", test="tests/test_grading.py::test_an_agent_is_graded_by_promise"
    ),
    "uv run --group deploy python -m deploy.cluster": Instead(
        "it runs until it is stopped, on free ports",
        test="tests/deploy/test_cluster.py::test_the_command_shows_a_line_that_works",
    ),
    "uv run --group deploy python -m deploy.cost": Instead(
        "it takes minutes", run="uv run --group deploy python -m deploy.cost --help"
    ),
    "uv run --all-groups pytest tests/deploy/test_cluster.py -n0 -rP": Instead(
        "it would run these tests, too", test="tests/deploy/test_cluster.py::test_a_node_is_killed_under_load"
    ),
    "diff openai_agents/parallel_tools_agent.py openai_agents/twins/remote_checks_agent.py": Instead(
        "the files differ", exit=1
    ),
    "uv run tour web --port 8071": Instead(
        "the page's tests are on another port, too", test="tests/browser/test_web.py::test_send_watch_it_grow_and_read"
    ),
}


def _reader(page: Path) -> str:
    """The reader of a page: one for the agents' pages of each language, one for each chapter and each other page."""
    folder, *below = page.relative_to(ROOT).parts
    agents = [framework.name for framework in PYTHON]
    if folder == "workshop":
        return "/".join([folder, *below[:-1]])  # a chapter does not build on another one
    if folder == "typescript":
        return folder
    return "agents" if folder in agents else str(page.relative_to(ROOT))


READERS: dict[str, list[Path]] = defaultdict(list)
for _page in PAGES:
    READERS[_reader(_page)].append(_page)


@pytest.fixture
def network() -> Iterator[Namespace | None]:
    """A network in which the usual ports are free.

    Without namespaces, it is this machine's network: then only one reader runs at a time, and no other program may use
    these ports.
    """
    if namespace := open_namespace():
        yield namespace
        namespace.close()
        return
    with (_shared() / "usual-ports").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for port in USUAL:
            if holder := who_listens(port):
                taken = f"The pages need port {port}, which {holder} uses, and a network namespace is not permitted."
                pytest.fail(taken) if os.environ.get("CI") else pytest.skip(taken)
        yield None


def _shared() -> Path:
    """A folder that all workers of this run share."""
    return Path(os.environ[forking.HOME])


@pytest.fixture(scope="module")
def programs() -> list[Path]:
    """The folder of the Restate CLI, which is installed once: the pages' terminal has no settings of npm."""
    asyncio.run(node.install(print, dev=True))
    binary, _ = (program.installed() or asyncio.run(restate_server.install(print, program)) for program in (CLI, MARP))
    return [binary.parent]


class Done:
    """The commands that any reader has run, in any worker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def add(self, command: str) -> None:
        self._file(command).touch()

    def __contains__(self, command: str) -> bool:
        return self._file(command).exists()

    def _file(self, command: str) -> Path:
        return self.folder / hashlib.sha256(command.encode()).hexdigest()


@pytest.mark.server
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "reader",
    [reader if reader == "README.md" else pytest.param(reader, marks=pytest.mark.in_turn(1)) for reader in READERS],
)
def test_what_the_pages_say(
    reader: str, tmp_path: Path, programs: list[Path], network: Namespace | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, done = Terminal(tmp_path, programs, network), Done(_shared() / "done")
    monkeypatch.setenv("TOUR_WORKSHOP", str(terminal.checkout / "workshop" / "mine"))
    if chapters := [chapter for chapter in CHAPTERS if f"workshop/{chapter.folder.name}" == reader]:
        for before in CHAPTERS[: chapters[0].number]:
            mark(before, passed=True)
    drawn = _pictures(terminal.checkout)
    try:
        problems = [problem for page in READERS[reader] for problem in follow(page, terminal, done)]
    finally:
        at_the_end = [problem for server in [*terminal.servers] for problem in stopped(server, terminal)]
    _, left = psutil.wait_procs(terminal.left_behind(), 5)
    for process in left:
        process.kill()
        at_the_end.append(f"left behind: {process}")
    for name, rows in _pictures(terminal.checkout).items():
        if problem := missing(drawn.get(name, ["…"]), "\n".join(rows)):
            at_the_end.append(f"{name} is not what its command draws: {problem}")
    if problems + at_the_end:
        pytest.fail("\n\n".join(problems + at_the_end), pytrace=False)


def follow(page: Path, terminal: Terminal, done: Done) -> Iterator[str]:
    """Follow a page; yields the deviations."""
    for command in commands_of(page):
        for problem in obey(command, INSTEAD.get(command.text, Instead("")), terminal, done):
            yield f"{page.relative_to(ROOT)}:{command.line}: {command.text}\n{problem}"


def obey(command: Command, instead: Instead, terminal: Terminal, done: Done) -> Iterator[str]:
    text = instead.run or command.text
    stateless = re.match(r"(COLUMNS=\d+ )?uv run tour(?! register| workshop| server| up)", text)
    if instead.test or (text in done and not command.shown and (command.span or stateless)):
        return
    done.add(text)
    if terminal.needs(text).ports:
        for server in terminal.in_the_way(text):
            yield from stopped(server, terminal)
        try:
            server = terminal.serve(text)
        except RuntimeError as error:
            yield str(error)
        else:
            server.shown += [command.shown] if command.shown else []
        return
    code, said = terminal.run(text)
    expected = instead.exit or command.exit
    if code != expected:
        yield f"it exits with {code}, not {expected}, and says\n{said}"
    elif command.shown and (problem := missing(command.shown, said)):
        yield problem


def stopped(server: Server, terminal: Terminal) -> Iterator[str]:
    """Stop a server; yields the problems of its end and its output."""
    terminal.servers.remove(server)
    how = "stopped" if server.process.poll() is None else "ended by itself"
    code = server.stop()
    if code not in (0, 130) or how != "stopped":
        yield f"{server.command}: {how} with {code}, and says\n{server.said()}"
    for shown in server.shown:
        if problem := missing(shown, server.said(), more=True):
            yield f"{server.command}: {problem}"


def _pictures(checkout: Path) -> dict[str, list[str]]:
    """The text of each picture of a terminal, row by row."""
    pictures = {}
    for path in checkout.glob("**/*.svg"):
        rows: dict[str, list[str]] = defaultdict(list)
        for text in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text"):
            rows[text.get("y", "")].append((text.text or "").replace("\N{NO-BREAK SPACE}", " "))
        pictures[str(path.relative_to(checkout))] = [" ".join(row) for row in rows.values()]
    return pictures
