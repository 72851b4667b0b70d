"""The command line, as a person runs it: real processes, real server, and nothing left behind."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from offline_model.sockets import listen
from tests import forking
from tests.shared.test_entrypoints import ELSEWHERE
from tour.report import Report
from tour.runtime.frameworks import FRAMEWORKS, PATTERNS, ROOT
from tour.runtime.processes import free_port

pytestmark = pytest.mark.long


async def tour(
    *arguments: str, home: Path, env: dict[str, str] | None = None, real_starts: bool = False
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from tour.cli import main; main()" if real_starts else forking.TOUR,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "TOUR_HOME": str(home), "TOUR_PORTS": "free", "COLUMNS": "100", **(env or {})},
        preexec_fn=_mind_ctrl_c,
    )


def _mind_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell lets what it starts in the background ignore it


@pytest.mark.server
async def test_one_claim_to_all(tmp_path: Path) -> None:
    latencies = ("--model-latency", "0", "--step-latency", "0.1")
    env = {"COLUMNS": "80", "ALL_PROXY": f"http://127.0.0.1:{free_port()}", **ELSEWHERE}  # where no proxy listens
    process = await tour(*latencies, home=tmp_path, env=env, real_starts=True)
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    for framework in FRAMEWORKS:
        assert f"{framework.title}: Approved:" in said
    assert said.count("/ui/invocations/inv_") == len(FRAMEWORKS)
    assert said.count(" kB ") == len(FRAMEWORKS), (
        "the table has room for the journal's size, whatever it has to leave out"
    )


@pytest.mark.server
@pytest.mark.in_turn(1)
@pytest.mark.parametrize("after", [0.05, 0.5, 1.5, 4.0])
async def test_ctrl_c_at_any_moment_leaves_no_process(tmp_path: Path, after: float) -> None:
    process = await tour(home=tmp_path, real_starts=True)
    started: set[psutil.Process] = set()
    for _ in range(int(after / 0.05)):
        await asyncio.sleep(0.05)
        started |= {*psutil.Process(process.pid).children(recursive=True)}
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode != 0
    assert not [child for child in started if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.in_turn(4)
@pytest.mark.parametrize(
    ("arguments", "env", "problem", "remedy"),
    [
        (["--only", "crewai"], {}, "no framework crewai", "openai_agents"),
        (["--sample", "nothing"], {}, "no sample nothing", "broken-leg"),
        (["--claim", "/does/not/exist"], {}, "cannot be read", "JSON"),
        (["compare", "--claim", "-"], {}, "not JSON", "An example"),
        (["compare", "--json", "-", "--sample", "nothing"], {}, "no sample nothing", "broken-leg"),
        (["compare", "--claim", str(ROOT / "tests" / "tour" / "list.json")], {}, "body", "An example"),
        (["compare", "--patterns", "--json", "x.json"], {}, "--patterns", "Leave out"),
        ([], {"RESTATE_ADMIN_URL": f"http://127.0.0.1:{free_port()}"}, "does not answer", "unset"),
        (["--model", "openai"], {"OPENAI_API_KEY": " "}, "needs OPENAI_API_KEY", "--model offline"),
        (["compare", "--model", "google"], {"OPENAI_API_KEY": "x"}, "needs GOOGLE_API_KEY", "--model offline"),
        ([], {"OPENAI_API_KEY": "sk-“x”"}, "OPENAI_API_KEY has a character that no HTTP header can have", "Copy it"),
        (
            ["register", "http://127.0.0.1:9"],
            {"RESTATE_ADMIN_URL": f"http://127.0.0.1:{free_port()}"},
            "does not answer",
            "tour server",
        ),
    ],
)
async def test_errors_say_what_is_wrong_and_what_to_do(
    tmp_path: Path, arguments: list[str], env: dict[str, str], problem: str, remedy: str
) -> None:
    process = await tour(*arguments, home=tmp_path, env=env)
    said = (await process.communicate())[0].decode()
    assert process.returncode == 1
    assert problem in said
    assert remedy in said
    assert "Traceback" not in said
    assert len(said.splitlines()) < 24


@pytest.mark.server
async def test_restate_goes_away_in_the_middle(tmp_path: Path) -> None:
    process = await tour("--only", "restate_loop", "--model-latency", "60", home=tmp_path)
    assert process.stdout
    await process.stdout.readuntil(b"Model: ")
    (server,) = (child for child in psutil.Process(process.pid).children() if child.name() == "restate-server")
    server.kill()
    said = (await process.communicate())[0].decode()
    assert process.returncode == 1
    assert re.search(r"\nError: http://127.0.0.1:\d+/ no longer answers properly: .+\nCheck whether .+\n$", said), said
    assert "Traceback" not in said


async def test_the_page_s_port_is_taken(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as holder:
        port = str(holder.getsockname()[1])
        process = await tour("web", "--port", port, home=tmp_path)
        said = (await process.communicate())[0].decode()
    assert process.returncode == 1
    assert f"port {port}" in said
    assert f"pid {os.getpid()}" in said
    assert "--port 8071" in said
    assert "Starting" not in said


@pytest.mark.server
async def test_the_model_that_answers_is_named_and_chosen(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    env = {"OPENAI_API_KEY": "sk-secret", "OPENAI_BASE_URL": url, "GOOGLE_API_KEY": "secret"}
    process = await tour("--only", "restate_loop,google_adk", "--model", "offline", home=tmp_path, env=env)
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    assert "Model: the offline model" in said
    assert "_KEY" not in said
    process = await tour("--only", "restate_loop", "--model", "openai", home=tmp_path, env=env)
    assert process.stdout
    said = (await process.stdout.readuntil(b"Claim: ")).decode()
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert "OPENAI_API_KEY, OPENAI_BASE_URL in the environment" in said
    assert "Model: OpenAI and the offline model" in said
    assert "secret" not in said
    assert "GOOGLE_API_KEY" not in said


def test_no_sdk_is_imported_before_the_agents_start() -> None:
    heavy = "{'restate', 'openai', 'nicegui'}"
    subprocess.run([sys.executable, "-c", f"import sys, tour.cli; assert not {heavy} & {{*sys.modules}}"], check=True)


async def test_the_doctor_shows_no_key(tmp_path: Path) -> None:
    process = await tour("doctor", home=tmp_path, env={"OPENAI_API_KEY": "sk-secret"})
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0
    assert "OPENAI_API_KEY is set" in said
    assert "sk-secret" not in said


@pytest.mark.server
@pytest.mark.in_turn(1)
async def test_a_comparison_with_faults_shows_what_ran_how_often(tmp_path: Path) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "report.html"
    process = await tour(
        "compare", "--only", "restate_loop,langchain_agent", "--fail", "fraud=2", "--crash", "cost", "--delay", "0.3s",
        "--step-latency", "0", "--sample", "too-expensive", "--json", str(figures), "--html", str(page), home=tmp_path,
    )  # fmt: skip
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    made = Report.model_validate_json(figures.read_text())
    assert [framework.runs[0].verdict for framework in made.frameworks] == ["Needs review", "Needs review"]
    for framework in made.frameworks:
        [run] = framework.runs
        assert run.runs["fraud"].starts == 3
        assert run.runs["cost"].interrupted == 1
        assert all(runs.repeated == runs.redone == 0 for runs in run.runs.values())
        assert run.recovery
        assert run.tokens_read > 100
    assert "fraud fails 2 times" in page.read_text()


async def test_the_code_side_by_side(tmp_path: Path) -> None:
    process = await tour("code", "--only", "openai_agents,langchain_agent", "--region", "tool", home=tmp_path)
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0
    assert "@durable_function_tool" in said
    assert "ToolRuntime" in said
    assert "claim_service" not in said


@pytest.mark.server
@pytest.mark.nightly
async def test_agents_of_every_pattern_come_back_after_a_crash(tmp_path: Path) -> None:
    latencies = ("--model-latency", "0", "--step-latency", "0.2")
    process = await tour(
        "compare", "--patterns", "--only", "restate_loop", "--crash", "cost", *latencies, home=tmp_path
    )
    try:
        async with asyncio.timeout(90):
            said = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode == 0, said
    assert said.count("eligibility") == len(PATTERNS)
