"""Grids: which cells a box fills, where halves go, and which agent covers a cell."""

import numpy as np
import pytest

from dima_jax.metrics import raster
from dima_jax.metrics.protocols import bevplanner, stp3_vad, uniad
from dima_jax.scoring.frames import AgentSelection, FrameTruth, StepAgents
from tests.metrics.protocols.small import drive, thing

SELECTION = AgentSelection("now", (17,), "none")
VAD, UNIAD, FINE = stp3_vad.GRID, uniad.GRID, bevplanner.GRID


def agents(*boxes, step=None):
    """Agents given as (x, y, heading, length, width), all at step 0 unless said otherwise."""
    n = len(boxes)
    return StepAgents(
        np.arange(n), np.zeros(n, int) if step is None else np.array(step), np.array(boxes, float).reshape(n, 5)
    )


def draw(spec, found):
    """The whole grid of each step, by one call a box."""
    grids = np.zeros((6, spec.cells, spec.cells), np.uint8)
    for step, corners in zip(found.step, raster.pixels(spec, found.boxes), strict=True):
        raster.fill(grids[step], corners)
    return grids.view(bool)


def extent(grid):
    """((first, last) row, (first, last) column) of what is filled."""
    rows, columns = np.nonzero(grid)
    return (rows.min(), rows.max()), (columns.min(), columns.max())


def test_where_a_box_is():
    ahead_right = agents((10, 20, np.pi / 2, 4, 2))
    assert extent(draw(VAD, ahead_right)[0]) == ((56, 64), (118, 122))  # row 0 is 50 m ahead
    assert extent(draw(UNIAD, ahead_right)[0]) == ((136, 144), (118, 122))
    assert extent(draw(FINE, ahead_right)[0]) == ((679, 719), (589, 609))
    assert not draw(VAD, ahead_right)[1:].any()
    assert draw(VAD, agents()).shape == (6, 200, 200)


def test_halves_of_cells_go_to_even():
    """Corners at (0.25 + 50) / 0.5 = 100.5 and 101.5, 102.5, 103.5 cells."""
    for spec, first in ((VAD, 100), (UNIAD, 100)):
        grid = draw(spec, agents((0.5, 0.25, 0, 0.5, 1)))[0]  # x from 0.25 to 0.75
        assert extent(grid)[1] == (first, 102)
        assert extent(draw(spec, agents((1.5, 0.25, 0, 0.5, 1)))[0])[1] == (102, 104)


def test_cells_of_the_fine_grid_are_cut_off():
    grid = draw(FINE, agents((1.0, 0.0, 0, 0.36, 0.1)))[0]  # x from 0.82 to 1.18
    assert extent(grid)[1] == (507, 511)


def test_overlapping_boxes_do_not_cancel():
    both = agents((0, 0, 0, 4, 4), (1, 0, 0, 4, 4))
    grid = draw(VAD, both)[0]
    alone = [draw(VAD, agents(tuple(box)))[0] for box in both.boxes]
    assert (grid == alone[0] | alone[1]).all()


def seen(frame_agents, monkeypatch):
    """A frame of which every selection sees these agents."""
    monkeypatch.setattr(FrameTruth, "agents", lambda frame, selection: frame_agents)
    return FrameTruth(drive(), 0)


@pytest.mark.parametrize("spec", [VAD, UNIAD, FINE])
def test_what_is_covered_is_what_the_whole_grid_says(spec, monkeypatch):
    """Boxes and cells anywhere, at and beyond the border too; what was drawn for one frame is gone in the next."""
    rng, found = np.random.default_rng(0), 0
    for _ in range(40):
        count, near = rng.integers(0, 30), rng.uniform(-52, 52, 2)
        boxes = np.c_[near + rng.normal(0, 6, (count, 2)), rng.uniform(-4, 4, count), rng.uniform(0.2, 9, (count, 2))]
        some = agents(*boxes, step=rng.integers(0, 6, count))
        frame, grids, whole = seen(some, monkeypatch), raster.Grids(), draw(spec, some)
        middle = np.clip((near[::-1, None, None, None] + 50) / spec.cell + rng.normal(0, 20, (2, 4, 6, 1)), 0, None)
        cells = np.minimum(middle + rng.integers(0, 8, (2, 4, 6, 5)), spec.cells - 1).astype(int)
        rows, columns = (spec.cells - 1 - cells[0], cells[1]) if spec.down else cells
        expected = whole[np.arange(6)[:, None], rows, columns].any(axis=-1)
        assert (grids.covered(spec, frame, rows, columns) == expected).all()
        assert ((grids.first_hit(spec, frame, expected, rows, columns) >= 0) == expected).all()
        found += expected.sum()
    assert 40 < found < 900 and not raster._sheet(6, spec.cells).any() and not raster._sheet(1, spec.cells).any()


