"""A map of the expansion that is cut, old or inconsistent is named."""

import json
from pathlib import Path

import pytest

from data_prep import map_files
from dima_jax.errors import UserError
from tests import tiny_root

NAME = "singapore-onenorth"


def spoiled(change) -> str:
    content = tiny_root._street(0.0, 0.0)
    change(content)
    return json.dumps(content)


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "maps" / "expansion"
    folder.mkdir(parents=True)
    (folder / f"{NAME}.json").write_text(spoiled(lambda content: None))
    return tmp_path


def test_the_layers_of_a_whole_map(root):
    layers = map_files.read_layers(root, NAME)
    assert len(layers["road_segment"].geometries) == len(layers["road_divider"].geometries) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (spoiled(lambda c: None)[:500], "not valid JSON"),
        ("<html>", "not valid JSON"),
        ("[]", "is of version None"),
        (spoiled(lambda c: c.update(version="1.2")), "is of version '1.2', which cannot be read"),
        (spoiled(lambda c: c.pop("version")), "is of version None"),
        (spoiled(lambda c: c.update(version="2.0")), "is of version '2.0'"),
        (spoiled(lambda c: c.pop("lane")), "nothing is called 'lane'"),
        (spoiled(lambda c: c["road_divider"][0].update(line_token="x")), "line_token of road_divider d0 is 'x'"),
        (spoiled(lambda c: c["ped_crossing"][0].update(polygon_token="x")), "polygon_token of ped_crossing c0 is 'x'"),
        (spoiled(lambda c: c["line"][0]["node_tokens"].append("x")), "node_tokens of line l0 is 'x'"),
        (spoiled(lambda c: c["polygon"][0]["exterior_node_tokens"].append("x")), "is 'x', which is no node"),
        (spoiled(lambda c: c["polygon"][0]["holes"].append({"node_tokens": ["x"]})), "is 'x', which is no node"),
        (spoiled(lambda c: c["node"][0].update(x=float("nan"))), "no finite coordinates"),
        (spoiled(lambda c: c["node"][0].update(x="here")), "no whole map expansion"),
        (spoiled(lambda c: c["polygon"][0].update(exterior_node_tokens=["n0"])), "no whole map expansion"),
        (spoiled(lambda c: c.update(node=3)), "no whole map expansion"),
    ],
)
def test_a_bad_map_is_named_with_the_remedy(root, content, message):
    (root / "maps" / "expansion" / f"{NAME}.json").write_text(content)
    with pytest.raises(UserError) as raised:
        map_files.read_layers(root, NAME)
    text = str(raised.value)
    assert f"{NAME}.json: " in text and message in text and len(text.splitlines()) == 1
    assert text.endswith(f"unpack the nuScenes map expansion v1.3 into {root}/maps")
