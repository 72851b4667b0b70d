"""Output in the terminal's characters: on an ASCII terminal, our signs have ASCII forms."""

import codecs
import io
import sys

SIGNS = {
    **{"█": "#", "━": "=", "✗": "x", "✓": "+", "▸": ">"},  # of the same width: timelines and columns stay aligned
    **{"→": "->", "←": "<-", "…": "...", "“": '"', "”": '"'},
}


def encodable() -> None:
    """Let standard output and error take any text: they replace our signs, and escape other characters as `\\xfc`.

    This concerns every encoding: none has the half surrogate pair that stands for a byte of a path.
    """
    codecs.register_error(__name__, _replacement)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=__name__)


def _replacement(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    rest = error.object[error.start : error.end]
    return "".join(SIGNS.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in rest), error.end
