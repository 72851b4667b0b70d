"""What the programs `*/twins/features.py` share: a structured answer, two tools, and a person who is asked."""

import os

import restate
from pydantic import BaseModel

INSTRUCTIONS = "You answer."
SPECIALIST = "You are the specialist."


class Decision(BaseModel):
    """A structured answer."""

    verdict: str
    reason: str


def mcp_url() -> str:
    """The address of the test's MCP server."""
    return os.environ["MCP_URL"]


async def look_up(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


async def pay(amount: int) -> str:
    """Pay this amount."""
    return f"paid {amount}"


async def ask_a_person(ctx: restate.ObjectContext, of_tool: restate.Context | None = None) -> bool:
    """A person's answer, however long it takes; the state `waiting` has the name by which it is given.

    A tool that takes turns with others waits in a context of its own.
    """
    name, answer = (of_tool or ctx).awakeable(type_hint=bool)
    ctx.set("waiting", name)
    return await answer
