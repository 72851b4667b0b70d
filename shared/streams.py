"""The server of the streams of claims: it streams events, and is the deployment of their log.

uv run shared/streams.py
"""

import os

import httpx

from durable import stream_server
from shared.serving import serve_app
from shared.variables import reach_loopback_directly, restate_headers

if __name__ == "__main__":
    reach_loopback_directly()
    os.environ.setdefault("PORT", "8090")
    ingress = os.environ.get("RESTATE_INGRESS_URL") or "http://127.0.0.1:8080"
    client = httpx.AsyncClient(base_url=ingress, headers=restate_headers(), timeout=httpx.Timeout(10, read=None))
    serve_app(stream_server.app(client), "Streams")
