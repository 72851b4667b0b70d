"""The world of a judged agent: its model and, through a proxy, everything that it calls over HTTP.

One server does both. A request to the server's address is for the model. The model is asked once: a repeated request
gets the same answer, so that two runs can be compared. Any other request comes from a client that uses the proxy.
"""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from offline_model.sockets import serving
from shared.variables import google_at, openai_at

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]

HOP_BY_HOP = {"connection", "content-encoding", "content-length", "host", "keep-alive", "transfer-encoding", "via"}
"""Headers of one connection, and headers that change when a body is read."""

What = Literal["model", "http"]


@dataclass
class Call:
    """One outgoing request. `answered`: whether the agent was sent a whole answer."""

    what: What
    title: str
    """The method and the path, such as `POST /v1/responses`; for the proxy, with the host."""
    digest: str
    """The request's digest; equal requests have equal digests."""
    attempt: int
    """The number of earlier kills of the process."""
    begun: float = field(default_factory=time.time)
    """The time of the request, in s since the epoch."""
    answered: float = 0.0
    """The time when the agent was sent the answer, in s since the epoch; 0 if it was not."""
    failed: float = 0.0
    """The time of the planned 503, likewise."""
    journaled: bool = False
    """Whether the answer was in Restate's journal before the kill."""


Numbered = tuple[str, int]
"""A request or a step: its title or name, and the number of earlier ones with the same."""


def numbered(names: Iterable[str]) -> list[Numbered]:
    """Each name with its number, because parallel ones come in any order."""
    seen = Counter[str]()
    found = []
    for name in names:
        found.append((name, seen[name]))
        seen[name] += 1
    return found


@dataclass
class Plan:
    """The faults of outgoing requests; none by default.

    `hold`: the answer to this request is held back until its release. `fail`: this request gets 503, once. `slow`: the
    seconds that all others take. `apart`: the seconds that each request takes longer than the one before, so that steps
    end one by one, and the journal shows which step made which request.
    """

    hold: Numbered | None = None
    fail: Numbered | None = None
    slow: float = 0.0
    apart: float = 0.0


@dataclass
class World:
    """The calls of a run, and the plan for them; `upstream` is the model's server."""

    upstream: str
    calls: list[Call] = field(default_factory=list)
    plan: Plan = field(default_factory=Plan)
    attempt: int = 0
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the request to hold arrives."""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""
    _answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)

    def begin(self, plan: Plan) -> None:
        """Forget the calls of the last run."""
        self.calls, self.plan, self.attempt = [], plan, 0
        self.held, self.release = asyncio.Event(), asyncio.Event()

    @property
    def env(self) -> dict[str, str]:
        """The variables with which an agent calls this world."""
        keys = {"OPENAI_API_KEY": "judge", "GOOGLE_API_KEY": "judge", "ANTHROPIC_API_KEY": "judge"}
        proxy = {"HTTP_PROXY": self.url, "http_proxy": self.url, "NO_PROXY": "", "no_proxy": ""}
        return openai_at(f"{self.url}/v1") | google_at(self.url) | keys | proxy

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["World"]:
        """Serve on a free port of loopback while the block runs."""
        app = Starlette(routes=[Route("/{path:path}", self._answer, methods=METHODS)])
        async with (
            httpx.AsyncClient(trust_env=False, timeout=120) as self._client,
            serving(app, log_level="critical", lifespan="off") as self.url,
        ):
            try:
                yield self
            finally:
                self.release.set()

    async def _answer(self, request: Request) -> Response:
        body, host = await request.body(), request.headers.get("host", "")
        ours = self.url.endswith(host)
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        title = f"{request.method} {'' if ours else f'http://{host}'}{path}"
        digest = hashlib.sha256(title.encode() + b"\0" + body).hexdigest()[:16]
        call = Call("model" if ours else "http", title, digest, self.attempt)
        number, begun = (title, sum(other.title == title for other in self.calls)), self.attempt
        self.calls.append(call)
        if number == self.plan.fail:
            call.failed = time.time()
            return Response('{"error": {"message": "planned by the judge"}}', 503, {"content-type": "application/json"})
        await asyncio.sleep(self.plan.slow + self.plan.apart * len(self.calls))
        status, headers, content = await self._asked(request, body, digest, ours, host, path)
        if number == self.plan.hold:
            self.held.set()
            await self.release.wait()
        if status < 400 and begun == self.attempt:
            call.answered = time.time()
        return Response(content, status, headers)

    async def _asked(
        self, request: Request, body: bytes, digest: str, ours: bool, host: str, path: str
    ) -> tuple[int, dict[str, str], bytes]:
        if ours and digest in self._answers:
            return self._answers[digest]
        headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
        target = self.upstream + path if ours else f"http://{host}{path}"
        try:
            response = await self._client.request(request.method, target, headers=headers, content=body)
        except httpx.HTTPError as error:
            return 502, {}, f"{target}: {error!r}".encode()
        kept = {name: value for name, value in response.headers.items() if name not in HOP_BY_HOP}
        answer = response.status_code, kept, response.content
        if ours and response.is_success:
            self._answers[digest] = answer
        return answer
