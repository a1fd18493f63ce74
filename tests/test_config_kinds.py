"""Every key has a kind, and what is no value of that kind is refused."""

import math

import pytest

from dima_jax import config_check
from dima_jax.config_kinds import KINDS, NUM_FUTURE
from dima_jax.configs import base
from dima_jax.data import features

BASE = config_check.flat(base.get_config())
WRONG = {  # of base's kind by type, and yet not allowed
    "seed": (-1, 2**32),
    "student.stage_blocks": ((), (3, 0), (3, -1)),
    "student.num_points": (1,),
    "student.num_future": (5, 7),
    "student.num_commands": (2, 4),
    "student.dropout": (-0.1, 1.0, math.nan),
    "student.bev_shape": ((200,), (200, 0), (200, 200, 1)),
    "student.pc_range": ((-15.0, -30.0, -2.0, 15.0, 30.0), (-15.0, -30.0, -2.0, 15.0, 30.0, math.inf)),
    "student.map_score_threshold": (-0.1, 1.1),
    "vector.agent_dropout": (-0.1, 1.1),
    "vector.jitter": (-0.1, math.nan),
    "teacher.llm.rms_eps": (0.0, -1e-5),
    "teacher.llm.dtype": ("float", "int8", ""),
    "teacher.tokens": (("ego", "cars"), ("ego", "ego")),
    "teacher.mask_ratio": ((0.4, 0.2), (0.2, 1.1), (0.2,)),
    "teacher.edit_share": (-0.1, 1.5),
    "loss.language": (-1.0, math.inf),
    "loss.distill_temperature": (0.0,),
    "distill.form": ("KL", "mse", ""),
    "distill.start_step": (-1,),
    "distill.ramp_steps": (-1,),
    "data.path": ("", " "),
    "data.cameras": (("front", "front"), ("",), (0,)),
    "data.color_order": ("grb", "RGB", ""),
    "data.mean": ((1.0, 2.0), (1.0, 2.0, math.nan)),
    "data.std": ((0.0, 1.0, 1.0),),
    "data.zoom": ((1.2, 0.8), (0.0, 1.0), (1.0,)),
    "data.ego_status": ("half",),
    "data.workers": (0,),
    "data.cache_gib": (-1.0, math.nan),
    "data.shuffle_scenes": (-1,),
    "optim.learning_rate": (0.0, -1e-3, math.nan, math.inf),
    "optim.cosine_per": ("batch",),
    "optim.groups": ((("(", 1.0),), ((".*", -1.0),), ((".*",),), (".*", 1.0)),
    "mesh.fsdp": (0, -8),
    "mesh.rules": (((".*", ("rows",)),), ((".*", ("fsdp", "fsdp")),), ((".*", "fsdp"),)),
    "train.epochs": (0,),
    "train.log_every": (0,),
    "train.save_every": (0, -1),
    "train.keep": (0,),
}
RIGHT = {
    "seed": (0, 2**32 - 1),
    "teacher.tokens": ((), ("map", "ego")),
    "data.cameras": ((), ("rear",), ["left", "right"]),
    "data.zoom": ((0.9, 1.2), [1, 1]),
    "optim.groups": ((), [["a/.*", 0], [".*", 1.5]]),
    "mesh.rules": (((".*", ()), ("a", [None, "model"])),),
    "student.dropout": (0, 0.999),
}


def test_every_key_has_a_kind():
    assert KINDS.keys() == BASE.keys()
    assert features.NUM_FUTURE == NUM_FUTURE


@pytest.mark.parametrize("key", KINDS)
def test_base_is_of_its_kinds_and_other_types_are_not(key):
    holds, value = KINDS[key].holds, BASE[key]
    assert holds(value)
    others = (None, {}, object(), "a word", -1.5, True, ("x", "y"), [None], (None, 1))
    for other in others:
        if type(other) is not type(value) and not (isinstance(other, list) and isinstance(value, tuple)):
            assert not holds(other), other


@pytest.mark.parametrize("key", WRONG)
def test_wrong_values(key):
    assert [value for value in WRONG[key] if KINDS[key].holds(value)] == []


@pytest.mark.parametrize("key", RIGHT)
def test_right_values(key):
    assert all(KINDS[key].holds(value) for value in RIGHT[key])
