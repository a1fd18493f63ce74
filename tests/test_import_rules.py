"""Which packages may import which, checked on the import statements of every file."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(
    path for package in ("dima_jax", "data_prep", "configs", "studies") for path in (ROOT / package).rglob("*.py")
)
ENTRY_POINTS = (
    "train",
    "evaluate",
    "export",
    "ask",
    "cache_teacher",
    "cache_text",
    "score",
    "score_answers",
    "plan_run.__main__",
    "study.__main__",
    "convert.__main__",
)
WRITING = (
    "drivelm",
    "writer",
    "scene_recorder",
    "signals",
    "visibility",
    "can_bus",
    "map_expansion",
    "nuscenes_tables",
)
# What loads JAX, TensorFlow or nuScenes' devkit: scores are made of files, without any of them.
NOT_FOR_SCORES = (
    "jax",
    "flax",
    "optax",
    "tensorflow",
    "tensorflow_datasets",
    "nuscenes",
    "data_prep",
    *(f"dima_jax.{name}" for name in ("types", "data", "student", "teacher", "losses", "policy", "driving")),
)
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


def importing(package: str, *forbidden: str) -> list[str]:
    """Files of a package that import something below one of the forbidden names."""
    found = []
    for path in FILES:
        if str(path.relative_to(ROOT)).startswith(package):
            found += [
                f"{path.relative_to(ROOT)} imports {name}"
                for name in imports(path)
                if any(name == bad or name.startswith(bad + ".") for bad in forbidden)
            ]
    return found


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("dima_jax/student/", ("dima_jax.teacher", "dima_jax.losses", "dima_jax.data", "dima_jax.metrics")),
        ("dima_jax/teacher/", ("dima_jax.student",)),
        ("dima_jax/losses/", ("dima_jax.student", "dima_jax.teacher", "dima_jax.data")),
        ("dima_jax/metrics/", NOT_FOR_SCORES),
        ("dima_jax/scoring/", NOT_FOR_SCORES),
        ("dima_jax/score_answers.py", NOT_FOR_SCORES),
        ("dima_jax/score.py", NOT_FOR_SCORES),
        ("dima_jax/data/", ("dima_jax.student", "dima_jax.teacher", "dima_jax.losses", "tensorflow")),
        ("dima_jax/convert/", ("dima_jax.student", "dima_jax.teacher", "dima_jax.losses", "dima_jax.data")),
        ("data_prep/miniworld/", ("dima_jax.student", "dima_jax.teacher", "dima_jax.losses", "dima_jax.data", "jax")),
        (
            "data_prep/miniworld/world/",
            tuple(f"data_prep.miniworld.{name}" for name in ("traffic", "render", *WRITING)),
        ),
        ("data_prep/miniworld/render/", tuple(f"data_prep.miniworld.{name}" for name in ("traffic", *WRITING))),
        ("data_prep/miniworld/traffic/", tuple(f"data_prep.miniworld.{name}" for name in ("render", *WRITING))),
        ("dima_jax/evaluat", ("dima_jax.dima", "dima_jax.teacher", "dima_jax.losses", "dima_jax.train_step")),
        ("dima_jax/driving.py", ("dima_jax.dima", "dima_jax.teacher", "dima_jax.losses", "dima_jax.train_step")),
        ("dima_jax/export.py", ("dima_jax.dima", "dima_jax.teacher", "dima_jax.losses", "dima_jax.data")),
        ("dima_jax/onnx_", ("dima_jax.dima", "dima_jax.teacher", "dima_jax.losses", "dima_jax.data")),
        ("dima_jax/jax_student.py", ("dima_jax.dima", "dima_jax.teacher", "dima_jax.losses", "dima_jax.data")),
        ("dima_jax/policy.py", ("dima_jax.dima", "dima_jax.teacher", "dima_jax.losses", "dima_jax.data")),
        ("dima_jax/", ("nuscenes", "data_prep")),
        ("configs/", ("dima_jax.student", "dima_jax.teacher")),
    ],
)
def test_packages_keep_apart(package, forbidden):
    assert importing(package, *forbidden) == []


def test_conversion_and_mini_world_share_the_schema_alone():
    """Neither half of `data_prep` imports the other; names of nuScenes that both need are in `nuscenes_schema.py`."""
    conversion = {path.stem for path in (ROOT / "data_prep").glob("*.py")} - {"__init__", "nuscenes_schema"}
    assert {"scenes", "builder", "build"} <= conversion
    assert importing("data_prep/miniworld/", *(f"data_prep.{name}" for name in conversion)) == []
    assert [line for name in conversion for line in importing(f"data_prep/{name}.py", "data_prep.miniworld")] == []


def test_no_import_circles():
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
    graph = {}
    for name, path in modules.items():
        found = imports(path) & set(modules)
        # `from package import module` needs the module, not the names of the package
        graph[name] = {one for one in found if not any(other.startswith(one + ".") for other in found)} - {name}
    assert graph["data_prep.scenes"] >= {"data_prep.map_files", "data_prep.root_check.splits"}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_nobody_imports_the_entry_points():
    assert importing("", *(f"dima_jax.{name}" for name in ENTRY_POINTS)) == []


def test_heavy_packages_are_not_loaded_by_the_method():
    """Importing the student, the export and the evaluation loads no heavy package and no teacher."""
    code = (
        "import sys, dima_jax.student.student, dima_jax.onnx_export, dima_jax.evaluation, dima_jax.report;"
        f"print([m for m in sys.modules if m.split('.')[0] in {HEAVY} or (m + '.').startswith('dima_jax.teacher.')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"


def test_scores_need_no_jax():
    """Every module of the metrics and of scoring is imported; none brings JAX, whoever it imports."""
    paths = [
        path for path in FILES if str(path.relative_to(ROOT)).startswith(("dima_jax/metrics/", "dima_jax/scoring/"))
    ]
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    assert {"dima_jax.metrics.raster", "dima_jax.metrics.protocols.base", "dima_jax.scoring.truth"} <= set(modules)
    code = f"import sys, {', '.join(modules)}; print(sorted({{m.split('.')[0] for m in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = set(ast.literal_eval(result.stdout))
    assert "numpy" in loaded and not loaded & {name for name in NOT_FOR_SCORES if "." not in name}


def test_no_file_is_too_long():
    long = {str(path.relative_to(ROOT)): n for path in FILES if (n := len(path.read_text().splitlines())) > 300}
    assert long == {}
