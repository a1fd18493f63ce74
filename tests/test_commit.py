"""The commit of the package: of its own repository alone."""

import subprocess
from pathlib import Path

import pytest

from dima_jax import commit


@pytest.fixture
def package(tmp_path) -> Path:
    """A package in a folder of its own."""
    folder = tmp_path / "clone" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    return folder


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


def test_the_repository_that_holds_the_package(package):
    clone = package.parent
    git(clone, "init")
    git(clone, "add", ".")
    git(clone, "commit", "-m", "first")
    git(clone, "tag", "v9")
    assert commit.describe(package) == "v9"
    (package / "__init__.py").write_text("x = 1")
    assert commit.describe(package) == "v9-dirty"
    git(clone, "commit", "-am", "second")
    assert commit.describe(package).startswith("v9-1-g")


def test_no_repository(package, monkeypatch):
    assert commit.describe(package) == commit.UNKNOWN == "unknown"
    monkeypatch.setenv("PATH", "")
    assert commit.describe(package) == "unknown"  # nor git


def test_somebody_elses_repository(package):
    """An environment inside a repository, whether it is committed there or not."""
    outer, clone = package.parents[1], package.parent
    git(outer, "init")
    git(outer, "commit", "--allow-empty", "-m", "theirs")
    assert commit.describe(package) == "unknown"
    git(outer, "add", ".")
    git(outer, "commit", "-m", "all")
    assert commit.describe(package) == "unknown"
    git(clone, "init")
    assert commit.describe(package) == "unknown"  # a repository that does not hold the package
