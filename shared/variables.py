"""What environment variables say: numbers, and proxies."""

import os
import re
import sys
from typing import TypeVar
from urllib.request import getproxies

N = TypeVar("N", int, float)

MOST = 10**9
"""In seconds, thirty years."""

PROXIES = ("http", "https", "socks5", "socks5h")
"""The schemes of a proxy's address that HTTP clients know."""


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
    on this machine. Exits with 1, and says why, where no client could use the proxy.
    """
    found = getproxies()
    direct = found.get("no", "")
    proxies = {f"{kind}_proxy": found[kind] for kind in ("http", "https", "all") if kind in found}
    for variable, url in proxies.items():
        proxies[variable] = url = re.sub("^socks:", "socks5:", url)  # which is what GNOME calls it
        scheme, separator, _ = url.partition("://")
        if separator and scheme.lower() not in PROXIES:
            sys.exit(f"{variable} has the scheme {scheme}: use one of {', '.join(PROXIES)}.\nChange it, or unset it.")
    if proxies and direct != "*":
        hosts = dict.fromkeys([*filter(None, direct.split(",")), "localhost", "127.0.0.1", "::1"])
        os.environ.update(proxies, no_proxy=",".join(hosts), NO_PROXY=",".join(hosts))
