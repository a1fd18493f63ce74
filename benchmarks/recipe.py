"""What each ingredient of the recipe brings: short runs from random weights, each without one of them, scored on val.

    python -m benchmarks.recipe --epochs=2 --seeds=0,1
    python -m benchmarks.recipe --variants=whole,no_image_heads --seeds=0,1,2 --workdir=runs/recipe

Each run is `configs/demo_student.py` with the lines of one variant; a finished run is not trained again, so the command
may be stopped and started. Prints JSON: per variant and seed the scores of val (AP of car, pedestrian and the map's
classes, L2 of the plan, with images and without) and the windows seen; per variant the differences to the whole recipe,
paired by seed.
"""

import statistics
from pathlib import Path

from absl import flags

from benchmarks import measure
from dima_jax import cli
from dima_jax.errors import UserError
from dima_jax.output_files import json_text

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
}


def main() -> None:
    cli.prepare_jax(CONFIG.value.mesh)
    chosen = VARIANTS.value or list(WITHOUT)
    if unknown := sorted(set(chosen) - set(WITHOUT)):
        raise UserError(f"--variants: unknown {', '.join(unknown)}; there are {', '.join(WITHOUT)}")
    results: dict[str, dict[str, dict]] = {}
    for name in chosen:
        for seed in SEEDS.value:
            results.setdefault(name, {})[seed] = run(name, int(seed))
            print(json_text({name: {seed: results[name][seed]}}), flush=True)
    measure.print_json(
        benchmark="recipe",
        epochs=EPOCHS.value,
        lines={name: WITHOUT[name] for name in chosen},
        scores=results,
        differences={name: differences(results[name], results.get("whole", {})) for name in chosen},
    )


def run(name: str, seed: int) -> dict:
    """Trains a variant unless it is there, and scores it."""
    from dima_jax import train_loop

    config = CONFIG.value.copy_and_resolve_references()
    config.update_from_flattened_dict({**WITHOUT[name], "seed": seed, "train.epochs": EPOCHS.value})
    folder = Path(WORKDIR.value) / f"{name}-{seed}"
    train_loop.train(config, str(folder))
    return score(config, folder)


def score(config, folder: Path) -> dict:
    """The scores of a run on val: {"windows", "AP_car", ..., "l2_avg", "l2_avg_blank"}."""
    from dima_jax import evaluation, variants
    from dima_jax.data import loader
    from dima_jax.policy import Policy
    from dima_jax.prediction_writer import Places

    places = Places.beside(folder / "scores.json")
    rows = variants.chosen(blank_images=True, other_images=False, audit=False)
    found = evaluation.evaluate(Policy.load(folder, config), config, config.data.val_split, places, variants=rows)
    evaluation.write(found, places)
    plans = found.result["scores"]["stp3_vad"]["all frames"]
    perception = found.result["perception"]["scores"]
    return {
        "windows": loader.num_train_windows(config) * config.train.epochs,
        "frames": plans["student"]["l2_avg"]["frames"],
        "AP_car": perception["detection"]["AP_car"],
        "AP_pedestrian": perception["detection"]["AP_pedestrian"],
        **{key: value for key, value in perception["map"].items() if key.startswith("AP_")},
        "l2_avg": plans["student"]["l2_avg"]["value"],
        "l2_avg_blank": plans["student, blank images"]["l2_avg"]["value"],
    }


def differences(scores: dict[str, dict], whole: dict[str, dict]) -> dict[str, dict[str, float]]:
    """{score: {"mean", "min", "max"}} of variant minus whole recipe, over the seeds that both have."""
    seeds = [seed for seed in scores if seed in whole]
    found = {}
    for key in scores[seeds[0]] if seeds else ():
        values = [scores[seed][key] - whole[seed][key] for seed in seeds]
        found[key] = {"mean": statistics.mean(values), "min": min(values), "max": max(values)}
    return found


if __name__ == "__main__":
    cli.run(main)
