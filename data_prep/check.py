"""Checks a whole nuScenes root before records are made of it, and prints what it found.

Example:

    python -m data_prep.check --dataroot=data/nuscenes --version=v1.0-trainval

Findings are errors (nothing is built; exit status 2), skips (something is left out of the records, or cannot be right and
is taken as it is; --strict makes them errors) and notes. `data_prep.build` does the same first. docs/data.md lists them.
"""

from absl import flags

from dima_jax import cli


def main() -> None:
    from data_prep.root_check import checking  # the devkit and shapely load here, after the flags are parsed

    report = checking.check(_DATAROOT.value, _VERSION.value)
    print(report.text())
    report.refuse(_STRICT.value)


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    _DATAROOT = flags.DEFINE_string(
        "dataroot", None, "nuScenes root: the folder of samples/, maps/ and can_bus/.", required=True
    )
    _VERSION = flags.DEFINE_string("version", "v1.0-trainval", "Folder of the tables below the root.")
    _STRICT = flags.DEFINE_bool("strict", False, "Refuse a root of which something would be skipped.")
    cli.run(main)
