"""A valid batch without any data: its shapes (`spec`) and a random instance (`example`).

What `plan_run` compiles against and what tests and benchmarks feed. The numbers are random but possible: cameras look
outwards from one rig, boxes and lines lie inside `pc_range`, the ego drives forward, masks leave some rows empty.
"""

import jax
import numpy as np

from dima_jax import geometry
from dima_jax.constants import AGENT_CLASSES, MAP_CLASSES, NUM_FACTS
from dima_jax.data import distortion
from dima_jax.data.prompts import EDIT_TEXTS, edit_texts, tokenize, tokenizer_of
from dima_jax.fake_frames import camera_rig
from dima_jax.types import AgentTargets, Batch, Distortion, EditText, EgoTargets, Facts, MapTargets, TaughtEgo, Text

NUM_ORDERS = 19  # O: vertex orders of a map line (VAD's v2 pattern; an open line has two)


def spec(config) -> Batch:
    """The Batch of `config` as `jax.ShapeDtypeStruct`s, with the global batch size."""
    data, student = config.data, config.student
    n = len(data.cameras)
    b, t = data.batch_size, data.history + 1 + data.future
    g, l, f, s, q = data.max_agents, data.max_map, student.num_future, data.max_text, len(EDIT_TEXTS)

    def of(dtype, *shape):
        return jax.ShapeDtypeStruct(shape, dtype)

    f32, i32, flag = np.float32, np.int32, np.bool_
    return Batch(
        images=of(np.uint8, b, t, n, *data.image_shape, 3),
        lidar2img=of(f32, b, t, n, 4, 4),
        can_bus=of(f32, b, t, 18),
        frame_mask=of(flag, b, t),
        frame_to_current=of(f32, b, t, 4, 4),
        command=of(f32, b, 3),
        agents=AgentTargets(
            boxes=of(f32, b, g, 9),
            labels=of(i32, b, g),
            category=of(i32, b, g),
            mask=of(flag, b, g),
            future_offsets=of(f32, b, g, f, 2),
            future_mask=of(flag, b, g, f),
            future_yaw=of(f32, b, g, f),
        ),
        map=MapTargets(
            points=of(f32, b, l, NUM_ORDERS, student.num_points, 2),
            normalized_points=of(f32, b, l, NUM_ORDERS, student.num_points, 2),
            order_mask=of(flag, b, l, NUM_ORDERS),
            labels=of(i32, b, l),
            mask=of(flag, b, l),
        ),
        ego=EgoTargets(future_offsets=of(f32, b, f, 2), future_mask=of(flag, b, f), history_offsets=of(f32, b, 2, 2)),
        text=Text(tokens=of(i32, b, s), mask=of(flag, b, s), answer_mask=of(flag, b, s)),
        edit_text=EditText(tokens=of(i32, b, q, s), mask=of(flag, b, q, s), answer_mask=of(flag, b, q, s)),
        index=of(i32, b),
        taught=TaughtEgo(of(f32, b, 2 * student.width), of(f32, b, student.num_commands, f, 2))
        if config.distill.cache
        else None,
        facts=Facts(of(flag, b, NUM_FACTS), of(flag, b, NUM_FACTS)) if config.auxiliary.facts else None,
        distortion=Distortion(amounts=of(f32, b, t, n, 5), channels=of(i32, b, t, n, 3), mask=of(flag, b, t, n))
        if data.photometric
        else None,
    )


