"""nuScenes and DriveLM to TFRecords: the same command for the real data set and for the mini world.

    python -m data_prep.build --dataroot=DIR --version=v1.0-trainval [--drivelm=FILE] --out=DIR [--workers=N]

DIR is a nuScenes root with its CAN bus expansion (`can_bus/`) and map expansion v1.3 (`maps/expansion/`). Splits are
nuScenes' own, or those of `<version>/splits.json`. A build that was stopped goes on where it was; the same input gives
the same bytes for any number of workers. The result opens with `tfds.builder_from_directory(DIR)`.
"""

import logging
import os
from pathlib import Path

import absl.logging
from absl import flags

from data_prep import shards
from dima_jax import cli
from dima_jax.data import features, records


def build(dataroot: str, version: str, drivelm: str, out: str, workers: int) -> dict[str, list[shards.Shard]]:
    """Writes what is missing below `out` and returns the shards of each split. Raises UserError on bad input."""
    folder = Path(out)
    root, answers = shards.opened(dataroot, version), shards.questions(drivelm)
    folder.mkdir(parents=True, exist_ok=True)
    planned = shards.plan(root.splits(), folder)
    mark = shards.fingerprint(dataroot, version, drivelm)
    every = [shard for group in planned.values() for shard in group]
    missing = [shard for shard in every if not shards.is_complete(shard, mark)]
    _remove_leftovers(folder, every)
    print(f"{dataroot} {version}: {_summary(planned)}; {len(every) - len(missing)} of {len(every)} shards are there")
    _report_questions(root, planned, answers)
    if missing:
        logging.getLogger().setLevel(logging.ERROR)  # importing Beam warns of Google libraries nobody uses
        from data_prep import pipeline

        pipeline.run(missing, pipeline.WriteShard(dataroot, version, drivelm, mark), workers)
    write_metadata(folder, planned)
    print(f"records in {folder}: check them with `python -m data_prep.validate --data={folder}`")
    return planned


def _summary(planned: dict[str, list[shards.Shard]]) -> str:
    return ", ".join(
        f"{split} {sum(len(s.scenes) for s in group)} scenes {sum(s.frames for s in group)} key frames"
        for split, group in planned.items()
    )


def _report_questions(root, planned: dict, answers: dict) -> None:
    """DriveLM covers part of the key frames and, on a smaller root, more than there are: both are said."""
    scenes = {token for group in planned.values() for shard in group for token in shard.scenes}
    here = {sample["token"] for sample in root.tables.sample if sample["scene_token"] in scenes}
    used = here & set(answers)
    pairs = sum(len(answers[token]["kinds"]) for token in used)
    print(
        f"questions: {pairs} on {len(used)} of {len(here)} key frames; "
        f"{len(answers) - len(used)} annotated key frames are not in this data set"
    )


def _remove_leftovers(folder: Path, planned: list[shards.Shard]) -> None:
    """Temporary files of a build that was killed, and shards of another plan."""
    keep = {name for shard in planned for name in (Path(shard.path).name, records.sidecar(Path(shard.path)).name)}
    for path in folder.glob(f"{records.DATASET}-*.tfrecord-*"):
        if path.name not in keep:
            path.unlink()


def write_metadata(folder: Path, planned: dict[str, list[shards.Shard]]) -> None:
    """dataset_info.json and features.json, which make the folder a tensorflow-datasets data set."""
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
        check_data=False,  # `data_prep.validate` reads everything, and without importing TensorFlow
        description="nuScenes key frames with DriveLM questions, for dima_jax (dima_jax/data/features.py).",
    )


def main() -> None:
    absl.logging.set_verbosity(absl.logging.ERROR)  # of tensorflow-datasets
    build(_DATAROOT.value, _VERSION.value, _DRIVELM.value, _OUT.value, _WORKERS.value)


if __name__ == "__main__":  # flags belong to the command: several commands may be imported side by side
    _DATAROOT = flags.DEFINE_string(
        "dataroot", None, "nuScenes root: the folder of samples/, maps/, can_bus/", required=True
    )
    _VERSION = flags.DEFINE_string("version", "v1.0-trainval", "folder of the tables below the root")
    _DRIVELM = flags.DEFINE_string(
        "drivelm", "", "DriveLM question file; none = questions are made by rule when training"
    )
    _OUT = flags.DEFINE_string("out", None, "folder for the records", required=True)
    _WORKERS = flags.DEFINE_integer("workers", os.cpu_count(), "threads", lower_bound=1)
    cli.run(main)
