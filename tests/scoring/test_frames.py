"""A frame's agents: who is selected, where they are at each step, in which frame; and what the map has there."""

import dataclasses

import numpy as np
import pytest

from dima_jax.scoring.frames import AgentSelection, FrameTruth, brought, followed
from tests.metrics.protocols.small import drive, thing
from tests.scoring.fake import KINDS, along_road, fake_truth, moved

CAR = AgentSelection("now", (17,), "none")
EVERY = tuple(range(32))


def chosen(truth, selection, index=0):
    """Rows at step 0."""
    agents = FrameTruth(truth, index).agents(selection)
    return agents.rows[agents.step == 0].tolist()


def test_who_is_selected():
    ped = "human.pedestrian.adult"
    truth = drive(
        thing(0, 1),
        thing(0, 2, ped),
        thing(15, 3, points=0, radar=1),
        thing(0, -30, points=0, visible=1),
        thing(1, 1, visible=0),
    )
    assert chosen(truth, CAR) == [0, 2, 3, 4]
    assert chosen(truth, CAR._replace(categories=(2, 17))) == [0, 1, 2, 3, 4]
    assert chosen(truth, CAR._replace(points="lidar")) == [0, 4]
    assert chosen(truth, CAR._replace(points="any")) == [0, 2, 4]
    assert chosen(truth, CAR._replace(min_visibility=2)) == [0, 2, 4]
    assert chosen(truth, CAR._replace(rectangle=(15.0, 30.0))) == [0, 4]
    assert chosen(truth, CAR._replace(categories=())) == []
    with pytest.raises(ValueError, match="no points 'all'"):
        chosen(truth, CAR._replace(points="all"))
    with pytest.raises(ValueError, match="in the LiDAR frame"):
        chosen(truth, CAR._replace(frame="ego"))


def test_what_a_selection_needs():
    assert CAR.needs == ["paths", "agents", "futures"]
    future = AgentSelection("future", (17,), "none", min_visibility=2)
    assert future.needs == ["paths", "agents", "scenes", "poses", "visibility"]
    assert future._replace(frame="ego").needs[0] == "ego_paths"
    assert FrameTruth(drive(), 0).has(*future.needs)
    assert not FrameTruth(drive(without=["visibility"]), 0).has(*future.needs)


def test_agents_follow_their_own_futures():
    boxes = np.array([[1, 2, 0, 2, 4, 1.5, -np.pi / 2 - np.pi / 2, 0, 0]], np.float32)
    offsets = np.zeros((1, 6, 2), np.float32)
    offsets[0, :, 1] = 1, 2, 3, 0, 0, 4
    turns = np.full((1, 6), 0.1, np.float32)
    mask = np.array([[True, True, False, True, False, True]])
    found = followed(np.array([7]), boxes, offsets, mask, turns)
    assert found.rows.tolist() == [7] * 4 and found.step.tolist() == [0, 1, 3, 5]
    assert found.boxes[:, 1].tolist() == [3, 5, 8, 12] and found.boxes.dtype == np.float32
    assert found.boxes[:, 2] == pytest.approx(np.pi / 2 + np.array([0.1, 0.2, 0.4, 0.6]), abs=1e-6)
    assert found.boxes[:, 3:].tolist() == [[4, 2]] * 4


@pytest.mark.parametrize("frame", ["lidar", "ego"])
def test_annotations_of_future_key_frames_are_brought_into_this_one(frame):
    """Agents that drive along a bent road, against the road's own formula."""
    truth = fake_truth(scenes=2, frames=9, agents=8)
    selection = AgentSelection("future", EVERY, "none", frame=frame)
    index = 9 + 1  # the second frame of the second drive, whose road bends
    own = truth.ego2global[index] @ (truth.lidar2ego[index] if frame == "lidar" else np.eye(4))
    found = FrameTruth(truth, index).agents(selection)
    assert found.step.tolist() == np.repeat(range(6), 8).tolist()
    assert found.rows.tolist() == [*range((index + 1) * 8, (index + 7) * 8)]
    for step, row, box in zip(found.step, found.rows, found.boxes, strict=True):
        _, width, length, start, left, speed = KINDS[row % 8]
        x, y, heading = along_road(1, start + speed * 0.5 * (2 + step), left)
        assert box[:2] == pytest.approx(moved(np.linalg.inv(own), [x, y]), abs=1e-4)
        turn = box[2] - (heading + (np.pi if speed < 0 else 0) - np.arctan2(own[1, 0], own[0, 0]))
        assert np.cos(turn) == pytest.approx(1) and box[3:] == pytest.approx([length, width])


