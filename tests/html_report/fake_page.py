"""A scoring of drives that were never driven, with hostile names and pictures, for tests of the page."""

import functools
import tempfile
from pathlib import Path

import numpy as np

from dima_jax.constants import CAMERAS
from dima_jax.metrics.protocols.base import Plans
from dima_jax.scoring import frames_file, result, run
from dima_jax.scoring.predictions import Predictions
from dima_jax.scoring.recorded import GROUPS, Truth
from tests.scoring.fake import fake_plans, fake_truth

HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(2)'>",
    "</style></script><b>&amp;{{ 7 * 7 }}",
)
PROTOCOLS = ("stp3_vad", "uniad", "bevplanner", "paradrive_std", "sparsedrive", "nu_pdms", "nu_epdms")


def entry(row: str, sentence: str, change: float | None) -> dict:
    """As `scoring.audit.table` makes it."""
    number = {"value": 1.5, "low": 1.0, "high": 2.0}
    moved = None if change is None else {"value": change, "low": 0.1, "high": 0.4}
    told = {"l2": number, "l2_difference": moved, "collision": None, "collision_difference": None}
    return {"row": row, "asks": "Does it?", **told, "verdict": None, "sentence": sentence}


AUDIT = [entry("shuffled <cameras>", "<i>changes</i> nothing", 0.25), entry("speed x0.5", "is worse", None)]


@functools.cache
def scored(names: tuple[str, ...] = HOSTILE[:2], scenes: int = 6, controls: int = 2):
    """(content of scores.json, Frames, Truth) of planners of these names, and of controls with plans as poor as theirs."""
    return _scored(fake_truth(scenes=scenes, frames=9), names, controls)


def of_paths_alone():
    """The same of a truth without scenes, agents and maps."""
    whole = fake_truth(scenes=2, frames=9)
    keys = ("tokens", "scene", "scene_names", *GROUPS["paths"], *GROUPS["masks"])
    header = whole.header | {"scenes": result.SCENES_UNKNOWN}
    plans = fake_plans(whole, noise=2.0)._replace(names=["ours", "stand still"], native=["lidar", "lidar"])
    return _scored(Truth(header, **{key: getattr(whole, key) for key in keys}), ("ours",), 1, plans)


def _scored(truth: Truth, names: tuple[str, ...], controls: int, plans: Plans | None = None):
    if plans is None:
        own = ("constant velocity", "stand still", "go straight")[:controls]
        plans = fake_plans(truth, noise=2.0, planners=len(names) + controls)._replace(names=[*names, *own])
    found = run.score(truth, plans, PROTOCOLS, workers=1)
    rows = predictions(truth, plans, len(names))
    told = result.build(truth, plans, rows, found, PROTOCOLS, command="python -m dima_jax.score <x>", created="")
    return told | {"audit": AUDIT}, frames(told, truth, plans, found), truth


def predictions(truth: Truth, plans: Plans, files: int) -> list[Predictions]:
    tokens = truth.tokens.tolist()
    return [
        Predictions(
            name, f"{number}.npz" if number < files else "", plans.native[number], tokens, plans.lidar[number], None, {}
        )
        for number, name in enumerate(plans.names)
    ]


def frames(told: dict, truth: Truth, plans: Plans, found: dict) -> frames_file.Frames:
    """As the file holds them."""
    with tempfile.TemporaryDirectory() as folder:
        frames_file.save(Path(folder) / "frames.npz", told, truth, plans, found)
        return frames_file.load(Path(folder) / "frames.npz")


@functools.cache
def jpeg(width: int = 960, height: int = 540, seed: int = 0) -> bytes:
    import cv2

    pixels = np.random.default_rng(seed).integers(0, 255, (height // 60, width // 60, 3), dtype=np.uint8)
    large = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", large)[1].tobytes()


def pictures(token: str) -> dict[str, bytes]:
    """Five of six cameras; the last one's file is none."""
    return {name: jpeg(seed=number) for number, name in enumerate(CAMERAS[:5])} | {CAMERAS[5]: b"no picture"}


def answers(truth: Truth) -> dict[str, list[dict]]:
    entry = {
        "id": "a_b_0",
        "question": "<b>What</b> is ahead?",
        "answer": "A <script>car</script>.",
        "gt_answer": "A car.",
    }
    return {token: [entry] for token in truth.tokens.tolist()}
