"""Register deployments with the Restate whose admin address is in `RESTATE_ADMIN_URL`. Repeating this is safe.

A Restate that requires a token gets the one in `RESTATE_AUTH_TOKEN`.

RESTATE_ADMIN_URL=http://envoy:9070 python -m deploy.register http://envoy:9080 http://envoy:9081

This module is in the image with the agents, and so it does not import `tour`, which is not.
"""

import os
import sys

import httpx

from shared.variables import restate_headers


def main(*urls: str) -> None:
    """Register each address, unless it is registered. Exits with 1 if Restate does not answer, or refuses."""
    headers = restate_headers()
    with httpx.Client(base_url=os.environ["RESTATE_ADMIN_URL"], timeout=30, headers=headers) as admin:
        for url in urls:
            try:
                response = admin.post("/deployments", json={"uri": url, "force": False})
            except httpx.HTTPError as error:
                sys.exit(f"Restate does not answer on {admin.base_url}: {error}")
            if response.status_code >= 300:
                sys.exit(f"Restate could not register {url}: {response.text}")
            print(url, *(service["name"] for service in response.json()["services"]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
