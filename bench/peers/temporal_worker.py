"""What both of Temporal's agents share: the checks as activities, and a worker that serves claims over HTTP.

A claim is a workflow whose id is that of the claim: a second request gets the result of the first one's workflow.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Protocol

from starlette.applications import Starlette
from temporalio import activity
from temporalio.client import Client, Plugin
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.worker import Worker

from bench import serving
from bench.peers.serving import store
from bench.serving import serve_http
from lab.observed import invocation
from shared.claims import InsuranceClaim

CHECK_TIMEOUT = timedelta(seconds=10)
"""How long an attempt of a check may take, as in the documentation's examples: there is no default.

After a crash, a check that was in flight is tried again when this has passed, and the second of the retry policy.
"""

QUEUE = "claims"


def _as_activity(
    name: str, check: Callable[[InsuranceClaim], Awaitable[str]]
) -> Callable[..., Coroutine[Any, Any, str]]:
    @activity.defn(name=name)
    async def run(claim: InsuranceClaim) -> str:
        invocation.set(activity.info().workflow_id or "")
        return await check(claim)

    return run


CHECKS = [_as_activity(name, check) for name, check in serving.CHECKS.items()]


class Decide(Protocol):
    """The workflow of an agent."""

    async def run(self, claim: InsuranceClaim) -> str: ...


def serve_worker(decide: type[Decide], plugin: Plugin) -> None:
    """Serve on `HOST`:`PORT` until SIGTERM or Ctrl-C: the workflow and the checks with the settings of this plugin."""
    clients: list[Client] = []

    @asynccontextmanager
    async def working(app: Starlette) -> AsyncIterator[None]:
        clients.append(await Client.connect(store(), plugins=[plugin]))
        async with Worker(clients[0], task_queue=QUEUE, workflows=[decide], activities=CHECKS):
            yield

    async def run(id: str, claim: InsuranceClaim) -> str:
        [client] = clients
        once = WorkflowIDReusePolicy.REJECT_DUPLICATE
        try:
            handle = await client.start_workflow(decide.run, claim, id=id, task_queue=QUEUE, id_reuse_policy=once)
        except WorkflowAlreadyStartedError:
            handle = client.get_workflow_handle_for(decide.run, id)
        return str(await handle.result())

    serve_http("Temporal", InsuranceClaim, run, working)
