"""Every rule has documented thresholds, and finds what simulated scenes of the mini world were made to show."""

from pathlib import Path

import numpy as np
import pytest

from data_prep.mining import rules
from data_prep.miniworld.traffic import maneuvers
from data_prep.miniworld.world.state import TAGS
from tests.data_prep.mining.simulated import simulate

DOCS = (Path(__file__).parents[3] / "docs" / "mining.md").read_text()
SEED = 3
SCENES = [0, 1, 2, 3, 4, 5, 6]  # of val: one for each tag


@pytest.fixture(scope="module")
def scenes():
    return {index: simulate(index, SEED, "val") for index in SCENES}


def test_rules_are_those_of_the_documentation():
    assert set(TAGS) <= set(rules.RULES)
    for tag in rules.RULES:
        assert f"`{tag}`" in DOCS, tag
    for family, values in rules.thresholds().items():
        assert values, family
        for name, value in values.items():
            assert np.isfinite(value).all() and f"`{name}`" in DOCS, (family, name)


def test_each_scene_shows_what_it_was_made_for(scenes):
    wanted = {index: maneuvers.wanted_tag(index, "val") for index in SCENES}
    assert set(wanted.values()) == set(TAGS)
    for index, (tracks, tags) in scenes.items():
        found = {tag for tag, rule in rules.RULES.items() if rule(tracks).any()}
        assert wanted[index] in found and found & set(TAGS) == set(tags), (index, found, tags)


def test_masks_are_of_key_frames_and_depend_on_tracks_alone(scenes):
    tracks, _ = scenes[0]
    for tag, rule in rules.RULES.items():
        mask = rule(tracks)
        assert mask.shape == (len(tracks),) and mask.dtype == bool, tag
        np.testing.assert_array_equal(rule(tracks), mask)
