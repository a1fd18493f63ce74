"""Speed of the planning protocols beside their twins, in seconds for nuScenes' 6,019 validation frames.

    python -m benchmarks.metrics --agents=30 --planners=4 --workers=2

150 drives of 40 frames are made up, with so many agents in each frame. `seconds` is the time of all frames with so many
processes, `cpu_s` what they used of the processor; these say the same on a machine with nothing else to do. `oracle_cpu_s`
is that of the twin in `tests/oracles`, which scores one frame of 30 or so, for all frames; null for a protocol without.
"""

import importlib
import importlib.util
import multiprocessing
import os
import time

from absl import flags

from benchmarks import measure
from dima_jax import cli

AGENTS = flags.DEFINE_integer("agents", 30, "agents in a frame", lower_bound=0)
PLANNERS = flags.DEFINE_integer("planners", 1, "planners that are scored at once", lower_bound=1)
WORKERS = flags.DEFINE_integer("workers", 2, "processes", lower_bound=1)
PROTOCOLS = flags.DEFINE_list("protocols", None, "names; all by default")
FRAMES, SCENES, LENGTH = 6019, 151, 40
ORACLE_FRAMES = 200  # of them the twin scores
CHUNK = 40  # frames that a process takes at once
shared = {}  # what the processes inherit


def beside(truth, rng):
    """The truth with vehicles beside the ego, near enough for every protocol to count each of them at each step."""
    import dataclasses

    import numpy as np

    from dima_jax.categories import LIDARSEG_CATEGORIES

    boxes = truth.boxes.copy()
    boxes[:, 0] = rng.uniform(3, 14, len(boxes)) * rng.choice([-1, 1], len(boxes))
    boxes[:, 1] = rng.uniform(-29, 29, len(boxes))
    return dataclasses.replace(
        truth,
        boxes=boxes,
        category=np.full_like(truth.category, LIDARSEG_CATEGORIES.index("vehicle.car")),
        lidar_points=np.maximum(truth.lidar_points, 1),
        visibility=np.full_like(truth.visibility, 4),
        future_mask=np.ones_like(truth.future_mask),
    )


def score(name, start):
    """CPU seconds, and steps that collide, of the frames of one chunk."""
    import numpy as np

    from dima_jax.metrics import raster
    from dima_jax.metrics.protocols import registry
    from dima_jax.scoring.frames import FrameTruth

    truth, plans, protocol = shared["truth"], shared["plans"], registry.get(name)
    begin, struck = time.process_time(), 0
    for index in range(start, min(start + CHUNK, FRAMES)):
        lidar, ego = plans.lidar[:, index], plans.ego[:, index]
        l2 = np.hypot(*np.moveaxis(lidar[..., :2] - truth.path[index], -1, 0))
        steps = protocol.frame(FrameTruth(truth, index), raster.Grids(), lidar, ego, l2)
        struck += int((steps.hit >= 0).sum())
    return time.process_time() - begin, struck


def oracle(name, every):
    """CPU seconds of a protocol's twin for all frames, from each `every`-th; None if it has no twin."""
    module = f"tests.oracles.{name}"
    if importlib.util.find_spec(module) is None:
        return None
    twin = importlib.import_module(module)
    truth, plans, begin = shared["truth"], shared["plans"], time.process_time()
    chosen = range(0, FRAMES, every)
    for index in chosen:
        twin.score(truth, index, plans.lidar[:, index], plans.ego[:, index])
    return (time.process_time() - begin) * FRAMES / len(chosen)


def main():
    import cv2
    import numpy as np

    from dima_jax.metrics.protocols import registry
    from tests.scoring.fake import fake_plans, fake_truth

    cv2.setNumThreads(1)
    truth = fake_truth(SCENES, LENGTH, AGENTS.value)
    shared["truth"] = truth = beside(truth, np.random.default_rng(0))
    shared["plans"] = fake_plans(truth, 0.5, PLANNERS.value)
    result, total = {}, 0.0
    with multiprocessing.get_context("fork").Pool(WORKERS.value) as pool:
        for name in PROTOCOLS.value or registry.PROTOCOLS:
            work = [(name, start) for start in range(0, FRAMES, CHUNK)]
            pool.starmap(score, work[: 2 * WORKERS.value], chunksize=1)  # imports
            begin = time.perf_counter()
            done = pool.starmap(score, work, chunksize=1)
            seconds = time.perf_counter() - begin
            total += seconds
            result[name] = {
                "seconds": seconds,
                "cpu_s": sum(one for one, _ in done),
                "oracle_cpu_s": oracle(name, FRAMES // ORACLE_FRAMES),
                "steps_that_collide": sum(count for _, count in done),
            }
    measure.print_json(
        frames=FRAMES,
        agents=AGENTS.value,
        planners=PLANNERS.value,
        workers=WORKERS.value,
        load=os.getloadavg()[0],
        seconds=total,
        cpu_s=sum(one["cpu_s"] for one in result.values()),
        protocols=result,
    )


if __name__ == "__main__":
    cli.run(main)
