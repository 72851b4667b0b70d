"""The bank of a claim: an HTTP service that reserves and releases money, with its own ledger.

uv run python -m lab.bank --port 8095

    PUT    /reservations/<key>   {"amount": 3000}   reserves, once; 409 when the key has been released
    DELETE /reservations/<key>                      releases, once; the key can then no longer be reserved
    GET    /reservations                            {"<key>": "reserved" or "released", …}

Repeating a request changes nothing, in whatever order requests arrive: each key ends reserved, or released.
"""

import argparse
import json
import os
import sqlite3
import sys
import tempfile
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DEFAULT_LEDGER = Path(tempfile.gettempdir()) / f"tour-funds-{os.getuid()}.sqlite"


class Bank:
    """The ledger, in an SQLite file that survives `kill -9`. It has a row for each event of a key."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        with closing(self._open()) as db:
            db.execute("CREATE TABLE IF NOT EXISTS entry (key TEXT, event TEXT, amount REAL, PRIMARY KEY (key, event))")

    def reserve(self, key: str, amount: float) -> bool:
        """Reserve, once; False when the key has been released."""
        with closing(self._open()) as db:
            db.execute(
                "INSERT OR IGNORE INTO entry SELECT ?, 'reserved', ?"
                " WHERE NOT EXISTS (SELECT * FROM entry WHERE key = ? AND event = 'released')",
                (key, amount, key),
            )
        return self.all()[key] == "reserved"

    def release(self, key: str) -> None:
        """Release, once."""
        with closing(self._open()) as db:
            db.execute("INSERT OR IGNORE INTO entry VALUES (?, 'released', 0)", (key,))

    def all(self) -> dict[str, str]:
        """`reserved` or `released`, by key."""
        with closing(self._open()) as db:  # `released` sorts before `reserved`
            return dict(db.execute("SELECT key, min(event) FROM entry GROUP BY key").fetchall())

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=30, isolation_level=None)


def server(ledger: str | os.PathLike[str], port: int = 0) -> ThreadingHTTPServer:
    """The service on 127.0.0.1; port 0 takes a free one. Raises: OSError when the port is taken."""
    bank = Bank(ledger)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, bank.all())

        def do_PUT(self) -> None:
            amount = json.loads(self.rfile.read(int(self.headers["content-length"])))["amount"]
            reserved = bank.reserve(self._key, amount)
            self._answer(*((200, "reserved") if reserved else (409, "released already")))

        def do_DELETE(self) -> None:
            bank.release(self._key)
            self._answer(200, "released")

        @property
        def _key(self) -> str:
            return self.path.rpartition("/")[2]

        def _answer(self, status: int, answer: object) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def serve_in_thread() -> str:
    """Serve the ledger `FUNDS_LEDGER`, else a temporary one, on a free port; returns the URL."""
    serving = server(_ledger())
    threading.Thread(target=serving.serve_forever, name="funds", daemon=True).start()
    return f"http://127.0.0.1:{serving.server_port}"


def _ledger() -> str | Path:
    return os.environ.get("FUNDS_LEDGER") or DEFAULT_LEDGER


def main() -> None:
    """Run the command line. Exits with 1 when the port is taken."""
    parser = argparse.ArgumentParser(prog="python -m lab.bank", description="Reserve and release money, on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--ledger", default=_ledger(), help="the SQLite file (default: %(default)s)")
    parser.add_argument(
        "--until-eof", action="store_true", help="end with the parent process, when standard input ends"
    )
    arguments = parser.parse_args()
    try:
        serving = server(arguments.ledger, arguments.port)
    except OSError as error:
        sys.exit(f"The funds service cannot listen on 127.0.0.1:{arguments.port}: {error}")
    if arguments.until_eof:
        threading.Thread(target=_end_with_stdin, args=[serving], daemon=True).start()
    print(f"http://127.0.0.1:{serving.server_port}", flush=True)
    serving.serve_forever()


def _end_with_stdin(serving: ThreadingHTTPServer) -> None:
    sys.stdin.read()
    serving.shutdown()


if __name__ == "__main__":
    main()
