"""The server that streams the events of claims. It is also the deployment of the event log.

uv run shared/streams.py
"""

import os

import httpx

from durable import stream_server
from durable.streaming import ingress_client
from shared.serving import serve_app
from shared.variables import reach_loopback_directly, trim

if __name__ == "__main__":
    reach_loopback_directly()
    os.environ.setdefault("PORT", "8090")
    trim("RESTATE_")
    serve_app(stream_server.app(ingress_client(httpx.Timeout(10, read=None))), "Streams")
