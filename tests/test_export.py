"""docs/export.md, run as it stands: its program plans as `evaluate` does, where nothing of this project can be imported."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from flax import nnx

from dima_jax import checkpoints, driving, export, onnx_export, weights
from dima_jax.data import sequences
from dima_jax.interface import ModelInfo
from dima_jax.jax_student import JaxStudent
from dima_jax.policy import Policy
from dima_jax.student import student as student_lib
from tests import tiny_root
from tests.mini import mini_config

PAGE = Path(__file__).parents[1] / "docs" / "export.md"
ABSENT = ("jax", "jaxlib", "flax", "dima_jax", "data_prep", "tensorflow", "onnx", "ml_collections", "orbax", "grain")
ALONE = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({ABSENT}))  # importing one raises ModuleNotFoundError
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def block(word: str) -> str:
    """The only Python block of the page that holds a word."""
    (found,) = [b for b in re.findall(r"(?ms)^```python\n(.*?)^```", PAGE.read_text()) if word in b]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with runs/demo (a small student and its config), student.onnx, and a scene as the page writes it."""
    folder = tmp_path_factory.mktemp("export")
    config = mini_config(tiny_root.write_records(tiny_root.make(folder / "root"), folder / "records"))
    config.data.update(image_scale=0.8, valid_shape=(36, 64), image_shape=(64, 96))
    params = weights.split(student_lib.build(config, nnx.Rngs(3)))[1]
    params = {path: 3.0 * x if path.startswith("planner/") else x for path, x in params.items()}  # plans far apart
    checkpoints.save_student(
        folder / "runs" / "demo", {f"student/{path}": value for path, value in params.items()}, config
    )
    onnx_export.export_student(JaxStudent.load(folder / "runs" / "demo"), folder / "student.onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(block("camera_matrices"), {})
    return folder


def planned(folder: Path, program: str, file: str = "student.onnx") -> list[np.ndarray]:
    """What a program prints for the scene, in a process of its own."""
    (folder / "plan.py").write_text(program)
    command = [sys.executable, "-c", ALONE, "plan.py", file, "scene"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # nor does onnxruntime warn
    return [np.array(json.loads(line)["waypoints"]) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def evaluated(folder):
    """The student's plans [F, 2] of the scene's frames as `evaluate` has them, as a function of `config.data` changes."""
    policy = Policy.load(folder / "runs" / "demo")

    def plans(**changes) -> list[np.ndarray]:
        config = policy.student.config.copy_and_resolve_references()
        config.data.update(changes)
        drives = sequences.Drives(config, "val")
        return [each.plans["student"] for each in driving.drive(policy, drives, range(4))]

    return plans


def farthest(plans: list[np.ndarray], others: list[np.ndarray]) -> float:
    """The largest difference in meters."""
    return max(np.abs(a - b).max() for a, b in zip(plans, others, strict=True))


@pytest.mark.parametrize(
    "changes",
    [{}, {"ego_status": "speed"}, {"ego_status": "none", "color_order": "bgr"}],
    ids=str,
)
def test_the_program_plans_as_evaluate_does(folder, evaluated, changes):
    """changes: of `config.data`. Another arm of the same student is another metadata of the same graph."""
    expected = evaluated(**changes)
    assert not changes or farthest(expected, evaluated()) > 10 * export.TOLERANCE
    model = onnx.load(folder / "student.onnx")
    config = checkpoints.load_student(folder / "runs" / "demo")[0]
    config.data.update(changes)
    onnx.helper.set_model_props(model, ModelInfo.from_config(config).to_metadata())
    onnx.save(model, folder / "arm.onnx")
    got = planned(folder, block("onnxruntime.InferenceSession"), "arm.onnx")
    assert len(got) == 4 and farthest(got, expected) <= export.TOLERANCE


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("cv2.INTER_LINEAR_EXACT", "cv2.INTER_NEAREST"),
        ("image[..., ::-1] if", "image if"),
        ("[scale, scale, 1, 1]", "[1, 1, 1, 1]"),
        ("now[changes] - before[changes]", "now[changes]"),
        ("np.array([not first])", "np.array([False])"),
        ('enumerate(info["cameras"])', 'enumerate(info["cameras"][::-1])'),
    ],
)
def test_a_slip_in_the_program_would_be_seen(folder, evaluated, right, wrong):
    program = block("onnxruntime.InferenceSession")
    assert program.count(right) == 1
    assert farthest(planned(folder, program.replace(right, wrong)), evaluated()) > 10 * export.TOLERANCE


def test_the_program_imports_nothing_of_ours(folder):
    with pytest.raises(AssertionError, match="import of dima_jax halted"):
        planned(folder, "import dima_jax")
    assert len(block("onnxruntime.InferenceSession").splitlines()) < 50


def test_the_recipe_for_half_precision(folder, evaluated, monkeypatch):
    monkeypatch.chdir(folder)
    exec(block("use_half_precision"), {})
    got = planned(folder, block("onnxruntime.InferenceSession"), "student_half.onnx")
    assert farthest(got, evaluated()) < 0.02
