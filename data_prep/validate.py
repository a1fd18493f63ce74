"""Checks records after a build, after a copy, or before a long run, and prints what is wrong and where.

Examples:

    python -m data_prep.validate --data=data/nuscenes/records
    python -m data_prep.validate --data=data/nuscenes/records --sheet=sheet --sheet_frames=20

Reads every record of every split: counts, checksums, complete images, rigid poses, possible boxes, consistent futures,
map lines inside their patch, questions whose tags name a pixel. Boxes and map lines must be in the images by the cameras'
calibrations, tags on boxes, and the speed by the CAN bus that of the ego poses; a share of the images is decoded. --sheet
writes SHEET/index.html: the findings, the numbers, and key frames with what lies over their pictures.

Findings are errors (the records contradict themselves; exit status 2), skips (something cannot be right and is taken as it
is; --strict makes them errors) and notes.
"""

from pathlib import Path

import absl.logging
from absl import flags

from dima_jax import cli
from dima_jax.output_files import check_place


def main() -> None:
    from data_prep import validation  # OpenCV, shapely and tensorflow-datasets load here, after the flags are parsed

    absl.logging.set_verbosity(absl.logging.ERROR)  # of tensorflow-datasets
    if _SHEET.value:
        check_place(Path(_SHEET.value) / "index.html")
    checked = validation.validate(_DATA.value, _DECODE.value, _SEED.value)
    if checked.report.findings:
        print(checked.report.text())
    if _SHEET.value:
        from data_prep import contact_sheet

        print(f"contact sheet: {contact_sheet.write(_SHEET.value, checked, _FRAMES.value)}")
    checked.report.refuse(_STRICT.value)


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    _DATA = flags.DEFINE_string("data", None, "Folder that data_prep.build wrote (its --out).", required=True)
    _STRICT = flags.DEFINE_bool("strict", False, "Exit status 2 for a skip as well.")
    _DECODE = flags.DEFINE_float(
        "decode_share", 0.03, "Share of the images that is decoded as a whole.", lower_bound=0.0, upper_bound=1.0
    )
    _SEED = flags.DEFINE_integer("seed", 0, "Chooses which images these are.", lower_bound=0)
    _SHEET = flags.DEFINE_string("sheet", "", "Folder for a page with the findings, histograms and pictures.")
    _FRAMES = flags.DEFINE_integer("sheet_frames", 12, "Key frames on that page.", lower_bound=0)
    cli.run(main)
