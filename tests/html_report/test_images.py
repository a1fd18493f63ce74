"""Pictures: of records, small, and what is none."""

import cv2
import numpy as np
import pytest

from dima_jax.constants import CAMERAS
from dima_jax.errors import UserError
from dima_jax.html_report import images
from tests.html_report import fake_page


def test_pictures_are_small_and_in_the_order_of_the_page():
    asked = []

    def files(token):
        asked.append(token)
        return {name: fake_page.jpeg(960, 540, seed) for seed, name in enumerate(CAMERAS[:5])} | {CAMERAS[5]: b"none"}

    found = images.pictures(files, "t")
    assert asked == ["t"] and [one.camera for one in found] == list(images.ORDER) and set(images.ORDER) == set(CAMERAS)
    missing = {one.camera for one in found if one.uri is None}
    assert missing == {CAMERAS[5]} and {(one.width, one.height) for one in found} == {(480, 270)}


def test_cameras_of_another_rig_stand_as_recorded():
    found = images.pictures(lambda token: dict.fromkeys(("rear", "CAM_FRONT", "left"), b""), "t")
    assert [one.camera for one in found] == ["CAM_FRONT", "rear", "left"]


def test_a_small_picture_keeps_its_size():
    encoded, width, height = images.smaller(fake_page.jpeg(240, 120))
    assert (width, height) == (240, 120) and cv2.imdecode(np.frombuffer(encoded, np.uint8), 1).shape == (120, 240, 3)
    assert images.smaller(b"") is None and images.smaller(b"\xff\xd8\xff") is None


def test_records_that_are_not_there_are_one_line(tmp_path):
    with pytest.raises(UserError, match="no records; make them with"):
        images.of_records(tmp_path, "val", [])


def test_frames_of_other_records_are_one_line(monkeypatch):
    class Records:
        samples = ("a", "b")

        def __init__(self, folder, split): ...

        def decode(self, number, fields):
            return {"cameras": {"names": ["rear", "left"], "images": [b"%d" % number, b""]}}

    monkeypatch.setattr("dima_jax.data.records.Records", Records)
    assert images.of_records("records", "val", ["b"])("b") == {"rear": b"1", "left": b""}
    with pytest.raises(UserError, match=r"records: no record of frame c and 1 others"):
        images.of_records("records", "val", ["b", "c", "d"])
