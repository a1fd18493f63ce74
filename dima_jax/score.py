"""Scores files of plans, of any planner, by every protocol: no model, no images, no JAX.

    python -m dima_jax.score --truth=truth-val.npz --predictions=ours.npz,theirs.npz --pair
    python -m dima_jax.score --truth=truth-val.npz --predictions=theirs.json --frame=ego --allow_missing
    python -m dima_jax.score --truth=truth-val.npz --predictions=ours.npz --perception=ours.perception.npz

Beside the files stand planners that see nothing: the recorded path, constant velocity, constant turn rate, going
straight, standing still and, with --train_truth, two that learn from what was driven in training: an MLP on what the
student of the first file was told of the ego, and nearest neighbors. Every number has a 95 % interval by resampling
scenes, and what cannot be told apart is said in words. Writes the same as JSON (--out), the number of every frame beside
it (--frames), and with --report a page to look at: the verdicts, the tables, and the worst frames from above and, with
--images, through the cameras.
"""

import datetime
import shlex
import sys
from pathlib import Path

from absl import flags

from dima_jax import cli, output_files
from dima_jax.errors import UserError


def main() -> None:
    if not TRUTH.value or not (PREDICTIONS.value or PERCEPTION.value):
        raise UserError("--truth and --predictions are needed, or --truth and --perception; see --help")
    out = Path(OUT.value)
    frames = Path(FRAMES.value) if FRAMES.value else out.with_name(f"{out.stem}.frames.npz")
    _check_places(out, frames)
    if not REPORT.value and (ANSWERS.value or (IMAGES.value and not RERUN.value)):
        raise UserError("--images and --answers are for the page; give --report=FOLDER too")

    from dima_jax.metrics.protocols import registry
    from dima_jax.scoring import (
        align,
        controls,
        frames_file,
        perception,
        perception_file,
        perception_tables,
        predictions,
        result,
        run,
        tables,
        token_lists,
        truth,
    )

    protocols = PROTOCOLS.value or list(registry.PROTOCOLS)
    for name in protocols:
        registry.get(name)
    recorded = truth.load(TRUTH.value)
    if recorded.path is None and recorded.ego_path is None:
        raise UserError(f"{TRUTH.value} has no recorded paths; make it again with data_prep.truth")
    lists = token_lists.masks(SUBSETS.value, recorded) if SUBSETS.value else None
    files = [predictions.load(name, FRAME.value, START.value) for name in PREDICTIONS.value]
    extra = {}
    if PERCEPTION.value:
        extra["perception"] = perception.score(recorded, perception_file.load(PERCEPTION.value), MISSING.value)
    train = truth.load(TRAIN.value) if TRAIN.value else None
    rows = [*files, *controls.plans(recorded, train, files[0].header.get("given") if files else None)]
    images, answers = _for_page(recorded)
    plans = align.align(recorded, rows, MISSING.value)
    scored = run.score(recorded, plans, protocols, workers=WORKERS.value)
    command = shlex.join(["python", "-m", "dima_jax.score", *sys.argv[1:]])
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    options = dict(pair=PAIR.value, command=command, created=created, extra=extra, lists=lists)
    told = result.build(recorded, plans, rows, scored, protocols, **options)
    tables.print_all(told)
    if PERCEPTION.value:
        perception_tables.print_all(told["perception"])
    print("\n".join(["", *controls.spread(recorded, rows, scored), *controls.missing(recorded, train)]))
    output_files.write_json(out, told)
    frames_file.save(frames, told, recorded, plans, scored)
    print(f"the same as JSON: {out}; the number of every frame: {frames}")
    if REPORT.value or RERUN.value:
        from dima_jax.html_report import page, rerun_file

        written = frames_file.load(frames)
        if REPORT.value:
            print(f"page: {page.write(REPORT.value, told, written, recorded, images, answers)}")
        if RERUN.value:
            print(f"for Rerun's viewer: {rerun_file.write(RERUN.value, told, written, recorded, images)}")


