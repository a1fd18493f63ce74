"""TFRecord files by random access.

A record in the file is `length (8 bytes), CRC of it, payload, CRC of it`; the CRCs are Castagnoli's, masked. Beside each
shard lies a sidecar, `<shard>.index.json`, with what is in it:

    {"shard": name, "bytes": size of the shard, "records": [{"scene", "frame", "length" (key frames of the scene),
     "sample" (token), "offset", "bytes", "crc"}, ...], "fingerprint": of the input, "crc": of all the above}

Images that were scaled for training have "image_scale" beside them, a number; without it they are as recorded.

`Records` reads any record of a split with one `pread` and checks its CRC, so every damage is found and named; how many
records each shard has is compared with `dataset_info.json`, which tensorflow-datasets reads as well. The index part of a
sidecar can be rebuilt from the shard alone: `walk`.
"""

import hashlib
import json
import os
import struct
import threading
from pathlib import Path
from typing import NamedTuple

import google_crc32c

from dima_jax.data import features
from dima_jax.errors import UserError
from dima_jax.output_files import json_text

HEADER, FOOTER = 12, 4
DATASET = "nuscenes"
INFO = "dataset_info.json"
LONGEST_DETAIL = 300  # characters of a library's message


class Place(NamedTuple):
    """Where a payload lies in a shard: offset of its first byte, size, masked CRC."""

    offset: int
    bytes: int
    crc: int


def masked_crc(data: bytes) -> int:
    """TFRecord's CRC-32C of data."""
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def framed(payload: bytes) -> bytes:
    """The payload as it stands in a TFRecord file."""
    length = struct.pack("<Q", len(payload))
    return b"".join((length, struct.pack("<I", masked_crc(length)), payload, struct.pack("<I", masked_crc(payload))))


def walk(path: Path) -> list[Place]:
    """The places of all records of a shard, from the headers alone. Raises UserError where the file is damaged."""
    places, size = [], path.stat().st_size
    with open(path, "rb") as file:
        while file.tell() < size:
            header = file.read(HEADER)
            length = struct.unpack("<Q", header[:8])[0] if len(header) == HEADER else 0
            start = file.tell()
            if len(header) < HEADER or struct.unpack("<I", header[8:])[0] != masked_crc(header[:8]):
                raise UserError(f"{path}: damaged record header at byte {start - len(header)}; {REBUILD}")
            file.seek(length, os.SEEK_CUR)
            footer = file.read(FOOTER)
            if len(footer) < FOOTER:
                raise UserError(f"{path}: truncated record at byte {start}; {REBUILD}")
            places.append(Place(start, length, struct.unpack("<I", footer)[0]))
    return places


REBUILD = "delete the file and run `python -m data_prep.build` again, it rebuilds only what is missing"


def sidecar(path: Path) -> Path:
    """The sidecar of a shard."""
    return path.with_name(path.name + ".index.json")


def sidecar_text(path: Path, fingerprint: str, size: int, rows: list[dict], image_scale: float = 1.0) -> str:
    """The sidecar of a shard of `size` bytes, with its checksum; rows: as in the module's text, in order."""
    content = {"shard": path.name, "fingerprint": fingerprint, "bytes": size, "records": rows}
    content |= {"image_scale": image_scale} if image_scale != 1.0 else {}
    return json_text(content | {"crc": _content_crc(content)}, sort_keys=True)


def read_sidecar(path: Path) -> dict:
    """The sidecar of the shard `path`, its "crc" and, 1 by default, "image_scale" included.

    Raises UserError unless it is whole and fits the shard.
    """
    index = sidecar(path)
    if not index.is_file():
        raise UserError(f"{index}: missing sidecar; {REBUILD}")
    try:
        content = json.loads(index.read_text())
        crc = content.pop("crc")
        if crc != _content_crc(content) or content["shard"] != path.name:
            raise ValueError("its checksum or its name differs")
        end = 0
        for row in content["records"]:
            if row["offset"] != end + HEADER or row["bytes"] < 0:
                raise ValueError("its records do not follow each other")
            end = row["offset"] + row["bytes"] + FOOTER
        if end != content["bytes"]:
            raise ValueError("its records do not fill the shard")
        scale = float(content.get("image_scale", 1.0))
        content |= {"crc": crc, "fingerprint": content["fingerprint"], "image_scale": scale}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        detail = f"no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{index}: damaged sidecar, or of another version ({detail}); {REBUILD}") from None
    if path.stat().st_size != content["bytes"]:
        raise UserError(f"{path}: truncated, {path.stat().st_size} of {content['bytes']} bytes; {REBUILD}")
    return content


def _content_crc(content: dict) -> int:
    return masked_crc(json_text(content, sort_keys=True).encode())


