"""The private parts of other packages that `durable` relies on, and a fingerprint of each.

A version number says nothing about these parts: a patch may change one, and a new minor version none. So each module of
`durable` compares the source of its parts when it is imported. If the sources are equal, the version is supported,
whatever its number. If a source differs, an ImportError names the part; `DURABLE_PARTS=warn` makes it a warning.

    python -m durable.parts      shows each part, and whether it is as expected
"""

import hashlib
import importlib
import inspect
import os
import textwrap
import warnings
from dataclasses import dataclass
from importlib import metadata
from operator import attrgetter

VARIABLE = "DURABLE_PARTS"
"""`warn`: a part that has changed is not an error."""


@dataclass(frozen=True)
class Part:
    """A function of another package: its module, its name there, its fingerprint, and what it does."""

    module: str
    name: str
    expected: str
    why: str

    def found(self) -> str:
        """Its current fingerprint: the first digits of its source's SHA-256. Raises: ImportError when it is gone."""
        try:
            part = attrgetter(self.name)(importlib.import_module(self.module))
        except AttributeError:
            raise ImportError(f"{self} is gone") from None
        source = textwrap.dedent(inspect.getsource(part))
        return hashlib.sha256(source.encode()).hexdigest()[:12]

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


CONTEXT, TURNSTILE, VM = "restate.server_context", "restate.ext.turnstile", "restate.vm"
OPENAI, LANGCHAIN = "restate.ext.openai.runner_wrapper", "restate.ext.langchain._middleware"

PARTS: dict[str, tuple[Part, ...]] = {
    "held_steps": (
        Part(CONTEXT, "ServerInvocationContext.run", "0c4cca506f19", "puts a step into run_coros_to_execute"),
        Part(CONTEXT, "ServerInvocationContext.run_typed", "28f90c63aa32", "does so, too"),
        Part(
            CONTEXT, "ServerInvocationContext.create_run_coroutine", "e386dd7ee399", "runs a step, and sends its result"
        ),
        Part(CONTEXT, "ServerInvocationContext.must_take_notification", "6f5dadeeae9f", "sees a result in the journal"),
        Part(
            CONTEXT, "ServerInvocationContext.on_attempt_finished", "6f505c183a03", "is called when an attempt is over"
        ),
        Part(
            CONTEXT,
            "ServerInvocationContext.create_poll_or_cancel_coroutine",
            "34c4d5e11eba",
            "waits for Restate, and raises when the attempt is over",
        ),
    ),
    "tool_calls": (Part(VM, "VMWrapper.is_completed", "d83bbd77fc2f", "tells whose wait is over"),),
    "turnstile": (
        Part(TURNSTILE, "Turnstile.__init__", "ee14fc6166dd", "lets each call wait for the one before it"),
        Part(TURNSTILE, "Turnstile.wait_for", "12e5fcb5af2b", "waits without an end for a call that does not come"),
        Part(TURNSTILE, "Turnstile.cancel_all_after", "bdad5e7c5139", "follows repeated ids without an end"),
        Part(TURNSTILE, "Turnstile.allow_next_after", "21446ba57e01", "lets the next call go on"),
    ),
    "quick_gather": (
        Part(VM, "_unresolved_future_to_pyo3", "6510b869e5f9", "makes an object for each future at each poll"),
    ),
    "exact.langchain": (
        Part(LANGCHAIN, "RestateMiddleware.awrap_model_call", "af0cb83df92d", "journals a SerializableModelResponse"),
    ),
    "exact.openai_agents": (
        Part(OPENAI, "DurableModelCalls.get_model", "bf124f8e792f", "makes a RestateModelWrapper"),
        Part(OPENAI, "RestateModelWrapper.get_response", "6355f7cd9a2c", "journals fields that the server never sent"),
    ),
    "exact.pydantic_ai": (
        Part(
            "restate.ext.pydantic._model", "RestateModelWrapper.__init__", "f23023d2f90e", "takes MODEL_RESPONSE_SERDE"
        ),
    ),
    "adapters.google_adk": (
        Part(
            "restate.ext.adk.plugin", "RestatePlugin.before_model_callback", "f1437055895f", "returns the model's turn"
        ),
    ),
    "adapters.langchain": (
        Part(LANGCHAIN, "RestateMiddleware.awrap_tool_call", "1262181b4722", "makes a tool call wait for its turn"),
    ),
}
"""The parts, by module of `durable`."""


def check(module: str) -> None:
    """Compare the parts that this module relies on, by its `__name__`. Raises: ImportError when one has changed."""
    for part in PARTS[module.removeprefix("durable.")]:
        if (found := part.found()) == part.expected:
            continue
        problem = (
            f"{module} relies on {part}, which has changed ({part.expected} is now {found}; "
            f"restate-sdk {metadata.version('restate-sdk')}): check that it still {part.why}. "
            f"{VARIABLE}=warn makes this error a warning."
        )
        if os.environ.get(VARIABLE) != "warn":
            raise ImportError(problem)
        warnings.warn(problem, RuntimeWarning, stacklevel=2)


def main() -> None:
    """Show each part once. Exits with 1 when one has changed."""
    changed = 0
    for part in dict.fromkeys(part for parts in PARTS.values() for part in parts):
        try:
            found = part.found()
        except ImportError:
            found = "gone"
        changed += found != part.expected
        print(f"{'ok' if found == part.expected else 'changed':8}{found:14}{part}: {part.why}")
    raise SystemExit(bool(changed))


if __name__ == "__main__":
    main()
