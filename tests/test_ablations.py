"""Every row of the paper's Table 4 and every control is a config line that changes exactly what it names.

The losses of a config are found by tracing the joint step without running it; what the teacher sees is run.
"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import train_step, weights
from dima_jax.config_kinds import EGO_STATUS
from dima_jax.data import ego_inputs, fake_batch
from dima_jax.sharded_model import ShardedModel
from dima_jax.teacher.teacher import PARTS, Teacher
from tests.mini import mini_config

STUDENT = {
    *("agent_class", "agent_box", "agent_motion", "agent_mode", "map_class", "map_points", "map_direction"),
    *("plan_imitation", "plan_boundary", "plan_collision", "plan_direction"),
}
PLAN = {f"teacher_{name}" for name in ("imitation", "boundary", "collision", "direction", "agents")}
EDIT = {f"edit_{name}" for name in ("imitation", "boundary", "collision", "direction", "language")}
SURROGATES = {"reconstruction", "future"} | EDIT
ALL = STUDENT | PLAN | SURROGATES | {"language", "distill"}
DENSE = {"image_class", "image_depth", "bev_class"}
MAP_GROUPS = {"group_map_class", "group_map_points", "group_map_direction"}


def off(*names):
    return {f"loss.{name}": 0.0 for name in names}


ROWS = {  # {row: (config lines, terms that are left)}
    "1 VAD": ({"teacher.enabled": False, "data.future": 0}, STUDENT),
    "2-4 VQA and LLM planning": (off("distill", *SURROGATES), STUDENT | PLAN | {"language"}),
    "5 + distillation": (off(*SURROGATES), STUDENT | PLAN | {"language", "distill"}),
    "6 + reconstruction": (off("future", *EDIT), ALL - EDIT - {"future"}),
    "7 + future": (off(*EDIT), ALL - EDIT),
    "8 all": ({}, ALL),
    "KL only": (off("language", *PLAN, *SURROGATES), STUDENT | {"distill"}),
    "no KL": (off("distill"), ALL - {"distill"}),
    "one head for both plans": ({"distill.form": "shared_head", "distill.gate": True}, ALL),
    "the teacher's plan as target": ({"distill.form": "plan", "distill.start_step": 9}, ALL),
    "ego status off": ({"data.ego_status": "none"}, ALL),
    "speed only": ({"data.ego_status": "speed"}, ALL),
    "command off": ({"data.command": False}, ALL),
    "BEV tokens only": ({"teacher.tokens": ("bev",)}, ALL),
    "ego status for the teacher": (
        {"teacher.adapter.ego_status": True, "auxiliary.bev": True},
        ALL | {"bev_class"},
    ),
    "dense heads": ({"auxiliary.image": True, "auxiliary.bev": True}, ALL | DENSE),
    "groups of agent queries": ({"auxiliary.agent_groups": 2}, ALL | {"group_agent_class", "group_agent_box"}),
    "groups of map queries": ({"auxiliary.map_groups": 1}, ALL | MAP_GROUPS),
}


def changed(lines):
    config = mini_config()
    config.update_from_flattened_dict(lines)
    return config


@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_its_losses_and_no_other(row):
    lines, expected = ROWS[row]
    config = changed(lines)
    sharded = ShardedModel(config, jax.devices()[:1])

    def terms(params, batch, key):
        model = weights.bind(sharded.graph, params)
        return train_step.loss_terms(model(batch, history=1, key=key, is_training=True), batch, config)

    key = jax.eval_shape(lambda: jax.random.key(0))
    assert set(jax.eval_shape(terms, sharded.abstract, fake_batch.spec(config), key)) == expected
    assert any(path.startswith("teacher/") for path in sharded.abstract) == config.teacher.enabled


@pytest.fixture(scope="module")
def answer_to():
    """(visible parts, tokens) -> the LLM's inputs by part."""
    config = mini_config()
    sharded = ShardedModel(config, jax.devices()[:1])
    rng = np.random.default_rng(0)
    params = {
        path: jnp.asarray(rng.normal(size=value.shape, scale=0.1), value.dtype)
        for path, value in sharded.abstract.items()
    }

    def scene(visible, tokens):
        teacher = weights.bind(sharded.graph, params).teacher
        teacher.visible_parts = visible
        seen = teacher.mask_inputs(tokens)
        return teacher.read_scene(seen, jnp.zeros((1, 8), bool))

    return scene


def scene_tokens(seed):
    from dima_jax.types import SceneTokens

    s, rng = mini_config().student, np.random.default_rng(seed)

    def draw(*shape):
        return jnp.asarray(rng.uniform(size=(1, *shape)), jnp.float32)

    cells = s.bev_shape[0] * s.bev_shape[1]
    return SceneTokens(
        bev=draw(cells, s.width),
        ego=draw(1, s.width),
        agents=draw(s.num_agents, s.width),
        agent_positions=draw(s.num_agents, 2),
        map=draw(s.num_map, s.width),
        map_positions=draw(s.num_map, 2),
        can_bus=draw(18),
        command=draw(3),
    )


@pytest.mark.parametrize("visible", [("bev",), ("bev", "map"), PARTS])
def test_the_teacher_sees_the_parts_it_is_given_and_no_other(answer_to, visible):
    """Table 4, rows 2 to 4."""
    one, other = (answer_to(visible, scene_tokens(seed)) for seed in (0, 1))
    for part in PARTS:
        difference = float(np.abs(np.asarray(one[part]) - np.asarray(other[part])).max())
        assert (difference > 1e-4) == (part in visible), part


@pytest.mark.parametrize("visible", [(), ("bev",), ("bev", "map"), ("ego", "agents"), PARTS])
def test_what_is_hidden_is_zero_and_what_is_seen_is_untouched(visible):
    """Places too: where the agents are would tell the teacher about them."""
    tokens = scene_tokens(0)
    seen = Teacher.mask_inputs(SimpleNamespace(visible_parts=visible, shapes_student=True), tokens)
    fields = {
        "ego": "ego",
        "bev": "bev",
        "agents": "agents",
        "agent_positions": "agents",
        "map": "map",
        "map_positions": "map",
        "can_bus": "ego",
        "command": "ego",
    }
    for field, part in fields.items():
        expected = getattr(tokens, field) if part in visible else np.zeros_like(getattr(tokens, field))
        np.testing.assert_array_equal(getattr(seen, field), expected, err_msg=field)


def test_the_inputs_that_are_off_are_constant():
    can_bus = [np.arange(18.0) + i for i in range(3)]
    seen = {status: ego_inputs.can_bus_input(can_bus, status, range(3)) for status in EGO_STATUS}
    assert np.flatnonzero(seen["full"].any(axis=0)).tolist() == list(range(18))
    assert np.flatnonzero(seen["speed"].any(axis=0)).tolist() == [0, 13] and not seen["none"].any()
    given = [ego_inputs.command_input(i, True).argmax() for i in range(3)]
    withheld = {int(ego_inputs.command_input(i, False).argmax()) for i in range(3)}
    assert given == [0, 1, 2] and withheld == {ego_inputs.STRAIGHT}
