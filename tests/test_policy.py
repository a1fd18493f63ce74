"""The policy: JAX and onnxruntime alike over frames, scenes kept apart, clear refusals, no JAX where none is needed."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from flax import nnx

from dima_jax import checkpoints, fake_frames, onnx_export, weights
from dima_jax.constants import COMMANDS
from dima_jax.errors import UserError
from dima_jax.policy import Frame, Policy
from dima_jax.student import student as student_lib
from tests.mini import mini_config

ROOT = Path(__file__).parents[1]
TOLERANCE = 1e-4  # meters


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(folder with a student alone, its config)."""
    folder, config = tmp_path_factory.mktemp("policy"), mini_config()
    params = weights.split(student_lib.build(config, nnx.Rngs(3)))[1]
    checkpoints.save_student(folder, {f"student/{path}": value for path, value in params.items()}, config)
    return folder, config


@pytest.fixture(scope="module")
def policy(run):
    return Policy.load(run[0])


@pytest.fixture(scope="module")
def file(run, policy):
    return onnx_export.export_student(policy.student, run[0] / "student.onnx")


@pytest.fixture(scope="module")
def frames(policy):
    return [Frame.from_batch(frame) for frame in fake_frames.drive(policy.info.image_shape, 4, batch_size=1)]


def steps(policy, frames):
    policy.reset()
    return [policy.step(frame) for frame in frames]


def test_onnxruntime_plans_as_jax_does(policy, file, frames):
    exported = Policy.from_onnx(file, threads=1)
    assert exported.info == policy.info
    for ours, theirs in zip(steps(policy, frames), steps(exported, frames), strict=True):
        np.testing.assert_allclose(ours.waypoints_all, theirs.waypoints_all, atol=TOLERANCE)
        np.testing.assert_allclose(ours.waypoints, theirs.waypoints, atol=TOLERANCE)
        np.testing.assert_allclose(np.sort(ours.agents.scores), np.sort(theirs.agents.scores), atol=TOLERANCE)
        assert len(ours.agents.boxes) == len(theirs.agents.boxes) and len(ours.lines.points) == len(theirs.lines.points)
    assert exported.student_output is None


def test_a_plan_is_what_the_student_says(policy, frames):
    """Positions of every command and the best scores, by hand from the raw output."""
    policy.reset()
    for frame in frames[:2]:
        plan, raw = policy.step(frame), policy.student_output
        np.testing.assert_allclose(plan.waypoints_all, np.cumsum(raw.ego_offsets[0], axis=1), atol=1e-5)
        np.testing.assert_array_equal(plan.waypoints, plan.waypoints_all[COMMANDS.index(frame.command)])
        scores = 1 / (1 + np.exp(-np.sort(np.ravel(raw.agent_logits[-1, 0]))[::-1]))
        assert len(plan.agents.scores) > 0
        np.testing.assert_allclose(plan.agents.scores[0], scores[0], atol=1e-5)
        assert (np.diff(plan.agents.scores) <= 0).all() and (np.diff(plan.lines.scores) <= 0).all()


def test_reset_starts_a_scene(policy, frames):
    first, second = steps(policy, frames[:2])
    policy.reset()
    assert policy.student_output is None
    again = policy.step(frames[0])
    np.testing.assert_array_equal(again.waypoints_all, first.waypoints_all)
    policy.reset()
    alone = policy.step(frames[1])
    assert np.abs(alone.waypoints_all - second.waypoints_all).max() > 1e-6  # the frame before counts


