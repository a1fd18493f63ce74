"""A map of the expansion is opened after its check; what the devkit cannot open is one line."""

import json

import pytest

from data_prep import map_files
from dima_jax.errors import UserError
from tests import tiny_root

NAME = "singapore-onenorth"


def write(root, content):
    folder = root / "maps" / "expansion"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.json").write_text(json.dumps(content))


def test_the_layers_of_a_map(tmp_path):
    write(tmp_path, tiny_root._street(0.0, 0.0))
    layers = map_files.read_layers(tmp_path, NAME)
    assert len(layers["road_segment"].geometries) == len(layers["road_divider"].geometries) == 1


@pytest.mark.parametrize("missing", ["lane", "canvas_edge"])  # found by the check, and by the devkit
def test_a_bad_map_is_named_with_the_remedy(tmp_path, missing):
    content = tiny_root._street(0.0, 0.0)
    del content[missing]
    write(tmp_path, content)
    with pytest.raises(UserError) as raised:
        map_files.read_layers(tmp_path, NAME)
    text = str(raised.value)
    assert f"{NAME}.json: no whole map expansion (nothing is called '{missing}'" in text and len(text.splitlines()) == 1
    assert text.endswith(f"unpack the nuScenes map expansion v1.3 into {tmp_path}/maps")
