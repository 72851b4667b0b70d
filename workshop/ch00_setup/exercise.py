"""Chapter 0: set-up. A first handler, to see that everything works.

uv run tour workshop check 0
"""

import restate

from shared.serving import serve, service_name

hello = restate.Service(service_name("Hello"))


def greet(name: str) -> str:
    return f"Hello, {name}!"


@hello.handler()
async def run(ctx: restate.Context, name: str) -> str:
    # EXERCISE: run `greet` as a durable step: `await ctx.run_typed("greet", greet, name=name)`.
    return greet(name)


if __name__ == "__main__":
    serve(hello)
