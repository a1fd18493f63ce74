"""`import dima_jax` names the public API and loads nothing until it is used."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import dima_jax
from dima_jax import policy

ROOT = Path(__file__).parents[1]


def test_the_public_api():
    assert dima_jax.__all__ == ["Frame", "Plan", "Policy", "__version__"]
    assert dima_jax.Policy is policy.Policy and dima_jax.Frame is policy.Frame and dima_jax.Plan is policy.Plan
    assert set(dima_jax.__all__) <= set(dir(dima_jax))
    with pytest.raises(AttributeError, match="Polcy"):
        _ = dima_jax.Polcy


def test_the_version_is_the_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project.get("version", dima_jax.__version__) == dima_jax.__version__


def test_importing_it_loads_nothing():
    code = (
        "import sys; before = set(sys.modules); import dima_jax; dir(dima_jax);"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(new - sys.stdlib_module_names))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "['dima_jax']"
