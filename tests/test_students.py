"""Which student a config has, and that one of vector mode is kept apart from those that see."""

import pytest

from dima_jax import checkpoints, students
from dima_jax.errors import UserError
from dima_jax.jax_student import JaxStudent
from dima_jax.student import student
from tests.mini import mini_config
from tests.vector import mini


def test_without_vector_mode_it_is_vad():
    config = mini_config()
    assert students.shapes(config) == student.abstract(config)[1]


def test_in_vector_mode_there_is_no_perception():
    parts = {path.split("/")[0] for path in students.shapes(mini.vector_config())}
    assert {"motion_head", "lane_encoder", "planner"} <= parts
    assert not parts & {"image_encoder", "bev_encoder", "agent_head", "map_head"}


def test_its_runs_are_read_but_not_driven(tmp_path):
    config = mini.vector_config()
    params = mini.student(config)[1]
    checkpoints.save_student(tmp_path, {f"student/{path}": value for path, value in params.items()}, config)
    saved, read, _ = checkpoints.load_student(tmp_path)
    assert saved.vector.enabled and read.keys() == {f"student/{path}" for path in params}
    with pytest.raises(UserError, match=r"vector\.enabled=True: .* sees no images .*docs/evidence\.md"):
        JaxStudent.load(tmp_path)
