"""Fixtures of the converters' tests."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.convert.llama_files import HF, checkpoint
from tests.golden.recipe_student import abstract, vad_weights
from tests.mini import mini_config


@pytest.fixture
def llava(tmp_path):
    """A folder of two safetensors files with the language half under LLaVA's prefix, and a vision half to ignore."""
    folder = tmp_path / "llava"
    folder.mkdir()
    tensors = {f"language_model.{key}": value for key, value in checkpoint().items()}
    keys = sorted(tensors)
    save_file({key: tensors[key] for key in keys[::2]}, folder / "model-00001-of-00002.safetensors")
    second = {key: tensors[key] for key in keys[1::2]}
    second["vision_tower.vision_model.embeddings.class_embedding"] = np.zeros(4, np.float32)
    second["multi_modal_projector.linear_1.weight"] = np.zeros((2, 2), np.float32)
    save_file(second, folder / "model-00002-of-00002.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "llava", "text_config": HF}))
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def config():
    config = mini_config()
    config.student.update(out_stages=(0, 1), extra_levels=1)
    return config


@pytest.fixture(scope="module")
def shapes(config):
    return abstract(config)[1]


@pytest.fixture
def state_dict(config):
    return vad_weights(config, seed=1)
