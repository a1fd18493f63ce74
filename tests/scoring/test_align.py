"""Plans in the order of the truth's frames, in both frames of reference; what does not belong is refused by token."""

import numpy as np
import pytest

from dima_jax.errors import UserError
from dima_jax.scoring import headings
from dima_jax.scoring.align import align
from dima_jax.scoring.predictions import Predictions
from tests.scoring.fake import fake_plans, fake_truth


@pytest.fixture(scope="module")
def truth():
    return fake_truth(scenes=3, frames=8, agents=1)


def predictions(truth, frame="lidar", columns=3, planner="p", seed=None, file="p.npz", rows=slice(None)):
    plans = getattr(fake_plans(truth, planners=1), frame)[0][rows, :, :columns]
    return Predictions(planner, file, frame, truth.tokens[rows].tolist(), plans, seed, {})


@pytest.mark.parametrize("frame", ["lidar", "ego"])
def test_order_does_not_matter(truth, frame):
    whole = predictions(truth, frame)
    mixed = np.random.default_rng(0).permutation(len(truth.tokens))
    other = whole._replace(tokens=[whole.tokens[i] for i in mixed], plans=whole.plans[mixed])
    for one, two in zip(align(truth, [whole], False), align(truth, [other], False), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_plan_is_the_same_drive_in_either_frame(truth):
    expected = fake_plans(truth, planners=1)
    for frame in ("lidar", "ego"):
        found = align(truth, [predictions(truth, frame)], False)
        np.testing.assert_allclose(found.lidar, expected.lidar, atol=1e-9)
        np.testing.assert_allclose(found.ego, expected.ego, atol=1e-9)
        assert found.native == [frame] and found.covered.all()


def test_headings_are_estimated_where_none_are_given(truth):
    found = align(truth, [predictions(truth, columns=2)], False)
    xy = predictions(truth, columns=2).plans
    np.testing.assert_array_equal(found.lidar[0, ..., 2], headings.estimate(xy, np.pi / 2))


def test_extra_and_missing_frames_are_refused_by_token(truth):
    rng, tokens = np.random.default_rng(2), truth.tokens.tolist()
    for _ in range(50):
        kept = np.sort(rng.choice(len(tokens), rng.integers(1, len(tokens)), replace=False))
        gone = [token for i, token in enumerate(tokens) if i not in kept]
        some = predictions(truth, rows=kept)
        shown = f"{', '.join(gone[:3])}{f' and {len(gone) - 3} more' if len(gone) > 3 else ''}"
        with pytest.raises(UserError) as caught:
            align(truth, [some], False)
        assert f"{len(gone)} of {len(tokens)} frames have no plan: {shown}; " in str(caught.value)
        found = align(truth, [some], True)
        assert np.flatnonzero(found.covered[0]).tolist() == kept.tolist()
        assert np.isnan(found.lidar[0][~found.covered[0]]).all() and np.isfinite(found.lidar[0, kept]).all()
        with pytest.raises(UserError) as caught:
            align(truth.select(kept), [predictions(truth)], True)
        assert f"{len(gone)} of {len(tokens)} plans are of frames that the truth does not have: {shown}; " in str(
            caught.value
        )


def test_a_control_may_lack_frames(truth):
    assert align(truth, [predictions(truth, file="", rows=[0, 3])], False).covered.sum() == 2


@pytest.mark.parametrize(("frame", "given"), [("lidar", "ego"), ("ego", "lidar")])
def test_headings_of_the_other_convention_are_refused(truth, frame, given):
    one = predictions(truth, frame)
    turn = headings.AHEAD[given] - headings.AHEAD[frame]
    plans = np.concatenate([one.plans[..., :2], one.plans[..., 2:] + turn], -1)
    with pytest.raises(UserError, match=rf"p\.npz: the headings are [89]\d degrees off .* in the frame '{frame}'"):
        align(truth, [one._replace(plans=plans)], False)


def test_every_row_has_its_own_name(truth):
    one = predictions(truth, seed=1)
    names = align(truth, [one, one._replace(seed=2), one._replace(planner="q")], False).names
    assert names == ["p, seed 1", "p, seed 2", "q"]
    for other, said in (
        (one, "of seed 1"),
        (one._replace(seed=None), "without a seed"),
        (one._replace(file=""), "seed 1"),
    ):
        with pytest.raises(UserError, match=rf"a second 'p' .*{said}.*after p\.npz"):
            align(truth, [one, other], False)


def test_a_frame_without_a_recorded_path_is_refused(truth):
    arrays = {key: array for key, array in truth.arrays().items() if not key.startswith("ego_path")}
    bare = type(truth)(truth.header, **arrays)
    assert align(bare, [predictions(truth)], False).covered.all()
    with pytest.raises(UserError, match=r"p\.npz: is of the frame 'ego', in which the truth has no recorded path"):
        align(bare, [predictions(truth, "ego")], False)


def test_without_poses_the_other_frame_is_not_known(truth):
    arrays = {key: array for key, array in truth.arrays().items() if key not in ("lidar2ego", "ego2global")}
    found = align(type(truth)(truth.header, **arrays), [predictions(truth)], False)
    assert np.isnan(found.ego).all() and np.isfinite(found.lidar).all()