def test_a_box_is_brought_in_three_dimensions():
    """A frame that is pitched by 0.1 rad sees a box at a height of 10 m nearer or farther."""
    boxes, pose = np.zeros((1, 9)), np.eye(4)[None].copy()
    boxes[0, :3], boxes[0, 6] = (5, 0, 10), -np.pi / 2
    pose[0, [0, 0, 2, 2], [0, 2, 0, 2]] = np.cos(0.1), np.sin(0.1), -np.sin(0.1), np.cos(0.1)
    assert brought(boxes, pose)[0, :3] == pytest.approx([5 * np.cos(0.1) + 10 * np.sin(0.1), 0, 0])


def test_the_end_of_a_drive_has_fewer_steps():
    truth = drive(thing(0, 12), frames=8)
    future = AgentSelection("future", (17,), "none")
    assert FrameTruth(truth, 4).agents(future).step.tolist() == [0, 1, 2]
    assert FrameTruth(truth, 7).agents(future).boxes.shape == (0, 5)


def test_another_drive_is_no_future():
    truth = fake_truth(scenes=2, frames=3, agents=2)
    future = AgentSelection("future", EVERY, "none")
    assert FrameTruth(truth, 1).agents(future).rows.tolist() == [4, 5]
    assert FrameTruth(truth, 2).agents(future).rows.tolist() == []


def test_a_key_frame_that_is_missing_is_an_error_and_not_an_empty_road():
    truth = drive(thing(0, 12), frames=9)
    future = AgentSelection("future", (17,), "none")
    with pytest.raises(ValueError, match=r"0{32}: the truth lacks the key frame of step 3"):
        FrameTruth(truth.select(np.array([0, 1, 2, 4, 5, 6])), 0).agents(future)
    assert FrameTruth(truth.select(np.array([0, 1, 2, 3, 4, 5, 6])), 0).agents(future).step.tolist() == [*range(6)]


def test_agents_are_computed_once():
    frame = FrameTruth(drive(thing(0, 12)), 0)
    assert frame.agents(CAR) is frame.agents(CAR._replace())


def test_areas_with_holes_by_place():
    outer, inner = [(0, -10), (20, -10), (20, 10), (0, 10)], [(5, -2), (9, -2), (9, 2), (5, 2)]
    truth = drive(areas=[("lane", outer), ("lane", inner), ("drivable_area", [(30, 0), (40, 0), (40, 5), (30, 5)])])
    points = np.array(
        [[0, 2.0], [0, 6.0], [0, 4.014207], [5, 30.0], [-1, 32.0]]
    )  # 0.985793 m ahead of the ego's origin

    def inside(truth, *layers):
        return FrameTruth(truth, 0).inside(layers, points).tolist()

    assert inside(truth, "lane") == [True, True, True, False, False]
    assert inside(truth, "drivable_area", "lane") == [True, True, True, False, True]
    assert inside(truth, "stop_line") == [False] * 5
    holed = dataclasses.replace(
        truth,
        area_layer=truth.area_layer[[0, 2]],
        area_location=truth.area_location[:2],
        area_token=truth.area_token[:2],
        area_ring_start=np.array([0, 2, 3]),
        ring_is_hole=np.array([False, True, False]),
        ring_vertices=truth.ring_vertices.copy(),  # other areas are other arrays
    )
    assert inside(holed, "lane") == [True, False, True, False, False]  # the third point is on the hole's border
    elsewhere = dataclasses.replace(truth, location=truth.location + np.int16(1))
    assert inside(elsewhere, "lane") == [False] * 5


def test_curbs():
    lines = [[[0, 1], [2, 3], [4, 5]], [[6, 7], [8, 9]]]
    assert [line.tolist() for line in FrameTruth(drive(curbs=lines), 3).curbs()] == lines
    assert FrameTruth(drive(), 0).curbs() == []
