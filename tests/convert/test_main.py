"""`python -m dima_jax.convert`, as README calls it."""

import json
import subprocess
import sys

import pytest
from safetensors.numpy import save_file

from tests.convert.llama_files import HF, checkpoint


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
    [
        (["lama"], "lama: say one of vad, resnet, llama"),
        ([], "say one of"),
        (["vad"], "needs --checkpoint and --out"),
        (["resnet", "--source=x", "--checkpoint=y", "--out=z"], "resnet: does not take --source"),
        (["llama", "--dtype=int8"], "--dtype=int8"),
    ],
)
def test_a_wrong_call_says_what_is_needed(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_help_shows_an_example_of_every_conversion():
    shown = run("--help").stdout
    for name in ("vad", "resnet", "llama"):
        assert f"python -m dima_jax.convert {name} --" in shown
