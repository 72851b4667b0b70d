"""The model that answers: the providers that the environment names, and the choice among them."""

import os
from enum import StrEnum

from shared.variables import trim
from tour.runtime.errors import TourError


class Provider(StrEnum):
    """The choice of `--model`: only the offline model, or one provider, with the offline model on the other wire."""

    OFFLINE = "offline"
    OPENAI = "openai"
    GOOGLE = "google"


VARIABLES = {
    Provider.OPENAI: ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
    Provider.GOOGLE: ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
}
"""The variables of each provider. Any of them selects it."""


def named() -> list[str]:
    """The set variables that name a provider."""
    return [variable for variables in VARIABLES.values() for variable in variables if os.environ.get(variable)]


def choose(chosen: Provider) -> None:
    """Unset the variables of other providers, for this process and its children.

    Raises: TourError if no variable names the chosen provider.
    """
    for provider, variables in VARIABLES.items():
        trim(f"{variables[0].partition('_')[0]}_")
        if provider != chosen:
            for variable in variables:
                os.environ.pop(variable, None)
        elif not any(map(os.environ.get, variables)):
            raise TourError(
                f"--model {chosen} needs {variables[0]}, which is not set.",
                f"Export {variables[0]}, or use --model offline.",
            )
