"""Tags key frames by situation and writes lists of their sample tokens: turns, stops, hard braking, overtaking, yielding.

Examples:

    python -m data_prep.mine --dataroot=data/nuscenes --split=val --out=tokens-val.json
    python -m data_prep.mine --truth=truth-val.npz --out=tokens-val.json
    python -m data_prep.mine --data=data/nuscenes/records --split=val --out=tokens-val.json

Rules on recorded tracks alone decide; docs/mining.md defines them. From the tables of a nuScenes root (no images needed), a
file of data_prep.truth, or the records of data_prep.build. A map, and lights where they are known, make some rules better:
a root and a truth file that was made with --dataroot have one. `dima_jax.score --subsets` scores the lists one by one.
"""

from pathlib import Path

import absl.logging
from absl import flags

from dima_jax import cli
from dima_jax.errors import UserError


def main() -> None:
    given = [flag for flag in (_DATAROOT, _TRUTH, _DATA) if flag.value]
    if len(given) != 1:
        raise UserError("give one of --dataroot=ROOT, --truth=FILE and --data=FOLDER")
    absl.logging.set_verbosity(absl.logging.ERROR)  # of tensorflow-datasets
    from dima_jax import output_files

    output_files.check_place(_OUT.value)
    if _TRUTH.value and Path(_OUT.value).resolve() == Path(_TRUTH.value).resolve():
        raise UserError(f"--out={_OUT.value} is the truth file, which would be written over; give another --out")
    found = _truth()
    from data_prep.mining import lists  # shapely

    content = lists.mine(found)
    lists.print_table(content)
    if not content["has_map"]:
        print("no map: overtaking and yielding to pedestrians are told by tracks alone, less surely; docs/mining.md")
    output_files.write_json(_OUT.value, content)
    print(f"token lists: {_OUT.value}")


def _truth():
    """What was recorded, as a `Truth`."""
    if _TRUTH.value:
        from dima_jax.scoring import truth

        found = truth.load(_TRUTH.value)
        if _SPLIT.value and _SPLIT.value != found.header["split"]:
            raise UserError(f"{_TRUTH.value}: is of split {found.header['split']}; leave --split out")
        return found
    from data_prep.mining import sources  # the devkit and tensorflow-datasets

    split = _SPLIT.value or "val"
    if _DATAROOT.value:
        return sources.of_root(_DATAROOT.value, _VERSION.value, split)
    return sources.of_records(_DATA.value, split)


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    _DATAROOT = flags.DEFINE_string("dataroot", None, "nuScenes root.")
    _VERSION = flags.DEFINE_string("version", "v1.0-trainval", "Folder of the tables below the root.")
    _TRUTH = flags.DEFINE_string("truth", None, "File that data_prep.truth wrote.")
    _DATA = flags.DEFINE_string("data", None, "Folder that data_prep.build wrote (its --out).")
    _SPLIT = flags.DEFINE_string("split", None, "Split, default val; a truth file is of one.")
    _OUT = flags.DEFINE_string("out", None, "File to write, e.g. tokens-val.json.", required=True)
    cli.run(main)
