"""What the rules find in a truth: token lists, counts, and how they agree with the tags that scenes have."""

import numpy as np
from jaxtyping import Bool
from rich.console import Console
from rich.table import Table

from data_prep.mining import rules, tracks
from dima_jax import commit, progress
from dima_jax.scoring.recorded import Truth
from dima_jax.scoring.token_lists import FORMAT, VERSION

SOURCE = ("split", "source", "token_hash", "content_hash")  # of a truth's header


def mine(truth: Truth) -> dict:
    """The content of the file of token lists (docs/mining.md). UserError as `tracks.of_truth`."""
    scenes = tracks.of_truth(truth)
    names = [scene.scene for scene in scenes]
    found = [
        {tag: rule(scene) for tag, rule in rules.RULES.items()}
        for scene in progress.each(scenes, len(scenes), "scene", name="rules")
    ]
    masks = {tag: [one[tag] for one in found] for tag in rules.RULES}
    return {
        "format": FORMAT,
        "version": VERSION,
        "rules_version": rules.VERSION,
        "commit": commit.describe(),
        "source": {key: truth.header[key] for key in SOURCE},
        "has_map": truth.has("areas"),
        "has_lights": truth.has("lights"),
        "frames": len(truth.tokens),
        "scenes": len(scenes),
        "too_short": [name for name in truth.scene_names[np.unique(truth.scene)].tolist() if name not in names],
        "thresholds": rules.thresholds(),
        "counts": {tag: _counts(one) for tag, one in masks.items()},
        "agreement": _agreement(truth, names, masks),
        "tokens": {
            tag: [
                token
                for scene, mask in zip(scenes, one, strict=True)
                for token, is_in in zip(scene.tokens, mask, strict=True)
                if is_in
            ]
            for tag, one in masks.items()
        },
    }


def _counts(masks: list[Bool[np.ndarray, " T"]]) -> dict[str, int]:
    return {"frames": sum(int(mask.sum()) for mask in masks), "scenes": sum(bool(mask.any()) for mask in masks)}


def _agreement(truth: Truth, scenes: list[str], masks: dict[str, list[Bool[np.ndarray, " T"]]]) -> dict[str, dict]:
    """{tag: agreement of its rule with the scenes that have this tag}, of the tags that any scene has."""
    names = truth.tag_names.tolist() if truth.has("tags") else []
    number = {name: i for i, name in enumerate(truth.scene_names.tolist())}
    has = truth.tags[[number[scene] for scene in scenes]] if names else None
    return {
        tag: agreement([mask.any() for mask in one], has[:, names.index(tag)])
        for tag, one in masks.items()
        if tag in names
    }


def agreement(found, expected) -> dict[str, int | float]:
    """Scenes that have a tag and were found, were found alone, have it alone; precision and recall, NaN for 0 of 0."""
    found, expected = np.asarray(found, bool), np.asarray(expected, bool)
    both, found_only, missed = (int(one.sum()) for one in (found & expected, found & ~expected, expected & ~found))
    return {
        "both": both,
        "found_only": found_only,
        "missed": missed,
        "precision": both / (both + found_only) if both + found_only else float("nan"),
        "recall": both / (both + missed) if both + missed else float("nan"),
    }


def print_table(content: dict, console: Console | None = None) -> None:
    """Prints the counts of a content of `mine` and, where scenes have tags, the agreement with them."""
    told = content["agreement"]
    table = Table(
        title=f"{content['frames']:,} key frames of {content['scenes']:,} scenes, {content['source']['split']}"
    )
    table.add_column("tag")
    for name in ("key frames", "scenes", *(("scenes tagged", "precision", "recall") if told else ())):
        table.add_column(name, justify="right")
    for tag, counts in content["counts"].items():
        cells = [f"{counts['frames']:,}", f"{counts['scenes']:,}"]
        if tag in told:
            one = told[tag]
            cells += [f"{one['both'] + one['missed']:,}", f"{one['precision']:.2f}", f"{one['recall']:.2f}"]
        table.add_row(tag, *cells)
    console = console or Console()
    console.print(table)
    if short := content["too_short"]:
        console.print(
            f"not looked at: {len(short)} scenes of fewer than {tracks.MIN_FRAMES} key frames ({', '.join(short[:3])})"
        )
