"""nuScenes' detection score (NDS, mAP) of a perception file, by the devkit's own `DetectionEval`.

    python -m data_prep.nuscenes_detection --dataroot=data/nuscenes --perception=ours.perception.npz --out=runs/nds
    python -m data_prep.nuscenes_detection --dataroot=data/miniworld --version=v1.0-miniworld \\
        --perception=ours.perception.npz --out=runs/nds

Writes the boxes as nuScenes' results (results_nusc.json, what the benchmark takes), scores them as detection_cvpr_2019
does and again in VAD's range, prints the scores and writes nuscenes_detection.json. docs/scores/perception.md says what the
numbers are, and how they differ from the average precision of `dima_jax.score`. There are no intervals: the score of a
resample would be another run of the devkit.
"""

from pathlib import Path

from absl import flags

from dima_jax import cli
from dima_jax.errors import UserError


def main() -> None:
    out = Path(_OUT.value)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out={out} is a file; give a folder")
    from dima_jax import output_files
    from dima_jax.scoring import perception_file

    places = {name: out / name for name in ("results_nusc.json", "metrics_summary.json", "nuscenes_detection.json")}
    for place in places.values():
        output_files.check_place(place)
    found = perception_file.load(_PERCEPTION.value)

    from data_prep import detection_results, detection_score, detection_tables
    from data_prep.scenes import Root
    from dima_jax import commit

    root = Root(_DATAROOT.value, _VERSION.value)
    at = detection_results.places(root, _SPLIT.value)
    name = detection_score.split_name(root, _SPLIT.value)
    boxes = detection_results.results(found, at)
    detection_score.check(root, found.file, boxes)
    output_files.write_json(
        places["results_nusc.json"], {"meta": detection_results.META, "results": boxes}, indent=None
    )
    scores = detection_score.scores(root, places["results_nusc.json"], name, out, at, found.header["pc_range"])
    told = {
        "format": "dima_jax.nuscenes_detection",
        "version": 1,
        "commit": commit.describe(),
        "planner": found.header["planner"],
        "file": found.file,
        "root": _VERSION.value,
        "split": name,
        "samples": len(at),
        "scores": {protocol: score.told() for protocol, score in scores.items()},
    }
    detection_tables.print_all(told)
    output_files.write_json(
        places["metrics_summary.json"], scores["nuscenes"].devkit | {"meta": detection_results.META}
    )
    output_files.write_json(places["nuscenes_detection.json"], told)
    print(f"the same as JSON: {places['nuscenes_detection.json']}; the boxes: {places['results_nusc.json']}")


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    _DATAROOT = flags.DEFINE_string("dataroot", None, "nuScenes root that the records were made from.", required=True)
    _VERSION = flags.DEFINE_string("version", "v1.0-trainval", "Folder of the tables below the root.")
    _SPLIT = flags.DEFINE_string("split", "val", "Split that the file is of.")
    _PERCEPTION = flags.DEFINE_string(
        "perception", None, "Agents that a student found, .npz; docs/scores/perception.md.", required=True
    )
    _OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
    cli.run(main)