def shard_lengths(folder: Path) -> dict[str, list[int]]:
    """{split: number of records of each shard} by dataset_info.json. Raises UserError when it is missing or damaged."""
    path = folder / INFO
    try:
        splits = json.loads(path.read_text())["splits"]
        return {split["name"]: [int(length) for length in split["shardLengths"]] for split in splits}
    except FileNotFoundError:
        raise UserError(
            f"{path}: missing; run `python -m data_prep.build` again, it writes only what is missing"
        ) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({error}); run `python -m data_prep.build` again") from None


def shard_name(split: str, shard: int, num_shards: int) -> str:
    """File name of a shard, as tensorflow-datasets writes it."""
    return f"{DATASET}-{split}.tfrecord-{shard:05d}-of-{num_shards:05d}"


class Records:
    """All records of one split, in order: scene by scene, frame by frame.

    scenes, frames, lengths: for each record its scene's name, its place in the scene, the scene's number of key frames.
    shards: names of the files. image_scale: of the stored images, 1 = as recorded. data_hash: 16 hexadecimal digits that
    change with anything in them.
    Raises UserError when the folder, the split, a shard, a sidecar or dataset_info.json is missing, damaged, or not of the
    same build.
    """

    def __init__(self, folder: str | Path, split: str):
        self.folder, self.split = Path(folder), split
        paths = _shards(self.folder, split)
        self._files: dict[Path, int] = {}
        self._lock = threading.Lock()
        self._places: list[tuple[Path, Place]] = []
        self.scenes, self.frames, self.lengths, self.samples = [], [], [], []
        expected = shard_lengths(self.folder).get(split)
        sidecars = [read_sidecar(path) for path in paths]
        found = [content["records"] for content in sidecars]
        self.shards = [path.name for path in paths]
        lines = [f"{sidecar(path).name} {c['fingerprint']} {c['crc']}" for path, c in zip(paths, sidecars, strict=True)]
        self.data_hash = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]
        self.image_scale, *others = dict.fromkeys(content["image_scale"] for content in sidecars)
        if others:
            raise UserError(
                f"{self.folder}: split {split!r} has shards with images at scale {self.image_scale} and {others[0]}; build "
                "the records again, into an empty folder"
            )
        if expected != [len(rows) for rows in found]:
            raise UserError(
                f"{self.folder / INFO}: says that the shards of {split} hold {expected} records, their sidecars "
                f"{[len(rows) for rows in found]}; run `python -m data_prep.build` again"
            )
        for path, rows in zip(paths, found, strict=True):
            for row in rows:
                self._places.append((path, Place(row["offset"], row["bytes"], row["crc"])))
                self.scenes.append(row["scene"])
                self.frames.append(row["frame"])
                self.lengths.append(row["length"])
                self.samples.append(row["sample"])

    def __len__(self) -> int:
        return len(self._places)

    def read(self, i: int) -> bytes:
        """The payload of record i. Raises UserError when the file is shorter than it should be or the CRC differs."""
        path, place = self._places[i]
        payload = os.pread(self._open(path), place.bytes, place.offset)
        if len(payload) < place.bytes or masked_crc(payload) != place.crc:
            problem = "truncated" if len(payload) < place.bytes else "corrupt"
            raise UserError(f"{path}: {problem} record of {self.scenes[i]}, sample {self.samples[i]}; {REBUILD}")
        return payload

    def decode(self, i: int, fields: tuple[str, ...] = ()) -> dict:
        """Record i, or some fields of it, by `features.decode`. Raises UserError for one that is damaged or of another version."""
        payload = self.read(i)
        try:
            return features.decode(payload, fields)
        except Exception as error:  # protobuf and tensorflow-datasets raise kinds of their own
            where = f"{self.folder}: {self.scenes[i]}, sample {self.samples[i]}"
            detail = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_DETAIL]
            raise UserError(f"{where} is no record of this version ({detail}); {REBUILD}") from None

    def _open(self, path: Path) -> int:
        with self._lock:
            if path not in self._files:
                self._files[path] = os.open(path, os.O_RDONLY)
            return self._files[path]

    def __del__(self):
        for file in getattr(self, "_files", {}).values():
            os.close(file)


def _shards(folder: Path, split: str) -> list[Path]:
    found = sorted(folder.glob(f"{DATASET}-*.tfrecord-*-of-*[0-9]"))
    if not found:
        raise UserError(
            f"{folder}: no records; make them with `python -m data_prep.build --dataroot=... --out={folder}` "
            "(`make demo` needs no data: it makes its own)"
        )
    mine = [path for path in found if path.name.startswith(f"{DATASET}-{split}.tfrecord-")]
    if not mine:
        have = sorted({path.name.split("-", 1)[1].split(".tfrecord")[0] for path in found})
        raise UserError(f"{folder}: no split {split!r}, it has {have}; set config.data.train_split and val_split")
    expected = int(mine[0].name.rsplit("-", 1)[1])
    if [path.name for path in mine] != [shard_name(split, i, expected) for i in range(expected)]:
        raise UserError(
            f"{folder}: split {split!r} has {len(mine)} of {expected} shards; run `python -m data_prep.build` again"
        )
    return mine
