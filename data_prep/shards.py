"""The assignment of scenes to output files (shards), and the writing of one shard.

A shard holds whole scenes, in the order of the split, until it has FRAMES_PER_SHARD key frames; its content depends on
the input alone, never on the number of workers. It is written under a temporary name with its sidecar and renamed when
both are complete, so a file with the final name is complete. A later build keeps a shard whose sidecar has the same
fingerprint of the input and whose records pass their CRCs.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import google_crc32c

from data_prep import qa, scaled_images
from data_prep.key_frames import KeyFrames
from dima_jax.data import features, records
from dima_jax.errors import UserError

FRAMES_PER_SHARD = 200
READ_AT_ONCE = 1 << 24  # bytes
VERSION = "2.0.0"  # of the records; raise it when the same input makes other records


class Shard(NamedTuple):
    """One output file: its path and the tokens of its scenes."""

    path: str
    scenes: tuple[str, ...]
    frames: int


def plan(splits: dict[str, list[dict]], out: Path) -> dict[str, list[Shard]]:
    """The shards of every split (scene rows of nuScenes)."""
    result = {}
    for split, scenes in splits.items():
        groups: list[list[dict]] = [[]]
        for scene in scenes:
            if sum(s["nbr_samples"] for s in groups[-1]) >= FRAMES_PER_SHARD:
                groups.append([])
            groups[-1].append(scene)
        result[split] = [
            Shard(
                str(out / records.shard_name(split, i, len(groups))),
                tuple(scene["token"] for scene in group),
                sum(scene["nbr_samples"] for scene in group),
            )
            for i, group in enumerate(groups)
        ]
    return result


def fingerprint(dataroot: str, version: str, drivelm: str, image_scale: float = 1.0) -> str:
    """Hash of all inputs but the images: tables, CAN bus, maps, questions, schema, version of the records, scale."""
    root = Path(dataroot)
    files = [*(root / version).glob("*.json"), *(root / "can_bus").glob("*.json"), *root.glob("maps/expansion/*.json")]
    crc = google_crc32c.Checksum(f"{VERSION} {version} {features.features()}".encode())
    if image_scale != 1.0:
        crc.update(f"image_scale={image_scale}".encode())
    for path in [*sorted(files), *qa.files(drivelm)]:
        crc.update(path.name.encode())
        with path.open("rb") as file:
            while part := file.read(READ_AT_ONCE):
                crc.update(part)
    return crc.hexdigest().decode()


def is_complete(shard: Shard, mark: str) -> bool:
    """Whether the shard exists, was made from the same input (`mark`: its fingerprint), and passes all CRCs."""
    path = Path(shard.path)
    try:
        content = records.read_sidecar(path)
        with path.open("rb") as file:
            return content["fingerprint"] == mark and all(_passes(file, row) for row in content["records"])
    except (OSError, UserError):
        return False


def _passes(file: BinaryIO, row: dict) -> bool:
    file.seek(row["offset"])
    return records.masked_crc(file.read(row["bytes"])) == row["crc"]


def write(
    shard: Shard,
    opened: Callable[[str], tuple[KeyFrames, dict]],
    mark: str,
    on_frame: Callable[[], None],
    image_scale: float = 1.0,
) -> None:
    """Writes the scenes of a shard.

    opened: of a scene's token its key frames and the questions of its samples (`qa.read`). on_frame: called after every key
    frame. image_scale: 1 keeps the files as they are.
    """

    def frames():
        for token in shard.scenes:
            scene, answers = opened(token)
            for i in range(len(scene)):
                frame = scene.record(i, answers)
                if image_scale != 1.0:
                    frame["cameras"] = scaled_images.scaled(frame["cameras"], image_scale)
                yield frame
                on_frame()

    write_frames(Path(shard.path), frames(), mark, image_scale)


def write_frames(path: Path, frames: Iterable[dict], mark: str, image_scale: float = 1.0) -> None:
    """Writes records of key frames, scene by scene in order, and their sidecar, under temporary names until complete.

    frames: dicts of `data/features.py`; mark: the fingerprint of the input; image_scale: of their images.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    index = temporary.with_name(temporary.name + ".index.json")
    rows = []
    try:
        with open(temporary, "wb") as file:
            for frame in frames:
                payload = features.encode(frame)
                rows.append(
                    {
                        "scene": frame["scene"]["name"],
                        "frame": frame["frame_index"],
                        "length": frame["scene_length"],
                        "sample": frame["sample_token"],
                        "offset": file.tell() + records.HEADER,
                        "bytes": len(payload),
                        "crc": records.masked_crc(payload),
                    }
                )
                file.write(records.framed(payload))
            size = file.tell()
        index.write_text(records.sidecar_text(path, mark, size, rows, image_scale))
        records.sidecar(path).unlink(missing_ok=True)
        os.replace(temporary, path)
        os.replace(index, records.sidecar(path))
    finally:
        for left in (temporary, index):
            left.unlink(missing_ok=True)
