"""Chapter 0: set-up. A first handler with one durable step.

uv run tour workshop check 0
"""

import restate

from shared.serving import serve, service_name

hello = restate.Service(service_name("Hello"))


def greet(name: str) -> str:
    return f"Hello, {name}!"


@hello.handler()
async def run(ctx: restate.Context, name: str) -> str:
    return await ctx.run_typed("greet", greet, name=name)


if __name__ == "__main__":
    serve(hello)
