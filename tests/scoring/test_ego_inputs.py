"""What a planner that sees nothing reads is what the student reads, from the truth instead of the records."""

import numpy as np
import pytest

from dima_jax.data import ego_inputs as of_records
from dima_jax.errors import UserError
from dima_jax.scoring import ego_inputs
from dima_jax.scoring.ego_inputs import Given
from tests.scoring.fake import fake_truth


@pytest.fixture(scope="module")
def truth():
    """With numbers in the CAN bus that change from frame to frame."""
    made = fake_truth(scenes=3, frames=7, agents=1)
    can_bus = np.random.default_rng(0).normal(size=made.can_bus.shape) * 100
    return type(made)(made.header, **made.arrays() | {"can_bus": can_bus})


@pytest.mark.parametrize("ego_status", ego_inputs.EGO_STATUS)
@pytest.mark.parametrize("command", [True, False])
def test_they_are_the_students(truth, ego_status, command):
    found = ego_inputs.of(truth, Given(ego_status, command))
    assert found.shape == (21, 21) and found.dtype == np.float32
    for i, row in enumerate(found):
        first = i - 1 if truth.frame_index[i] else i
        can_bus = of_records.can_bus_input([truth.can_bus[first], truth.can_bus[i]], ego_status, [first, i])[1]
        np.testing.assert_array_equal(row[:18], can_bus)
        np.testing.assert_array_equal(row[18:], of_records.command_input(int(truth.command[i]), command))


@pytest.mark.parametrize(("ego_status", "known"), [("full", False), ("speed", False), ("none", True)])
def test_without_the_frame_before_they_are_not_known(truth, ego_status, known):
    odd = truth.select(truth.frame_index % 2 == 0)
    found = np.isfinite(ego_inputs.of(odd, Given(ego_status))).all(axis=1)
    assert (found == (known | (odd.frame_index == 0))).all()


def test_a_gap_is_no_step(truth):
    assert ego_inputs.follows(truth).tolist() == (truth.frame_index > 0).tolist()
    assert not ego_inputs.follows(truth.select(truth.frame_index % 2 == 0)).any()


def test_what_a_header_says_was_given():
    assert ego_inputs.given(None) == ego_inputs.given({"images": 6}) == ego_inputs.given([]) == Given("full", True)
    told = ego_inputs.given({"ego_status": "speed", "command": False, "images": 6})
    assert told == Given("speed", False)
    assert [Given(*one).words for one in (("full", True), ("speed", False), ("none", False))] == [
        "full ego status, command",
        "speed",
        "nothing",
    ]


@pytest.mark.parametrize(
    "told", [{"ego_status": "history"}, {"ego_status": ["speed"]}, {"ego_status": None}, {"command": 1}]
)
def test_what_it_may_not_say(told):
    with pytest.raises(UserError, match=r"in the header of the plans; say one of full, speed, none, and true or false"):
        ego_inputs.given(told)
