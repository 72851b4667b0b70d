"""The cost of streaming: the same agent without and with it, in turns, and the time to the first token."""

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from openai import AsyncOpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress

from bench.durability import durable_side, plain_side
from bench.measuring import Block, Extent, Rounded, Side, alternate, ratios, warm_up
from offline_model.server import serve_in_thread
from shared import checks, llm
from shared.claims import InsuranceClaim, sample_claims
from tour.runtime import journal, stack
from tour.runtime.errors import TourError
from tour.runtime.frameworks import FAN_OUT, STREAMING, Framework
from tour.runtime.stack import Stack
from tour.runtime.streams import sent

LATENCY = 0.5
"""Seconds of a model call, where first tokens and journals are measured; its tokens come in the second half."""


class Kept(BaseModel):
    """The journals of a claim: how many invocations have one, and the entries and bytes of all of them."""

    invocations: int
    entries: int
    bytes: int


class Streaming(BaseModel):
    """One framework, one claim at a time.

    The first five are the blocks of each side, in order: without Restate, the agent whose model calls are not streamed
    and are; on Restate, the usual agent, and the streaming one without and with a listener. The `agent_cpu` of a block
    is that of the agent and the server of the streams.

    `first_token` and `first_token_of_model` are the seconds from the request to the first token of the decision, at the
    caller of the agent and of the model. `usual_journal`, `journal` and `log` are what Restate has of a claim: of the
    usual agent, the streaming one, and the log of its events. `recorded` is the number of batches that the agent sent.
    """

    framework: str
    title: str
    plain: list[Block]
    plain_streams: list[Block]
    usual: list[Block]
    unheard: list[Block]
    heard: list[Block]
    first_token: list[Rounded]
    first_token_of_model: list[Rounded]
    usual_journal: Kept
    journal: Kept
    log: Kept
    recorded: int

    def of_sdk(self, of: Callable[[Block], float]) -> list[float]:
        """Streamed model calls over others, without Restate."""
        return ratios(self.plain_streams, self.plain, of)

    def of_unheard(self, of: Callable[[Block], float]) -> list[float]:
        """Streaming over the usual agent, without a listener."""
        return ratios(self.unheard, self.usual, of)

    def of_free_reports(self, of: Callable[[Block], float]) -> list[float]:
        """Streaming over the usual agent if only the SDK's own streaming cost anything."""
        blocks = zip(self.usual, self.plain_streams, self.plain, strict=True)
        return [1 + (of(streams) - of(plain)) / of(usual) for usual, streams, plain in blocks]

    def of_heard(self, of: Callable[[Block], float]) -> list[float]:
        """The same with a listener."""
        return ratios(self.heard, self.usual, of)

    def first_token_ratios(self) -> list[float]:
        """The agent's over the model's, for each neighbouring pair."""
        return [one / other for one, other in zip(self.first_token, self.first_token_of_model, strict=True)]


async def streaming_cost(
    folder: Path, frameworks: Sequence[Framework], extent: Extent, console: Console
) -> list[Streaming]:
    """Measure one framework after the other. Raises: TourError."""
    measured: list[Streaming] = []
    async with AsyncExitStack() as exits:
        client = AsyncOpenAI(base_url=f"{serve_in_thread(latency=LATENCY)}/v1", api_key="none")
        model = Model(await exits.enter_async_context(client))
        progress = exits.enter_context(Progress(console=console, transient=True))
        bar = progress.add_task("", total=len(frameworks) * extent.blocks)
        for framework in frameworks:
            progress.update(bar, description=f"{framework.title}, streaming")
            home = folder / framework.name
            plain, plain_streams, usual, unheard, heard = await _blocks(
                home, framework, extent, lambda: progress.advance(bar)
            )
            slow = stack.running(home / "slow", frameworks=[framework], pattern=STREAMING, model_latency=LATENCY)
            async with slow as running, listener(running) as heard_by:
                await running.add(FAN_OUT)
                caller = Caller(framework, heard_by)
                await caller.claim()  # both connect, and import what they need late
                await model.first_token()
                first_token, first_token_of_model = [], []
                for _ in range(extent.blocks):
                    first_token.append(await caller.claim())
                    first_token_of_model.append(await model.first_token())
                usual_journal, journal, log, recorded = await _kept(running, framework, caller)
            measured.append(
                Streaming(
                    framework=framework.name,
                    title=framework.title,
                    plain=plain,
                    plain_streams=plain_streams,
                    usual=usual,
                    unheard=unheard,
                    heard=heard,
                    first_token=first_token,
                    first_token_of_model=first_token_of_model,
                    usual_journal=usual_journal,
                    journal=journal,
                    log=log,
                    recorded=recorded,
                )
            )
    return measured


