"""Serve the offline model on 127.0.0.1.

uv run python -m offline_model --port 8090 --latency 0.3

    OPENAI_BASE_URL=http://127.0.0.1:8090/v1          POST /v1/responses, /v1/chat/completions
    GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:8090      POST /v1beta/models/{model}:generateContent
                                                      and :streamGenerateContent?alt=sse

An extra path segment in front names the caller (`http://127.0.0.1:8090/langchain_agent/v1`).
"""

import argparse
import os
import signal
import sys
import threading

from lab.ledger import Lab
from offline_model.faults import LabDirector
from offline_model.server import TYPES, serve


def main() -> None:
    """Run the command line. Exits with 1 when the port is taken."""
    parser = argparse.ArgumentParser(prog="python -m offline_model", description="The offline model, on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each answer takes")
    parser.add_argument("--wire", action="append", choices=TYPES, help="wires with a quick first answer (default: all)")
    parser.add_argument(
        "--until-eof", action="store_true", help="end with the parent process, when standard input ends"
    )
    arguments = parser.parse_args()
    if arguments.until_eof:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    lab = os.environ.get("TOUR_LAB")
    director = LabDirector(Lab(lab)) if lab else None
    try:
        serve(port=arguments.port, latency=arguments.latency, director=director, wires=arguments.wire or TYPES)
    except (OSError, OverflowError) as error:
        sys.exit(f"The offline model cannot listen on 127.0.0.1:{arguments.port}: {error}")


def _end_with_stdin() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
