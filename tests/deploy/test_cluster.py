"""Three nodes of Restate, replicas of an agent and of its checks: a kill of any one of them loses no claim.

uv run --all-groups pytest tests/deploy/test_cluster.py -n0 -rP
"""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import pytest
import pytest_asyncio

from deploy import cluster as deploy
from deploy.cluster import CHECKS, CHECKS_SCRIPT, RESTATECTL, Cluster, Replica
from lab.ledger import Fault, Lab
from shared.checks import CHECKS as ALL
from shared.claims import InsuranceClaim, sample_claims
from tests.nightly import by_night, selected
from tour.runtime import evidence, journal, processes, restate_server, stack
from tour.runtime.evidence import Runs
from tour.runtime.frameworks import FAN_OUT, FRAMEWORKS, REMOTE_CHECKS, Framework
from tour.runtime.processes import free_port
from tour.runtime.stack import Stack

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.server, pytest.mark.timeout(400)]

T = TypeVar("T")
AT_ONCE = 8
UNAVAILABLE = {502, 503, 504}
"""The statuses of a gateway while a node is down; any other answer belongs to the claim."""


@dataclass
class Running:
    """The cluster, and the lab that its agents and checks obey."""

    cluster: Cluster
    lab: Lab
    ctl: Path

    def members(self) -> dict[str, dict[str, str]]:
        """The nodes' state: a row of `restatectl status` for each, by the node's name."""
        addresses = ",".join(node.address for node in self.cluster.nodes)
        said = subprocess.run(
            [self.ctl, "--address", addresses, "status"],
            capture_output=True,
            text=True,
            env={"DO_NOT_TRACK": "1", "NO_COLOR": "1"},
            timeout=30,
            check=False,
        ).stdout
        lines = [line.split() for line in said.splitlines()]
        head = next((line for line in lines if line[:1] == ["NODE-ID"]), [])
        nodes = [line for line in lines if line and re.fullmatch(r"N\d+:\d+", line[0])]
        rows = [dict(zip(head, line, strict=False)) for line in nodes]
        whole = [row for row in rows if row.get("LEADER", "").isdigit() and row.get("SEQUENCER", "").isdigit()]
        return {row["NAME"]: row for row in whole}  # for a moment, a figure may be missing


@dataclass(frozen=True)
class Answer:
    """The outcome of a claim: the id of its invocation, its duration (s), and the number of resends."""

    key: str
    claim: InsuranceClaim
    id: str
    text: str
    seconds: float
    again: int


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    folder = tmp_path_factory.mktemp("cluster")
    lab = Lab(folder / "lab.sqlite")
    lab.plan(*(Fault(check, "delay", 0.2) for check in stack.CHECKS))  # so that some are in flight at any time
    ctl = RESTATECTL.installed() or await restate_server.install(print, RESTATECTL)
    async with deploy.running(folder / "it", env={"TOUR_LAB": str(folder / "lab.sqlite")}) as cluster:
        yield Running(cluster, lab, ctl)
    lab.close()


async def send(client: httpx.AsyncClient, url: str, key: str, claim: InsuranceClaim) -> Answer:
    """Send a claim until it is answered, each time with the same idempotency key, as a client should."""
    began, again = time.monotonic(), 0
    while True:
        try:
            response = await client.post(
                url, json=claim.model_dump(mode="json"), headers={"idempotency-key": key}, timeout=60
            )
        except httpx.TransportError:
            pass
        else:
            if response.status_code not in UNAVAILABLE:
                assert response.status_code == 200, response.text
                id, waited = response.headers["x-restate-id"], time.monotonic() - began
                return Answer(key, claim, id, response.json(), waited, again)
        again += 1
        await asyncio.sleep(0.2)


async def under_load(
    running: Running, name: str, claims: int, then: dict[int, Callable[[], Coroutine[Any, Any, None]]]
) -> list[Answer]:
    """Send the claims, several at a time; after `answers` answers call `then`, while the others continue."""
    samples, answers = sorted(sample_claims().items()), list[Answer]()
    waiting = iter(range(claims))
    doing = list[asyncio.Task[None]]()

    async with httpx.AsyncClient() as client, asyncio.TaskGroup() as group:

        async def sender() -> None:
            for number in waiting:
                key = f"{name}-{claims}-{number}"
                claim = samples[number % len(samples)][1].model_copy(update={"reason": key})
                answers.append(await send(client, running.cluster.call(), key, claim))
                if action := then.get(len(answers)):
                    doing.append(group.create_task(action()))

        for _ in range(AT_ONCE):
            group.create_task(sender())
    assert len(doing) == len(then)
    return answers


