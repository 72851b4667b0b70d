"""The tokens of a claim on each framework, from the requests as they are sent, and what they cost at list prices.

No provider has counted them. The estimate takes the JSON of all that the model reads and writes, without ids, and four
characters for a token, which is OpenAI's rule of thumb. `tour compare --model openai` shows the provider's own count.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pydantic import BaseModel

from offline_model.server import create_app
from offline_model.sockets import serving
from offline_model.wires.wire import CHARACTERS_PER_TOKEN
from shared.claims import InsuranceClaim
from tour.runtime import stack
from tour.runtime.frameworks import Framework

READ = ("instructions", "input", "messages", "systemInstruction", "contents", "tools")
"""The fields of a request, on any of the wires, that the model reads."""

WRITTEN = ("output", "choices", "candidates")
"""The fields of an answer that the model has written."""

ENVELOPE = {"id", "call_id", "tool_call_id", "status", "annotations", "index", "finish_reason", "finishReason"}
"""Fields around a text, of which a model knows nothing."""


class Price(BaseModel):
    """US dollars for a million tokens, and the page that says so."""

    input: float
    output: float
    source: str


class Prices(BaseModel):
    """List prices on a day, by the model's name."""

    on: str
    models: dict[str, Price]


def prices() -> Prices:
    """Those of `prices.json`, which are the reader's to change."""
    return Prices.model_validate_json(Path(__file__).with_name("prices.json").read_bytes())


class Tokens(BaseModel):
    """The tokens of each model call of a claim: how many were read and written."""

    calls: list[tuple[int, int]]

    @property
    def read(self) -> int:
        return sum(read for read, _ in self.calls)

    @property
    def written(self) -> int:
        return sum(written for _, written in self.calls)

    def dollars(self, price: Price, claims: int = 1000) -> float:
        """What so many claims cost."""
        return claims * cost(price, self.read, self.written)

    def again(self, price: Price, claims: int = 1000) -> float:
        """What the last model call costs, which is the longest, if each of so many claims makes it once more."""
        return claims * cost(price, *self.calls[-1])


def cost(price: Price, read: int, written: int) -> float:
    """In dollars."""
    return (read * price.input + written * price.output) / 1e6


@dataclass
class Recorder:
    """An offline model, as an ASGI app, that keeps what it is asked and what it says."""

    calls: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    _app: Any = field(default_factory=create_app)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        asked, said = bytearray(), bytearray()

        async def received() -> Any:
            message = await receive()
            asked.extend(message.get("body", b""))
            return message

        async def sent(message: Any) -> None:
            said.extend(message.get("body", b""))
            await send(message)

        await self._app(scope, received, sent)
        self.calls.append((json.loads(asked), json.loads(said)))


async def tokens_of(frameworks: Sequence[Framework], folder: Path, claim: InsuranceClaim) -> list[Tokens]:
    """Those of this claim on each framework. Logs are in `folder`. Raises: TourError when an agent cannot start."""
    model = Recorder()
    async with serving(model, lifespan="off") as url:
        urls = {"OPENAI_BASE_URL": f"{url}/v1", "GOOGLE_GEMINI_BASE_URL": url}
        with patch.dict(os.environ, urls):
            async with stack.running(folder, frameworks=frameworks) as running:
                found = []
                for framework in frameworks:
                    model.calls.clear()
                    await running.answer(await running.submit(framework, claim, "tokens", "tokens"))
                    counted = [(_counted(asked, READ), _counted(said, WRITTEN)) for asked, said in model.calls]
                    found.append(Tokens(calls=counted))
                return found


def _counted(body: dict[str, Any], fields: Sequence[str]) -> int:
    shown = [_without_envelope(body[name]) for name in fields if name in body]
    text = "".join(json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in shown)
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _without_envelope(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_envelope(each) for name, each in value.items() if name not in ENVELOPE}
    return [_without_envelope(each) for each in value] if isinstance(value, list) else value
