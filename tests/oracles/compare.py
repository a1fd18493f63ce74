"""Holds a protocol against its twin, frame by frame."""

import importlib

import numpy as np

from dima_jax.metrics import raster
from dima_jax.metrics.protocols import registry
from dima_jax.scoring.frames import FrameTruth
from tests.oracles.scenes import scenes


def compare(name: str, frames: int, seed: int) -> dict[str, int]:
    """{quantity: how often it was found}. AssertionError, with the frame, where protocol and twin differ.

    Masks are those of the recorded path; a step that is not known is held against nothing.
    """
    protocol, twin = registry.get(name), importlib.import_module(f"tests.oracles.{name}")
    truth, plans = scenes(frames, seed)
    found = dict.fromkeys(("recorded", "hit"), 0)
    for index in range(len(truth.tokens)):
        lidar, ego = plans.lidar[:, index], plans.ego[:, index]
        l2 = np.hypot(*np.moveaxis(lidar[..., :2] - truth.path[index], -1, 0))
        steps = protocol.frame(FrameTruth(truth, index), raster.Grids(), lidar, ego, l2)
        expected = twin.score(truth, index, lidar, ego)
        known, where = truth.path_mask[index], f"{name} frame {index} of seed {seed}"
        assert steps.values["l2"] is l2
        assert (
            set(expected) - {"hit", "recorded"}
            == set(steps.values) - {"l2"}
            == set(protocol.definition.quantities) - {"l2"}
        )
        for quantity in set(expected) - {"hit", "recorded"}:
            same = (steps.values[quantity] == np.array(expected[quantity], float)) | ~known
            assert same.all(), f"{where}: {quantity} {np.argwhere(~same).tolist()}"
            found[quantity] = found.get(quantity, 0) + int((steps.values[quantity] * known).sum())
        assert ((steps.hit == expected["hit"]) | ~known).all(), f"{where}: hit {steps.hit} {expected['hit']}"
        assert ((steps.recorded == expected["recorded"]) | ~known).all(), f"{where}: recorded"
        assert (steps.hit[:, known] >= 0).tolist() == (steps.values["collision"][:, known] == 1).tolist()
        found["hit"] += int((steps.hit >= 0).sum())
        found["recorded"] += int((steps.recorded & known).sum())
    return found | {"frames": len(truth.tokens)}
