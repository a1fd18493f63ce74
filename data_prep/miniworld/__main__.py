"""Writes the mini world: a synthetic data set in nuScenes' format with CAN bus, map expansion and DriveLM questions.

Examples:

    python -m data_prep.miniworld --out=data/miniworld
    python -m data_prep.miniworld --out=data/small --scenes=3 --val_scenes=1 --size=256x144 --workers=2
    python -m data_prep.miniworld --out=data/other --seed=1                  # other traffic, weather and drives
    python -m data_prep.miniworld --out=data/four --rig=four                 # another vehicle: see docs/own_data.md
    python -m data_prep.miniworld --out=data/vectors --rig=no_cameras --scenes=300 --val_scenes=100     # docs/evidence.md

The official devkit opens the result unmodified, as version `v1.0-miniworld`:

    OUT/v1.0-miniworld/*.json     the 13 tables, and splits.json with the splits "miniworld_train" and "miniworld_val"
    OUT/samples/<CHANNEL>/        six cameras (JPEG) and LIDAR_TOP (float32 x, y, z, intensity, ring); none with no_cameras
    OUT/maps/                     semantic prior mask; expansion/boston-seaport.json: the town, under a name of the devkit
    OUT/can_bus/                  CAN bus messages of every scene
    OUT/drivelm.json              questions and answers by rule, in the layout of DriveLM v1.1

The same flags give the same bytes for any number of workers. An interrupted run resumes when the command is started
again: finished scenes wait in OUT/unfinished until all are there. Scene names skip the numbers for which the devkit
expects no CAN data. What the command prints also goes to OUT.log. The next step is `python -m data_prep.build`.
"""

import os
import time
from pathlib import Path

from absl import flags

from dima_jax import cli
from dima_jax.errors import UserError


def parse_size(text: str) -> tuple[int, int]:
    """ "400x224" to (400, 224). Raises UserError for anything else, and for images smaller than 32x18."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) >= 32 and int(height) >= 18):
        raise UserError(f"--size={text}: give width x height in pixels, at least 32x18, e.g. --size=400x224")
    return int(width), int(height)


def main() -> None:
    from data_prep.miniworld import writer  # SUMO and OpenCV load here, after the flags are parsed

    if not _OUT.value:
        raise UserError("--out: missing; name the folder for the data set, e.g. --out=data/miniworld")
    out = Path(_OUT.value).resolve()
    cli.log_to(out.parent, out.name)  # beside the data set, whose own bytes depend on the flags alone
    wanted = writer.settings(
        _SCENES.value, _VAL_SCENES.value, _SEED.value, parse_size(_SIZE.value), _SECONDS.value, _RIG.value
    )
    start = time.monotonic()
    written = writer.write(_OUT.value, wanted, _WORKERS.value)
    took = time.monotonic() - start
    size = sum(path.stat().st_size for path in Path(_OUT.value).rglob("*") if path.is_file())
    said = f"{written} key frames in {took:.1f} s ({written / took:.1f} a second)" if written else "already complete"
    print(f"{wanted.scenes} train and {wanted.val_scenes} val scenes in {_OUT.value}, {size / 1e6:.1f} MB: {said}")
    print(
        f"next: python -m data_prep.build --dataroot={_OUT.value} --version={writer.VERSION} "
        f"{'--drivelm=' + _OUT.value + '/drivelm.json ' if (Path(_OUT.value) / 'drivelm.json').is_file() else ''}--out=DIR"
    )


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    _OUT = flags.DEFINE_string(
        "out", None, "Folder for the data set: a new one, or one where this command was interrupted. Required."
    )
    _SCENES = flags.DEFINE_integer("scenes", 20, "Number of training scenes.", lower_bound=0)
    _VAL_SCENES = flags.DEFINE_integer("val_scenes", 10, "Number of validation scenes.", lower_bound=0)
    _SEED = flags.DEFINE_integer("seed", 0, "Seed of traffic, weather and drives.", lower_bound=0)
    _SIZE = flags.DEFINE_string(
        "size", "400x224", "Width x height of the images in pixels; of --rig=four, of the front camera's."
    )
    _RIG = flags.DEFINE_enum(
        "rig",
        "six",
        ["six", "four", "no_cameras"],
        "Cameras: nuScenes' six, with CAN bus and questions; four of other names and sizes, without; or none: nothing is "
        "painted, and questions name objects by place.",
    )
    _SECONDS = flags.DEFINE_float(
        "seconds",
        20.0,
        "Length of a scene in seconds, with two key frames a second. Some maneuvers need 17.",
        lower_bound=2.0,
    )
    _WORKERS = flags.DEFINE_integer("workers", os.cpu_count(), "Number of processes.", lower_bound=1)
    cli.run(main)
