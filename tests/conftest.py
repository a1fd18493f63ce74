"""Test machine: CPU with 8 fake devices and quick compilation; array shapes are checked. Set before JAX starts."""

import os
import sys
from pathlib import Path

import jaxtyping
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# The same programs are compiled by several tests, workers and processes: once is enough.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_DEFAULT_PRNG_IMPL", "rbg")  # compiles several times faster than threefry
QUICK_COMPILE = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false"
)
flags = os.environ.get("XLA_FLAGS", "")
if "host_platform_device_count" not in flags:
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8 {QUICK_COMPILE}".strip()

# Every call of an annotated function of these packages checks its arrays (jaxtyping with beartype). Installed here and not
# by jaxtyping's pytest option, which cannot name a checker with arguments: an int is a float here, as in PEP 484.
SHAPE_CHECKED = tuple(
    f"dima_jax.{name}"
    for name in (
        "student",
        "teacher",
        "losses",
        "metrics",
        "scoring",
        "geometry",
        "predictions",
        "detections",
        "dima",
        "dual",
        "scan_layers",
        "students",
        "vector",
    )
)
jaxtyping.install_import_hook(SHAPE_CHECKED, "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")


# Modules that compile for longest. They start first, so that no core is idle at the end.
LONGEST = (
    "tests/plan_run/test_plan.py",
    "tests/test_train_loop.py",
    "tests/test_train_step.py",
    "tests/test_golden.py",
    "tests/teacher/test_teacher.py",
    "tests/test_dual.py",
    "tests/test_answers.py",
    "tests/student/test_student.py",
)


def pytest_collection_modifyitems(items):
    order = {str(ROOT / name): number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(str(item.path), len(LONGEST)))


@pytest.fixture(scope="session")
def joint_run(tmp_path_factory):
    """`runs.JointRun`: an untrained run with a teacher, on records with questions; read it, change nothing."""
    from tests import runs

    return runs.make(tmp_path_factory.mktemp("joint"))


@pytest.fixture(scope="session")
def student_run(tmp_path_factory):
    """`runs.StudentRun` with four val scenes; read it, change nothing."""
    from tests import runs

    return runs.student_alone(tmp_path_factory.mktemp("student"), scenes=4)
