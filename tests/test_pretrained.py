"""The students that ship: whole, small, of the config that they name, and without a trace of where they were trained."""

import json

import numpy as np

from dima_jax import checkpoints, fake_frames, pretrained
from dima_jax.configs import miniworld
from dima_jax.policy import Frame, Policy

MOST_BYTES = 4_000_000


def test_the_miniworld_student_is_that_of_its_config():
    config, student, meta = checkpoints.load_student(pretrained.MINIWORLD)
    checkpoints.check_model(meta["config"], miniworld.get_config(), str(pretrained.MINIWORLD), checkpoints.STUDENT_KEYS)
    assert config.data.ego_status == "speed"
    assert all(np.isfinite(np.asarray(value)).all() for value in student.values())
    assert not any(str(value).startswith("/") for value in _leaves(meta))


def test_it_is_small():
    files = [path for path in pretrained.MINIWORLD.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    assert (pretrained.MINIWORLD / "README.md").is_file()


def test_it_plans():
    policy = Policy.load(pretrained.MINIWORLD)
    plan = policy.step(Frame.from_batch(fake_frames.drive(policy.info.image_shape, 1, 1)[0]))
    assert np.isfinite(plan.waypoints).all()


def test_bfloat16_moves_its_plan_by_centimeters():
    frame = Frame.from_batch(fake_frames.drive(Policy.load(pretrained.MINIWORLD).info.image_shape, 1, 1)[0])
    plans = []
    for dtype in ("float32", "bfloat16"):
        config, *_ = checkpoints.load_student(pretrained.MINIWORLD)
        config.student.dtype = dtype
        plans.append(Policy.load(pretrained.MINIWORLD, config).step(frame).waypoints)
    assert 1e-4 < np.linalg.norm(plans[0] - plans[1], axis=-1).mean() < 0.2


def _leaves(tree):
    if isinstance(tree, dict):
        for value in tree.values():
            yield from _leaves(value)
    else:
        yield json.dumps(tree).strip('"')
