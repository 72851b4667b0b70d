"""What an agent and its runtime need: memory, the server's size, what is kept of a claim, and lines of code."""

import ast
import re
import sqlite3
import uuid
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import psutil
from pydantic import BaseModel

from bench.contenders import Running
from bench.crashes import Durable, a_claim
from bench.peers import environments, postgres, temporal_server
from tour.runtime import journal, restate_server
from tour.runtime.frameworks import ROOT

CLAIMS = 10
"""The number of claims over which the growth of a store is averaged."""


class Upkeep(BaseModel):
    """Memory in bytes; `server` is the size of the server's files, in bytes; both are 0 without a server.

    `record` is what is kept of a claim, in bytes: Restate's journal, Temporal's history, the rows (and Prefect's files)
    of the others. `lines` are those of the agent's code, and `helpers` those of the modules that it imports from its
    own folder and from `durable/`, without blank ones, comments and the module's docstring.
    """

    name: str
    title: str
    agent_memory: int
    server_memory: int
    server: int
    record: int
    lines: int
    helpers: int


async def upkeep_of_a_peer(peer: Running) -> Upkeep:
    """Raises: TourError when a claim is not decided."""
    script = ROOT / "bench" / "peers" / peer.peer.script
    lines, helpers = code(script, "bench.peers")
    return Upkeep(
        name=peer.name,
        title=peer.title,
        agent_memory=_memory([peer.process.pid]),
        server_memory=_memory(peer.servers),
        server=await _server_of(peer, script),
        record=await _record_of(peer),
        lines=lines,
        helpers=helpers,
    )


async def upkeep_of_restate(durable: Durable) -> Upkeep:
    """The same of one of Restate's agents. Raises: TourError."""
    running = durable.running
    id = await durable.submit(*a_claim())
    await running.answer(id)
    server, program = running.restate.process, restate_server.binary()
    script = durable.framework.script(durable.pattern)
    lines, helpers = code(script, durable.framework.name, "durable")
    return Upkeep(
        name=durable.name,
        title=durable.title,
        agent_memory=_memory([durable.agent.process.pid]),
        server_memory=_memory([server.pid] if server else []),
        server=_size([program]) if program else 0,
        record=(await journal.read(running.admin, id))[id].size,
        lines=lines,
        helpers=helpers,
    )


def code(script: Path, *packages: str) -> tuple[int, int]:
    """The lines of this file, and of the modules of these packages that it imports itself."""
    imported = r"^ *(?:from|import) ((?:{})\.\w+)".format("|".join(map(re.escape, packages)))
    modules = dict.fromkeys(re.findall(imported, script.read_text(), re.MULTILINE))
    files = [(ROOT / module.replace(".", "/")).with_suffix(".py") for module in modules]
    return _lines(script), sum(_lines(file) for file in files if file.exists())


def _lines(file: Path) -> int:
    lines = file.read_text().splitlines()
    if file.suffix == ".py" and isinstance(first := ast.parse("\n".join(lines)).body[0], ast.Expr):
        lines = lines[first.end_lineno :]
    return sum(1 for line in map(str.strip, lines) if line and not line.startswith(("#", "//")))


def _memory(pids: Iterable[int]) -> int:
    """The memory of these processes and their children; what some of them share counts once, where the system tells."""
    processes = [process for pid in pids for process in _family(pid)]
    infos = [process.memory_full_info() for process in processes]
    return sum(getattr(info, "pss", info.uss) for info in infos)


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


async def _server_of(peer: Running, script: Path) -> int:
    match peer.peer.store:
        case "temporal":
            return _size([temporal_server.program() or script])
        case "postgres":
            return _size([postgres.programs() or script])
        case "prefect":  # the server is in the packages of the agent
            packages = (await environments.python(script, peer.process.log)).parent.parent
            return _size([packages, *filter(None, [postgres.programs(postgres.TRIGRAMS)])])
        case _:
            return 0


def _size(roots: Iterable[Path]) -> int:
    """The bytes of these files, and of those in these folders, but for what Python has compiled."""
    files = (file for root in roots for file in ([root] if root.is_file() else root.rglob("*")))
    return sum(file.stat().st_size for file in files if file.is_file() and file.suffix != ".pyc")


async def _record_of(peer: Running) -> int:
    # The packages of peers are imported where they are used: the tables and the pages need none.
    if peer.peer.store == "temporal":
        id, claim = a_claim()
        await peer.send(id, claim)
        from temporalio.client import Client

        client = await Client.connect(peer.store)
        described = await client.get_workflow_handle(id).describe()
        return described.raw_description.workflow_execution_info.history_size_bytes
    before = await _kept(peer)
    for _ in range(CLAIMS):
        await peer.send(uuid.uuid4().hex, a_claim()[1])
    return (await _kept(peer) - before) // CLAIMS


async def _kept(peer: Running) -> int:
    """The bytes of all rows in the peer's database, and of the files that it keeps of results."""
    files = _size([peer.results]) if peer.results else 0
    if peer.store.startswith("sqlite:///"):
        return files + _rows_of_sqlite(peer.store.removeprefix("sqlite:///"))
    return files + (await _rows_of_postgres(peer.database) if peer.database else 0)


def _rows_of_sqlite(file: str) -> int:
    with closing(sqlite3.connect(file)) as database:
        tables = [name for [name] in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        total = 0
        for table in tables:
            columns = [column[1] for column in database.execute(f'PRAGMA table_info("{table}")')]
            of_a_row = " + ".join(f'coalesce(length(CAST("{column}" AS BLOB)), 0)' for column in columns)
            [[size]] = database.execute(f'SELECT coalesce(sum({of_a_row}), 0) FROM "{table}"')
            total += size
        return total


async def _rows_of_postgres(url: str) -> int:
    import psycopg
    from psycopg import sql

    async with await psycopg.AsyncConnection.connect(url) as database:
        found = await database.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        total = 0
        for schema, table in await found.fetchall():
            query = sql.SQL("SELECT coalesce(sum(pg_column_size(t.*)), 0) FROM {} AS t")
            sizes = await database.execute(query.format(sql.Identifier(schema, table)))
            total += sum(int(size) for [size] in await sizes.fetchall())
        return total
