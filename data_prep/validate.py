"""Checks records after a build, after a copy, or before a long run, and prints every problem and where it is.

Example:

    python -m data_prep.validate --data=data/nuscenes/records

Reads every record of every split: counts, checksums, complete images, rigid poses, possible boxes, consistent futures,
map lines inside their patch, questions whose tags name a camera. Exit status 1 if there is any problem.
"""

import sys

import absl.logging
from absl import flags

from dima_jax import cli


def main() -> None:
    from data_prep import validation  # OpenCV, shapely and tensorflow-datasets load here, after the flags are parsed

    absl.logging.set_verbosity(absl.logging.ERROR)  # of tensorflow-datasets
    problems = validation.validate(_DATA.value)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        sys.exit(1)


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    _DATA = flags.DEFINE_string("data", None, "Folder that data_prep.build wrote (its --out).", required=True)
    cli.run(main)
