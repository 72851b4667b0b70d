"""The listening socket of every server in the project."""

import socket


def listen(host: str, port: int) -> socket.socket:
    """A TCP listener; port 0 takes a free one. Raises: OSError when the port is taken, OverflowError above 65535.

    A socket created in advance has no protocol number, and asyncio then leaves Nagle's algorithm on: every answer in
    two writes waits about 40 ms for the client's delayed acknowledgement. Accepted connections inherit the listener's
    setting.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=1024)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