async def judge(running: Running, name: str, claims: int, answers: list[Answer], since: float) -> None:
    """Assert that no claim is lost or answered twice: the client, Restate's tables and the lab's ledger agree.

    Raises: AssertionError. `since`: a check in flight may run again after this time (s since the epoch).
    """
    assert len({answer.key for answer in answers}) == claims
    for answer in answers:
        assert all([await check.function(answer.claim) in answer.text for check in ALL.values()]), answer

    async with httpx.AsyncClient() as client:
        repeated = [await send(client, running.cluster.call(), answer.key, answer.claim) for answer in answers]
    assert [(answer.id, answer.text) for answer in repeated] == [(answer.id, answer.text) for answer in answers]

    async with httpx.AsyncClient(base_url=running.cluster.admin, timeout=30) as admin:
        sql = "SELECT id, status, idempotency_key FROM sys_invocation WHERE target_service_name"
        sql += f" = '{REMOTE_CHECKS.service}' AND idempotency_key LIKE '{name}-{claims}-%'"
        agents = await asked(lambda: journal.query(admin, sql))
        assert sorted(row["idempotency_key"] for row in agents) == sorted(answer.key for answer in answers)
        assert {row["id"] for row in agents} == {answer.id for answer in answers}
        assert {row["status"] for row in agents} == {"completed"}
        ids = {row["id"] for row in agents}
        checks_of, checks = Counter[tuple[str, str]](), list[str]()
        called = "SELECT id, status, invoked_by_id, target_handler_name FROM sys_invocation WHERE target_service_name"
        called += f" = '{CHECKS}'"
        for row in await asked(lambda: journal.query(admin, called)):
            if row["invoked_by_id"] in ids:
                assert row["status"] == "completed"
                checks_of[row["invoked_by_id"], row["target_handler_name"]] += 1
                checks.append(row["id"])
        assert checks_of == {(id, check): 1 for id in ids for check in stack.CHECKS}

        runs = Counter[str]()
        for at in range(0, len(checks), 100):
            found = await asked(lambda at=at: journal.read(admin, *checks[at : at + 100]))  # type: ignore[misc]
            assert len(found) == len(checks[at : at + 100])
            for invocation in found.values():
                entries = running.lab.ledger(invocations=[invocation.id])
                for each in evidence.runs(invocation, entries, [(since, time.time())]).values():
                    assert each.needless == 0, (invocation, entries)
                    runs.update(starts=each.starts, interrupted=each.interrupted, retried=each.retried)
    waits = sorted(answer.seconds for answer in answers)
    print(
        f"{name}: {claims} claims, {claims} answers; {sum(answer.again > 0 for answer in answers)} were sent again, "
        f"{sum(answer.again for answer in answers)} times in all. Wait: median {waits[claims // 2]:.2f} s, longest "
        f"{waits[-1]:.2f} s. {len(checks)} checks ran {runs['starts']} times: {runs['interrupted']} had been in flight."
    )


async def asked(query: Callable[[], Awaitable[T]]) -> T:
    """A query's answer, asked again while a node does not yet know the leader of a partition."""
    while True:
        try:
            return await query()
        except httpx.HTTPStatusError as error:
            if error.response.status_code < 500:
                raise
            await asyncio.sleep(0.2)


async def settled(running: Running) -> dict[str, dict[str, str]]:
    """Wait until each node is a member, and all partitions have a leader and a follower; returns the nodes' state."""
    while True:
        rows = running.members()
        leaders, followers = (sum(int(row.get(name, 0)) for row in rows.values()) for name in ("LEADER", "FOLLOWER"))
        joined = len(rows) == deploy.NODES and all(row["METADATA"] == "Member" for row in rows.values())
        if joined and leaders == followers == deploy.PARTITIONS:
            return rows
        await asyncio.sleep(0.5)


