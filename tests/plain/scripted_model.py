"""A model server that follows a script, whatever the request, and records the requests."""

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from offline_model.faults import Raw
from offline_model.sockets import serving

CASE = re.compile(rb"case [0-9a-f]{32}")
"""The text in a claim's reason that identifies its requests."""


@dataclass
class Case:
    """The answer of each turn of a claim, the last one for all later turns; and each request, without the claim's text.

    An answer is JSON, its text, or a whole response. A repeated request gets the answer of its turn.
    """

    script: Sequence[Any]
    requests: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    """The path of each request, also of one that came again."""


class ScriptedModel:
    """The server's answers; the texts of the claims identify the cases."""

    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve on a free port of loopback while the block runs; yields the address."""
        app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["POST"])])
        # In this thread: a second one would hold locks while a child process is forked.
        async with serving(app, lifespan="off", timeout_keep_alive=75) as url:
            yield url

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        found = CASE.search(body)
        assert found
        case = self.cases[found[0].decode()]
        asked = CASE.sub(b"case", body)
        case.paths.append(request.url.path)
        if asked not in case.requests:
            case.requests.append(asked)
        turn = min(case.requests.index(asked), len(case.script) - 1)
        said = case.script[turn]
        raw = said if isinstance(said, Raw) else Raw(200, {}, said if isinstance(said, str) else json.dumps(said))
        text = raw.body.replace("case CASE", found[0].decode())
        headers = {"content-type": "application/json"} | raw.headers
        return Response(text.encode("utf-8", "surrogatepass"), raw.status, headers)
