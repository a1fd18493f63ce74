"""Which files of a folder are the model's: the index's, safetensors before .bin, nothing else."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from dima_jax.convert import hf_weights
from dima_jax.errors import UserError
from tests import torch_writer

ONE, TWO = {"a": np.float32([1, 2])}, {"b": np.float32([[3], [4]])}


def write(folder, name, tensors):
    (save_file if name.endswith("safetensors") else write_bin)(tensors, folder / name)


def write_bin(tensors, path):
    torch_writer.write(path, tensors)


def write_index(folder, keys, suffix="safetensors"):
    stem = {"safetensors": "model", "bin": "pytorch_model"}[suffix]
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"weight_map": keys}))


def read(folder):
    return {key: stored.read().tolist() for key, stored in hf_weights.index(folder).items()}


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_the_files_that_the_index_names(tmp_path, suffix):
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    write(tmp_path, f"{stem}-00001-of-00002.{suffix}", ONE)
    write(tmp_path, f"{stem}-00002-of-00002.{suffix}", TWO)
    write(tmp_path, f"consolidated.{suffix}", {"a": np.float32([9, 9])})
    write(tmp_path, f"mm_projector.{suffix}", {"model.mm_projector.weight": np.float32([9])})
    write_index(tmp_path, {"a": f"{stem}-00001-of-00002.{suffix}", "b": f"{stem}-00002-of-00002.{suffix}"}, suffix)
    assert read(tmp_path) == {"a": [1, 2], "b": [[3], [4]]}
    assert hf_weights.index(tmp_path)["b"].shape == (2, 1)


def test_safetensors_come_before_bin(tmp_path):
    write(tmp_path, "pytorch_model.bin", {"a": np.float32([9, 9])})
    assert read(tmp_path) == {"a": [9, 9]}
    write(tmp_path, "model.safetensors", ONE)
    assert read(tmp_path) == {"a": [1, 2]}


def test_a_key_of_two_shards_is_read_where_the_index_says(tmp_path):
    write(tmp_path, "model-1.safetensors", ONE)
    write(tmp_path, "model-2.safetensors", {**TWO, "a": np.float32([9, 9])})
    write_index(tmp_path, {"a": "model-1.safetensors", "b": "model-2.safetensors"})
    assert read(tmp_path)["a"] == [1, 2]


def test_shards_without_an_index_must_be_complete(tmp_path):
    write(tmp_path, "model-00001-of-00003.safetensors", ONE)
    write(tmp_path, "model-00003-of-00003.safetensors", TWO)
    with pytest.raises(UserError, match="shard 2 of 3 is missing"):
        hf_weights.index(tmp_path)
    write(tmp_path, "model-00002-of-00003.safetensors", {"c": np.float32([5])})
    assert read(tmp_path).keys() == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"a": "gone.safetensors"}, "a is in gone.safetensors, which is not there"),
        ({"a": "../model.safetensors"}, "not the name of a .safetensors file beside it"),
        ({"a": 7}, "not the name"),
        ({"a": "model.safetensors", "z": "model.safetensors"}, r"model\.safetensors: has no z"),
        ({}, "weight_map"),
        ([], "weight_map"),
    ],
)
def test_a_wrong_index_is_refused(tmp_path, keys, message):
    write(tmp_path, "model.safetensors", ONE)
    write_index(tmp_path, keys)
    with pytest.raises(UserError, match=message):
        hf_weights.index(tmp_path)


def test_a_damaged_index_is_refused(tmp_path):
    for text in ("<html>", "[" * 100_000, "null", '{"weight_map": 1}'):
        (tmp_path / "model.safetensors.index.json").write_text(text)
        with pytest.raises(UserError, match=r"index\.json: "):
            hf_weights.index(tmp_path)


def test_an_adapter_alone_is_named(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(UserError, match="merge it into its base model"):
        hf_weights.index(tmp_path)