def example(config, seed: int = 0) -> Batch:
    """A random Batch of numpy arrays that agrees with `spec(config)` in shape and dtype."""
    rng = np.random.default_rng(seed)
    shapes = spec(config)
    b, t = shapes.frame_mask.shape
    frame_to_current = np.tile(np.eye(4, dtype=np.float32), (b, t, 1, 1))
    frame_to_current[..., 1, 3] = 2.5 * (np.arange(t) - config.data.history)  # 5 m/s straight ahead
    can_bus = rng.normal(0, 0.5, (b, t, 18)).astype(np.float32)
    can_bus[..., 3:7] = (1, 0, 0, 0)
    can_bus[:, 0, [0, 1, 2, 17]] = 0
    tokenizer = tokenizer_of(config)
    text = tokenize(tokenizer, "What is ahead?", "Nothing.", config.data.max_text)
    edits = edit_texts(tokenizer, config.data.max_text)
    return Batch(
        images=rng.integers(0, 256, shapes.images.shape, np.uint8),
        lidar2img=np.broadcast_to(
            camera_rig(config.data.image_shape, len(config.data.cameras)), shapes.lidar2img.shape
        ).copy(),
        can_bus=can_bus,
        frame_mask=np.ones((b, t), bool),
        frame_to_current=frame_to_current,
        command=np.eye(3, dtype=np.float32)[rng.integers(0, 3, b)],
        agents=_agents(rng, shapes.agents, config.student.pc_range),
        map=_map(rng, shapes.map, config.student.pc_range),
        ego=EgoTargets(
            future_offsets=_steps(rng, shapes.ego.future_offsets.shape),
            future_mask=np.ones(shapes.ego.future_mask.shape, bool),
            history_offsets=_steps(rng, shapes.ego.history_offsets.shape),
        ),
        text=Text(*(np.repeat(x[None], b, axis=0) for x in text[:3])),
        edit_text=EditText(*(np.repeat(x[None], b, axis=0) for x in edits[:3])),
        index=np.arange(b, dtype=np.int32),
        taught=jax.tree.map(
            lambda x: _steps(rng, (*x.shape[:-1], x.shape[-1] // 2, 2)).reshape(x.shape), shapes.taught
        ),
        facts=jax.tree.map(lambda x: rng.random(x.shape) < 0.5, shapes.facts),
        distortion=_distortion(rng, config.data) if config.data.photometric else None,
    )


def _distortion(rng, data) -> Distortion:
    drawn = [
        distortion.draw(rng, data.history + 1, data.history + 1 + data.future, len(data.cameras), data.color_order)
        for _ in range(data.batch_size)
    ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *drawn)


def _steps(rng, shape) -> np.ndarray:
    """Forward steps of about 2.5 m, float32 [..., 2]."""
    return rng.normal((0.0, 2.5), 0.2, shape).astype(np.float32)


def _agents(rng, shapes: AgentTargets, pc_range) -> AgentTargets:
    b, g, f = shapes.future_mask.shape
    low, high = np.array(pc_range[:2]), np.array(pc_range[3:5])
    center = rng.uniform(low + 1, high - 1, (b, g, 2))
    size = np.broadcast_to((1.9, 4.6, 1.7), (b, g, 3))
    yaw = rng.uniform(-np.pi, np.pi, (b, g, 1))
    velocity = rng.normal(0, 3, (b, g, 2))
    boxes = np.concatenate([center, np.full((b, g, 1), -0.9), size, yaw, velocity], axis=-1)
    mask = np.arange(g) < rng.integers(1, g + 1, (b, 1))
    future_mask = mask[..., None] & (np.arange(f) < rng.integers(0, f + 1, (b, g, 1)))
    offsets = np.where(future_mask[..., None], 0.5 * velocity[..., None, :], 0.0)
    labels = rng.integers(0, len(AGENT_CLASSES), (b, g))
    return AgentTargets(
        boxes=np.where(mask[..., None], boxes, 0).astype(np.float32),
        labels=np.where(mask, labels, 0).astype(np.int32),
        category=np.where(mask, 17, 0).astype(np.int32),
        mask=mask,
        future_offsets=offsets.astype(np.float32),
        future_mask=future_mask,
        future_yaw=np.zeros((b, g, f), np.float32),
    )


def _map(rng, shapes: MapTargets, pc_range) -> MapTargets:
    """Straight open lines: two vertex orders each."""
    b, l, o, p, _ = shapes.points.shape
    ends = rng.uniform(pc_range[:2], pc_range[3:5], (b, l, 2, 1, 2))
    line = ends[:, :, 0] + (ends[:, :, 1] - ends[:, :, 0]) * np.linspace(0, 1, p)[:, None]
    mask = np.arange(l) < rng.integers(1, l + 1, (b, 1))
    points = np.zeros((b, l, o, p, 2))
    points[:, :, 0], points[:, :, 1] = line, line[:, :, ::-1]
    order_mask = mask[..., None] & (np.arange(o) < 2)
    points = points.astype(np.float32)
    return MapTargets(
        points=np.where(order_mask[..., None, None], points, 0),
        normalized_points=np.where(order_mask[..., None, None], geometry.normalize_xy(points, pc_range), 0),
        order_mask=order_mask,
        labels=np.where(mask, rng.integers(0, len(MAP_CLASSES), (b, l)), 0).astype(np.int32),
        mask=mask,
    )
