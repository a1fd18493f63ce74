"""A tiny teacher, and a hand-made scene for it: two lanes ahead, boundaries on both sides, two cars, a pedestrian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import geometry, weights
from dima_jax.configs import demo
from dima_jax.constants import AGENT_CLASSES, MAP_CLASSES
from dima_jax.data.fake_batch import example
from dima_jax.teacher.build import build_teacher
from dima_jax.types import SceneTokens, StudentOutput

PC_RANGE = (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0)
AGENTS = (  # class, x, y, speed along +y
    ("car", 0.0, 12.0, 2.0),
    ("car", -3.5, -10.0, 0.0),
    ("pedestrian", 6.5, 5.0, 0.0),
)
LINES = (("boundary", -5.25), ("divider", -1.75), ("boundary", 5.25))  # class, x; straight along y
PREFIX, LENGTH = 5, 12  # of the LLM's test sequences: scene positions, all positions


def hand_made_scene(config, seed=0) -> StudentOutput:
    """Predictions of AGENTS and LINES, confident; every other query is unsure and far away. Tokens are random."""
    rng = np.random.default_rng(seed)
    b, s = config.data.batch_size, config.student
    agent_logits = np.full((1, b, s.num_agents, 10), -6.0, np.float32)
    boxes = np.tile(np.array([100.0, 100.0, 0, 2, 4, 1.5, -np.pi, 0, 0], np.float32), (1, b, s.num_agents, 1))
    offsets = np.zeros((b, s.num_agents, s.num_modes, s.num_future, 2), np.float32)
    mode_logits = np.tile(np.eye(1, s.num_modes, dtype=np.float32), (b, s.num_agents, 1))
    for i, (name, x, y, speed) in enumerate(AGENTS):
        agent_logits[..., i, AGENT_CLASSES.index(name)] = 6.0
        boxes[..., i, :2] = x, y
        offsets[:, i, 0, :, 1] = 0.5 * speed
    map_logits = np.full((1, b, s.num_map, 3), -6.0, np.float32)
    points = np.zeros((1, b, s.num_map, s.num_points, 2), np.float32)
    for i, (name, x) in enumerate(LINES):
        map_logits[..., i, MAP_CLASSES.index(name)] = 6.0
        points[..., i, :, 0] = x
        points[..., i, :, 1] = np.linspace(-29, 29, s.num_points)
    rows, columns = s.bev_shape

    def random(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    centers = jnp.clip(geometry.normalize_xy(boxes[0, ..., :2], PC_RANGE), 0, 1)
    tokens = SceneTokens(
        bev=random(b, rows * columns, s.width),
        ego=random(b, 1, s.width),
        agents=random(b, s.num_agents, s.width),
        agent_positions=centers,
        map=random(b, s.num_map, s.width),
        map_positions=jnp.asarray(rng.uniform(size=(b, s.num_map, 2)), jnp.float32),
    )
    return StudentOutput(
        tokens=tokens,
        agent_logits=jnp.asarray(agent_logits),
        agent_codes=geometry.encode_boxes(jnp.asarray(boxes)),
        agent_future_offsets=jnp.asarray(offsets),
        agent_mode_logits=jnp.asarray(mode_logits),
        map_logits=jnp.asarray(map_logits),
        map_points=geometry.normalize_xy(jnp.asarray(points), PC_RANGE),
        ego_offsets=jnp.tile(jnp.array([0.0, 2.0]), (b, s.num_commands, s.num_future, 1)),
        ego_feature=random(b, 2 * s.width),
    )


@pytest.fixture(scope="session")
def tiny_config():
    config = demo.get_config()
    config.data.history = 1
    config.student.width = 32
    config.student.bev_shape = (16, 8)
    config.student.num_agents = 12
    config.student.num_map = 6
    config.student.num_points = 10
    config.teacher.llm.update(layers=2, width=48, heads=4, kv_heads=2, ffn_width=64)
    config.teacher.adapter.update(layers=1, bev_grid=(4, 4), agent_queries=6, map_queries=5, ego_queries=3)
    config.teacher.edit_share = 0.5
    config.data.batch_size = 4
    return config


@pytest.fixture(scope="session")
def batch(tiny_config):
    return jax.tree.map(jnp.asarray, example(tiny_config))


@pytest.fixture(scope="session")
def scene(tiny_config):
    return hand_made_scene(tiny_config)


def random_weights(abstract, seed=0) -> dict:
    """Weights of any structure, without compiling initializers: fan-in scaled, gains near 1, LoRA's b not zero."""
    rng = np.random.default_rng(seed)

    def draw(path, shape):
        if path.endswith("scale"):
            return 1 + 0.1 * rng.normal(size=shape)
        return rng.normal(size=shape) / np.sqrt(shape[-2] if len(shape) > 1 else 50)

    return {path: jnp.asarray(draw(path, value.shape), value.dtype) for path, value in sorted(abstract.items())}


@pytest.fixture(scope="session")
def teacher(tiny_config):
    """(structure, weights) of the tiny teacher."""
    graph, abstract = weights.split(nnx.eval_shape(lambda: build_teacher(tiny_config, nnx.Rngs(0))))
    return graph, random_weights(abstract)


def embeddings(width: int, seed=0, rows=2) -> jax.Array:
    """Random inputs of the LLM [rows, LENGTH, width]."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=(rows, LENGTH, width)), jnp.float32)


@pytest.fixture(scope="session")
def llm(teacher):
    return weights.bind(*teacher).llm


@pytest.fixture(scope="session")
def lora(teacher):
    return weights.bind(*teacher).lora


@pytest.fixture(scope="session")
def llm_states(teacher):
    """jitted (params of the teacher, embeddings, mask) -> states of the LLM with LoRA."""

    def states(params, x, mask):
        model = weights.bind(teacher[0], params)
        return model.llm(x, mask, prefix=PREFIX, lora=model.lora)

    return jax.jit(states)
