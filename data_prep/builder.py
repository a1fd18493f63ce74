"""Builds TFRecords of a nuScenes root: checks it, plans the shards, writes the missing ones, and writes the metadata.

`data_prep/build.py` is the command. The result opens with `tfds.builder_from_directory(out)`.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from data_prep import pipeline, qa, shards, tables
from data_prep.nuscenes_schema import cameras
from data_prep.root_check import checking
from data_prep.scenes import Root
from dima_jax import locks, processes
from dima_jax.data import features, records
from dima_jax.errors import UserError
from dima_jax.output_files import write_json

REPORT = "root_check.json"  # beside the records: what the check of their root found


def build(
    dataroot: str,
    version: str,
    drivelm: str,
    out: str,
    workers: int,
    is_strict: bool = False,
    image_scale: float = 1.0,
    runner: str = "",
    options: Sequence[str] = (),
) -> dict[str, list[shards.Shard]]:
    """Writes the missing records below `out` and returns {split: shards}. Raises UserError on bad input, where another
    build is at work, and where `out` holds records of something else.

    dataroot, version: the nuScenes root and the folder of its tables; drivelm: DriveLM's question files, with commas between
    them, "" for none; workers: number of processes; is_strict: what the check of the root skips is an error; image_scale:
    1 keeps the image files as they are, less makes smaller ones; runner: of Apache Beam, with its options, in place of processes of this
    machine. The same input gives the same bytes whoever writes them.
    """
    with locks.held(Path(out) / "build.lock", out):
        if workers > 1 and not runner:
            processes.prepare(pipeline.__name__)
        report = checking.check(dataroot, version)
        report.refuse(is_strict)
        if report.findings:
            print(report.text())
        planned = _build(dataroot, version, drivelm, Path(out), workers, image_scale, runner, options)
        write_json(Path(out) / REPORT, report.content())
        print(f"records in {out}: check them with `python -m data_prep.validate --data={out}`")
        return planned


def _build(
    dataroot: str,
    version: str,
    drivelm: str,
    folder: Path,
    workers: int,
    image_scale: float,
    runner: str,
    options: Sequence[str],
) -> dict[str, list[shards.Shard]]:
    root, answers = Root(dataroot, version, tables.outline(Path(dataroot), version)), qa.read(drivelm)
    planned = shards.plan(root.splits(), folder)
    _refuse_others(folder, root, planned, image_scale)
    mark = shards.fingerprint(dataroot, version, drivelm, image_scale)
    every = [shard for group in planned.values() for shard in group]
    missing = [shard for shard in every if not shards.is_complete(shard, mark)]
    _remove_leftovers(folder, every)
    print(f"{dataroot} {version}: {_summary(planned)}; {len(every) - len(missing)} of {len(every)} shards are there")
    print(f"cameras: {', '.join(cameras(root.tables.sensor)) or 'none'}")
    _report_questions(root, planned, answers)
    if missing:
        _open_maps(root, missing)
        try:
            with pipeline.shared_folder(folder) as shared:
                work = pipeline.Build(shared, dataroot, version, mark, image_scale)
                pipeline.run(missing, work, answers, workers, runner, options)
        except BaseException:
            _remove_leftovers(folder, every)
            raise
    write_metadata(folder, planned)
    return planned


def _refuse_others(folder: Path, root, planned: dict[str, list[shards.Shard]], image_scale: float) -> None:
    """Raises UserError for a folder with records that this build would delete and not make anew."""
    remedy = "give another --out, or delete them"
    here = sorted(folder.glob(f"{records.DATASET}-*.tfrecord-*-of-*[0-9]"))
    try:
        version = json.loads((folder / REPORT).read_text())["version"]
    except (OSError, ValueError, LookupError, TypeError):
        version = root.version
    if here and version != root.version:
        raise UserError(f"{folder}: holds records of {version!r}, this build is of {root.version!r}; {remedy}")
    scenes = {
        root.tables.get("scene", token)["name"] for group in planned.values() for s in group for token in s.scenes
    }
    for path in here:
        try:
            content = records.read_sidecar(path)
        except (UserError, OSError):
            continue  # no record can be read from a shard without its sidecar
        if content["image_scale"] != image_scale:
            raise UserError(f"{path}: its images are at scale {content['image_scale']}, not at {image_scale}; {remedy}")
        if others := {row["scene"] for row in content["records"]} - scenes:
            raise UserError(f"{path}: holds records of {min(others)}, which this build does not make; {remedy}")


def _summary(planned: dict[str, list[shards.Shard]]) -> str:
    return ", ".join(
        f"{split} {sum(len(s.scenes) for s in group)} scenes {sum(s.frames for s in group)} key frames"
        for split, group in planned.items()
    )


def _open_maps(root, missing: list[shards.Shard]) -> None:
    """Opens the maps of all scenes to be written: a bad one is found now, before anything is written."""
    scenes = [root.tables.get("scene", token) for shard in missing for token in shard.scenes]
    for location in dict.fromkeys(root.tables.get("log", scene["log_token"])["location"] for scene in scenes):
        root.map_layers(location)


def _report_questions(root, planned: dict, answers: dict) -> None:
    """Prints how many key frames have questions, and how many questions are of key frames that the root lacks."""
    scenes = {token for group in planned.values() for shard in group for token in shard.scenes}
    here = {sample["token"] for sample in root.tables.sample if sample["scene_token"] in scenes}
    used = sorted(here & set(answers))
    pairs = sum(len(answers[token]["kinds"]) for token in used)
    unanswered = sum(answers[token]["answers"].count("") for token in used)
    print(
        f"questions: {pairs} on {len(used)} of {len(here)} key frames; "
        + (f"{unanswered} without an answer; " if unanswered else "")
        + f"{len(answers) - len(used)} annotated key frames are not in this data set"
    )
    texts = [
        text
        for token in used
        for pair in zip(answers[token]["questions"], answers[token]["answers"], strict=True)
        for text in pair
    ]
    if outside := [tag for text in texts for tag in qa.outside_image(text)]:
        print(f"{len(outside)} tags are outside of the image, such as {outside[0]}; `validate` names each")


def _remove_leftovers(folder: Path, planned: list[shards.Shard]) -> None:
    """Deletes what a killed build left, and shards of another plan."""
    for path in folder.glob(pipeline.FOLDERS):
        shutil.rmtree(path)
    keep = {name for shard in planned for name in (Path(shard.path).name, records.sidecar(Path(shard.path)).name)}
    for path in folder.glob(f"{records.DATASET}-*.tfrecord-*"):
        if path.name not in keep:
            path.unlink()


def write_metadata(folder: Path, planned: dict[str, list[shards.Shard]]) -> None:
    """Writes dataset_info.json and features.json, which make the folder a tensorflow-datasets data set."""
    import tensorflow_datasets as tfds

    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[shard.frames for shard in group],
            num_bytes=sum(Path(shard.path).stat().st_size for shard in group),
            filename_template=tfds.core.ShardedFileTemplate(
                data_dir=folder,
                dataset_name=records.DATASET,
                filetype_suffix="tfrecord",
                split=split,
                template=template,
            ),
        )
        for split, group in planned.items()
    ]
    tfds.folder_dataset.write_metadata(
        data_dir=str(folder),
        features=features.features(),
        split_infos=infos,
        filename_template=template,
        version=shards.VERSION,
        check_data=False,  # `data_prep.validate` reads all records, without importing TensorFlow
        description="nuScenes key frames with DriveLM questions, for dima_jax (dima_jax/data/features.py).",
    )
