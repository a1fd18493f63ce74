"""Converts nuScenes and DriveLM to TFRecords, the real data set and the mini world alike.

Examples:

    python -m data_prep.build --dataroot=data/nuscenes --drivelm=data/v1_1_train_nus.json --out=data/nuscenes/records
    python -m data_prep.build --dataroot=data/nuscenes --version=v1.0-mini --out=data/mini/records --workers=4
    python -m data_prep.build --dataroot=data/nuscenes --out=data/nuscenes/records_08 --image_scale=0.8
    python -m data_prep.build --dataroot=data/nuscenes --out=data/nuscenes/records --runner=DirectRunner -- \
        --direct_running_mode=multi_processing --direct_num_workers=8

The root must hold the CAN bus expansion (`can_bus/`) and the map expansion v1.3 (`maps/expansion/`). It is checked
first, as `python -m data_prep.check` does; once a build is finished, OUT/root_check.json keeps what was found. Splits are
those of `<version>/splits.json` if that file exists, else nuScenes' own. An interrupted build resumes when the command is
started again; the same input gives the same bytes for any number of workers. The result opens with
`tfds.builder_from_directory(OUT)`; check it with `python -m data_prep.validate`. OUT/build.log holds what the command
prints. --workers are processes of this machine. With --runner the shards go to that runner of Apache Beam, and what follows
`--` is its own; its workers must see the same folders.
"""

import os

import absl.logging
from absl import flags

from dima_jax import cli
from dima_jax.errors import UserError


def main(options: list[str]) -> None:
    if options and not _RUNNER.value:
        raise UserError(f"unexpected {options[0]!r}; what follows -- is for a runner of Apache Beam: give --runner")
    from data_prep import builder  # the devkit and shapely load here, after the flags are parsed

    absl.logging.set_verbosity(absl.logging.ERROR)  # of tensorflow-datasets
    cli.log_to(_OUT.value, "build")
    builder.build(
        _DATAROOT.value,
        _VERSION.value,
        _DRIVELM.value,
        _OUT.value,
        _WORKERS.value,
        is_strict=_STRICT.value,
        image_scale=_SCALE.value,
        runner=_RUNNER.value,
        options=options,
    )


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    _DATAROOT = flags.DEFINE_string(
        "dataroot", None, "nuScenes root: the folder of samples/, maps/ and can_bus/.", required=True
    )
    _VERSION = flags.DEFINE_string("version", "v1.0-trainval", "Folder of the tables below the root.")
    _DRIVELM = flags.DEFINE_string(
        "drivelm",
        "",
        "DriveLM's question files, with commas between them. A file of questions alone (its validation file) is kept for "
        "`ask`. Where there are no answers, training makes questions by rule.",
    )
    _OUT = flags.DEFINE_string("out", None, "Folder for the records.", required=True)
    _WORKERS = flags.DEFINE_integer("workers", os.cpu_count(), "Number of processes.", lower_bound=1)
    _SCALE = flags.DEFINE_float(
        "image_scale",
        1.0,
        "Scale of the stored images; training's data.image_scale makes records that are decoded faster and need no scaling.",
        0.01,
        1.0,
    )
    _STRICT = flags.DEFINE_bool("strict", False, "Refuse a root of which something would be skipped.")
    _RUNNER = flags.DEFINE_string(
        "runner",
        "",
        "A runner of Apache Beam in place of --workers, e.g. DirectRunner; its options follow after --.",
    )
    cli.run(main, takes_options=True)
