"""What environment variables say: numbers, keys and addresses, and proxies."""

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


def trim(prefix: str) -> None:
    """Take blanks and line ends off the variables whose names begin so: from a `.env` of Windows, they end in one.

    Exits with 1, and does not say the value, where one that is a key or a token cannot be sent in a header.
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
    """The headers for the Restate that the environment names: with `RESTATE_AUTH_TOKEN`, if that is set."""
    trim("RESTATE_")
    token = os.environ.get("RESTATE_AUTH_TOKEN")
    return {"authorization": f"Bearer {token}"} if token else {}


def openai_at(url: str) -> dict[str, str]:
    """The variables with which every client of OpenAI's API calls this address, whatever else the environment says.

    LangChain has names of its own: it prefers `OPENAI_API_BASE`, and refuses `OPENAI_PROXY` beside our client.
    """
    return {"OPENAI_BASE_URL": url, "OPENAI_API_BASE": url, "OPENAI_PROXY": ""}


def google_at(url: str) -> dict[str, str]:
    """The variables with which Google's client calls this address, whatever else the environment says.

    It would leave it out for Vertex AI, and for its recorded answers.
    """
    vertex = dict.fromkeys(("GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI"), "false")
    return {"GOOGLE_GEMINI_BASE_URL": url, "GOOGLE_GENAI_CLIENT_MODE": "", **vertex}


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
