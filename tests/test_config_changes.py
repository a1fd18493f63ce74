"""A saved config beside today's: what may differ, what is kept of it, and keys that came later."""

import json

import pytest

from dima_jax import config_changes
from dima_jax.configs import base
from dima_jax.errors import UserError


@pytest.fixture
def config():
    return base.get_config()


@pytest.fixture
def meta(config):
    return {"step": 5, "windows": 11, "config": json.loads(config.to_json())}


def check(meta, config, windows=11, allowed=False):
    return config_changes.check_resumed(meta, config, windows, "runs/x", allowed=allowed)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("student.width", 8),
        ("vector.enabled", True),
        ("vector.future", True),
        ("teacher.lora.rank", 2),
        ("auxiliary.bev", True),
        ("data.mean", (0.0, 0.0, 0.0)),
        ("optim.groups", ((".*", 1.0),)),
        ("optim.accumulate", 2),
        ("seed", 1),
        ("data.batch_size", 4),
        ("data.train_split", "val"),
        ("data.history", 1),
        ("data.future", 0),
        ("data.shuffle_scenes", 8),
    ],
)
def test_what_changes_the_meaning_of_a_run_is_refused_by_its_key(meta, config, key, value):
    *groups, name = key.split(".")
    group = config
    for part in groups:
        group = group[part]
    with config.unlocked():
        group[name] = value
    with pytest.raises(UserError, match=rf"runs/x was made with another config: {key} was .*--allow_config_change"):
        check(meta, config)
    (changed,) = check(meta, config, allowed=True)
    assert changed[0] == key


@pytest.mark.parametrize(("key", "value"), [("dtype", "bfloat16"), ("encoder_remat", "never")])
def test_how_a_student_is_computed_may_change(meta, config, key, value):
    """A run goes on with it, and its student is evaluated with it; which student it is may not change."""
    config.student[key] = value
    assert [changed for changed, *_ in check(meta, config)] == [f"student.{key}"]
    config_changes.check_model(meta["config"], config, "runs/x", config_changes.STUDENT_KEYS)
    config.student.width = 8
    with pytest.raises(UserError, match=r"student\.width"):
        config_changes.check_model(meta["config"], config, "runs/x", config_changes.STUDENT_KEYS)


def test_other_records_are_refused(meta, config):
    with pytest.raises(UserError, match=r"runs/x was trained on 11 windows, .*records has 12.*--allow_config_change"):
        check(meta, config, windows=12)
    assert check(meta, config, windows=12, allowed=True) == check(meta, config, windows=None) == []
    assert check({**meta, "windows": None}, config, windows=12) == []  # an earlier version did not count


def test_other_settings_are_told_and_kept(meta, config):
    config.data.path = "elsewhere"
    config.optim.learning_rate = 1.0
    changed = check(meta, config)
    assert changed == [("data.path", "data/nuscenes/records", "elsewhere"), ("optim.learning_rate", 2e-4, 1.0)]
    first = config_changes.history(meta, changed)
    assert first == [{"step": 5, "changed": {key: [was, now] for key, was, now in changed}}]
    assert config_changes.history({**meta, "history": first}, []) == first
    assert [entry["step"] for entry in config_changes.history({**meta, "step": 9, "history": first}, changed)] == [5, 9]


def test_keys_that_came_later_are_filled_in_and_told(meta, config, capsys):
    saved = json.loads(json.dumps(meta["config"]))
    del saved["init"], saved["data"]["zoom"]
    assert config_changes.with_new_keys(saved, "runs/old") == meta["config"]
    said = capsys.readouterr().out
    assert (
        said.count("\n") == 1 and "runs/old" in said and "data.zoom=[1.0, 1.0]" in said and "init.norm_frames" in said
    )
    config_changes.with_new_keys(saved, "runs/old")
    assert capsys.readouterr().out == ""  # said already
    assert config_changes.with_new_keys(meta["config"], "runs/new") == meta["config"]
    assert capsys.readouterr().out == ""


def test_a_key_that_means_something_else_today_is_refused(meta):
    meta["config"]["data"]["ego_status"] = True
    with pytest.raises(UserError, match=r"another version of dima_jax \(data\.ego_status is True"):
        config_changes.with_new_keys(meta["config"], "runs/old")
    meta["config"]["data"]["ego_status"] = "full"
    meta["config"]["loss"]["language"] = 1  # an integer is a number as well
    config_changes.with_new_keys(meta["config"], "runs/old")
