"""Does distillation bring the student's ego feature to the teacher's? Joint runs with it and without, on val.

    python -m dima_jax.train --config=configs/demo.py --config.loss.distill=0 --workdir=runs/demo_no_distill
    python -m benchmarks.distillation --runs=runs/demo,runs/demo_no_distill [--windows=200]

KL(teacher || student) of both ego features (docs/decisions.md#d6) for each run, and for the start: the student of
`train.init_from` and a teacher fresh from the seed. JSON.
"""

from absl import flags

from benchmarks import measure
from dima_jax import cli


def main() -> None:
    import jax
    import numpy as np

    from dima_jax import checkpoints, progress, weights
    from dima_jax.data import loader
    from dima_jax.losses import distill
    from dima_jax.sharded_model import ShardedModel

    config, _, _ = checkpoints.load_student(RUNS.value[0])
    model = ShardedModel.for_evaluation(config)
    sides = {run: model.load(run) for run in RUNS.value}
    sides["start"] = model.init_params() | checkpoints.load_student(config.train.init_from)[1]
    found = {name: [] for name in sides}

    @jax.jit
    def divergence(params, batch):
        dima, key = weights.bind(model.graph, params), jax.random.key(0)
        output = dima(batch, history=config.data.history, key=key, is_training=False)
        features = output.teacher.ego_feature, output.student.ego_feature
        return distill.divergence(*features, config.loss.distill_temperature).sum()

    config.data.train_split = config.data.val_split
    windows, size = loader.TrainWindows(config), config.data.batch_size
    starts = range(0, WINDOWS.value, size)
    for i in progress.each(starts, len(starts), "batch", first="compiling"):
        batch = windows.batch(i, size)
        for name, params in sides.items():
            found[name].append(float(divergence(params, batch)) / size)
    measure.print_json(
        benchmark="distillation",
        split=config.data.val_split,
        windows=WINDOWS.value,
        seed=config.seed,
        kl={name: float(np.mean(values)) for name, values in found.items()},
    )


if __name__ == "__main__":
    RUNS = flags.DEFINE_list("runs", None, "Folders of joint runs of one model.", required=True)
    WINDOWS = flags.DEFINE_integer("windows", 200, "Windows of the val split, in the seed's order.", lower_bound=1)
    cli.run(main)
