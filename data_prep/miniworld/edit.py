"""Paints a standing car into recorded scenes of the mini world, for `python -m dima_jax.evaluate --edits`.

    python -m data_prep.miniworld.edit --dataroot=data/miniworld --split=val --out=data/miniworld/edits-val.npz
    python -m data_prep.miniworld.edit --dataroot=data/miniworld --scenes=5 --every=8 --out=few.npz

At some key frames of every scene one car is added in the way of the drive and, in other images, one away from it. The
scenes are simulated again, as the data set's `miniworld.json` says they were; a data set that this version would paint
otherwise is refused. The format is described in `dima_jax/scoring/edits_file.py`.
"""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from zlib import crc32

from absl import flags

from dima_jax import cli
from dima_jax.errors import UserError


def main() -> None:
    from dima_jax import output_files
    from dima_jax.scoring import edits_file

    root = Path(_DATAROOT.value)
    output_files.check_place(_OUT.value)
    wanted, jobs = chosen(root, _SPLIT.value, _SCENES.value)
    tokens, boxes, crcs, jpegs = [], [], [], []
    for found in edited(root, wanted, jobs, _EVERY.value, _WORKERS.value):
        for token, site, crc in found:
            tokens.append(token)
            boxes.append(site.boxes)
            crcs.append(crc)
            jpegs += [file for kind in site.images for frame in kind for file in frame]
    if not tokens:
        raise UserError(f"{root}: no place for a car in {len(jobs)} scenes; give more --scenes or a smaller --every")
    source = {"data": root.name, "split": _SPLIT.value, "every": _EVERY.value, "settings": wanted._asdict()}
    edits_file.save(_OUT.value, tokens, boxes, crcs, jpegs, source)
    size = Path(_OUT.value).stat().st_size
    print(f"{len(tokens)} sites in {len(jobs)} scenes, {size / 1e6:.1f} MB: {_OUT.value}")
    print(f"next: python -m dima_jax.evaluate --checkpoint=RUN --edits={_OUT.value}")


def chosen(root: Path, split: str, most: int | None):
    """(settings, jobs) of a split of a written mini world, or of its first `most` scenes. UserError if there is none, or
    for another vehicle than the one with nuScenes' cameras.
    """
    from data_prep.miniworld import writer

    wanted = writer.written(root)
    if wanted.rig != "six":
        raise UserError(f"{root} is of --rig={wanted.rig}; cars are painted into the images of --rig=six alone")
    jobs = [job for job in writer.plan(wanted) if job.split == split]
    if not jobs:
        raise UserError(f"{root} has no scene of split {split!r}; give --split=train or val")
    return wanted, jobs[:most]


def edited(root: Path, wanted, jobs, every: int, workers: int):
    """Yields `edit_scene`'s answer for each job, in order."""
    from dima_jax import interrupts, progress

    tasks = [(str(root), wanted, job, every) for job in jobs]
    workers = min(workers, len(jobs))
    if workers == 1:
        yield from progress.each(map(edit_scene, tasks), len(jobs), "scene", name="edits")
        return
    spawn = multiprocessing.get_context("spawn")  # SUMO has one state per process
    with ProcessPoolExecutor(workers, spawn, initializer=interrupts.end_with_parent) as pool:
        yield from progress.each(pool.map(edit_scene, tasks), len(jobs), "scene", name="edits")


def edit_scene(task: tuple) -> list[tuple]:
    """(sample token, `vehicle_edits.Edited`, CRC of the recorded file of CAM_FRONT) of every site of a scene.

    UserError where the scene's images are not those that this version paints.
    """
    from data_prep.miniworld import scene_recorder, vehicle_edits
    from data_prep.miniworld.nuscenes_tables import token
    from data_prep.miniworld.render.painter import Painter
    from data_prep.miniworld.traffic import maneuvers
    from data_prep.miniworld.world.town import load_town
    from dima_jax.constants import CAMERAS

    root, wanted, job, every = task
    town, front = load_town(), CAMERAS[0]
    scene = maneuvers.simulate(job.index, wanted.seed, job.split, wanted.seconds)
    painter = Painter(town, tuple(wanted.size), scene_recorder.light_seed(wanted.seed, job.number))
    folder = Path(root) / "samples" / front
    named = [(path.stem.rpartition("__")[2], path) for path in folder.glob(f"*-{job.name}__*.jpg")]
    files = [path for _, path in sorted((int(time), path) for time, path in named if time.isdecimal())]
    states = vehicle_edits.key_states(scene)
    if len(files) != len(states) or files[0].read_bytes() != vehicle_edits.paint(painter, states[0])[0]:
        raise UserError(
            f"{folder}: the images of {job.name} are not those that this version paints; write the mini world again"
        )
    seed = wanted.seed * 10_007 + job.number
    return [
        (token("sample", job.name, k), site, crc32(files[k].read_bytes()))
        for k, site in vehicle_edits.sites(scene, town, painter, every, seed)
    ]


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    _DATAROOT = flags.DEFINE_string("dataroot", None, "Folder of the mini world.", required=True)
    _SPLIT = flags.DEFINE_enum("split", "val", ["train", "val"], "Which of its scenes.")
    _SCENES = flags.DEFINE_integer("scenes", None, "The first N scenes; default: all.", lower_bound=1)
    _EVERY = flags.DEFINE_integer("every", 2, "Look at every N-th key frame; two are a second.", lower_bound=1)
    _OUT = flags.DEFINE_string("out", None, "File of the edits, .npz.", required=True)
    _WORKERS = flags.DEFINE_integer("workers", os.cpu_count(), "Number of processes.", lower_bound=1)
    cli.run(main)
