"""Output in the characters that the terminal has: where it has ASCII alone, our signs have forms in ASCII."""

import codecs
import io
import sys

SIGNS = {
    **{"█": "#", "━": "=", "✗": "x", "✓": "+", "▸": ">"},  # as wide as they are: timelines and columns stay aligned
    **{"→": "->", "←": "<-", "…": "...", "“": '"', "”": '"'},
}


def encodable() -> None:
    """Let standard output and error take any text. What they cannot encode and is no sign of ours is escaped: `\\xfc`.

    To do so is no matter of ASCII alone: no encoding has the half of a surrogate pair that stands for a byte of a path.
    """
    codecs.register_error(__name__, _replacement)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=__name__)


def _replacement(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    rest = error.object[error.start : error.end]
    return "".join(SIGNS.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in rest), error.end
