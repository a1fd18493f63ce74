"""TFRecords by index: what is written is read, and every damage is found and named."""

import json
import shutil

import numpy as np
import pytest

from dima_jax.data import features, records
from dima_jax.errors import UserError
from tests import damage


@pytest.fixture
def copy(tiny_records, tmp_path):
    return shutil.copytree(tiny_records, tmp_path / "copy")


def shard(folder, split="train"):
    return folder / records.shard_name(split, 0, 1)


def test_masked_crc_is_tfrecords():
    assert records.masked_crc(b"123456789") == (((0xE3069283 >> 15) | (0xE3069283 << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def test_walk_rebuilds_the_sidecar(tiny_records):
    rows = json.loads(records.sidecar(shard(tiny_records)).read_text())["records"]
    assert [tuple(place) for place in records.walk(shard(tiny_records))] == [
        (row["offset"], row["bytes"], row["crc"]) for row in rows
    ]


def test_tensorflow_datasets_reads_the_same_bytes(tiny_records):
    import tensorflow_datasets as tfds

    source = tfds.builder_from_directory(str(tiny_records)).as_dataset(split="train", shuffle_files=False)
    reader = records.Records(tiny_records, "train")
    for i, theirs in enumerate(source.take(3).as_numpy_iterator()):
        ours = features.decode(reader.read(i))
        assert theirs["sample_token"].decode() == ours["sample_token"] == reader.samples[i]
        np.testing.assert_array_equal(theirs["ego2global"], ours["ego2global"])
        np.testing.assert_array_equal(theirs["agents"]["boxes"], ours["agents"]["boxes"])
        assert list(theirs["cameras"]["images"]) == ours["cameras"]["images"]
        assert theirs["timestamp"] == ours["timestamp"]


def test_encode_is_the_inverse_of_decode(tiny_records):
    payload = records.Records(tiny_records, "val").read(4)
    assert features.encode(features.decode(payload)) == payload


def test_some_fields_are_those_of_the_whole_record(tiny_records):
    payload = records.Records(tiny_records, "val").read(4)
    part, whole = features.decode(payload, ("frame_index", "scene", "agents")), features.decode(payload)
    assert set(part) == {"frame_index", "scene", "agents"} and part["scene"] == whole["scene"]
    assert part["agents"]["instances"] == whole["agents"]["instances"] and part["frame_index"] == 4
    np.testing.assert_array_equal(part["agents"]["boxes"], whole["agents"]["boxes"])
    assert set(features.decode(payload, ("qa",))["qa"]) == {"kinds", "questions", "answers"}


def test_the_data_hash_is_that_of_what_is_read(copy):
    before = records.Records(copy, "train").data_hash
    assert len(before) == 16 and records.Records(copy, "train").data_hash == before
    path = shard(copy)
    content = records.read_sidecar(path)
    records.sidecar(path).write_text(records.sidecar_text(path, "other", content["bytes"], content["records"]))
    assert records.Records(copy, "train").data_hash != before


def test_a_flipped_bit_is_named(copy):
    reader = records.Records(copy, "train")
    with open(shard(copy), "r+b") as file:
        place = records.walk(shard(copy))[2]
        file.seek(place.offset + 1000)
        byte = file.read(1)[0]
        file.seek(place.offset + 1000)
        file.write(bytes([byte ^ 1]))
    reader.read(1)
    with pytest.raises(
        UserError, match=r"train\.tfrecord-00000-of-00001: corrupt record of scene-0061, sample smp_0010"
    ):
        reader.read(2)


def test_a_cut_file_is_named(copy):
    reader = records.Records(copy, "train")
    with open(shard(copy), "r+b") as file:
        file.truncate(shard(copy).stat().st_size - 100)
    with pytest.raises(UserError, match="truncated record of scene-0061"):
        reader.read(len(reader) - 1)
    with pytest.raises(UserError, match=r"00000-of-00001: truncated, \d+ of \d+ bytes"):
        records.Records(copy, "train")
    with pytest.raises(UserError, match="truncated record at byte"):
        records.walk(shard(copy))


def test_missing_things_name_the_remedy(copy, tmp_path):
    with pytest.raises(UserError, match=r"no records; make them with .*data_prep\.build"):
        records.Records(tmp_path, "train")
    with pytest.raises(UserError, match=r"no split 'test', it has \['train', 'val'\]"):
        records.Records(copy, "test")
    for text in ("{", "[]", "[" * 100_000, '{"bytes": 1}'):
        records.sidecar(shard(copy)).write_text(text)
        with pytest.raises(UserError, match="damaged sidecar"):
            records.Records(copy, "train")
    records.sidecar(shard(copy)).write_bytes(b"\xff")
    with pytest.raises(UserError, match="damaged sidecar"):
        records.Records(copy, "train")
    records.sidecar(shard(copy)).unlink()
    with pytest.raises(UserError, match="missing sidecar"):
        records.Records(copy, "train")
    shard(copy, "val").rename(copy / records.shard_name("val", 0, 2))
    with pytest.raises(UserError, match="has 1 of 2 shards"):
        records.Records(copy, "val")


def test_a_sidecar_of_another_shard_or_build_is_refused(copy):
    other = json.loads(records.sidecar(shard(copy, "val")).read_text())
    records.sidecar(shard(copy)).write_text(json.dumps(other))
    with pytest.raises(UserError, match="damaged sidecar"):
        records.Records(copy, "train")
    path = shard(copy)
    path.write_bytes(records.framed(b"one record"))
    row = {"scene": "a", "frame": 0, "length": 1, "sample": "b", "offset": records.HEADER, "bytes": 10, "crc": 0}
    records.sidecar(path).write_text(records.sidecar_text(path, "mark", path.stat().st_size, [row]))
    with pytest.raises(UserError, match=r"dataset_info\.json: .* train hold \[11\] records, their sidecars \[1\]"):
        records.Records(copy, "train")


@pytest.mark.parametrize(
    "change", [{"offset": 2**60}, {"offset": -5}, {"bytes": 2**60}, {"bytes": -1}, {"bytes": None}]
)
def test_places_outside_the_shard_are_refused(copy, change):
    path = shard(copy)
    content = records.read_sidecar(path)
    content["records"][3].update(change)
    rows = [content["fingerprint"], content["bytes"], content["records"]]
    records.sidecar(path).write_text(records.sidecar_text(path, *rows))
    with pytest.raises(UserError, match="damaged sidecar"):
        records.Records(copy, "train")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"splits": [{"name": "train", "shardLengths": "x"}]}'])
def test_a_damaged_dataset_info_is_named(copy, text):
    (copy / records.INFO).write_text(text)
    with pytest.raises(UserError, match=r"dataset_info\.json: damaged .* run `python -m data_prep\.build` again"):
        records.Records(copy, "train")
    (copy / records.INFO).unlink()
    with pytest.raises(UserError, match=r"dataset_info\.json: missing; run"):
        records.Records(copy, "train")


@pytest.mark.parametrize("part", ["sidecar", "shard"])
def test_damaged_files_are_refused_or_read_as_they_were(copy, part):
    path = shard(copy) if part == "shard" else records.sidecar(shard(copy))
    whole = records.Records(copy, "train")
    rows = [(whole.scenes[i], whole.frames[i], whole.samples[i], whole.read(i)) for i in range(len(whole))]

    def read(content: bytes) -> bool:
        path.write_bytes(content)
        found = records.Records(copy, "train")
        return rows == [(found.scenes[i], found.frames[i], found.samples[i], found.read(i)) for i in range(len(found))]

    assert damage.survey(path.read_bytes(), read, 150, seed=3)["refused"] > 100


@pytest.mark.parametrize("payload", [b"", b"no protobuf", bytes(100)])
def test_a_record_of_another_kind_is_named(payload):
    reader = records.Records.__new__(records.Records)
    reader.folder, reader.scenes, reader.samples = "records", ["scene-0061"], ["smp_0008"]
    reader.read = lambda i: payload
    with pytest.raises(UserError, match=r"records: scene-0061, sample smp_0008 is no record of this version") as raised:
        reader.decode(0)
    assert len(str(raised.value).splitlines()) == 1