@pytest.mark.parametrize("claims", by_night([80]))
async def test_replicas_are_killed_under_load(running: Running, claims: int) -> None:
    """Runs before the test that kills a node, after which a check in flight may run again before any kill here."""
    await settled(running)
    agent, check = running.cluster.agents[0], running.cluster.checks[0]
    killed = list[float]()

    async def kill(replica: Replica) -> None:
        killed.append(time.time())
        await replica.process.kill()

    answers = await under_load(
        running, "replica", claims, {claims // 4: partial(kill, agent), claims // 2: partial(kill, check)}
    )
    assert [agent.process.alive, check.process.alive] == [False, False]
    await asyncio.gather(agent.restart(), check.restart())  # the next tests need them, whatever the verdict
    await judge(running, "replica", claims, answers, killed[0])


@pytest.mark.parametrize("claims", [pytest.param(60, marks=pytest.mark.in_turn(1)), *by_night([160])])
async def test_a_node_is_killed_under_load(running: Running, claims: int) -> None:
    rows, killed = await settled(running), list[float]()
    victim = max(running.cluster.nodes, key=lambda node: int(rows[node.name]["SEQUENCER"]))  # it hurts the most

    async def kill() -> None:
        killed.append(time.time())
        await victim.process.kill()

    answers = await under_load(running, "node", claims, {claims // 4: kill})
    assert not victim.process.alive
    print(
        f"{victim.name} was killed: it led {rows[victim.name]['LEADER']} partitions of {deploy.PARTITIONS}, and "
        f"sequenced {rows[victim.name]['SEQUENCER']} of their logs"
    )
    await judge(running, "node", claims, answers, killed[0])
    await victim.restart()
    rows = await settled(running)
    print(f"{victim.name} is back: it leads {rows[victim.name]['LEADER']} partitions")


async def test_there_is_a_connection_per_partition_so_envoy_spreads_the_streams(running: Running) -> None:
    """A connection balancer would give each replica whole partitions, and a new replica nothing."""
    async with httpx.AsyncClient(base_url=running.cluster.statistics) as envoy:

        async def streams() -> dict[str, int]:
            rows = (await envoy.get("/clusters")).text.splitlines()
            found = (re.fullmatch(r"(agents|checks)::127\.0\.0\.1:(\d+)::rq_total::(\d+)", row) for row in rows)
            return {f"{each[1]} {each[2]}": int(each[3]) for each in found if each}

        before = await streams()
        await under_load(running, "spread", 40, {})
        sent = {replica: total - before[replica] for replica, total in (await streams()).items()}
        stats = (await envoy.get("/stats", params={"filter": r"http\.(agents|checks)\.downstream_cx_active"})).text
    connections = dict(re.findall(r"http\.(\w+)\.downstream_cx_active: (\d+)", stats))
    print(f"streams: {sent}; connections: {connections}")
    for deployment, streams_of_all in (("agents", 40), ("checks", 120)):
        each = [total for replica, total in sent.items() if replica.startswith(deployment)]
        assert sum(each) >= streams_of_all
        assert min(each) > 0.1 * sum(each)
    assert all(int(each) <= deploy.PARTITIONS + deploy.NODES for each in connections.values()), "an admin has one, too"


async def test_an_agent_accepts_only_what_its_restate_has_signed(running: Running) -> None:
    replica = running.cluster.agents[0]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{replica.port}", http1=False, http2=True) as anybody:
        accept = {"accept": "application/vnd.restate.endpointmanifest.v3+json"}
        signed = {"x-restate-signature-scheme": "v1", "x-restate-jwt-v1": "e30.e30.e30"}
        for headers in (accept, accept | signed):
            assert (await anybody.get("/discover", headers=headers)).status_code == 401
            assert (await anybody.post(f"/invoke/{REMOTE_CHECKS.service}/run", headers=headers)).status_code == 401
        assert (await anybody.get("/health")).status_code == 200
    key = running.cluster.folder / "identity.pem"
    assert key.stat().st_mode & 0o077 == 0
    secret = key.read_text().splitlines()[1]
    assert not [log for log in running.cluster.folder.glob("*.log") if secret in log.read_text()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def remote(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The agents with remote checks that have a test today, and the checks, which are in Python, on one node."""
    folder, port = tmp_path_factory.mktemp("remote"), free_port()
    in_turn = selected(request, "framework")
    chosen = [framework for framework in FRAMEWORKS if (framework,) in in_turn] or FRAMEWORKS
    async with stack.running(folder, frameworks=chosen, pattern=REMOTE_CHECKS) as remote:
        env = {"PORT": str(port), **remote.env("checks")}
        command: list[str | Path] = [sys.executable, CHECKS_SCRIPT]
        async with processes.running("The checks", command, folder / "checks.log", env) as checks:
            await checks.until(f"http://127.0.0.1:{port}/health")
            await stack.register(remote.admin, f"http://127.0.0.1:{port}")
            yield remote


@pytest.mark.in_turn(1)
async def test_they_decide_as_they_do_with_checks_of_their_own(remote: Stack) -> None:
    await remote.add(FAN_OUT)

    async def decided(number: int, claim: InsuranceClaim) -> list[tuple[str, ...]]:
        asked = [
            (framework, pattern, await remote.submit(framework, claim, f"{number}", pattern.name, pattern=pattern))
            for framework in remote.frameworks
            for pattern in (FAN_OUT, REMOTE_CHECKS)
        ]
        return [(framework.name, pattern.name, await remote.answer(id)) for framework, pattern, id in asked]

    for number, claim in enumerate(sample_claims().values()):
        answers = await decided(number, claim)
        assert answers[0][-1].startswith(("Approved:", "Rejected:", "Needs review:"))
        assert {answer for _, _, answer in answers} == {answers[0][-1]}, answers


@pytest.mark.in_turn(2)
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda framework: framework.name)
async def test_a_check_that_fails_is_retried_alone(remote: Stack, framework: Framework) -> None:
    claim = sample_claims()["broken-leg"].model_copy(update={"reason": f"{framework.name} and a check that fails"})
    remote.lab.plan(Fault("fraud", "fail", times=2, about=claim.reason))
    id = await remote.submit(framework, claim, "fails", "fails")
    assert (await remote.answer(id)).startswith("Approved:")
    agent = (await journal.read(remote.admin, id))[id]
    assert agent.failures == ()
    rows = await journal.query(remote.admin, f"SELECT id FROM sys_invocation WHERE invoked_by_id = '{id}'")
    checks = await journal.read(remote.admin, *(row["id"] for row in rows))
    runs = [evidence.runs(each, remote.lab.ledger(invocations=[each.id])) for each in checks.values()]
    assert sorted((step, of) for each in runs for step, of in each.items()) == [
        ("cost", Runs(starts=1)),
        ("eligibility", Runs(starts=1)),
        ("fraud", Runs(starts=3, retried=2)),
    ]


async def test_a_terminal_error_of_a_check_reaches_the_caller(remote: Stack) -> None:
    """Status and message of a terminal error are kept in each agent, from another service as from a step."""
    claim = sample_claims()["broken-leg"].model_copy(update={"reason": "a check that ends with an error"})
    remote.lab.plan(Fault("cost", "terminal", 409, times=9, about=claim.reason, detail="no rate today"))
    for framework in remote.frameworks:
        id = await remote.submit(framework, claim, "terminal", "terminal")
        assert await remote.answer(id) == "409: no rate today", framework.name


async def test_a_check_refuses_what_is_no_claim(remote: Stack) -> None:
    bad = sample_claims()["broken-leg"].model_dump(mode="json") | {"amount": -1}
    for check in stack.CHECKS:
        response = await remote.ingress.post(f"/restate/call/{CHECKS}/{check}", json=bad)
        assert (response.status_code, response.json()["message"].split(": ")[:2]) == (400, ["invalid claim", "amount"])


@pytest.mark.in_turn(1)
@pytest.mark.real_starts
async def test_the_command_shows_a_line_that_works(tmp_path: Path) -> None:
    command: list[str | Path] = [sys.executable, "-m", "deploy.cluster", "--agent", "google_adk", "--replicas", "1"]
    async with processes.running(
        "The command", [*command, "--checks", "1"], tmp_path / "log", {"TMPDIR": str(tmp_path)}
    ) as it:
        await it.until(lambda: "Ctrl-C" in it.log.read_text())
        said = it.log.read_text()
        [curl] = re.findall(r"^curl .*$", said, flags=re.MULTILINE)
        code, answer = await ended([*shlex.split(curl), "--silent", "--max-time", "60"])
        assert (code, answer.split()[0]) == (0, '"Approved:')
        pids = [int(pid) for pid in re.findall(r"pid (\d+)", said)]
        assert len(pids) == deploy.NODES + 3
        it.child.send_signal(signal.SIGINT)
        assert await it.child.wait() == 130
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert [path.name for path in tmp_path.iterdir()] == ["log"], "nothing is left"


async def test_an_agent_that_is_none_of_the_five() -> None:
    code, said = await ended([sys.executable, "-m", "deploy.cluster", "--agent", "nobody"])
    assert code == 2
    assert "nobody is not one of openai_agents" in said


async def test_what_is_registered_may_be_registered_again(running: Running) -> None:
    """Registers as the Job of Kubernetes and the service of compose do."""
    deployments = [running.cluster.agents_url, running.cluster.checks_url]
    command = [sys.executable, "-m", "deploy.register", *deployments]
    code, said = await ended(command, {"RESTATE_ADMIN_URL": running.cluster.admin})
    assert (code, said.split()) == (0, [deployments[0], REMOTE_CHECKS.service, deployments[1], CHECKS])
    code, said = await ended(command[:-1], {"RESTATE_ADMIN_URL": f"http://127.0.0.1:{free_port()}"})
    assert code == 1
    assert "Restate does not answer" in said


async def ended(command: list[str], env: dict[str, str] | None = None) -> tuple[int | None, str]:
    """The exit code and the output of a command that ends by itself."""
    process = await asyncio.create_subprocess_exec(
        *command, env=os.environ | (env or {}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()
