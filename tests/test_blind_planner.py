"""The planner without eyes: it learns what the ego's numbers tell, and it gets nothing else."""

import numpy as np
import pytest

from dima_jax import blind_planner
from dima_jax.constants import STEP_SECONDS
from dima_jax.data import sequences
from dima_jax.errors import UserError
from tests import tiny_root

SPEED, COMMANDS = 13, slice(18, 21)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blind")
    return tiny_root.small_config(tiny_root.write_records(tiny_root.make(folder / "root"), folder / "records"))


def with_arm(config, ego_status, command=True):
    config = config.copy_and_resolve_references()
    config.data.update(ego_status=ego_status, command=command)
    return config


def made_up(rng, number=600):
    """Straight ahead at the speed, and 1 m per step to the side of the command; gravity and a hidden cause beside."""
    inputs = np.zeros((number, 21), np.float32)
    inputs[:, SPEED], inputs[:, 9] = rng.uniform(0, 12, number), 9.81
    command = rng.integers(3, size=number)
    inputs[:, COMMANDS] = np.eye(3)[command]
    times = np.arange(1, 7)
    ahead = inputs[:, SPEED, None] * STEP_SECONDS * times
    side = np.array([1.0, -1.0, 0.0])[command][:, None] * times
    waypoints = np.stack([side, ahead], axis=-1).astype(np.float32)
    return blind_planner.Samples(inputs, waypoints, np.ones((number, 6), bool))


def test_it_learns_a_rule_of_speed_and_command():
    seen = made_up(np.random.default_rng(0))
    seen.mask[::2, 3:] = False
    seen.waypoints[::2, 3:] = 1e3  # what was not recorded must not count
    fitted = blind_planner.fit(seen, seed=0)
    new = made_up(np.random.default_rng(1))
    error = np.linalg.norm(fitted(new.inputs) - new.waypoints, axis=-1)
    assert error.mean() < 0.2 and error.mean() < 0.03 * np.linalg.norm(new.waypoints, axis=-1).mean()
    new.inputs[:, 9] += 5.0  # it never varied, so it says nothing
    np.testing.assert_array_equal(np.linalg.norm(fitted(new.inputs) - new.waypoints, axis=-1), error)


def test_a_fit_depends_on_its_seed_alone(monkeypatch):
    monkeypatch.setattr(blind_planner, "STEPS", 20)
    samples, inputs = made_up(np.random.default_rng(0), 50), made_up(np.random.default_rng(1), 5).inputs
    first, again, other = (blind_planner.fit(samples, seed)(inputs) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


@pytest.mark.parametrize(
    ("ego_status", "command", "name"),
    [
        ("full", True, "blind MLP (full ego status, command)"),
        ("speed", True, "blind MLP (speed, command)"),
        ("speed", False, "blind MLP (speed)"),
        ("none", False, "blind MLP (nothing)"),
    ],
)
def test_it_reads_what_the_student_reads_of_the_ego(config, ego_status, command, name):
    arm = with_arm(config, ego_status, command)
    samples = blind_planner.read(arm, "train")
    drives = sequences.Drives(arm, "train")
    assert len(samples.inputs) == len(drives) == 11
    for i, row in enumerate(samples.inputs):
        frame = drives[i]
        np.testing.assert_array_equal(row, np.concatenate([frame.frame.can_bus[0], frame.frame.command[0]]))
        np.testing.assert_array_equal(samples.waypoints[i, -1], frame.ego.future_offsets[0].cumsum(0)[-1])
        np.testing.assert_array_equal(samples.mask[i], frame.ego.future_mask[0])
    assert blind_planner.name(arm) == name
    if ego_status == "none":
        assert not samples.inputs[:, :18].any() and samples.inputs[:, COMMANDS].tolist() == [[0, 0, 1]] * 11


def test_it_plans_for_a_frame_with_each_seed(config, monkeypatch):
    monkeypatch.setattr(blind_planner, "STEPS", 20)
    arm = with_arm(config, "full")
    blind = blind_planner.BlindPlanner(arm, "train")
    frame = sequences.Drives(arm, "val")[3].frame
    plans = blind(frame)
    assert plans.shape == (blind_planner.SEEDS, 6, 2) and np.isfinite(plans).all()
    assert blind.num_frames == 11 and blind.seeds == [arm.seed + i for i in range(blind_planner.SEEDS)]
    black = frame.replace(images=np.zeros_like(frame.images), lidar2img=np.zeros_like(frame.lidar2img))
    np.testing.assert_array_equal(blind(black), plans)
    assert np.abs(blind(frame.replace(can_bus=np.zeros_like(frame.can_bus))) - plans).max() > 0


def test_without_records_it_says_so(config, tmp_path):
    arm = with_arm(config, "full")
    arm.data.path = str(tmp_path)
    with pytest.raises(UserError, match="no records"):
        blind_planner.BlindPlanner(arm, "train")
