"""Does a student learn the same in bfloat16 as in float32? Runs of both from random weights, seed by seed, scored on val.

    python -m benchmarks.precision --epochs=2 --seeds=0,1,2
    python -m benchmarks.precision --seeds=0 --epochs=1 --config.train.max_steps=8

Each run is `configs/demo_student.py` with one `student.dtype`, and is evaluated in it; a finished run is not trained
again, so the command may be stopped and started. bfloat16 is made for GPUs and TPUs: CPUs emulate it, which is slower.
Prints JSON: the loss in the order of training, as CURVE means; per seed the last of these and the scores of val; their
spread over the seeds of each type, and bfloat16 minus float32 paired by seed. The same learning curve is one whose
differences are within float32's own spread.
"""

from pathlib import Path

from absl import flags

from benchmarks import measure, variant_runs
from dima_jax import cli

CONFIG = cli.define_config("configs/demo_student.py")
WORKDIR = flags.DEFINE_string("workdir", "runs/precision", "Folder of the runs.")
EPOCHS = flags.DEFINE_integer("epochs", 2, "Epochs of every run.", lower_bound=1)
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds, each trained in both types.")

DTYPES = ("float32", "bfloat16")
CURVE = 10


def main() -> None:
    config = CONFIG.value
    cli.prepare_jax(config.mesh)
    config.train.update(epochs=EPOCHS.value, log_every=1)
    lines = {dtype: {"student.dtype": dtype} for dtype in DTYPES}
    results = variant_runs.run_all(config, lines, SEEDS.value, WORKDIR.value, score)
    folders = {
        dtype: {seed: variant_runs.folder(WORKDIR.value, dtype, seed) for seed in SEEDS.value} for dtype in DTYPES
    }
    measure.print_json(
        benchmark="precision",
        epochs=EPOCHS.value,
        losses={dtype: {seed: loss_curve(of) for seed, of in by_seed.items()} for dtype, by_seed in folders.items()},
        scores=results,
        spread={dtype: variant_runs.over_seeds(results[dtype]) for dtype in DTYPES},
        differences=variant_runs.differences(results["bfloat16"], results["float32"]),
    )


def score(config, folder: Path) -> variant_runs.Scores:
    """The last tenth's mean loss, and the scores of val."""
    return {"loss": loss_curve(folder)[-1], **variant_runs.val_scores(config, folder)}


def loss_curve(folder: Path) -> list[float]:
    """The total loss of a run, in the order of its steps, as at most CURVE means."""
    from dima_jax import loss_curves

    return loss_curves.thinned(loss_curves.read(folder)["total"][1], CURVE).tolist()


if __name__ == "__main__":
    cli.run(main)
