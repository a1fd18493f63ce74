r"""Can the student learn one scene by heart? Trains on a single scene and scores the student on that scene's own frames.

    python -m data_prep.miniworld --out=data/one_scene --scenes=1 --val_scenes=1
    python -m data_prep.build --dataroot=data/one_scene --version=v1.0-miniworld --out=data/one_scene/records
    python -m benchmarks.memorize --config.data.path=data/one_scene/records --config.data.batch_size=8 \
        --config.optim.learning_rate=2e-3

What cannot be memorized cannot be learned: a fault in targets, matching or frames shows here first. Without
augmentation, since each frame is to be seen as it is; in steps of 8, since many steps are needed. Prints JSON: the curve of
the losses, and AP and L2 at the end.
"""

from pathlib import Path

from absl import flags

from benchmarks import measure, variant_runs
from dima_jax import cli

CONFIG = cli.define_config("configs/demo_student.py")
WORKDIR = flags.DEFINE_string("workdir", "runs/memorize", "Folder of the run.")
EPOCHS = flags.DEFINE_integer("epochs", 600, "Epochs of the one scene.", lower_bound=1)
SPLIT = flags.DEFINE_string("split", "train", "Split with the scene.")
POINTS = 20  # of the curve


def main() -> None:
    config = CONFIG.value
    cli.prepare_jax(config.mesh)
    from dima_jax import train_loop

    config.data.update(train_split=SPLIT.value, flip=0.0, color=0.0)
    config.train.epochs = EPOCHS.value
    train_loop.train(config, WORKDIR.value)
    result = variant_runs.evaluated(config, Path(WORKDIR.value), SPLIT.value)
    plan = result["scores"]["stp3_vad"]["all frames"]["student"]["l2_avg"]
    perception = result["perception"]["scores"]
    measure.print_json(
        benchmark="memorize",
        epochs=EPOCHS.value,
        frames=plan["frames"],
        detection=perception["detection"],
        map=perception["map"],
        l2_avg=plan["value"],
        losses=curve(WORKDIR.value),
    )


def curve(folder: str) -> dict[str, list[float]]:
    """{loss term: POINTS means of its logged values, in order}."""
    from dima_jax import loss_curves

    return {
        term: loss_curves.thinned(values, POINTS).tolist() for term, (_, values) in loss_curves.read(folder).items()
    }


if __name__ == "__main__":
    cli.run(main)
