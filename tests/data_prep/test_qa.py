"""DriveLM's question file: order, bad tags, other files."""

import pytest

from data_prep import qa
from dima_jax.errors import UserError
from tests import tiny_root


@pytest.mark.parametrize(
    ("tag", "problem"),
    [("<c1,CAM_TOP,1.0,2.0>", "names no camera"), ("<c1,CAM_BACK,here,2.0>", "names no pixel"), ("<c1>", "names no camera")],
)  # fmt: skip
def test_tag_that_names_nothing(tmp_path, tag, problem):
    path = tiny_root.drivelm(tmp_path / "drivelm.json", tag=tag)
    with pytest.raises(UserError, match=rf"drivelm\.json: scene scn0, sample smp_0010: {tag} {problem} \(perception"):
        qa.read(str(path))


def test_questions_in_file_order_and_other_files_refused(tmp_path):
    pairs = qa.read(str(tiny_root.drivelm(tmp_path / "drivelm.json")))["smp_0010"]
    assert pairs["kinds"] == ("perception", "planning") and pairs["answers"][0] == "Moving."
    (tmp_path / "other.json").write_text('[{"question": 1}]')
    with pytest.raises(UserError, match=r"other\.json: not in DriveLM's v1\.1 format"):
        qa.read(str(tmp_path / "other.json"))
    with pytest.raises(UserError, match="no such file"):
        qa.read(str(tmp_path / "none.json"))
