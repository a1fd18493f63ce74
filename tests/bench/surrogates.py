"""Do the teacher's tasks work, beyond running? A joint run's teacher on scenes it never saw.

    python -m tests.bench.surrogates --checkpoint=runs/demo [--windows=200]

Masked reconstruction against predicting the mean of all cells, future prediction against copying the present BEV, the
edited plan's distance to an added vehicle in the ego's way against the unedited plan's, and the KL divergence of both
ego features against that at the start of the joint stage (`train.init_from`'s student and a fresh teacher). JSON.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from tqdm import tqdm

from dima_jax import checkpoints, entry
from dima_jax import params as weights
from dima_jax.data import loader
from dima_jax.geometry import offsets_to_waypoints
from dima_jax.losses import distill, surrogate
from dima_jax.train_step import Setup
from dima_jax.types import edited_samples
from tests.bench import measure

CHECKPOINT = flags.DEFINE_string("checkpoint", "runs/demo", "Folder of a joint run.")
WINDOWS = flags.DEFINE_integer("windows", 200, "Windows of the val split, in the seed's order.")


def main() -> None:
    run = Path(CHECKPOINT.value)
    config, _, _ = checkpoints.load_student(run)
    setup = Setup(config, steps_per_epoch=1)
    trained = setup.load(run)
    start = setup.fresh() | checkpoints.load_student(config.train.init_from)[1]
    look = jax.jit(lambda params, batch, key: scores(setup.graph, params, batch, key, config))
    config.data.train_split = config.data.val_split
    windows, size = loader.TrainWindows(config), config.data.batch_size
    found = {"trained": [], "start": []}
    for i in tqdm(range(0, WINDOWS.value, size), unit="batch"):
        batch = windows.batch(i, size)
        for name, params in (("trained", trained), ("start", start)):
            found[name].append(jax.device_get(look(params, batch, jax.random.key(i))))
    measure.print_json(
        benchmark="surrogates",
        checkpoint=str(run),
        split=config.data.val_split,
        windows=WINDOWS.value,
        seed=config.seed,
        **{name: summary(rows) for name, rows in found.items()},
    )


def scores(graph, params, batch, key, config) -> dict:
    """Sums and counts of one batch."""
    history, shape = config.data.history, tuple(config.student.bev_shape)
    grid, pc_range = tuple(config.teacher.adapter.bev_grid), tuple(config.student.pc_range)
    output = weights.bind(graph, params)(batch, history=history, key=key, is_training=True)
    student, teacher, edit = output.student, output.teacher, output.teacher.edit
    now = surrogate.layer_norm(surrogate.cell_average(student.tokens.bev, shape, grid))
    future, inside = surrogate.future_target(
        output.future_bevs,
        batch.frame_to_current[:, history + 1 :],
        batch.frame_mask[:, history + 1 :],
        shape,
        grid,
        pc_range,
    )
    kl = distill.distillation(teacher.ego_feature, student.ego_feature, config.loss.distill_temperature)

    def squares(prediction, target, mask):
        return jnp.where(mask, ((prediction - target) ** 2).mean(axis=-1), 0.0).sum()

    # an added vehicle in the ego's way: the last of the edit's agents
    count = edit.ego_offsets.shape[0]
    plans = {"before": edited_samples(teacher.ego_offsets, count), "after": edit.ego_offsets}
    command = edited_samples(batch.command, count).argmax(axis=-1)
    track = edit.agent_centers[:, -1, None] + offsets_to_waypoints(edit.agent_future_offsets[:, -1])

    def distance(offsets):
        path = offsets_to_waypoints(jnp.take_along_axis(offsets, command[:, None, None, None], axis=1)[:, 0])
        return jnp.linalg.norm(path - track, axis=-1).min(axis=-1)

    return {
        "reconstruction": (squares(teacher.bev_reconstruction, now, teacher.bev_masked), teacher.bev_masked.sum()),
        "cells": (now.sum(axis=(0, 1)), (now**2).sum(axis=(0, 1)), now.shape[0] * now.shape[1]),
        "future": (squares(teacher.bev_future, future, inside), inside.sum()),
        "copy": (squares(now[:, None], future, inside), inside.sum()),
        "kl": (kl.sum, kl.count),
        "distances": tuple(distance(plans[name]) for name in ("before", "after")),
        "conflict": edit.agent_mask[:, -1] & edit.touches_path & edit.edited,
    }


def summary(rows: list[dict]) -> dict:
    """Means over all batches."""

    def mean(name):
        return float(sum(row[name][0] for row in rows) / sum(row[name][1] for row in rows))

    total, squares, count = (sum(row["cells"][i] for row in rows) for i in range(3))
    conflict = np.concatenate([row["conflict"] for row in rows])
    before, after = (np.concatenate([row["distances"][i] for row in rows])[conflict] for i in range(2))
    return {
        "reconstruction_error": mean("reconstruction"),
        "error_of_the_mean": float((squares / count - (total / count) ** 2).mean()),
        "future_error": mean("future"),
        "error_of_copying": mean("copy"),
        "kl": mean("kl"),
        "added_vehicles_in_the_way": int(conflict.sum()),
        "farther_after_the_edit": float((after > before).mean()) if conflict.any() else None,
        "distance_m": [float(before.mean()), float(after.mean())] if conflict.any() else None,
    }


if __name__ == "__main__":
    entry.run(main)
