"""One of three nodes is cut off from the other two, and healed. Clients and agents reach both sides all the time."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import httpx
import psutil
import pytest
import pytest_asyncio

from deploy import cluster as deploy
from deploy.cluster import RESTATECTL, Node
from deploy.identity import Identity
from lab.ledger import Fault, Lab
from shared.claims import InsuranceClaim
from tests.conformance.cases import tagged
from tests.deploy.test_cluster import UNAVAILABLE, Running, asked, settled
from tests.faults.claims import LANGUAGES, assert_journal, figure
from tests.faults.proxy import Connection, Proxy, proxying
from tour.runtime import evidence, journal, restate_server
from tour.runtime.frameworks import FAN_OUT
from tour.runtime.restate_server import Ports
from tour.runtime.stack import CHECKS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.server]

CUT = 12.0
"""Seconds that the node is cut off, in which the others take over."""

PATIENCE = 3.0
"""Seconds that a client waits for an answer before it resends its claim."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxies() -> AsyncIterator[dict[str, Proxy]]:
    """A proxy in front of each node, used only by the other nodes."""
    names = [f"node-{number}" for number in range(1, deploy.NODES + 1)]
    async with AsyncExitStack() as exits:
        yield {name: await exits.enter_async_context(proxying()) for name in names}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(proxies: dict[str, Proxy], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    plain = deploy._node

    def behind_proxies(
        server: Path, folder: Path, name: str, ports: Mapping[str, Ports], key: Identity
    ) -> tuple[list[str | Path], dict[str, str]]:
        command, env = plain(server, folder, name, ports, key)
        proxies[name].target = ports[name].node
        addresses = {
            "RESTATE_ADVERTISED_ADDRESS": f"{proxies[name].url}/",
            "RESTATE_METADATA_CLIENT__ADDRESSES": json.dumps([f"{proxy.url}/" for proxy in proxies.values()]),
        }
        return command, env | addresses

    folder = tmp_path_factory.mktemp("cluster")
    lab = Lab(folder / "lab.sqlite")
    lab.plan(*(Fault(check, "delay", 0.2) for check in CHECKS))  # so that some are in flight at any time
    ctl = RESTATECTL.installed() or await restate_server.install(print, RESTATECTL)
    env = {"TOUR_LAB": str(folder / "lab.sqlite")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploy, "_node", behind_proxies)
        async with deploy.running(
            folder / "it", framework=LANGUAGES[0], pattern=FAN_OUT, replicas=1, checks=0, env=env
        ) as cluster:
            yield Running(cluster, lab, ctl)
    lab.close()


def cut_off(victim: Node, proxies: Mapping[str, Proxy]) -> None:
    """Hold the traffic between this node and the others; its traffic with itself continues."""
    process = psutil.Process(victim.process.pid)

    def of_the_victim(connection: Connection) -> bool:
        return connection.source in {each.laddr.port for each in process.net_connections("tcp")}

    for name, proxy in proxies.items():
        if name == victim.name:
            proxy.hold(lambda connection: not of_the_victim(connection))
        else:
            proxy.hold(of_the_victim)


@pytest.mark.nightly
@pytest.mark.timeout(300)
async def test_a_node_is_cut_off_and_healed(running: Running, proxies: dict[str, Proxy]) -> None:
    rows = await asyncio.to_thread(lambda: asyncio.run(settled(running)))  # it would block the proxies' loop
    nodes = {node.name: node for node in running.cluster.nodes}
    victim = max(running.cluster.nodes, key=lambda node: int(rows[node.name]["LEADER"]))
    others = [node for node in nodes.values() if node is not victim]
    path = f"/restate/call/{running.cluster.framework.path(pattern=FAN_OUT, alone=True)}"

    async with httpx.AsyncClient() as client:
        sides = {"cut off": Side(client, victim.ingress + path), "the others": Side(client, others[0].ingress + path)}
        async with asyncio.TaskGroup() as group:
            over = asyncio.Event()
            for side in sides.values():
                for _ in range(3):
                    group.create_task(side.send_until(over))
            await asyncio.sleep(2)
            since = time.time()
            cut_off(victim, proxies)
            await asyncio.sleep(CUT)
            for proxy in proxies.values():
                proxy.heal()
            healed = time.time()
            await asyncio.sleep(2)
            over.set()
        ended = time.time()
        for name, side in sides.items():
            during = [at for _, at in side.answers.values() if since + 0.5 < at < healed]
            print(
                f"{name}: {len(side.answers)} claims, {len(during)} answers during the cut,"
                f" longest gap {side.longest_gap():.1f} s, refused or silent {side.refused}"
            )
        figure("the last claim is answered after the network is healed", ended - healed)
        claims = {key: claim for side in sides.values() for key, claim in side.claims.items()}
        texts = {key: text for side in sides.values() for key, (text, _) in side.answers.items()}
        assert texts.keys() == claims.keys()
        for node in nodes.values():
            side = Side(client, node.ingress + path)
            for key, claim in claims.items():
                assert await side.answer(claim) == texts[key], "any node gives the same answer"
    await judge(running, others[0], texts, since, ended)


class Side:
    """The clients that reach one node: each sends a claim until it is answered, and then the next."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self.client, self.url = client, url
        self.claims: dict[str, InsuranceClaim] = {}
        self.answers: dict[str, tuple[str, float]] = {}
        self.refused: dict[str, int] = {}

    async def send_until(self, over: asyncio.Event) -> None:
        while not over.is_set():
            claim = tagged()
            self.claims[claim.reason] = claim
            self.answers[claim.reason] = await self.answer(claim), time.time()

    async def answer(self, claim: InsuranceClaim) -> str:
        while True:
            try:
                response = await self.client.post(
                    self.url,
                    json=claim.model_dump(mode="json"),
                    headers={"idempotency-key": claim.reason},
                    timeout=PATIENCE,
                )
            except httpx.TransportError as error:
                said = type(error).__name__
            else:
                if response.status_code == 200:
                    return str(response.json())
                assert response.status_code in UNAVAILABLE, response.text
                said = str(response.status_code)
            self.refused[said] = self.refused.get(said, 0) + 1
            await asyncio.sleep(0.2)

    def longest_gap(self) -> float:
        """The longest time between two answers (s)."""
        times = sorted(at for _, at in self.answers.values())
        return max(after - before for before, after in pairwise(times))


async def judge(running: Running, node: Node, texts: Mapping[str, str], since: float, until: float) -> None:
    """Assert that each claim has one invocation, and each step one result.

    A node that is cut off does not know which steps the others have finished. After the network heals, it may begin
    checks again, and end them at once. This counts such a run; its result is in no journal.
    """
    assert all(text.startswith("Approved:") for text in texts.values()), texts
    async with httpx.AsyncClient(base_url=node.admin, timeout=30) as admin:
        sql = "SELECT id, idempotency_key FROM sys_invocation WHERE idempotency_key IS NOT NULL"
        rows = await asked(lambda: journal.query(admin, sql))
        assert sorted(row["idempotency_key"] for row in rows) == sorted(texts)
        again, finished = 0, 0
        for ids in chunks([row["id"] for row in rows], 100):
            for found in (await asked(lambda ids=ids: journal.read(admin, *ids))).values():  # type: ignore[misc]
                assert_journal(found)
                ledger = running.lab.ledger(invocations=[found.id])
                for runs in evidence.runs(found, ledger, [(since, until)]).values():
                    assert runs.repeated == 0, (found, ledger)
                    if runs.redone:
                        assert since < max(entry.at for entry in ledger if entry.event == "start") < until, ledger
                    again, finished = again + runs.interrupted, finished + runs.redone
        print(
            f"{len(texts)} claims, {len(texts)} answers; {again} checks that were in flight ran again,"
            f" and {finished} that were finished"
        )


def chunks(items: Sequence[str], size: int) -> list[Sequence[str]]:
    return [items[at : at + size] for at in range(0, len(items), size)]
