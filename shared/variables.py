"""Environment variables: numbers, keys, addresses and proxies."""

import os
import re
import sys
from typing import TypeVar
from urllib.request import getproxies

N = TypeVar("N", int, float)

MOST = 10**9
"""The largest number that a variable may hold; in seconds, thirty years."""

PROXIES = ("http", "https", "socks5", "socks5h")
"""The schemes of a proxy's address that HTTP clients support."""


def number(variable: str, usual: N) -> N:
    """The number in this variable, or the `usual` one if it is unset or empty. Both have the same type.

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


def trim(prefix: str) -> None:
    """Strip white space from the variables whose names begin with `prefix`: a `.env` of Windows leaves line ends.

    If a header cannot hold a key or a token, exits with 1 and does not show the value.
    """
    for variable, text in os.environ.items():
        if variable.startswith(prefix) and text != text.strip():
            os.environ[variable] = text.strip()
        secret = variable.startswith(prefix) and variable.endswith(("_KEY", "_TOKEN"))
        if secret and not (os.environ[variable].isascii() and os.environ[variable].isprintable()):
            sys.exit(
                f"{variable} has a character that no HTTP header can have, such as a quotation mark of a word "
                "processor.\nCopy it again, or unset it."
            )


def restate_headers() -> dict[str, str]:
    """The headers for the Restate that the environment names: with `RESTATE_AUTH_TOKEN`, if set."""
    trim("RESTATE_")
    token = os.environ.get("RESTATE_AUTH_TOKEN")
    return {"authorization": f"Bearer {token}"} if token else {}


def openai_at(url: str) -> dict[str, str]:
    """The variables with which every client of OpenAI's API calls this address, whatever else the environment says.

    LangChain prefers `OPENAI_API_BASE`, and rejects `OPENAI_PROXY` together with our HTTP client.
    """
    return {"OPENAI_BASE_URL": url, "OPENAI_API_BASE": url, "OPENAI_PROXY": ""}


def google_at(url: str) -> dict[str, str]:
    """The variables with which Google's client calls this address, whatever else the environment says.

    The client would ignore the address for Vertex AI, and for recorded answers.
    """
    vertex = dict.fromkeys(("GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI"), "false")
    return {"GOOGLE_GEMINI_BASE_URL": url, "GOOGLE_GENAI_CLIENT_MODE": "", **vertex}


def reach_loopback_directly() -> None:
    """Exempt loopback from the HTTP proxy of the environment or of the macOS settings.

    Otherwise a client of this process or its children would ask the proxy for the Restate and the model on this
    machine. Exits with 1, and says why, if no client could use the proxy.
    """
    found = getproxies()
    direct = found.get("no", "")
    proxies = {f"{kind}_proxy": found[kind] for kind in ("http", "https", "all") if kind in found}
    for variable, url in proxies.items():
        proxies[variable] = url = re.sub("^socks:", "socks5:", url)  # GNOME's name for it
        scheme, separator, _ = url.partition("://")
        if separator and scheme.lower() not in PROXIES:
            sys.exit(f"{variable} has the scheme {scheme}: use one of {', '.join(PROXIES)}.\nChange it, or unset it.")
    if proxies and direct != "*":
        hosts = dict.fromkeys([*filter(None, direct.split(",")), "localhost", "127.0.0.1", "::1"])
        os.environ.update(proxies, no_proxy=",".join(hosts), NO_PROXY=",".join(hosts))
