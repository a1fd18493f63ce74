"""A good key frame of the tiny nuScenes root, to be spoiled."""

import copy

import pytest

from tests import tiny_root


@pytest.fixture(scope="session")
def good(dataset):
    tag = "<c1,CAM_FRONT,812.0,500.5>"
    pair = {"kinds": ("perception",), "questions": (f"What is the status of {tag}?",), "answers": ("Moving.",)}
    return tiny_root.key_frames(dataset).record(8, {"smp_0016": pair})


@pytest.fixture
def frame(good):
    return copy.deepcopy(good)
