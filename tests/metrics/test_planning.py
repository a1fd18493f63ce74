"""Planning metrics on plans and agents whose scores one can see."""

import numpy as np
import pytest

from dima_jax.metrics import planning

CAR, CONE, PEDESTRIAN = 17, 11, 2  # rows of the lidarseg table
STILL = np.zeros((6, 2))
AHEAD = np.stack([np.zeros(6), np.arange(1, 7) * 4.0], -1)  # 4 m per step


def car_at(x, y, *, category=CAR, steps=6, heading=np.pi / 2, turn=0.0):
    """One standing agent 2 m wide and 4 m long; heading pi/2 looks ahead, as the ego does."""
    return dict(
        boxes=np.array([[x, y, 0, 2, 4, 1.5, -heading - np.pi / 2, 0, 0]]),
        category=np.array([category]),
        future_offsets=np.zeros((1, 6, 2)),
        future_mask=(np.arange(6) < steps)[None],
        future_yaw=np.full((1, 6), turn),
    )


def score(waypoints, recorded=STILL, counted=True, **agent):
    return planning.score_frame(waypoints, recorded, planning.occupancy(**agent), counted=counted)


def test_occupancy_covers_the_box():
    grid = planning.occupancy(**car_at(10, 20))[0]
    rows, columns = np.nonzero(grid)
    assert (rows.min(), rows.max()) == (56, 64)  # y from 22 down to 18 m
    assert (columns.min(), columns.max()) == (118, 122)  # x from 9 to 11 m
    turned = planning.occupancy(**car_at(10, 20, heading=0.0))[0]
    assert np.ptp(np.nonzero(turned)[1]) == 8 and np.ptp(np.nonzero(turned)[0]) == 4
    assert not planning.occupancy(**car_at(10, 20, category=CONE)).any()
    assert planning.occupancy(**car_at(10, 20, category=PEDESTRIAN)).any()
    assert planning.occupancy(**car_at(10, 20, steps=2)).any((1, 2)).tolist() == [True] * 2 + [False] * 4


def test_collision_only_where_the_plan_meets_the_car():
    result = score(AHEAD, **car_at(0, 12))  # car from 10 to 14 m; ego from 1.5 m behind to 2.5 m ahead of 4, 8, 12, ...
    assert result.box_collision.tolist() == [False, True, True, False, False, False]
    assert not score(AHEAD, **car_at(3, 12)).box_collision.any()


def test_steps_at_which_the_recorded_path_collides_are_free():
    result = score(AHEAD, recorded=AHEAD, **car_at(0, 12))
    assert not result.box_collision.any()
    assert result.recorded_collision.sum() == 2


def test_means_up_to_and_at_the_horizon():
    plan = STILL + np.arange(1, 7)[:, None] * np.array([[0.0, 1.0]])  # errors 1 ... 6 m
    table = planning.summarize([score(plan, **car_at(40, 40)), score(plan, counted=False, **car_at(40, 40))])
    up_to, at = table["stp3-vad"], table["at-horizon"]
    assert up_to["frames"] == at["frames"] == 1
    assert [up_to[k] for k in ("l2_1s", "l2_2s", "l2_3s", "l2_avg")] == pytest.approx([1.5, 2.5, 3.5, 2.5])
    assert [at[k] for k in ("l2_1s", "l2_2s", "l2_3s", "l2_avg")] == pytest.approx([2, 4, 6, 4])


def test_collision_shares_and_subsets():
    frames = [score(AHEAD, **car_at(0, 12)), score(AHEAD, **car_at(20, 12))]
    both, first = planning.summarize(frames), planning.summarize(frames, subset=[True, False])
    assert first["stp3-vad"]["collision_3s"] == pytest.approx(2 / 6)
    assert first["at-horizon"]["collision_1s"] == 1.0
    assert both["stp3-vad"]["collision_3s"] == pytest.approx(2 / 12)
    nothing = planning.summarize(frames, subset=[False, False])
    assert nothing["stp3-vad"]["frames"] == 0 and np.isnan(nothing["stp3-vad"]["l2_avg"])


def test_no_agents():
    none = {name: value[:0] for name, value in car_at(0, 0).items()}
    assert not score(AHEAD, **none).box_collision.any()


def test_a_plan_off_the_grid_is_clipped_to_its_border():
    assert not score(AHEAD * 100, **car_at(0, 12)).box_collision[1:].any()