def test_boxes_far_beyond_the_grid_cover_nothing(monkeypatch):
    frame = seen(agents((1e6, 0, 0, 4, 2), (0, -60, 0, 4, 2), (50, 0, 0, 4, 2)), monkeypatch)
    rows, columns = np.full((1, 6, 1), 100), np.full((1, 6, 1), 199)
    assert raster.Grids().first_hit(VAD, frame, np.ones((1, 6), bool), rows, columns).tolist() == [[2] + [-1] * 5]
    assert not raster.Grids().covered(VAD, frame, rows + 99, columns - 99).any()


def test_corners_are_computed_once(monkeypatch):
    truth, drawn = drive(thing(0, 12)), []
    original = raster.pixels
    monkeypatch.setattr(raster, "pixels", lambda spec, boxes: drawn.append(spec) or original(spec, boxes))
    grids, frame, cells = raster.Grids(), FrameTruth(truth, 0), np.full((1, 6, 1), 100)
    for spec in (VAD, UNIAD, VAD, UNIAD):
        grids.covered(spec, frame, cells, cells)
    assert drawn == [VAD, UNIAD]


def test_lines_are_a_cell_wide_and_stay_on_the_grid():
    lines = [np.array([[0, -3.0], [0, 3.0]]), np.array([[70.0, 0], [60.0, 0]])]
    rows, columns = np.indices((1000, 1000)).reshape(2, 1000, 1000, 1)  # a plan for each row, a step for each column
    grid = raster.lines_covered(FINE, lines, rows, columns)
    assert grid[469:530, 499].all() and grid.sum() == 62 and grid[499, 999]
    assert not raster.lines_covered(FINE, [], rows[:2], columns[:2]).any()


@pytest.mark.parametrize(("spec", "ahead", "count"), [(VAD, 0.5, 32), (UNIAD, 0.5, 32), (FINE, 1.485793, 41 * 18)])
def test_the_cells_under_the_ego(spec, ahead, count):
    along, across = raster.ego_cells(spec, ahead)
    centers = np.stack([along, across]) * spec.cell - spec.half + spec.cell / 2
    assert len(along) == count
    assert ((centers[0] > ahead - 2.042) & (centers[0] < ahead + 2.042) & (np.abs(centers[1]) < 0.925)).all()


def test_cells_beyond_the_grid_are_moved_to_its_border():
    cells = np.array([[[-1e30, -0.5, 0.5, 199.9, 1e30, np.nan]]])
    assert raster.to_cells(VAD, cells).tolist() == [[[0, 0, 0, 199, 199, 0]]]


def test_the_agent_that_covers_a_cell():
    truth = drive(thing(0, 30), thing(0.6, 12), thing(0, 12))
    frame, rows = FrameTruth(truth, 0), np.full((1, 6, 1), 200 - 124)
    columns = np.full((1, 6, 1), 100)
    struck = np.zeros((1, 6), bool)
    struck[0, 3] = True
    grids = raster.Grids()
    assert grids.first_hit(VAD, frame, struck, rows, columns).tolist() == [[-1, -1, -1, 1, -1, -1]]
    assert grids.first_hit(VAD, frame, struck, rows, columns - 2).tolist() == [[-1, -1, -1, 2, -1, -1]]
    assert (grids.first_hit(VAD, frame, struck & False, rows, columns) == -1).all()


def test_an_agent_that_is_gone_covers_nothing(monkeypatch):
    """At step 3 row 0 is in the cell; at step 4 row 2 is, and row 1 passes it by."""
    boxes = (0, 12, 0, 2, 2), (3, 12, np.pi / 4, 12, 0.3), (0, 12, 0, 2, 2)
    frame = seen(agents(*boxes, step=[3, 4, 4]), monkeypatch)
    struck = np.array([[False, False, False, True, True, False]])
    rows, columns = np.full((1, 6, 1), 200 - 124), np.full((1, 6, 1), 100)
    assert raster.Grids().first_hit(VAD, frame, struck, rows, columns).tolist() == [[-1, -1, -1, 0, 2, -1]]


def test_an_unknown_rounding_is_refused():
    with pytest.raises(ValueError, match="no rounding 'up'"):
        raster.pixels(VAD._replace(rounding="up"), agents((0, 0, 0, 1, 1)).boxes)
