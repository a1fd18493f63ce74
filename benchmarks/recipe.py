"""What each ingredient of the recipe brings: short runs from random weights, each without one of them, scored on val.

    python -m benchmarks.recipe --epochs=2 --seeds=0,1
    python -m benchmarks.recipe --variants=whole,no_image_heads --seeds=0,1,2 --workdir=runs/recipe

`eight_scenes_together` is another order of the windows (docs/training.md#reading). Each run is
`configs/demo_student.py` with the lines of one variant; a finished run is not trained again, so the command may be
stopped and started. Prints JSON: per variant and seed the scores of val (AP of car, pedestrian and the map's classes, L2
of the plan, with images and without) and the windows seen; per variant the differences to the whole recipe, paired by
seed.
"""

from absl import flags

from benchmarks import measure, variant_runs
from dima_jax import cli
from dima_jax.errors import UserError

CONFIG = cli.define_config("configs/demo_student.py")
WORKDIR = flags.DEFINE_string("workdir", "runs/recipe", "Folder of the runs.")
EPOCHS = flags.DEFINE_integer("epochs", 2, "Epochs of every run.", lower_bound=1)
SEEDS = flags.DEFINE_list("seeds", ["0", "1"], "Seeds of every variant.")
VARIANTS = flags.DEFINE_list("variants", [], "Names of the variants to run; default: all.")

WITHOUT = {  # variant: config lines
    "whole": {},
    "norms_as_they_are": {"init.norm_frames": 0},
    "embeddings_as_they_are": {"init.embed_scale": 1.0},
    "can_bus_as_it_is": {"init.can_bus_frames": 0},
    "imitation_as_it_is": {"loss.plan_imitation": 1.0},
    "cosine_per_epoch": {"optim.cosine_per": "epoch"},
    "no_image_heads": {"auxiliary.image": False},
    "no_bev_heads": {"auxiliary.bev": False},
    "no_groups": {"auxiliary.agent_groups": 0},
    "history_at_random": {"data.random_start": False},
    "no_flip": {"data.flip": 0.0},
    "no_color": {"data.color": 0.0},
    "eight_scenes_together": {"data.shuffle_scenes": 8},
}


def main() -> None:
    config = CONFIG.value
    cli.prepare_jax(config.mesh)
    chosen = VARIANTS.value or list(WITHOUT)
    if unknown := sorted(set(chosen) - set(WITHOUT)):
        raise UserError(f"--variants: unknown {', '.join(unknown)}; there are {', '.join(WITHOUT)}")
    config.train.epochs = EPOCHS.value
    lines = {name: WITHOUT[name] for name in chosen}
    results = variant_runs.run_all(config, lines, SEEDS.value, WORKDIR.value, variant_runs.val_scores)
    measure.print_json(
        benchmark="recipe",
        epochs=EPOCHS.value,
        lines=lines,
        scores=results,
        differences={name: variant_runs.differences(results[name], results.get("whole", {})) for name in chosen},
    )


if __name__ == "__main__":
    cli.run(main)
