"""Shape checks are on in this test session, and the functions they check say their shapes."""

import ast
import importlib
import pkgutil
from pathlib import Path

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from dima_jax import geometry, losses, metrics, scoring, student, teacher, vector
from dima_jax.losses import focal
from dima_jax.metrics import detection, language, protocols

ROOT = Path(__file__).parents[1] / "dima_jax"
ANNOTATED = [
    ROOT / "geometry.py",
    *sorted(path for package in ("losses", "metrics", "scoring") for path in ROOT.glob(f"{package}/**/*.py")),
]
PACKAGES = (student, teacher, losses, metrics, language, protocols, scoring, vector)
MODULES = [
    "dima_jax.geometry",
    "dima_jax.predictions",
    "dima_jax.detections",
    "dima_jax.dima",
    "dima_jax.dual",
    "dima_jax.scan_layers",
    *(f"{package.__name__}.{info.name}" for package in PACKAGES for info in pkgutil.iter_modules(package.__path__)),
]


@pytest.mark.parametrize("name", MODULES)
def test_the_hook_covers(name):
    loader = importlib.import_module(name).__spec__.loader
    assert type(loader).__module__.startswith("jaxtyping"), f"{name} was imported before the hook of conftest.py"


def test_a_wrong_shape_raises():
    with pytest.raises(jaxtyping.TypeCheckError):
        focal.focal_sum(jnp.zeros((2, 3)), jnp.zeros(3, int))
    with pytest.raises(jaxtyping.TypeCheckError):
        geometry.decode_boxes(jnp.zeros((4, 9)))
    with pytest.raises(jaxtyping.TypeCheckError):
        detection.average_precision(np.zeros((2, 3), bool), 1)


def test_a_wrong_dtype_raises():
    with pytest.raises(jaxtyping.TypeCheckError):
        focal.focal_sum(jnp.zeros((2, 3)), jnp.zeros(2))


def missing_annotations(path) -> list[str]:
    """Functions of a file with an argument or a return value that has no annotation."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            arguments = [
                *node.args.posonlyargs,
                *node.args.args,
                *node.args.kwonlyargs,
                node.args.vararg,
                node.args.kwarg,
            ]
            names = [
                a.arg for a in arguments if a is not None and a.annotation is None and a.arg not in ("self", "cls")
            ]
            if names or (node.returns is None and node.name != "__init__"):
                found.append(f"{node.name}: {', '.join(names) or 'return value'}")
    return found


@pytest.mark.parametrize("path", ANNOTATED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_function_is_annotated(path):
    assert missing_annotations(path) == []


def test_a_missing_annotation_is_found(tmp_path):
    source = tmp_path / "module.py"
    source.write_text("def f(a: int, b) -> int: return a\ndef g(): pass\ndef h(*, c: int) -> None: pass\n")
    assert missing_annotations(source) == ["f: b", "g: return value"]
