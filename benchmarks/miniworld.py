"""Speed of the mini world's writer in key frames per second.

    python -m benchmarks.miniworld --runs=3 --scenes=4 --workers=2

A run writes a new data set of 20 s scenes (40 key frames of six 400x224 images, tables, points, CAN bus, questions) with
its own processes, so the start-up (imports, town, ground) counts. The CPU times are meaningful on a shared machine too:
`whole` is that of all processes, `steady` that of a process that has already written a scene (simulation included).
"""

import shutil
import tempfile
import time
from pathlib import Path

from absl import flags

from benchmarks import measure
from dima_jax import cli

RUNS = flags.DEFINE_integer("runs", 3, "runs", lower_bound=1)
SCENES = flags.DEFINE_integer("scenes", 4, "scenes in a run", lower_bound=1)
WORKERS = flags.DEFINE_integer("workers", 2, "processes", lower_bound=1)


def folder_sizes(root, frames):
    """{top-level folder or file: bytes per key frame}."""
    sizes = {}
    for path in sorted(root.iterdir()):
        files = path.rglob("*") if path.is_dir() else [path]
        sizes[path.name] = round(sum(p.stat().st_size for p in files if p.is_file()) / frames)
    return sizes


def main():
    from data_prep.miniworld import scene_recorder, writer
    from data_prep.miniworld.traffic import maneuvers
    from data_prep.miniworld.world.town import load_town

    wanted = writer.settings(SCENES.value, 0, 0, (400, 224))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"

        def write():
            shutil.rmtree(root, ignore_errors=True)
            return writer.write(root, wanted, WORKERS.value)

        frames = SCENES.value * 40
        before = measure.cpu_seconds()
        whole = measure.seconds(write, RUNS.value)
        cpu = (measure.cpu_seconds() - before) / (frames * RUNS.value)
        sizes = folder_sizes(root, frames)
        recorder = scene_recorder.Recorder(root, load_town(), (400, 224), 0)
        recorder.record(maneuvers.simulate(0, 0, "train"), "scene-0001", 0)
        start = time.process_time()
        recorder.record(maneuvers.simulate(0, 0, "train"), "scene-0001", 0)
        steady = (time.process_time() - start) / 40
    measure.print_json(
        benchmark="miniworld writer",
        key_frames=frames,
        workers=WORKERS.value,
        key_frames_per_s=frames / whole["median_s"],
        cpu_ms_per_key_frame={"whole": 1e3 * cpu, "steady": 1e3 * steady},
        bytes_per_key_frame=sizes,
        **whole,
    )


if __name__ == "__main__":
    cli.run(main)
