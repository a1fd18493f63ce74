"""Runs of variants of a config, seed by seed: trained unless they are there, scored on val, compared by seed."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from dima_jax.output_files import json_text

Scores = dict[str, float]  # of one run


def run_all(
    config: ConfigDict,
    variants: Mapping[str, Mapping],
    seeds: Iterable[str],
    workdir: str,
    score: Callable[[ConfigDict, Path], Scores],
) -> dict[str, dict[str, Scores]]:
    """{variant: {seed: scores}}; each is printed when it is there. variants: {name: config lines {"group.key": value}}."""
    results: dict[str, dict[str, Scores]] = {name: {} for name in variants}
    for name, lines in variants.items():
        for seed in seeds:
            results[name][seed] = run(config, {**lines, "seed": int(seed)}, folder(workdir, name, seed), score)
            print(json_text({name: {seed: results[name][seed]}}), flush=True)
    return results


def folder(workdir: str, name: str, seed: str) -> Path:
    return Path(workdir) / f"{name}-{seed}"


def run(config: ConfigDict, lines: Mapping, folder: Path, score: Callable[[ConfigDict, Path], Scores]) -> Scores:
    """Trains the config with these lines unless that is done, and scores it."""
    from dima_jax import train_loop

    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict(lines)
    train_loop.train(config, str(folder))
    return score(config, folder)


def val_scores(config: ConfigDict, folder: Path) -> Scores:
    """The scores of a run on val: {"windows", "AP_car", ..., "l2_avg", "l2_avg_blank"}."""
    from dima_jax import variants
    from dima_jax.data import loader

    rows = variants.chosen(blank_images=True, other_images=False, audit=False)
    result = evaluated(config, folder, config.data.val_split, rows)
    blank = result["scores"]["stp3_vad"]["all frames"]["student, blank images"]
    return {
        "windows": loader.num_train_windows(config) * config.train.epochs,
        **told(result),
        "l2_avg_blank": blank["l2_avg"]["value"],
    }


def places_of(folder: Path):
    """Where the evaluation of a run is written: beside it."""
    from dima_jax.prediction_writer import Places

    return Places.beside(folder / "scores.json")


def evaluated(config: ConfigDict, folder: Path, split: str, rows: Sequence = ()) -> dict:
    """Drives and scores the student of a run, and writes that beside it. rows: `variants.chosen`'s. The content of scores.json."""
    from dima_jax import evaluation
    from dima_jax.policy import Policy

    places = places_of(folder)
    found = evaluation.evaluate(Policy.load(folder, config), config, split, places, variants=rows)
    evaluation.write(found, places)
    return found.result


def told(result: Mapping) -> Scores:
    """Of the content of scores.json: frames, AP of what the student found, L2 of its plan."""
    plan = result["scores"]["stp3_vad"]["all frames"]["student"]["l2_avg"]
    perception = result["perception"]["scores"]
    return {
        "frames": plan["frames"],
        "AP_car": perception["detection"]["AP_car"],
        "AP_pedestrian": perception["detection"]["AP_pedestrian"],
        **{key: value for key, value in perception["map"].items() if key.startswith("AP_")},
        "l2_avg": plan["value"],
    }


def differences(scores: Mapping[str, Scores], reference: Mapping[str, Scores]) -> dict[str, dict[str, float]]:
    """{score: {"mean", "min", "max"}} of a variant minus the reference, over the seeds that both have."""
    seeds = [seed for seed in scores if seed in reference]
    paired = {seed: {key: scores[seed][key] - reference[seed][key] for key in scores[seed]} for seed in seeds}
    return over_seeds(paired)


def over_seeds(scores: Mapping[str, Scores]) -> dict[str, dict[str, float]]:
    """{score: {"mean", "min", "max"}} over all seeds."""
    found = {}
    for key in next(iter(scores.values()), ()):
        values = [of[key] for of in scores.values()]
        found[key] = {"mean": statistics.mean(values), "min": min(values), "max": max(values)}
    return found
