r"""Does a teacher that knows more help a student that sees images? The same student with it and without, by seed, on val.

    make demo
    python -m dima_jax.train --config=configs/privileged.py --workdir=runs/privileged
    python -m dima_jax.cache_teacher --checkpoint=runs/privileged --config=configs/privileged.py \
        --config.data.path=data/miniworld/records --out=runs/privileged/taught
    python -m benchmarks.taught_images --cache=runs/privileged/taught

Both go on from the student in the repository, for --steps steps, with the same windows in the same order. A finished run is
neither trained nor driven again, so the command may be stopped and started, with more seeds too. Prints JSON: the scores of
both (`stp3_vad`) and their difference with intervals by resampling scenes and seeds, the seeds paired, in all frames and in
turns and stops; and the difference that so many seeds and scenes would show.
"""

import json
from pathlib import Path

from absl import flags

from benchmarks import measure, variant_runs
from dima_jax import cli

CONFIG = cli.define_config("configs/miniworld_planning.py")
CACHE = flags.DEFINE_string("cache", "runs/privileged/taught", "Folder of dima_jax.cache_teacher: the teacher.")
FORM = flags.DEFINE_string("form", "feature_l2", "distill.form of the taught runs.")
WEIGHT = flags.DEFINE_float("weight", 1.0, "loss.distill of the taught runs.", lower_bound=0.0)
STEPS = flags.DEFINE_integer("steps", 200, "Steps of every run.", lower_bound=1)
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "Seeds, each trained with the teacher and without.")
WORKDIR = flags.DEFINE_string("workdir", "runs/taught_images", "Folder of the runs.")
ALONE, TAUGHT = "alone", "taught"
COMMON = {  # config lines of both, over those of the command line
    "train.init_from": "dima_jax/pretrained/miniworld",
    "init.can_bus_frames": 0,  # the layer is trained
    "data.history": 2,  # two frames before tell the speed
    "data.flip": 0.0,  # a teacher saw no mirrored frames
    "optim.learning_rate": 5e-4,
}


def main() -> None:
    config = CONFIG.value
    config.train.update(epochs=STEPS.value, max_steps=STEPS.value)
    config.optim.warmup_steps = min(20, STEPS.value)
    cli.prepare_jax(config.mesh)
    teacher = {"distill.cache": CACHE.value, "distill.form": FORM.value, "loss.distill": WEIGHT.value}
    lines = {ALONE: COMMON, TAUGHT: COMMON | teacher}
    results = variant_runs.run_all(config, lines, SEEDS.value, WORKDIR.value, score)
    measure.print_json(
        benchmark="taught_images",
        steps=STEPS.value,
        windows=STEPS.value * config.data.batch_size,
        lines=lines,
        scores=results,
        **compared(config, SEEDS.value, WORKDIR.value),
    )


def score(config, folder: Path) -> variant_runs.Scores:
    """AP of car and L2 on val; the plans are left beside the run."""
    from dima_jax.scoring import predictions

    places = variant_runs.places_of(folder)
    if places.out.exists() and predictions.load(places.plans).header.get("step") == config.train.max_steps:
        return variant_runs.told(json.loads(places.out.read_text()))
    return variant_runs.told(variant_runs.evaluated(config, folder, config.data.val_split))


def compared(config, seeds: list[str], workdir: str) -> dict:
    """{"arms", "differences", "detectable"} over all seeds."""
    import numpy as np

    from dima_jax.data.records import Records
    from dima_jax.evaluation import made_truth
    from dima_jax.scoring import predictions, result
    from dima_jax.study import outcome, power
    from dima_jax.study.scores import COLUMNS, MAIN, Scores

    scores = Scores(made_truth(Records(config.data.path, config.data.val_split)))
    for name in (ALONE, TAUGHT):
        files = [
            predictions.load(variant_runs.places_of(variant_runs.folder(workdir, name, seed)).plans) for seed in seeds
        ]
        scores.add(name, list(files[0].tokens), np.stack([file.plans for file in files]))
    units, arms, differences = result.units(scores.definition), {}, {}
    for subset, mask in scores.subsets("").items():
        arms[subset] = outcome.table(scores.estimates(mask))
        found = scores.differences(ALONE, mask)[TAUGHT]
        differences[subset] = {column: outcome.difference(found[column], units[column]) for column in COLUMNS}
    parts = scores.components(TAUGHT, ALONE)
    detectable = None if parts is None else power.detectable(parts, len(seeds), scores.scenes())
    return {"arms": arms, "differences": differences, "detectable": {MAIN: detectable}}


if __name__ == "__main__":
    cli.run(main)
