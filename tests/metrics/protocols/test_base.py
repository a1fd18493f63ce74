"""Reductions against numbers that were computed by hand, and a definition whose every field is in its hash."""

import numpy as np
import pytest

from dima_jax.metrics.protocols import base
from dima_jax.metrics.protocols.base import Column, Definition
from tests.scoring.fake import fake_plans, fake_truth

UPTO_3 = (0, 1, 2, 3, 4, 5)


def definition(*columns, frames="all") -> Definition:
    return Definition(
        name="toy",
        version=1,
        title="Toy",
        source="nowhere",
        frames=frames,
        quantities={"l2": "m", "collision": "share"},
        columns=columns,
        averages={"l2_avg": ("a",)},
        mask_rule="none",
        constants={"cell": 0.5},
        needs=("paths",),
    )


# Three frames: all steps known; the first two known; none known.
L2 = np.array([[1.0, 2, 3, 4, 5, 9], [10, 20, np.nan, np.nan, np.nan, np.nan], [np.nan] * 6])
HIT = np.array([[0.0, 0, 1, 0, 1, 0], [0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])
MASK = np.array([[True] * 6, [True, True, False, False, False, False], [False] * 6])
ALL = np.ones(3, bool)


def reduced(column, entered=ALL):
    value, weight = base.reduce(
        definition(column), {"l2": L2, "collision": HIT}, {"l2": MASK, "collision": MASK}, np.array(entered)
    )
    assert value.dtype == weight.dtype == np.float64 and value.shape == weight.shape == (3, 1)
    return value[:, 0].tolist(), weight[:, 0].tolist()


def mean(value, weight):
    """What a table says, frames of weight 0 left out."""
    value, weight = np.array(value), np.array(weight)
    kept = weight > 0
    return (value[kept] * weight[kept]).sum() / weight[kept].sum()


NAN = pytest.approx(np.nan, nan_ok=True)


@pytest.mark.parametrize(
    ("column", "value", "weight", "table"),
    [
        # 1 to 9 sum up to 24; 10 + 20 over 2; the mean of all eight known steps is 54 / 8
        (Column("a", "l2", UPTO_3, "mean", "mask"), [4.0, 15.0, NAN], [1.0, 1 / 3, 0.0], 54 / 8),
        # masked steps are 0: 24 / 6, 30 / 6, 0 / 6; divided by all 18 steps
        (Column("a", "l2", UPTO_3, "mean", "frame"), [4.0, 5.0, 0.0], [1.0, 1.0, 1.0], 54 / 18),
        (Column("a", "l2", (1,), "mean", "mask"), [2.0, 20.0, NAN], [1.0, 1.0, 0.0], 22 / 2),
        (Column("a", "l2", (1,), "mean", "frame"), [2.0, 20.0, 0.0], [1.0, 1.0, 1.0], 22 / 3),
        (Column("a", "l2", (3,), "mean", "mask"), [4.0, NAN, NAN], [1.0, 0.0, 0.0], 4.0),
        (Column("a", "l2", (3,), "mean", "frame"), [4.0, 0.0, 0.0], [1.0, 1.0, 1.0], 4 / 3),
        # hits at masked steps do not count
        (Column("a", "collision", UPTO_3, "any", "mask"), [1.0, 0.0, NAN], [1.0, 1.0, 0.0], 1 / 2),
        (Column("a", "collision", UPTO_3, "any", "frame"), [1.0, 0.0, 0.0], [1.0, 1.0, 1.0], 1 / 3),
        (Column("a", "collision", (0, 1), "any", "mask"), [0.0, 0.0, NAN], [1.0, 1.0, 0.0], 0.0),
        (Column("a", "collision", UPTO_3, "sum", "mask"), [2.0, 0.0, NAN], [1.0, 1.0, 0.0], 2 / 2),
        (Column("a", "collision", UPTO_3, "sum", "frame"), [2.0, 0.0, 0.0], [1.0, 1.0, 1.0], 2 / 3),
    ],
)
def test_reduction_by_hand(column, value, weight, table):
    found = reduced(column)
    assert found[0] == value and found[1] == pytest.approx(weight)
    assert mean(*found) == pytest.approx(table)


def test_frames_that_do_not_enter_have_no_weight():
    """Above all under "frame", where a frame without any known step is otherwise a perfect one."""
    value, weight = reduced(Column("a", "l2", UPTO_3, "mean", "frame"), [True, False, False])
    assert value == [4.0, NAN, NAN] and weight == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("how", ["mean", "any", "sum"])
@pytest.mark.parametrize("weight", ["mask", "frame"])
def test_nan_at_a_step_that_counts_is_no_number(how, weight):
    values, column = {"collision": at_nan(HIT)}, Column("a", "collision", UPTO_3, how, weight)
    value, found = base.reduce(definition(column), values, {"collision": MASK}, ALL)
    assert np.isnan(value[0, 0]) and found[0, 0] == 1


def at_nan(values):
    values = values.copy()
    values[0, 1] = np.nan
    return values


def test_columns_keep_their_order_and_one_that_cannot_be_had_has_no_weight():
    columns = (Column("curb", "curb", (5,), "any", "frame"), Column("l2", "l2", (0,), "mean"))
    value, weight = base.reduce(definition(*columns), {"l2": L2}, {"l2": MASK}, ALL)
    assert np.isnan(value[:, 0]).all() and weight[:, 0].tolist() == [0, 0, 0]
    assert value[:, 1].tolist() == [1, 10, NAN] and weight[:, 1].tolist() == [1, 1, 0]


def test_sums_are_made_in_float64():
    values = np.full((1, 6), 2.0**24, np.float32)
    values[0, 1:] = 1
    column = Column("a", "l2", UPTO_3, "sum")
    value, _ = base.reduce(definition(column), {"l2": values}, {"l2": np.ones((1, 6), bool)}, ALL[:1])
    assert value[0, 0] == 2**24 + 5


@pytest.mark.parametrize("column", [Column("a", "l2", (0,), "most"), Column("a", "l2", (0,), "mean", "none")])
def test_a_column_that_says_nothing_known_is_refused(column):
    with pytest.raises(ValueError, match=r"a: no (way 'most'|weight 'none')"):
        reduced(column)


CHANGED = {
    "name": "other",
    "version": 2,
    "title": "Other",
    "source": "there",
    "frames": "future_valid",
    "quantities": {"l2": "m"},
    "columns": (),
    "averages": {},
    "mask_rule": "some",
    "constants": {"cell": 0.1},
    "needs": ("paths", "agents"),
}


@pytest.mark.parametrize("field", Definition._fields)
def test_every_field_is_in_the_hash(field):
    one = definition(Column("a", "l2", (0, 1), "mean"))
    assert one.hash == definition(Column("a", "l2", (0, 1), "mean")).hash and len(one.hash) == 12
    assert one._replace(**{field: CHANGED[field]}).hash != one.hash


@pytest.mark.parametrize(
    "change", [{"name": "b"}, {"quantity": "x"}, {"steps": (1,)}, {"how": "any"}, {"weight": "frame"}]
)
def test_every_field_of_a_column_is_in_the_hash(change):
    column = Column("a", "l2", (0,), "mean")
    assert definition(column._replace(**change)).hash != definition(column).hash


def test_which_frames_enter():
    truth = fake_truth(scenes=2, frames=8)
    numbers = {name: np.flatnonzero(base.enters(definition(frames=name), truth)).tolist() for name in base.FRAMES}
    assert numbers == {
        "all": list(range(16)),
        "future_valid": [0, 1, 8, 9],
        "not_first": [*range(1, 8), *range(9, 16)],
    }
    bare = type(truth)(truth.header, truth.tokens, truth.scene, truth.scene_names)
    assert base.enters(definition(frames="all"), bare).all()
    with pytest.raises(ValueError, match="toy takes not_first frames, which needs scenes"):
        base.enters(definition(frames="not_first"), bare)


class Toy(base.Protocol):
    definition, grids = definition(), ()

    def frame(self, frame, grids, lidar, ego, l2):
        return base.Steps({"l2": l2}, {}, np.full(l2.shape, -1), np.zeros(6, bool))


def test_a_protocol_has_frames_and_perhaps_a_sequence():
    truth, steps = fake_truth(scenes=1, frames=2), {}
    Toy().sequence(truth, fake_plans(truth), steps)
    assert steps == {}
    with pytest.raises(TypeError, match="abstract method"):
        base.Protocol()
