"""The versions that this library was tested with: it relies on parts of the SDKs that are not documented."""

from importlib import metadata


def require_versions(**versions: str) -> None:
    """Make sure that these packages have versions that begin so (`openai_agents="0.24."`). Raises: ImportError."""
    for name, version in versions.items():
        package = name.replace("_", "-")
        if not metadata.version(package).startswith(version):
            raise ImportError(
                f"`durable` was tested with {package} {version}*, and {metadata.version(package)} is installed: "
                "run tests/durable and tests/conformance with it, then change the number here"
            )
