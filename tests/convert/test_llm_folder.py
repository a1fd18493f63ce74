"""The LLM's folder on disk: shards, dtypes, and folders that do not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax.convert import llm_folder
from dima_jax.convert.llama_command import convert_llama
from dima_jax.convert.rules import Target
from dima_jax.errors import UserError
from tests.convert.llama_files import build, checkpoint, load


def test_shards_and_bfloat16(llava, tmp_path):
    """Each of eight devices reads its own part; norms stay float32."""
    sizes = convert_llama(llava, tmp_path / "out", "bfloat16")
    _, abstract = build(sizes, "bfloat16")
    mesh = jax.make_mesh((8,), ("fsdp",))
    spec = {path: jax.P(None, "fsdp") if "kernel" in path else jax.P() for path in abstract}
    shardings = {path: jax.sharding.NamedSharding(mesh, spec[path]) for path in abstract}
    params = llm_folder.load(tmp_path / "out", abstract, shardings)
    gate = params["layers/gate/kernel"]
    assert gate.dtype == jnp.bfloat16 and gate.addressable_shards[0].data.shape == (3, 2, 24)
    source = np.stack([checkpoint()[f"model.layers.{i}.mlp.gate_proj.weight"].T for i in range(3)])
    np.testing.assert_array_equal(gate, source.astype(jnp.bfloat16))
    assert params["norm/scale"].dtype == jnp.float32


@pytest.mark.parametrize("block", [1, 7, 2**22])
def test_tensors_are_written_block_by_block(llava, tmp_path, monkeypatch, block):
    """Transposed views and layers land in place whatever the block's size."""
    monkeypatch.setattr(llm_folder, "BLOCK", block)
    sizes = convert_llama(llava, tmp_path / "out", "float32")
    params = load(tmp_path / "out", build(sizes)[1])
    for i in range(3):
        down = checkpoint()[f"model.layers.{i}.mlp.down_proj.weight"].T
        np.testing.assert_array_equal(params["layers/down/kernel"][i], down)


def test_a_folder_of_another_size_is_refused(llava, tmp_path):
    sizes = convert_llama(llava, tmp_path / "out", "float32")
    with pytest.raises(UserError, match=r"embed/table does not fit .* vocab=20"):
        load(tmp_path / "out", {"embed/table": jax.ShapeDtypeStruct((21, 16), jnp.float32)})
    with pytest.raises(UserError, match="head/table has no weight"):
        load(tmp_path / "out", build({**sizes, "tied": True})[1])
    file = tmp_path / "out" / "norm.scale.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"norm\.scale\.bin: missing or cut short"):
        load(tmp_path / "out", build(sizes)[1])


def test_a_conversion_that_was_stopped_is_refused(llava, tmp_path):
    sizes = convert_llama(llava, tmp_path / "out", "float32")
    writer = llm_folder.Writer(tmp_path / "out", sizes, "float32")
    writer.write(Target("norm/scale", None), np.ones(16, np.float32))
    with pytest.raises(UserError, match="convert llama"):
        load(tmp_path / "out", build(sizes)[1])


def test_a_config_of_another_model_is_refused_where_shapes_fit(tmp_path):
    """The number of heads, the rotary base and its scaling change what is computed, and no shape."""
    sizes = dict(layers=1, width=8, heads=2, kv_heads=2, ffn_width=8, vocab=4, rope_theta=1e4, rms_eps=1e-5, tied=True)
    sizes["rope_scaling"] = (8.0, 1.0, 4.0, 8192.0)
    llm_folder.Writer(tmp_path, sizes, "float32", window=4096).close()
    config = sizes | {"dtype": "float32", "remat": True}
    llm_folder.check_config(tmp_path, config, 4096)
    changes = {"heads": 4, "rope_theta": 5e5, "rms_eps": 1e-6, "rope_scaling": None, "kv_heads": 1, "tied": False}
    for key, value in changes.items():
        with pytest.raises(UserError, match=rf"config\.teacher\.llm\.{key}={value} does not fit .* needs layers=1, "):
            llm_folder.check_config(tmp_path, config | {key: value}, 4096)
    with pytest.raises(UserError, match="looks back 4096 positions"):
        llm_folder.check_config(tmp_path, config, 4097)


def test_a_damaged_index_is_refused(tmp_path):
    for text in ("<html>", "[]", "{}", '{"shapes": {"norm/scale": ["x"]}, "dtype": "float32", "sizes": {}}'):
        (tmp_path / "llm.json").write_text(text)
        with pytest.raises(UserError, match=r"llm\.json: is damaged"):
            llm_folder.read_index(tmp_path)


def test_only_a_conversion_is_replaced(tmp_path):
    sizes = dict(layers=1, width=8, heads=2, kv_heads=2, ffn_width=8, vocab=4, tied=False)
    llm_folder.Writer(tmp_path / "out", sizes, "float32").close()
    (tmp_path / "out" / "tokenizer.json").write_text("{}")
    llm_folder.check_out(tmp_path / "out")
    llm_folder.clear(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    llm_folder.check_out(tmp_path / "out")
    (tmp_path / "pytorch_model.bin").write_text("weights")
    with pytest.raises(UserError, match=r"holds pytorch_model\.bin"):
        llm_folder.check_out(tmp_path)