def test_policies_that_share_a_student_do_not_share_a_past(policy, frames):
    expected = steps(policy, frames[:2])
    other = Policy(policy.student)
    policy.reset()
    policy.step(frames[0])
    other.step(frames[2])
    np.testing.assert_array_equal(policy.step(frames[1]).waypoints_all, expected[1].waypoints_all)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: {"images": f.images[:5]}, r"frame\.images is uint8 \[5, .*\]; expected uint8 \[6, .*, 3\]"),
        (lambda f: {"images": f.images / 255}, r"frame\.images is float64 \[6, .*\]; expected uint8 \[6, "),
        (lambda f: {"images": f.images[:, 1:]}, r"frame\.images is uint8 .*; expected uint8"),
        (lambda f: {"lidar2img": f.lidar2img[:, :3]}, r"frame\.lidar2img is float32 \[6, 3, 4\]; expected real \[6, 4"),
        (lambda f: {"can_bus": f.can_bus[None]}, r"frame\.can_bus is float32 \[1, 18\]; expected real \[18\]"),
        (lambda f: {"can_bus": np.full(18, "0")}, r"frame\.can_bus is <U1 \[18\]; expected real"),
        (lambda f: {"lidar2img": f.lidar2img * np.nan}, r"frame\.lidar2img holds NaN or infinity"),
        (lambda f: {"command": "forward"}, r"frame\.command is 'forward'; expected one of right, left, straight"),
        (lambda f: {"command": np.eye(3)[0]}, r"frame\.command is array.*; expected one of right"),
    ],
)
def test_a_wrong_frame_is_refused_in_one_line(policy, frames, change, message):
    frame = frames[0]._replace(**change(frames[0]))
    with pytest.raises(UserError, match=message) as error:
        policy.step(frame)
    assert "\n" not in str(error.value)


def test_any_object_with_the_attributes_is_a_frame(policy, frames):
    class Mine:
        images, lidar2img, can_bus, command = frames[0]

    policy.reset()
    np.testing.assert_array_equal(policy.step(Mine()).waypoints_all, steps(policy, frames[:1])[0].waypoints_all)


def test_another_config_is_refused(run):
    config = run[1].copy_and_resolve_references()
    assert Policy.load(run[0], config).student.config.student.width == run[1].student.width
    config.student.num_agents = 7
    with pytest.raises(UserError, match=r"student\.num_agents was 12, is 7"):
        Policy.load(run[0], config)


def test_wrong_files_are_refused(policy, file, tmp_path):
    with pytest.raises(UserError, match=r"absent\.onnx: no such file"):
        Policy.from_onnx(tmp_path / "absent.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(UserError, match=r"text\.onnx is no ONNX file that onnxruntime can load") as error:
        Policy.from_onnx(tmp_path / "text.onnx")
    assert "\n" not in str(error.value)
    model = onnx.load(file)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(UserError, match=r"foreign\.onnx has no metadata dima_jax\.image_shape.*write it again"):
        Policy.from_onnx(tmp_path / "foreign.onnx")
    with pytest.raises(UserError, match="exported for batches of 2"):
        Policy(SimpleNamespace(batch_size=2, info=policy.info))


def in_new_process(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return result.stdout.strip()


def test_a_car_needs_neither_jax_nor_tensorflow(policy, file, frames, tmp_path):
    """A process that plans with the ONNX loads none of the packages of training."""
    np.savez(tmp_path / "frame.npz", **frames[0]._asdict())
    code = f"""
import sys
import numpy as np
from dima_jax import Frame, Policy
data = np.load({str(tmp_path / "frame.npz")!r})
frame = Frame(data["images"], data["lidar2img"], data["can_bus"], str(data["command"]))
plan = Policy.from_onnx({str(file)!r}).step(frame)
heavy = {{"jax", "jaxlib", "flax", "tensorflow", "ml_collections", "orbax", "onnx", "matplotlib", "cv2"}}
print(sorted(heavy & {{name.split(".")[0] for name in sys.modules}}), plan.waypoints.tolist())
"""
    loaded, _, waypoints = in_new_process(code).partition("] ")
    assert loaded == "["
    expected = steps(policy, frames[:1])[0].waypoints
    np.testing.assert_allclose(np.array(eval(waypoints)), expected, atol=TOLERANCE)


def test_a_fork_has_seen_the_same_frames(policy, frames):
    own = steps(policy, frames[:2])
    fork = policy.fork()
    later = [policy.step(frame).waypoints for frame in frames[2:]]
    np.testing.assert_array_equal([fork.step(frame).waypoints for frame in frames[2:]], later)
    policy.reset()
    again = policy.fork().step(frames[0]).waypoints
    np.testing.assert_array_equal(again, own[0].waypoints)
    assert policy._bev is None
