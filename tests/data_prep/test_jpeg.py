"""Broken images are found."""

import pytest

from data_prep import jpeg
from dima_jax.errors import UserError
from tests import tiny_root


def test_broken_images_are_found(dataset, tmp_path):
    image = tiny_root.key_frames(dataset).record(0, {})["cameras"]["images"][0]
    assert jpeg.shape(image) == tiny_root.IMAGE_SHAPE
    assert jpeg.defect(image, tiny_root.IMAGE_SHAPE) == ""
    assert "truncated" in jpeg.defect(image[: len(image) // 2], tiny_root.IMAGE_SHAPE)
    assert "not a JPEG" in jpeg.defect(b"GIF89a", tiny_root.IMAGE_SHAPE)
    assert "does not decode" in jpeg.defect(b"\xff\xd8\xff\xd9", tiny_root.IMAGE_SHAPE)
    with pytest.raises(UserError, match=r"nowhere\.jpg: missing image \(here\)"):
        jpeg.read(tmp_path / "nowhere.jpg", tiny_root.IMAGE_SHAPE, "here")
