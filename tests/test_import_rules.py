"""Who may import whom (design, section 3), held by reading the imports of every file."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for room in ("dima_jax", "data_prep", "configs") for path in (ROOT / room).rglob("*.py"))
ENTRY_POINTS = ("train", "evaluate", "export", "ask", "plan_run")
HEAVY = ("nuscenes", "transformers", "jax2onnx", "onnx", "tensorflow", "gguf", "libsumo")


def imports(path: Path) -> set[str]:
    """Dotted names a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def importing(room: str, *forbidden: str) -> list[str]:
    """Files of a room that import something below one of the forbidden names."""
    found = []
    for path in FILES:
        if str(path.relative_to(ROOT)).startswith(room):
            found += [
                f"{path.relative_to(ROOT)} imports {name}"
                for name in imports(path)
                if any(name == bad or name.startswith(bad + ".") for bad in forbidden)
            ]
    return found


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("dima_jax/student/", ("dima_jax.teacher", "dima_jax.losses", "dima_jax.data", "dima_jax.metrics")),
        ("dima_jax/teacher/", ("dima_jax.student",)),
        ("dima_jax/losses/", ("dima_jax.student", "dima_jax.teacher", "dima_jax.data")),
        ("dima_jax/metrics/", ("dima_jax.student", "dima_jax.teacher", "dima_jax.data")),
        ("dima_jax/data/", ("dima_jax.student", "dima_jax.teacher", "dima_jax.losses", "tensorflow")),
        ("dima_jax/convert/", ("dima_jax.student", "dima_jax.teacher", "dima_jax.losses", "dima_jax.data")),
        ("data_prep/miniworld/", ("dima_jax.student", "dima_jax.teacher", "dima_jax.losses", "dima_jax.data", "jax")),
        ("dima_jax/evaluate.py", ("dima_jax.dima", "dima_jax.teacher", "dima_jax.losses", "dima_jax.train_step")),
        ("dima_jax/export.py", ("dima_jax.dima", "dima_jax.teacher", "dima_jax.losses", "dima_jax.data")),
        ("dima_jax/", ("nuscenes", "data_prep")),
        ("configs/", ("dima_jax.student", "dima_jax.teacher")),
    ],
)
def test_rooms_keep_apart(room, forbidden):
    assert importing(room, *forbidden) == []


def test_nobody_imports_the_entry_points():
    assert importing("", *(f"dima_jax.{name}" for name in ENTRY_POINTS)) == []


def test_heavy_packages_are_not_loaded_by_the_method():
    """Importing the student, the export and the evaluation loads no heavy package and no teacher."""
    code = (
        "import sys, dima_jax.student.student, dima_jax.export, dima_jax.evaluate;"
        f"print([m for m in sys.modules if m.split('.')[0] in {HEAVY} or m.startswith('dima_jax.teacher')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"


def test_no_file_is_too_long():
    long = {str(path.relative_to(ROOT)): n for path in FILES if (n := len(path.read_text().splitlines())) > 320}
    assert long == {}
