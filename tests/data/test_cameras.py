"""The cameras that a student reads, of those that a record has."""

import numpy as np
import pytest

from dima_jax.data import cameras
from dima_jax.errors import UserError

RECORDED = {
    "names": ["front", "left", "rear"],
    "images": [b"f", b"l", b"r"],
    "sizes": np.array([[1, 2], [3, 4], [5, 6]]),
}


def test_the_config_chooses_and_orders():
    chosen = cameras.choose(RECORDED, ("rear", "front"), "here")
    assert chosen["names"] == ["rear", "front"] and chosen["images"] == [b"r", b"f"]
    np.testing.assert_array_equal(chosen["sizes"], [[5, 6], [1, 2]])


@pytest.mark.parametrize(("recorded", "listed"), [(RECORDED, "front, left, rear"), ({"names": []}, "none")])
def test_a_camera_that_is_not_recorded_is_one_line(recorded, listed):
    with pytest.raises(UserError) as error:
        cameras.choose(recorded, ("front", "right"), "records: scene-1")
    wanted = "right" if recorded["names"] else "front"
    assert str(error.value) == (
        f"records: scene-1: no camera {wanted!r}, the record has {listed}; "
        "set config.data.cameras, which is ('front', 'right')"
    )
