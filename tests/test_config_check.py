"""A config is refused for its first mistake by one line with the key, the value and what is allowed; else it passes."""

import importlib
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict

from dima_jax import config_check
from dima_jax.configs import base, demo, vector
from dima_jax.errors import UserError

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*.py") if path.stem != "__init__")
# Groups that a user's file replaces are unlocked and take any type; `damaged` does the same.
VALUES = (
    None,
    "a word",
    "",
    -1,
    0,
    1,
    7,
    10**9,
    -0.5,
    0.5,
    2.5,
    math.nan,
    math.inf,
    True,
    (),
    (0,),
    (1, 2),
    ("x",),
    {"a": 1},
)


def damaged(lines: dict) -> ConfigDict:
    """configs/demo.py with these lines, of whatever type."""
    nested = demo.get_config().to_dict()
    for key, value in lines.items():
        *groups, name = key.split(".")
        group = nested
        for one in groups:
            group = group[one]
        group[name] = value
    return ConfigDict(nested, type_safe=False)


@pytest.mark.parametrize("name", CONFIGS)
def test_shipped_configs_pass(name):
    config_check.check(importlib.import_module(f"dima_jax.configs.{name}").get_config())


def test_a_hundred_damaged_configs_are_refused_by_key_or_legal():
    """Every key at least once. What passes is of the type that base.py has."""
    rng, known = np.random.default_rng(0), config_check.flat(base.get_config())
    keys = [*rng.permutation([*known]), *rng.choice([*known], 200)]
    outcomes = {"refused": 0, "legal": 0}
    for key in map(str, keys):
        value = VALUES[rng.integers(len(VALUES))]
        try:
            config_check.check(damaged({key: value}))
        except UserError as error:
            outcomes["refused"] += 1
            assert "\n" not in str(error) and key in str(error), (key, value, str(error))
        else:
            outcomes["legal"] += 1
            is_number = isinstance(value, int | float) and isinstance(known[key], float) and not isinstance(value, bool)
            assert type(value) is type(known[key]) or is_number, (key, value)
    print(outcomes)
    assert outcomes["refused"] > 200 and outcomes["legal"] > 10


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            {"student.num_heads": 3},
            r"student\.width=64: must be a multiple of student\.num_heads \(student\.num_heads=3\)",
        ),
        ({"student.out_stages": (2,)}, r"student\.out_stages=\(2,\): must be numbers of student\.stage_blocks' stages"),
        ({"student.out_stages": (1, 0)}, r"student\.out_stages"),
        ({"student.extra_levels": 2}, r"student\.level_embeds=1: must be at least the number of levels"),
        ({"student.pc_range": (15.0, -30.0, -2.0, -15.0, 30.0, 2.0)}, r"student\.pc_range"),
        ({"student.pc_range": (-15.0, -30.0, -2.0, 15.0, 30.0, -1.5)}, r"higher than 1 m"),
        ({"data.valid_shape": (97, 160)}, r"data\.valid_shape=\(97, 160\): must be at most data\.image_shape"),
        ({"data.image_shape": (100, 160)}, r"data\.image_shape=\(100, 160\): must be multiples of 32"),
        ({"data.max_agents": 33}, r"data\.max_agents=33: must be at most student\.num_agents"),
        ({"data.max_map": 25}, r"data\.max_map=25: must be at most student\.num_map"),
        ({"data.batch_size": 7}, r"data\.batch_size=7: must be a multiple of mesh\.data \* mesh\.fsdp"),
        ({"data.future": 1}, r"data\.future=1: must be 2 with a teacher"),
        ({"data.flip": 0.5}, r"data\.flip=0\.5: must be 0 with a teacher"),
        ({"data.flip": 0.5, "teacher.enabled": False, "student.rotate_center": (0, 0)}, r"its own mirror image"),
        (
            {"data.flip": 0.5, "teacher.enabled": False, "data.cameras": ("front", "side_left")},
            r"data\.flip=0\.5: must be 0 unless data\.cameras has both of every left and right",
        ),
        ({"teacher.llm.heads": 3}, r"teacher\.llm\.width=128: must be a multiple of teacher\.llm\.heads"),
        ({"teacher.llm.kv_heads": 3}, r"teacher\.llm\.heads=4: must be a multiple of teacher\.llm\.kv_heads"),
        ({"teacher.llm.heads": 128}, r"teacher\.llm\.width=128: must be an even multiple"),
        ({"teacher.adapter.heads": 3}, r"student\.width=64: must be a multiple of teacher\.adapter\.heads"),
        (
            {"teacher.adapter.bev_grid": (25, 6)},
            r"teacher\.adapter\.bev_grid=\(25, 6\): must be at most student\.bev_shape",
        ),
        (
            {"train.init_teacher": True, "train.init_from": ""},
            r"train\.init_teacher=True: must be False without a run in train\.init_from and a teacher",
        ),
        ({"train.init_teacher": True, "teacher.enabled": False, "data.future": 0}, r"train\.init_teacher=True"),
        ({"distill.cache": "taught"}, r"distill\.cache='taught'"),
        (
            {"distill.cache": "taught", "teacher.enabled": False, "distill.form": "shared_head"},
            r"distill\.form='shared_head'",
        ),
        ({"distill.cache": "taught", "teacher.enabled": False, "data.flip": 0.5}, r"data\.flip=0\.5"),
        ({"data.batchsize": 4}, r"data\.batchsize=4: unknown key; did you mean config\.data\.batch_size"),
        ({"data": 4}, r"config\.data=4: unknown key"),
        ({"loss": {}}, r"config\.loss={}?|loss\.agent_class: missing"),
    ],
)
def test_what_keys_demand_of_each_other(lines, message):
    with pytest.raises(UserError, match=message):
        config_check.check(damaged(lines))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("loss.future", 1.0),
        ("auxiliary.bev", True),
        ("auxiliary.map_groups", 1),
        ("init.norm_frames", 8),
        ("init.can_bus_frames", 8),
        ("init.embed_scale", 0.3),
        ("train.backbone", "weights/resnet50"),
    ],
)
def test_vector_mode_refuses_what_needs_images(key, value):
    config = vector.get_config()
    config_check.check(config)
    group, name = key.split(".")
    config[group][name] = value
    with pytest.raises(UserError, match=rf"config\.{key}={re.escape(repr(value))}: must be .* in vector mode"):
        config_check.check(config)