async def _blocks(
    home: Path, framework: Framework, extent: Extent, advance: Callable[[], None]
) -> Sequence[list[Block]]:
    async with stack.running(home, frameworks=[framework]) as running, AsyncExitStack() as exits:
        await running.add(STREAMING)
        caller = Caller(framework, await exits.enter_async_context(listener(running)))
        streams = running.streams[0].process.pid

        async def listen() -> None:
            await caller.claim()

        unheard = replace(durable_side(running, framework, STREAMING), service=streams)
        (home / "streams").mkdir()
        sides: list[Side] = [
            await plain_side(running, framework, exits, home),
            await plain_side(running, framework, exits, home / "streams", PLAIN_STREAMS="1"),
            durable_side(running, framework),
            unheard,
            replace(unheard, send=listen),
        ]
        await warm_up(sides)
        return await alternate(sides, extent, 1, advance)


def listener(running: Stack) -> httpx.AsyncClient:
    """A client of the stream server."""
    return httpx.AsyncClient(base_url=running.streams[0].url, timeout=None, trust_env=False)


@dataclass
class Caller:
    """Sends claims to a streaming agent, and listens to each."""

    framework: Framework
    client: httpx.AsyncClient
    last: str = ""
    """The id of the last claim's invocation."""

    async def claim(self) -> float:
        """The seconds until the first token of the decision. Raises: TourError unless it approves the claim."""
        key, began, first = uuid.uuid4().hex, time.perf_counter(), 0.0
        body = self.framework.body(sample_claims()["broken-leg"], session=key)
        path = f"/stream/{self.framework.path(key, STREAMING)}"
        async with self.client.stream("POST", path, json=body) as response:
            async for _, event in sent(response):
                match event:
                    case {"type": "TEXT_MESSAGE_CONTENT"}:
                        first = first or time.perf_counter() - began
                    case {"type": "RUN_FINISHED", "result": str(decision)} if decision.startswith("Approved:"):
                        self.last = response.headers["content-location"].removeprefix("/stream/")
                        return first
        raise TourError("A streamed claim was not approved.", "Try `uv run tour compare --patterns streaming` first.")


@dataclass
class Model:
    """The model, called as an agent does that does nothing else."""

    client: AsyncOpenAI

    async def first_token(self) -> float:
        """The seconds of a claim until the first token of the decision."""
        began, claim = time.perf_counter(), sample_claims()["broken-leg"]
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": llm.INSTRUCTIONS},
            {"role": "user", "content": f"Claim: {claim.model_dump_json()}"},
        ]
        create = self.client.chat.completions.create
        message = (await create(model=MODEL, tools=[TOOL], messages=messages)).choices[0].message
        assert message.tool_calls
        results = str([await check.function(claim) for check in checks.CHECKS.values()])
        messages.append(message.model_dump(exclude_none=True))  # type: ignore[arg-type]
        messages.append({"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": results})
        first = 0.0
        async for chunk in await create(model=MODEL, tools=[TOOL], messages=messages, stream=True):
            if chunk.choices and chunk.choices[0].delta.content:
                first = first or time.perf_counter() - began
        return first


class Metrics(BaseModel):
    """The arguments of the agents' tool."""

    claim: InsuranceClaim


MODEL = "gpt-5.4"
TOOL = pydantic_function_tool(Metrics, name="calculate_metrics", description="Check a claim.")


async def _kept(running: Stack, framework: Framework, caller: Caller) -> tuple[Kept, Kept, Kept, int]:
    """What Restate has of a claim: of the usual agent, of the streaming one, of its log; and the batches of the log."""
    keep = await running.admin.patch("/services/AgentEvents", json={"journal_retention": "1h"})  # usually: none
    keep.raise_for_status()
    usual = await running.submit(
        framework, sample_claims()["broken-leg"], uuid.uuid4().hex, uuid.uuid4().hex, pattern=FAN_OUT
    )
    await running.answer(usual)
    await caller.claim()
    rows = await journal.query(
        running.admin,
        "SELECT id, target_handler_name AS handler FROM sys_invocation"
        f" WHERE target_service_name = 'AgentEvents' AND target_service_key = '{caller.last}'",
    )
    log = [row["id"] for row in rows if row["handler"] in ("record", "end")]
    recorded = sum(row["handler"] == "record" for row in rows)
    kept = [await _journals(running, *ids) for ids in ((usual,), (caller.last,), log)]
    return kept[0], kept[1], kept[2], recorded


async def _journals(running: Stack, *ids: str) -> Kept:
    invocations = (await journal.read(running.admin, *ids)).values()
    return Kept(
        invocations=len(invocations),
        entries=sum(each.entries for each in invocations),
        bytes=sum(each.size for each in invocations),
    )
