"""All sub-scores of whole frames: a steady drive is right in everything, and each fault shows in its own sub-score."""

import numpy as np
import pytest

from dima_jax.categories import AREA_LAYERS
from dima_jax.metrics.pdms.subscores import subscores
from tests.metrics.pdms.changed import changed
from tests.scoring.fake import SPEED, fake_truth

TRUTH = fake_truth(scenes=2, frames=32, agents=2)  # a car 18 m ahead in the same lane, one that comes along the other


def human(index, truth=TRUTH):
    return np.column_stack([truth.ego_path[index], truth.ego_path_yaw[index]]).astype(float)


def told(plan, index=8, truth=TRUTH):
    """{name: number} of one plan."""
    found = subscores(truth, index, plan[None])
    return {name: float(value[0]) for name, value in found.told.items()}


@pytest.mark.parametrize("index", [0, 8, 16, 32, 45])
def test_the_recorded_drive_is_right_in_everything(index):
    found = subscores(TRUTH, index, human(index)[None])
    assert set(found.told) == {"nc", "ttc", "c", "hc", "dac", "ddc", "lk", "tlc"}
    for name, value in found.told.items():
        assert value.tolist() == [1.0, 1.0], name
    np.testing.assert_allclose(found.meters, 3 * SPEED, rtol=0.01)
    assert found.reference["meters"] == pytest.approx(3 * SPEED, rel=0.05)
    assert found.states.x.shape == (2, 31) and found.collisions.hit.shape == (2, 6)


def test_too_fast_runs_into_the_car_ahead():
    found = told(human(8) * [2.5, 1, 1])
    assert found["nc"] == found["ttc"] == found["hc"] == 0.0 and found["dac"] == found["lk"] == 1.0


def test_aside_leaves_the_road():
    off = human(8)
    off[:, 1] -= 2.5 * np.minimum(np.arange(1, 7) / 2, 1)
    assert told(off)["dac"] == 0.0 and told(off)["ddc"] == 1.0


@pytest.mark.parametrize(("aside", "expected"), [(0.45, 1.0), (0.55, 0.0)])
def test_off_the_centerline_is_not_kept(aside, expected):
    """Scene 0 looks 0.4 rad to the left of global x."""
    lines = TRUTH.center_vertices + aside * np.array([-np.sin(0.4), np.cos(0.4)])
    truth = changed(TRUTH, center_vertices=lines, ring_vertices=TRUTH.ring_vertices.copy())
    assert told(human(8), truth=truth)["lk"] == expected


def test_the_other_lane_is_the_wrong_way():
    truth = changed(TRUTH, category=np.zeros_like(TRUTH.category))  # nobody in the way
    other = human(8)
    other[:, 1] += 3.5 * np.minimum(np.arange(1, 7) / 3, 1)
    found = told(other, truth=truth)
    assert found["ddc"] < 1.0 and found["nc"] == found["dac"] == 1.0


def test_red_lights_by_the_states_of_the_key_frames():
    """The light is green in frames 24 to 27 and red in 20 to 23; the drive has passed the line after 25.8 key frames."""
    truth = changed(TRUTH, category=np.zeros_like(TRUTH.category))
    faster = human(20) * [2.6, 1, 1]
    assert told(human(20), 20, truth)["tlc"] == 1.0 and told(faster, 20, truth)["tlc"] == 0.0
    assert told(faster, 20, changed(truth, light_state=np.zeros_like(truth.light_state)))["tlc"] == 1.0
    assert told(faster, 20, changed(truth, light_state=np.ones_like(truth.light_state)))["tlc"] == 1.0
    assert told(human(20), 20, changed(truth, light_state=np.full_like(truth.light_state, 2)))["tlc"] == 0.0


def test_what_the_truth_lacks_is_not_there():
    lights = dict.fromkeys(("light_start", "light_stop_line", "light_state"))
    assert "tlc" not in told(human(8), truth=changed(TRUTH, **lights))
    roads = TRUTH.area_layer.copy()
    roads[roads == AREA_LAYERS.index("drivable_area")] = AREA_LAYERS.index("road_block")
    found = told(human(8), truth=changed(TRUTH, area_layer=roads, ring_vertices=TRUTH.ring_vertices.copy()))
    assert "dac" not in found and found["lk"] == 1.0


def test_without_a_centerline_the_recorded_path_is_the_measure():
    empty = {"center_lane": np.zeros(0, np.int32), "center_vertices": np.zeros((0, 2))}
    starts = dict.fromkeys(("center_start", "center_successor_start"), np.zeros(1, np.int64))
    truth = changed(
        TRUTH, **empty, **starts, center_successors=np.zeros(0, np.int32), ring_vertices=TRUTH.ring_vertices.copy()
    )
    found = subscores(truth, 8, human(8)[None] * [0.5, 1, 1])
    assert found.reference is None and not {"ddc", "lk"} & set(found.told)
    assert found.meters[1] == pytest.approx(18, abs=0.2) and 9 < found.meters[0] < 14


def test_plans_do_not_depend_on_one_another():
    plans = np.stack([human(8), human(8) * [2.5, 1, 1], human(8) * 0])
    together = subscores(TRUTH, 8, plans)
    for i, plan in enumerate(plans):
        assert {name: value[i] for name, value in together.told.items()} == told(plan)
