"""Grids: which cells a box fills, where halves go, and which agent covers a cell."""

import cv2
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


def extent(grid):
    """((first, last) row, (first, last) column) of what is filled."""
    rows, columns = np.nonzero(grid)
    return (rows.min(), rows.max()), (columns.min(), columns.max())


def test_where_a_box_is():
    ahead_right = agents((10, 20, np.pi / 2, 4, 2))
    assert extent(raster.draw(VAD, ahead_right)[0]) == ((56, 64), (118, 122))  # row 0 is 50 m ahead
    assert extent(raster.draw(UNIAD, ahead_right)[0]) == ((136, 144), (118, 122))
    assert extent(raster.draw(FINE, ahead_right)[0]) == ((679, 719), (589, 609))
    assert not raster.draw(VAD, ahead_right)[1:].any()
    assert raster.draw(VAD, agents()).shape == (6, 200, 200)


def test_halves_of_cells_go_to_even():
    """Corners at (0.25 + 50) / 0.5 = 100.5 and 101.5, 102.5, 103.5 cells."""
    for spec, first in ((VAD, 100), (UNIAD, 100)):
        grid = raster.draw(spec, agents((0.5, 0.25, 0, 0.5, 1)))[0]  # x from 0.25 to 0.75
        assert extent(grid)[1] == (first, 102)
        assert extent(raster.draw(spec, agents((1.5, 0.25, 0, 0.5, 1)))[0])[1] == (102, 104)


def test_cells_of_the_fine_grid_are_cut_off():
    grid = raster.draw(FINE, agents((1.0, 0.0, 0, 0.36, 0.1)))[0]  # x from 0.82 to 1.18
    assert extent(grid)[1] == (507, 511)


def test_overlapping_boxes_do_not_cancel():
    both = agents((0, 0, 0, 4, 4), (1, 0, 0, 4, 4))
    grid = raster.draw(VAD, both)[0]
    alone = [raster.draw(VAD, agents(tuple(box)))[0] for box in both.boxes]
    assert (grid == alone[0] | alone[1]).all()


def test_boxes_at_and_beyond_the_border():
    grid = raster.draw(VAD, agents((50, 0, 0, 4, 2), (0, -60, 0, 4, 2), (1e6, 0, 0, 4, 2)))[0]
    assert extent(grid) == ((98, 102), (196, 199))
    whole = np.zeros((200, 200), np.uint8)
    for pixels in raster._pixels(VAD, agents((50, 0, 0, 4, 2), (0, -60, 0, 4, 2))):
        cv2.fillPoly(whole, [pixels], 1)
    assert (grid == whole).all()


def test_a_grid_is_drawn_once(monkeypatch):
    truth, drawn = drive(thing(0, 12)), []
    monkeypatch.setattr(raster, "draw", lambda spec, agents: drawn.append(spec) or np.ones((6, 2, 2), bool))
    grids, frame = raster.Grids(), FrameTruth(truth, 0)
    for spec in (VAD, UNIAD, VAD, UNIAD):
        assert grids.get(spec, frame).all()
    assert drawn == [VAD, UNIAD]


def test_lines_are_a_cell_wide_and_stay_on_the_grid():
    grid = raster.draw_lines(FINE, [np.array([[0, -3.0], [0, 3.0]]), np.array([[70.0, 0], [60.0, 0]])])[0]
    assert grid[469:530, 499].all() and grid.sum() == 62 and grid[499, 999]
    assert not raster.draw_lines(FINE, []).any()


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
    assert raster.first_hit(VAD, frame, struck, rows, columns).tolist() == [[-1, -1, -1, 1, -1, -1]]
    assert raster.first_hit(VAD, frame, struck, rows, columns - 2).tolist() == [[-1, -1, -1, 2, -1, -1]]
    assert (raster.first_hit(VAD, frame, struck & False, rows, columns) == -1).all()


def test_an_agent_that_is_gone_covers_nothing(monkeypatch):
    """At step 3 row 0 is in the cell; at step 4 row 2 is, and row 1 passes it by."""
    boxes = (0, 12, 0, 2, 2), (3, 12, np.pi / 4, 12, 0.3), (0, 12, 0, 2, 2)
    monkeypatch.setattr(FrameTruth, "agents", lambda frame, selection: agents(*boxes, step=[3, 4, 4]))
    struck = np.array([[False, False, False, True, True, False]])
    rows, columns = np.full((1, 6, 1), 200 - 124), np.full((1, 6, 1), 100)
    assert raster.first_hit(VAD, FrameTruth(drive(), 0), struck, rows, columns).tolist() == [[-1, -1, -1, 0, 2, -1]]


def test_an_unknown_rounding_is_refused():
    with pytest.raises(ValueError, match="no rounding 'up'"):
        raster.draw(VAD._replace(rounding="up"), agents((0, 0, 0, 1, 1)))