def _check_places(out: Path, frames: Path) -> None:
    """UserError where something cannot be written, or would be written over what is read or written, too."""
    places = {"--out": out, "--frames": frames}
    places |= {"--report": Path(REPORT.value) / "index.html"} if REPORT.value else {}
    places |= {"--rerun": Path(RERUN.value)} if RERUN.value else {}
    read = (
        TRUTH.value,
        *PREDICTIONS.value,
        *filter(None, (TRAIN.value, PERCEPTION.value, ANSWERS.value, SUBSETS.value)),
    )
    inputs = [Path(name).resolve() for name in read]
    taken: dict[Path, str] = {}
    for flag, place in places.items():
        if place.resolve() in inputs:
            raise UserError(f"{flag}={place} is one of the files that are read; give another")
        output_files.check_place(place)
        if other := taken.get(place.resolve()):
            raise UserError(f"{other} and {flag} are both {place}; give two files")
        taken[place.resolve()] = flag


def _for_page(recorded):
    """(pictures, answers) of a frame of a truth, as `html_report.page.write` takes them. UserError if they cannot be had."""
    from dima_jax.html_report import answers, images, rerun_file

    if RERUN.value:
        rerun_file.package()
    split, tokens = recorded.header.get("split", ""), recorded.tokens.tolist()
    pictures = images.of_records(IMAGES.value, split, tokens) if IMAGES.value else None
    return pictures, answers.by_frame(ANSWERS.value) if ANSWERS.value else None


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    TRUTH = flags.DEFINE_string("truth", None, "What was recorded: a file of data_prep.truth.")
    TRAIN = flags.DEFINE_string(
        "train_truth", None, "The training split's file of data_prep.truth: controls learn from it."
    )
    PREDICTIONS = flags.DEFINE_list(
        "predictions", [], "Files of plans, .npz, .json or .pkl, separated by commas; docs/scores/predictions.md."
    )
    PERCEPTION = flags.DEFINE_string(
        "perception", None, "Agents and map lines that a student found, .npz; docs/scores/perception.md."
    )
    FRAME = flags.DEFINE_enum(
        "frame", None, ["lidar", "ego"], "Whose origin the plans of files without a header are of."
    )
    START = flags.DEFINE_boolean(
        "start_included", False, "Plans of files without a header have 7 rows, the first the place at the frame itself."
    )
    MISSING = flags.DEFINE_boolean(
        "allow_missing", False, "Score the frames that have a plan, and say everywhere how many they are."
    )
    PAIR = flags.DEFINE_boolean(
        "pair", False, "Compare every two files; by default each with the first and with the controls."
    )
    PROTOCOLS = flags.DEFINE_list("protocols", None, "Names of protocols, separated by commas; default: all.")
    SUBSETS = flags.DEFINE_string(
        "subsets", None, "Lists of tokens, of data_prep.mine: groups of frames to score as well, each on its own."
    )
    OUT = flags.DEFINE_string("out", "scores.json", "JSON of all tables: docs/scores.schema.json.")
    FRAMES = flags.DEFINE_string(
        "frames", None, "Every frame's numbers, .npz; default: scores.frames.npz beside --out."
    )
    REPORT = flags.DEFINE_string("report", None, "Folder for the page, index.html; docs/scores/report.md.")
    IMAGES = flags.DEFINE_string("images", None, "Records whose pictures the page shows of the worst frames.")
    ANSWERS = flags.DEFINE_string("answers", None, "Answers that the page shows beside them: what dima_jax.ask writes.")
    RERUN = flags.DEFINE_string("rerun", None, "File of the scenes of the worst frames for Rerun's viewer, .rrd.")
    WORKERS = flags.DEFINE_integer("workers", None, "Processes; default: one for each core.", lower_bound=1)
    cli.run(main)
