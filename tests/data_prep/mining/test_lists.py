"""Token lists: which frames, how many, and how they agree with the tags of scenes."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from data_prep.mining import lists, rules
from dima_jax import output_files
from dima_jax.scoring import token_lists
from dima_jax.scoring.recorded import Truth
from tests.scoring import fake


@pytest.fixture(scope="module")
def truth():
    found = fake.fake_truth(scenes=3, frames=8, agents=4)
    return Truth(found.header, **found.arrays() | {"tag_names": np.array(["targeted", "overtake"]), "tags": TAGS})


TAGS = np.array([[True, False], [True, True], [False, False]])


def test_lists_of_a_truth(truth, tmp_path):
    content = lists.mine(truth)
    assert list(content["tokens"]) == list(content["counts"]) == list(rules.RULES)
    assert content["tokens"]["targeted"] == truth.tokens[truth.targeted].tolist()
    scenes = len(np.unique(truth.scene[truth.targeted]))
    assert content["counts"]["targeted"] == {"frames": int(truth.targeted.sum()), "scenes": scenes}
    assert content["counts"]["u_turn"] == {"frames": 0, "scenes": 0}
    assert (content["frames"], content["scenes"], content["rules_version"]) == (24, 3, rules.VERSION)
    assert content["has_map"] and content["has_lights"] and content["source"]["split"] == truth.header["split"]
    assert content["thresholds"] == rules.thresholds()
    output_files.write_json(tmp_path / "tokens.json", content)
    written = json.loads((tmp_path / "tokens.json").read_text())
    assert written["agreement"]["overtake"]["precision"] is None  # nothing found: 0 of 0
    masks = token_lists.masks(tmp_path / "tokens.json", truth)
    np.testing.assert_array_equal(masks["targeted"], truth.targeted)


def test_agreement_is_by_scene(truth):
    turns = [truth.targeted[truth.scene == scene].any() for scene in range(3)]
    told = lists.mine(truth)["agreement"]
    assert list(told) == ["targeted", "overtake"]
    assert told["targeted"] == lists.agreement(turns, TAGS[:, 0])
    assert told["overtake"]["missed"] == 1 and told["overtake"]["recall"] == 0.0
    assert lists.agreement([1, 1, 1, 0, 0], [1, 1, 0, 1, 0]) == {
        "both": 2,
        "found_only": 1,
        "missed": 1,
        "precision": 2 / 3,
        "recall": 2 / 3,
    }


def test_the_table_shows_agreement_where_there_are_tags(truth):
    content = lists.mine(truth)
    console = Console(width=100, record=True, file=io.StringIO())
    lists.print_table(content, console)
    text = console.export_text()
    assert "24 key frames of 3 scenes" in text and "recall" in text and "yield_to_pedestrian" in text
    console = Console(width=100, record=True, file=io.StringIO())
    lists.print_table(content | {"agreement": {}}, console)
    assert "recall" not in console.export_text()


def test_a_scene_of_two_key_frames_is_left_out_by_name(truth):
    kept = np.r_[0:8, 8:10, 16:24]
    cut = truth.select(kept)
    lengths = {"scene_length": np.where(cut.scene == 1, 2, cut.scene_length)}
    content = lists.mine(Truth(cut.header, **cut.arrays() | lengths))
    name = str(truth.scene_names[1])
    assert (content["scenes"], content["too_short"]) == (2, [name])
    agreed = content["agreement"]["targeted"]
    assert agreed["both"] + agreed["missed"] == 1  # of scenes 0 and 2; scene 1 has the tag too
    page = io.StringIO()
    lists.print_table(content, Console(file=page, width=200))
    assert f"not looked at: 1 scenes of fewer than 3 key frames ({name})" in page.getvalue()
