"""Whose model answers: the providers that the environment names, and the choice among them."""

import os
from enum import StrEnum

from shared.variables import trim
from tour.runtime.errors import TourError


class Provider(StrEnum):
    """What `--model` chooses: the offline model alone, or one provider, with the offline model on the other's wire."""

    OFFLINE = "offline"
    OPENAI = "openai"
    GOOGLE = "google"


VARIABLES = {
    Provider.OPENAI: ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
    Provider.GOOGLE: ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
}
"""Each of these names its provider."""


def named() -> list[str]:
    """The variables that are set, and name a provider."""
    return [variable for variables in VARIABLES.values() for variable in variables if os.environ.get(variable)]


def choose(chosen: Provider) -> None:
    """Unset what names another provider, for this process and those that it starts.

    Raises: TourError when nothing names the chosen one.
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
