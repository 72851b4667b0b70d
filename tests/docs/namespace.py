"""A private network with only loopback, where every port is free, whatever runs on this machine.

It requires only the right to create user namespaces, which some containers and systems refuse.
"""

import subprocess
import sys
from dataclasses import dataclass

HOLD = """
import fcntl, socket, struct, sys
with socket.socket() as any_socket:  # what `ip link set lo up` does, on a machine without `ip`
    request = struct.pack("16sh", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
    fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS
print("up", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Namespace:
    """A network namespace, which lasts until it is closed, or this process ends."""

    holder: subprocess.Popen[bytes]

    def inside(self, *command: str) -> list[str]:
        """The command that runs this one in the namespace, as the same process."""
        target = f"--target={self.holder.pid}"
        return ["nsenter", "--user", "--net", "--preserve-credentials", target, "--", *command]

    def close(self) -> None:
        self.holder.communicate()


def open_namespace() -> Namespace | None:
    """A new namespace; None if that is not permitted, or not supported."""
    command = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c", HOLD]
    try:
        holder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, process_group=0
        )
    except OSError:
        return None
    assert holder.stdout
    namespace = Namespace(holder)
    if holder.stdout.readline() == b"up\n" and not subprocess.run(namespace.inside("true"), check=False).returncode:
        return namespace
    namespace.close()
    return None
