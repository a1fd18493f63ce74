"""Writes a truth file: what was recorded, without images, for `dima_jax.scoring` to compare predictions with.

Examples:

    python -m data_prep.truth --data=data/nuscenes/records --split=val --out=truth-val.npz
    python -m data_prep.truth --data=data/nuscenes/records --split=val --dataroot=data/nuscenes --out=truth-val.npz
    python -m data_prep.truth --field=gt_traj.pkl,gt_traj_mask.pkl,vad_results.pkl --out=truth-val.npz

From the records of `data_prep.build`; with --dataroot, the nuScenes root that they were made from, also curbs, map areas,
visibility and attributes, which some protocols need. Or from files that other projects publish; docs/scores/truth.md
says which. The same input gives the same bytes.
"""

import absl.logging
from absl import flags

from dima_jax import cli
from dima_jax.errors import UserError


def main() -> None:
    if not (_DATA.value or _FIELD.value):
        raise UserError("give --data=FOLDER of data_prep.build, or --field=FILES")
    if _DATAROOT.value and (_FIELD.value or not _DATA.value):
        raise UserError("--dataroot adds to the records of --data alone; leave it or --field out")
    if _SCENES.value and not _FIELD.value:
        raise UserError("--scenes goes with --field; records know their scenes")
    absl.logging.set_verbosity(absl.logging.ERROR)  # of tensorflow-datasets
    from dima_jax import output_files
    from dima_jax.scoring import truth  # numpy and what follows load here, after the flags are parsed

    output_files.check_place(_OUT.value)
    if _FIELD.value:
        from data_prep import truth_field

        arrays, header = truth_field.make(_FIELD.value, _SPLIT.value, _SCENES.value, _DATA.value)
    else:
        from data_prep import truth_records  # the devkit, shapely and tensorflow-datasets

        arrays, header = truth_records.make(_DATA.value, _SPLIT.value, _DATAROOT.value, _VERSION.value)
    truth.save(_OUT.value, arrays, header)
    found = truth.load(_OUT.value)
    print(f"{_OUT.value}: {len(found.tokens):,} frames of {len(found.scene_names):,} scenes, {header['split']}")
    print(f"holds {', '.join(found.header['has'])}")
    if found.header.get("scenes") == "unknown":
        print("scenes are not known: scores will have no intervals; give --scenes=FILE.json or --data=RECORDS")


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    _DATA = flags.DEFINE_string("data", None, "Folder that data_prep.build wrote (its --out).")
    _SPLIT = flags.DEFINE_string("split", "val", "Split of the records; with --field, the split that the files are of.")
    _DATAROOT = flags.DEFINE_string("dataroot", None, "nuScenes root that the records were made from.")
    _VERSION = flags.DEFINE_string("version", "v1.0-trainval", "Folder of the tables below the root.")
    _FIELD = flags.DEFINE_list("field", [], "Files of other projects, separated by commas.")
    _SCENES = flags.DEFINE_string("scenes", None, "With --field: a JSON file, {sample token: name of its scene}.")
    _OUT = flags.DEFINE_string("out", None, "File to write, e.g. truth-val.npz.", required=True)
    cli.run(main)
