"""The observers of steps: the lab and the traces. `serve` installs them; agents know neither."""

from collections.abc import Callable
from typing import Any

from restate.server_context import ServerInvocationContext

from lab.observed import InjectedFailure, observed
from shared.checks import CHECKS
from shared.funds import release_funds, reserve_funds
from shared.weather import get_weather
from tracing import spans


def install(service: str) -> type[Exception]:
    """Let the lab (`TOUR_LAB`) and the traces (`OTEL_EXPORTER_OTLP_ENDPOINT`) watch the steps of this process.

    Returns the error of a failure that the lab plans, which Restate must retry, whoever raises it.
    """
    spans.install(service)
    steps: dict[Callable[..., Any], str] = {check.function: name for name, check in CHECKS.items()}
    steps |= {reserve_funds: "reserve", release_funds: "release", get_weather: "weather"}
    watched = {step: spans.traced(name)(observed(name)(step)) for step, name in steps.items()}
    run_typed = ServerInvocationContext.run_typed

    def run_watched(self: Any, name: str, action: Any, /, *args: Any, **kwargs: Any) -> Any:
        return run_typed(self, name, watched.get(action, action), *args, **kwargs)

    ServerInvocationContext.run_typed = run_watched  # type: ignore[method-assign]
    return InjectedFailure
