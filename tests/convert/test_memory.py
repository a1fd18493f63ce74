"""No host ever holds a model: converting and loading take less than two of the checkpoint's largest tensor, and a little."""

import json
import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

ROOT = Path(__file__).parents[2]
WIDTH, FFN, LAYERS, VOCAB = 1024, 16384, 4, 8192
LARGEST = WIDTH * FFN * 2  # bytes of one layer's gate, up or down in bfloat16; the stack of its four layers is 4 of it
REST = 64e6  # bytes that the compiler and the allocator take, whatever the model's size
HF = dict(
    hidden_size=WIDTH, intermediate_size=FFN, num_hidden_layers=LAYERS, num_attention_heads=8, vocab_size=VOCAB,
    rms_norm_eps=1e-5,
)  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A sharded checkpoint of 470 MB, a file for each layer."""
    folder = tmp_path_factory.mktemp("llama")
    (folder / "config.json").write_text(json.dumps(HF))
    square = np.ones((WIDTH, WIDTH), ml_dtypes.bfloat16)
    up, down = (np.ones(shape, ml_dtypes.bfloat16) for shape in ((FFN, WIDTH), (WIDTH, FFN)))
    norm, table = np.ones(WIDTH, ml_dtypes.bfloat16), np.ones((VOCAB, WIDTH), ml_dtypes.bfloat16)
    layer = {f"self_attn.{name}_proj": square for name in "qkvo"}
    layer |= {"mlp.gate_proj": up, "mlp.up_proj": up, "mlp.down_proj": down}
    layer |= {"input_layernorm": norm, "post_attention_layernorm": norm}
    for i in range(LAYERS):
        tensors = {f"model.layers.{i}.{name}.weight": value for name, value in layer.items()}
        save_file(tensors, folder / f"model-{i}.safetensors")
    tables = {"model.embed_tokens.weight": table, "lm_head.weight": table, "model.norm.weight": norm}
    save_file(tables, folder / "model-tables.safetensors")
    return folder


def rise(*arguments) -> int:
    command = [sys.executable, "-m", "tests.convert.memory_worker", *map(str, arguments)]
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}  # else the threads' arenas blur what is held
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=environment)
    return int(result.stdout)


def test_converting_and_loading_hold_less_than_two_tensors(source, tmp_path):
    converted = rise("convert", source, tmp_path)
    assert LARGEST < converted < 2 * LARGEST
    loaded = rise("load", tmp_path)
    assert loaded < 2 * LARGEST + REST, f"{loaded / LARGEST:.1f} of the largest tensor"
    print(
        f"\nlargest tensor {LARGEST / 1e6:.0f} MB; converting rose by {converted / 1e6:.0f} MB, loading by {loaded / 1e6:.0f} MB"
    )
