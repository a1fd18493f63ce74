"""Which commit of the package this is, for files that outlive the clone that wrote them."""

import subprocess
from pathlib import Path

UNKNOWN = "unknown"


def describe(package: Path = Path(__file__).parent) -> str:
    """`git describe` of the repository whose top folder holds the package, "-dirty" with changes; UNKNOWN without one.

    A package in an environment inside somebody else's repository is not part of that repository.
    """
    top = package.resolve().parent
    try:
        if not _git(top, "ls-files", "--", f"{package.name}/__init__.py"):
            return UNKNOWN
        if Path(_git(top, "rev-parse", "--show-toplevel")) != top:
            return UNKNOWN
        return _git(top, "describe", "--always", "--tags", "--dirty")
    except (OSError, subprocess.CalledProcessError):  # no git, no repository, or one that belongs to another user
        return UNKNOWN


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
