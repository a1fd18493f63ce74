"""`convert llama` as a whole: logits against transformers in every format, tied heads, what OUT may be, failures."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models

from dima_jax.convert.llama_command import convert_llama
from dima_jax.errors import UserError
from tests import torch_writer
from tests.convert.llama_files import HF, checkpoint, logits, write_gguf
from tests.golden import runner

GOLDEN = runner.DATA / "llama" / "dev"
TYPES = {"llava": "llava", "llava new": "llava_next", "liuhaotian": "llava_llama"}


@pytest.fixture(scope="module")
def golden():
    """{file: (config.json, {key: weight}, inputs and logits of transformers' LlamaForCausalLM)}"""
    found = {}
    for path in GOLDEN.glob("*.npz"):
        d = dict(np.load(path))
        weights = {key[3:]: value for key, value in d.items() if key.startswith("sd/")}
        found[path.stem] = {"model_type": "llama", **json.loads(str(d["config_json"]))}, weights, d
    return found


def vision(*prefixes):
    return {f"{prefix}.weight": np.zeros((2, 2), np.float32) for prefix in prefixes}


def write(form, path, config, weights):
    """A checkpoint in one of the forms that people have; its folder, or its GGUF file."""
    if form == "gguf":
        return write_gguf(path.with_suffix(".gguf"), weights, config=config)
    path.mkdir()
    if form in ("llava", "llava new"):
        decoder, head = (
            ("language_model.model.", "language_model.") if form == "llava" else ("model.language_model.", "")
        )
        weights = {
            key.replace("model.", decoder, 1) if key.startswith("model.") else f"{head}{key}": value
            for key, value in weights.items()
        }
        outer = "" if form == "llava" else "model."
        weights |= vision(f"{outer}vision_tower.vision_model.post_layernorm", f"{outer}multi_modal_projector.linear_1")
        weights[f"{outer}image_newline"] = np.zeros(2, np.float32)
        config = {"text_config": config}
    elif form == "liuhaotian":
        weights = weights | vision(
            "model.mm_projector.0", "model.vision_tower.vision_tower.vision_model.post_layernorm"
        )
    (path / "config.json").write_text(json.dumps({**config, "model_type": TYPES.get(form, "llama")}))
    if form == "one file":
        save_file(weights, path / "model.safetensors")
        return path
    suffix, stem = ("bin", "pytorch_model") if form == "bin" else ("safetensors", "model")
    names, keys = [f"{stem}-0000{i}-of-00002.{suffix}" for i in (1, 2)], sorted(weights)
    for i, name in enumerate(names):
        part = {key: weights[key] for key in keys[i::2]}
        torch_writer.write(path / name, part) if form == "bin" else save_file(part, path / name)
    index = {"weight_map": {key: names[i % 2] for i, key in enumerate(keys)}}
    (path / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
    save_file({"layers.0.attention.wq.weight": np.ones((2, 2), np.float32)}, path / "consolidated.safetensors")
    return path


@pytest.mark.parametrize("form", ["one file", "llava", "llava new", "liuhaotian", "bin", "gguf"])
def test_logits_are_those_of_transformers(golden, tmp_path, form):
    config, weights, d = golden["gqa_theta"]
    sizes = convert_llama(write(form, tmp_path / "source", config, weights), tmp_path / "out", "float32")
    real = d["attention_mask"] == 1
    ours = logits(tmp_path / "out", sizes, d["input_ids"])
    np.testing.assert_allclose(ours[real], d["logits"][real], atol=1e-4)


def test_logits_with_the_scaling_of_llama_3(golden, tmp_path):
    config, weights, d = golden["llama3_rope"]
    sizes = convert_llama(write("one file", tmp_path / "source", config, weights), tmp_path / "out", "float32")
    real = d["attention_mask"] == 1
    np.testing.assert_allclose(logits(tmp_path / "out", sizes, d["input_ids"])[real], d["logits"][real], atol=1e-4)
    plain = {name: value for name, value in sizes.items() if name != "rope_scaling"}
    assert np.abs(logits(tmp_path / "out", plain, d["input_ids"])[real] - d["logits"][real]).max() > 0.1


@pytest.fixture
def source(tmp_path):
    return write("one file", tmp_path / "source", HF, checkpoint())


def rewrite(source, weights, **config):
    save_file(weights, source / "model.safetensors")
    (source / "config.json").write_text(json.dumps({**HF, **config}))


def test_a_tied_model_may_have_its_head_in_the_file(source, tmp_path):
    table = checkpoint()["model.embed_tokens.weight"]
    rewrite(source, checkpoint() | {"lm_head.weight": table.copy()}, tie_word_embeddings=True)
    assert convert_llama(source, tmp_path / "out", "float32")["tied"]
    table[19, 15] += 1
    rewrite(source, checkpoint() | {"lm_head.weight": table}, tie_word_embeddings=True)
    with pytest.raises(UserError, match=r"lm_head\.weight is not model\.embed_tokens\.weight; .*tie_word_embeddings"):
        convert_llama(source, tmp_path / "out", "float32")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_by_key(source, tmp_path, value):
    weights = checkpoint()
    weights["model.layers.1.mlp.up_proj.weight"][23, 15] = value
    rewrite(source, weights)
    with pytest.raises(UserError, match=r"model\.layers\.1\.mlp\.up_proj\.weight"):
        convert_llama(source, tmp_path / "out", "float32")
    assert not (tmp_path / "out").exists()


def test_nothing_of_an_earlier_conversion_stays(source, tmp_path):
    out = tmp_path / "out"
    Tokenizer(models.BPE({"a": 0}, [])).save(str(source / "tokenizer.json"))
    (source / "tokenizer_config.json").write_text('{"eos_token": "a"}')
    convert_llama(source, out, "float32")
    assert (out / "tokenizer.json").exists() and (out / "tokenizer_config.json").exists()
    (source / "tokenizer.json").unlink()
    weights = checkpoint()
    del weights["lm_head.weight"]
    rewrite(source, weights, tie_word_embeddings=True)
    convert_llama(source, out, "float32")
    assert not {"head.table.bin", "tokenizer.json", "tokenizer_config.json"} & {file.name for file in out.iterdir()}


def test_an_output_folder_with_other_things_is_refused(source, tmp_path):
    with pytest.raises(UserError, match="is --source"):
        convert_llama(source, source.parent / "x" / ".." / "source", "float32")
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years")
    with pytest.raises(UserError, match=r"out: holds thesis\.tex"):
        convert_llama(source, out, "float32")
    with pytest.raises(UserError, match="is a file"):
        convert_llama(source, out / "thesis.tex", "float32")
    assert (out / "thesis.tex").read_text() == "years"


def test_layers_are_held_against_the_tensors(source, tmp_path):
    rewrite(source, checkpoint(), num_hidden_layers=10**12)
    with pytest.raises(UserError, match=re.escape("1000000000000 layers")):
        convert_llama(source, tmp_path / "out", "float32")


def test_a_disk_that_is_full_leaves_nothing(source, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "x.bin")

    monkeypatch.setattr("dima_jax.convert.llm_folder.Writer.write", full)
    with pytest.raises(UserError, match=r"x\.bin: No space left on device"):
        convert_llama(source, tmp_path / "out", "float32")
    assert not (tmp_path / "out").exists()
