"""Images that are files of JPEG and no whole pictures."""

import cv2
import numpy as np
import pytest

from data_prep import jpeg
from data_prep.record_check import pictures, rules


@pytest.fixture
def data():
    pixels = cv2.resize(np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8), (160, 90))
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def test_a_picture_has_no_problem(data):
    assert pictures.problem(data) is None


def test_the_missing_end_of_a_file_is_found_by_its_gray(data):
    """Also behind an end marker, which the check of every image trusts."""
    cut = data[: len(data) * 3 // 4] + b"\xff\xd9"
    assert jpeg.defect(cut, (90, 160)) == ""
    rule, detail = pictures.problem(cut)
    assert (
        rule == rules.IMAGE
        and detail.startswith("truncated JPEG: its end is gray (")
        and detail.endswith(" of 90 rows)")
    )


def test_an_image_of_one_color_is_named():
    gray = cv2.imencode(".jpg", np.full((90, 160, 3), 40, np.uint8))[1].tobytes()
    rule, detail = pictures.problem(gray)
    assert rule == rules.UNIFORM and detail == "the image is of one color (40, 40, 40 in RGB)"


def test_what_does_not_decode_is_named():
    assert pictures.problem(b"\xff\xd8\xff\xd9") == (rules.IMAGE, "JPEG does not decode")


def test_the_seed_chooses_a_share():
    chosen = pictures.chosen(1000, 6, 0.1, 3)
    assert chosen.shape == (1000, 6) and 0.08 < chosen.mean() < 0.12
    assert (chosen == pictures.chosen(1000, 6, 0.1, 3)).all() and (chosen != pictures.chosen(1000, 6, 0.1, 4)).any()
    assert pictures.chosen(9, 6, 1.0, 0).all() and not pictures.chosen(9, 6, 0.0, 0).any()
