"""The options of several commands: the claim, the frameworks, the latencies, the picture."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from shared.claims import InsuranceClaim, invalid, sample_claims
from tour.runtime.errors import TourError
from tour.runtime.frameworks import BY_NAME, Framework
from tour.runtime.provider import Provider, choose

Only = Annotated[str, typer.Option(help="Only these frameworks: folder names, separated by commas.")]
Sample = Annotated[str, typer.Option(help="A claim of shared/samples, by name.")]
ClaimFile = Annotated[str, typer.Option(help="A file with a claim as JSON; `-` reads standard input.")]
ModelLatency = Annotated[float, typer.Option(min=0, help="Seconds that the offline model takes for an answer.")]
StepLatency = Annotated[float, typer.Option(min=0, help="Seconds that are added to each check.")]
Model = Annotated[
    Provider | None,
    typer.Option(
        help="The model that answers; by default the provider whose key is exported, else the offline model.",
        callback=lambda chosen: choose(chosen) if chosen else None,
    ),
]
"""The option acts when it is parsed: no command needs its value."""
Svg = Annotated[Path | None, typer.Option(help="Save the output as a picture in this SVG file.")]


def frameworks(only: str) -> tuple[Framework, ...]:
    """The frameworks that the option `Only` names; all if it is empty. Raises: TourError."""
    names = [name.strip() for name in only.split(",") if name.strip()] or list(BY_NAME)
    if unknown := [name for name in names if name not in BY_NAME]:
        raise TourError(f"There is no framework {', '.join(unknown)}.", f"Choose from: {', '.join(BY_NAME)}")
    return tuple(BY_NAME[name] for name in names)


def claim(sample: str, file: str) -> InsuranceClaim:
    """The claim in `file` (`-`: standard input), or the sample if `file` is empty.

    Raises: TourError if there is no such sample or file, or the claim is not valid.
    """
    samples = sample_claims()
    if sample not in samples:
        raise TourError(f"There is no sample {sample}.", f"Choose from: {', '.join(samples)}")
    try:
        return InsuranceClaim.model_validate(json.loads(_read(file))) if file else samples[sample]
    except OSError as error:
        raise TourError(f"The claim cannot be read: {error}", "Name a file with a claim as JSON, or `-`.") from error
    except ValueError as error:
        problem = invalid(error) if isinstance(error, ValidationError) else f"not JSON: {error}"
        raise TourError(
            f"The claim is not valid: {problem}", f"An example: {as_json(samples['broken-leg'])}"
        ) from error


def request(file: str, text: str) -> bytes:
    """The JSON of a request: from `file`, from the text, or of a sample claim. Raises: TourError."""
    try:
        if file:
            return Path(file).read_bytes()
        return (json.dumps(text) if text else as_json(claim("broken-leg", ""))).encode()
    except OSError as error:
        raise TourError(f"The request cannot be read: {error}", "Name a file with the request as JSON.") from error


def _read(file: str) -> bytes:
    # JSON itself defines its encoding, not the locale.
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def as_json(claim: InsuranceClaim) -> str:
    """The claim on one line."""
    return json.dumps(claim.model_dump(mode="json"))
