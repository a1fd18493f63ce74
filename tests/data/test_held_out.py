"""Which frames lose their path: by lists of tokens and by tags of scenes; what is not there is one line."""

import json

import numpy as np
import pytest

from dima_jax.data import held_out, loader
from dima_jax.data.records import Records
from dima_jax.errors import UserError
from dima_jax.scoring.token_lists import FORMAT, VERSION


@pytest.fixture
def records(config):
    return Records(config.data.path, "train")


@pytest.fixture
def lists(records, tmp_path):
    path = tmp_path / "tokens.json"
    tokens = {"overtake": records.samples[2:4], "cut_in": [records.samples[7], "of another split"], "u_turn": []}
    path.write_text(json.dumps({"format": FORMAT, "version": VERSION, "tokens": tokens}))
    return path


def numbers(records, *names):
    return np.flatnonzero(held_out.frames(records, names)).tolist()


def test_lists_of_a_file(records, lists):
    assert numbers(records) == []
    assert numbers(records, f"{lists}:overtake") == [2, 3]
    assert numbers(records, f"{lists}:overtake", f"{lists}:cut_in") == [2, 3, 7] == numbers(records, str(lists))


def test_training_is_refused_before_anything_is_built(config):
    config.data.hold_out_paths = ("overtake",)
    with pytest.raises(UserError, match="hold_out_paths: 'overtake'"):
        loader.num_train_windows(config)


def test_tags_of_scenes(records, monkeypatch):
    monkeypatch.setattr(held_out, "scene_tags", lambda description: ("turn_left", "overtake"))
    assert numbers(records, "overtake") == list(range(len(records)))
    with pytest.raises(
        UserError, match=r"'cut_in': no scene of split 'train' .* has this tag; it has overtake, turn_left;"
    ):
        numbers(records, "cut_in")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("{}:three_point_turn", "has no list 'three_point_turn'; it has cut_in, overtake, u_turn"),
        ("{}:u_turn", "u_turn: no frame of split 'train' of .* is in it; mine that split"),
        ("absent.json:overtake", "absent.json: No such file or directory"),
        ("overtake", "'overtake': no scene of split 'train' of .* has this tag; it has none"),
    ],
)
def test_what_is_not_there_is_one_line(records, lists, name, problem):
    with pytest.raises(UserError, match=f"^config.data.hold_out_paths: .*{problem}") as error:
        numbers(records, name.format(lists))
    assert "\n" not in str(error.value)
