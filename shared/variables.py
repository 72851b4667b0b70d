"""What environment variables say: numbers, and proxies."""

import os
import re
import sys
from typing import TypeVar
from urllib.request import getproxies

N = TypeVar("N", int, float)

MOST = 10**9
"""In seconds, thirty years."""


def number(variable: str, usual: N) -> N:
    """The number in this variable, of the type of the usual one, which it is where the variable is unset or empty.

    Exits with 1, and says why, unless it is greater than 0 and at most `MOST`.
    """
    text = os.environ.get(variable)
    if not text:
        return usual
    kind = type(usual)
    written = re.fullmatch(r"[0-9]{1,10}" if kind is int else r"[0-9]{1,10}(\.[0-9]+)?", text)
    value = kind(text) if written else kind(0)
    if not 0 < value <= MOST:
        whole = "whole " if kind is int else ""
        sys.exit(
            f"{variable} is {text!r}: it must be a {whole}number greater than 0, and at most {MOST:,}.\n"
            "Change it, or unset it."
        )
    return value


def reach_loopback_directly() -> None:
    """Exempt loopback from the proxy that the environment, or a setting of macOS, names for HTTP.

    Without that, a client of this process or of its children would look there for the Restate and the model that run
    on this machine.
    """
    proxies = getproxies()
    direct = proxies.pop("no", "")
    if proxies and direct != "*":
        hosts = dict.fromkeys([*filter(None, direct.split(",")), "localhost", "127.0.0.1", "::1"])
        variables = {f"{scheme}_proxy": url for scheme, url in proxies.items()}
        os.environ.update(variables, no_proxy=",".join(hosts), NO_PROXY=",".join(hosts))
