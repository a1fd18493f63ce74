"""Records with small images: the same cameras to the student, checked and refused like any others."""

import cv2
import numpy as np
import pytest

from data_prep import builder, scaled_images, validation
from dima_jax.data import records, sequences, transforms
from dima_jax.errors import UserError
from tests import tiny_root

SCALE, SIZE = 0.4, (18, 32)  # of 45 x 80
LOSS = 5.0  # gray levels: what a second JPEG costs these images, whose colors are noise, on average


@pytest.fixture(scope="module")
def folders(dataset, tmp_path_factory):
    """Records of one root as they are, and at SCALE."""
    folder = tmp_path_factory.mktemp("scaled")
    arguments = (str(dataset), tiny_root.VERSION, str(tiny_root.drivelm(folder / "drivelm.json")))
    builder.build(*arguments, str(folder / "full"), workers=1)
    builder.build(*arguments, str(folder / "small"), workers=1, image_scale=SCALE)
    return folder / "full", folder / "small"


def config(folder, scale=SCALE):
    made = tiny_root.small_config(folder)
    made.data.update(image_scale=scale, valid_shape=SIZE, image_shape=(32, 32))
    return made


def test_student_and_figures_see_the_same(folders):
    full, small = (sequences.Drives(config(folder), "val")[3] for folder in folders)
    np.testing.assert_array_equal(full.frame.lidar2img, small.frame.lidar2img)
    assert np.abs(full.frame.images.astype(int) - small.frame.images).mean() < LOSS
    assert full.frame.images.std() > 5 * LOSS
    sizes = [transforms.decode(data, "").shape[:2] for data in (full.jpegs[0], small.jpegs[0])]
    assert sizes == [tiny_root.IMAGE_SHAPE, SIZE]
    point = np.array([1.0, 12.0, 0.5, 1.0])
    (u, v, depth), (x, y, same) = ((one.camera_matrices[0] @ point)[:3] for one in (full, small))
    np.testing.assert_allclose((x, y, same), (SCALE * u, SCALE * v, depth))


def test_the_scale_is_recorded_where_there_is_one(folders):
    full, small = (records.Records(folder, "val") for folder in folders)
    assert (full.image_scale, small.image_scale) == (1.0, SCALE)
    assert "image_scale" not in records.sidecar(folders[0] / full.shards[0]).read_text()
    assert full.samples == small.samples and full.data_hash != small.data_hash


def test_validate_finds_nothing(folders):
    assert validation.validate(str(folders[1]), decode_share=1.0).report.findings == []


def test_a_config_of_another_scale_is_refused(folders):
    with pytest.raises(
        UserError,
        match=r"small: its images were stored at scale 0\.4, config\.data\.image_scale=1\.0; set that to 0\.4, or",
    ):
        sequences.Drives(config(folders[1], scale=1.0), "val")
    without_cameras = config(folders[1], scale=1.0)
    without_cameras.data.cameras = ()
    assert sequences.Drives(without_cameras, "val")[0].frame.images.shape[1] == 0


def test_a_build_of_another_scale_is_refused(dataset, folders):
    before = {path: path.read_bytes() for path in folders[1].iterdir() if path.name != "build.lock"}
    with pytest.raises(UserError, match=r"its images are at scale 0\.4, not at 1\.0; give another --out"):
        builder.build(str(dataset), tiny_root.VERSION, "", str(folders[1]), workers=1)
    assert {path: path.read_bytes() for path in before} == before


def test_shards_of_two_scales_are_refused(folders, tmp_path, monkeypatch):
    paths = [folder / records.Records(folder, "val").shards[0] for folder in folders]
    monkeypatch.setattr(records, "_shards", lambda *_: paths)
    with pytest.raises(UserError, match=r"shards with images at scale 1\.0 and 0\.4"):
        records.Records(folders[0], "val")


def test_cameras_of_other_sizes_keep_theirs_and_a_scale_that_leaves_nothing_is_refused():
    images = [cv2.imencode(".jpg", np.full((*size, 3), 90, np.uint8))[1].tobytes() for size in ((40, 80), (30, 30))]
    cameras = {
        "images": images,
        "paths": ["a.jpg", "b.jpg"],
        "sizes": np.array([(40, 80), (30, 30)]),
        "intrinsics": np.array([[[70.0, 0, 40], [0, 70, 20], [0, 0, 1]]] * 2),
    }
    found = scaled_images.scaled(cameras, 0.5)
    assert found["sizes"].tolist() == [[20, 40], [15, 15]]
    assert [transforms.decode(data, "").shape[:2] for data in found["images"]] == [(20, 40), (15, 15)]
    np.testing.assert_array_equal(found["intrinsics"][1], [[35, 0, 20], [0, 35, 10], [0, 0, 1]])
    assert cameras["sizes"][0].tolist() == [40, 80]
    with pytest.raises(UserError, match=r"b\.jpg: --image_scale makes it 0 x 0 pixels"):
        scaled_images.scaled(cameras | {"sizes": np.array([(400, 800), (30, 30)])}, 0.01)
