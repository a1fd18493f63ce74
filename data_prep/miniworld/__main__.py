"""Writes the mini world: a synthetic data set in nuScenes v1.0 format with CAN bus, map expansion and DriveLM questions.

    python -m data_prep.miniworld --out=DIR [--scenes=N] [--val_scenes=M] [--seed=S] [--size=400x224] [--workers=W]

The official devkit opens it unmodified, as version `v1.0-miniworld`:

    DIR/v1.0-miniworld/*.json     the 13 tables, and splits.json with the splits "miniworld_train" and "miniworld_val"
    DIR/samples/<CHANNEL>/        six cameras (JPEG) and LIDAR_TOP (float32 x, y, z, intensity, ring)
    DIR/maps/                     semantic prior mask; expansion/boston-seaport.json (the town under a name the devkit knows)
    DIR/can_bus/                  messages of every scene
    DIR/drivelm.json              questions and answers by rule, DriveLM v1.1 layout

The same flags give the same bytes, whatever the number of workers. A run that was stopped goes on where it was: finished
scenes wait in DIR/unfinished until all are there. Scene names skip the numbers for which the devkit expects no CAN data.
"""

import os
import time
from pathlib import Path

from absl import flags

from data_prep.miniworld import writer
from dima_jax import cli
from dima_jax.errors import UserError


def parse_size(text):
    """ "400x224" to (400, 224). Raises UserError."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) >= 32 and int(height) >= 18):
        raise UserError(f"--size={text}: give width x height in pixels, at least 32x18, e.g. --size=400x224")
    return int(width), int(height)


def main():
    if not _OUT.value:
        raise UserError("--out: missing; name the folder for the data set, e.g. --out=data/miniworld")
    wanted = writer.settings(_SCENES.value, _VAL_SCENES.value, _SEED.value, parse_size(_SIZE.value), _SECONDS.value)
    start = time.monotonic()
    written = writer.write(_OUT.value, wanted, _WORKERS.value)
    took = time.monotonic() - start
    size = sum(path.stat().st_size for path in Path(_OUT.value).rglob("*") if path.is_file())
    said = f"{written} key frames in {took:.1f} s ({written / took:.1f} a second)" if written else "already complete"
    print(f"{wanted.scenes} train and {wanted.val_scenes} val scenes in {_OUT.value}, {size / 1e6:.1f} MB: {said}")
    print(
        f"next: python -m data_prep.build --dataroot={_OUT.value} --version={writer.VERSION} "
        f"--drivelm={_OUT.value}/drivelm.json --out=DIR"
    )


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    _OUT = flags.DEFINE_string("out", None, "folder for the data set: a new one, or one where this command was stopped")
    _SCENES = flags.DEFINE_integer("scenes", 20, "training scenes", lower_bound=0)
    _VAL_SCENES = flags.DEFINE_integer(
        "val_scenes", 10, "validation scenes, besides the training scenes", lower_bound=0
    )
    _SEED = flags.DEFINE_integer("seed", 0, "another seed gives other traffic, weather and drives", lower_bound=0)
    _SIZE = flags.DEFINE_string("size", "400x224", "width x height of the images, pixels")
    _SECONDS = flags.DEFINE_float("seconds", 20.0, "length of a scene; two key frames a second", lower_bound=2.0)
    _WORKERS = flags.DEFINE_integer("workers", os.cpu_count(), "processes", lower_bound=1)
    cli.run(main)
