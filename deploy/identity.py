"""The key with which Restate signs its requests. Agents and checks use it to recognise Restate's requests.

uv run --group deploy python -m deploy.identity deploy/identity.pem
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@dataclass(frozen=True)
class Identity:
    """An Ed25519 key: the PEM file `private` for Restate; `public` for agents, as `RESTATE_IDENTITY_KEY`."""

    private: Path
    public: str


def make(private: Path) -> Identity:
    """Make a new key, in a file that only its owner can read. Raises: OSError, such as when the file exists."""
    key = Ed25519PrivateKey.generate()
    with open(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Identity(private, f"publickeyv1_{base58(key.public_key().public_bytes_raw())}")


def base58(data: bytes) -> str:
    """The bytes in base 58: digits and letters that do not look alike. Each leading zero byte is a `1`."""
    number, digits = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


def main(private: Annotated[Path, typer.Argument(help="The file for the private key; it must not exist.")]) -> None:
    """Make a key, and print the public one as a variable for agents and checks."""
    try:
        print(f"RESTATE_IDENTITY_KEY={make(private).public}")
    except OSError as error:
        raise typer.BadParameter(f"{private} cannot be written: {error.strerror}") from error


if __name__ == "__main__":
    typer.run(main)