def test_without_a_teacher_its_sizes_do_not_matter():
    lines = {"teacher.enabled": False, "data.future": 0, "teacher.llm.heads": 3, "teacher.adapter.bev_grid": (99, 99)}
    config_check.check(damaged(lines))


def test_only_the_parts_that_are_read_are_checked():
    config = damaged({"optim.cosine_per": "batch", "data.batch_size": 7})
    config_check.check(config, ("seed", "student", "data"))
    with pytest.raises(UserError, match="cosine_per"):
        config_check.check(config, without=("data.batch_size",))
    del config["data"]["path"]
    with pytest.raises(UserError, match=r"config\.data\.path: missing; it must be text"):
        config_check.check(config, ("data",))


def test_absent_folders_are_named_with_the_remedy(tmp_path):
    config = demo.get_config()
    config.data.path, config.teacher.weights = str(tmp_path), str(tmp_path / "absent")
    assert config_check.training_folders(config, is_fresh=False) == (
        "data.path",
        "distill.cache",
        "teacher.tokenizer",
        "teacher.weights",
    )
    assert config_check.training_folders(config, is_fresh=True)[-1] == "train.init_from"
    config_check.check_folders(config, "data.path", "teacher.tokenizer")
    with pytest.raises(UserError, match=r"teacher\.weights=.*absent: no such folder; .*convert llama"):
        config_check.check_folders(config, "data.path", "teacher.weights")
    config.teacher.enabled, config.train.init_from = False, ""
    assert config_check.training_folders(config, is_fresh=True) == (
        "data.path",
        "distill.cache",
        "teacher.tokenizer",
        "train.backbone",
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--config.train.save_every=0", "config.train.save_every=0: must be an integer, 1 or more"),
        ("--config.data.batch_size=many", "config.data.batch_size=many: must be an integer, 1 or more"),
        ("--config.student=3", "config.student=3: must be a group of keys: give --config.student.KEY=VALUE"),
        ("--config.data.color_order=gbr", 'config.data.color_order=\'gbr\': must be "rgb" or "bgr"'),
    ],
)
def test_a_command_refuses_before_anything_heavy_is_imported(line, message, tmp_path):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['train', '--config=configs/demo.py', {line!r}, '--workdir={tmp_path / 'run'}']\n"
        "try:\n"
        "    runpy.run_module('dima_jax.train', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        "    print(end.code, {'jax', 'flax', 'grain', 'tensorflow', 'tensorflow_datasets'} & {*sys.modules})\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("2 set()\n", f"error: {message}\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("c.data.batchsize = 4", r"config\.data\.batchsize=4: unknown key"),
        ("c.data.batch_size = 'four'", r"mine\.py: TypeError: .*batch_size"),
        ("1 / 0", r"mine\.py: ZeroDivisionError"),
        ("return None", r"mine\.py: get_config\(\) returns None"),
        ("return {'a': 1}", r"config\.a=1: unknown key"),
        ("c = (", r"mine\.py: SyntaxError"),
    ],
)
def test_a_config_file_that_does_not_work_is_one_line(body, message, tmp_path):
    text = (
        f"from dima_jax.configs import demo\ndef get_config():\n    c = demo.get_config()\n    {body}\n    return c\n"
    )
    (tmp_path / "mine.py").write_text(text)
    command = [sys.executable, "-m", "dima_jax.train", f"--config={tmp_path / 'mine.py'}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2 and re.fullmatch(f"error: .*{message}.*\n", result.stderr), result.stderr
