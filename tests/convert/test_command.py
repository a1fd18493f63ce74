"""`python -m dima_jax.convert`, as README calls it."""

import json
import subprocess
import sys

import pytest
from safetensors.numpy import save_file

from tests.convert.test_hf_llama import HF, checkpoint


def run(*arguments):
    command = [sys.executable, "-m", "dima_jax.convert", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_an_llm_becomes_a_folder(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    save_file(checkpoint(), source / "model.safetensors")
    (source / "config.json").write_text(json.dumps(HF))
    done = run("llama", f"--source={source}", f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert f'config.teacher.weights = "{out}"' in done.stdout
    assert any(out.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["lama"], "lama: say one of llama, vad, resnet"), ([], "say one of"), (["vad"], "needs --checkpoint and --out")],
)
def test_a_wrong_call_says_what_is_needed(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
