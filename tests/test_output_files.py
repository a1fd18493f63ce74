"""What commands write for machines is strict JSON, and lies where it was asked for."""

import ast
import json
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import output_files
from dima_jax.errors import UserError

ROOT = Path(__file__).parents[1]
WRITERS = (  # of what cannot be undefined: integers, texts, numbers that were computed finite
    "benchmarks/build.py",
    "benchmarks/root_check.py",
    "dima_jax/checkpoint_items.py",
    "dima_jax/checksums.py",
    "dima_jax/config_changes.py",
    "dima_jax/interface.py",
    "dima_jax/onnx_export.py",
    "dima_jax/data/prompts.py",
    "dima_jax/convert/gguf_tokenizer.py",
    "dima_jax/convert/gguf_llama.py",
    "dima_jax/convert/llm_folder.py",
    "data_prep/scene_store.py",
    "data_prep/miniworld/nuscenes_tables.py",
    "data_prep/miniworld/writer.py",
)


def strict(text: str):
    """The content of strict JSON; ValueError for what only Python reads."""

    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_what_is_not_finite_is_null():
    content = {
        "row": {"AP": float("nan"), "error": np.float32("inf"), "fine": np.float64(0.5)},
        3: (1, np.int64(2), [-np.inf]),
        "array": np.array([[1.0, np.nan]]),
        "jax": jnp.array([1.5, jnp.inf]),
        "text": "NaN",
    }
    found = strict(output_files.json_text(content))
    assert found["row"] == {"AP": None, "error": None, "fine": 0.5}
    assert found["3"] == [1, 2, [None]] and found["array"] == [[1.0, None]] and found["jax"] == [1.5, None]
    assert found["text"] == "NaN"


def test_a_file_is_whole_or_absent_and_its_folder_is_made(tmp_path):
    file = tmp_path / "a" / "b" / "x.json"
    output_files.write_json(file, {"a": np.nan})
    assert strict(file.read_text()) == {"a": None} and os.listdir(file.parent) == ["x.json"]
    with pytest.raises(TypeError):
        output_files.write_json(file, {"a": object()})
    assert strict(file.read_text()) == {"a": None} and os.listdir(file.parent) == ["x.json"]
    with pytest.raises(UserError, match=r"b: .*; give a file in a folder"):
        output_files.write_json(file.parent, {})
    with pytest.raises(UserError, match=r"x\.json/y\.json: "):
        output_files.write_json(file / "y.json", {})


def test_a_place_that_cannot_be_written_is_refused_before(tmp_path, monkeypatch):
    output_files.check_place(tmp_path / "a" / "b" / "x.json")
    output_files.check_place("x.json")
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "x.json", tmp_path / "file" / "b" / "x.json"):
        with pytest.raises(UserError, match=r"x\.json: .*file cannot be written"):
            output_files.check_place(path)
    with pytest.raises(UserError, match="is a folder; give a file"):
        output_files.check_place(tmp_path)
    monkeypatch.setattr(
        output_files.os, "access", lambda *_: False
    )  # a read-only file system; root may write elsewhere
    with pytest.raises(UserError, match="cannot be written"):
        output_files.check_place(tmp_path / "a" / "x.json")


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", "..", ".", "", "a/b", "a\\b", ".hidden", "a\0b", "a\nb", "ä" * 300, "\ud800"]
)
def test_names_from_data_stay_in_their_folder(tmp_path, name):
    path = tmp_path / f"{output_files.file_name(name)}.png"
    path.write_text("a picture")
    assert os.listdir(tmp_path) == [path.name] and not path.name.startswith(".")


def test_names_of_files_stay_different_and_mostly_as_they_are():
    assert output_files.file_name("scene-0103") == "scene-0103"
    assert len({output_files.file_name(name) for name in ("a/b", "a_b", "a\\b", "a" * 60 + "b", "a" * 60 + "c")}) == 5


def test_nothing_else_writes_json():
    """Every JSON of every command goes through `output_files`, which writes no NaN."""
    found = []
    for path in sorted(
        path for name in ("dima_jax", "data_prep", "benchmarks") for path in (ROOT / name).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            is_json = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "json"
            if is_json and node.attr in ("dump", "dumps"):
                found.append(path.relative_to(ROOT).as_posix())
    assert set(found) <= {"dima_jax/output_files.py", *WRITERS}
