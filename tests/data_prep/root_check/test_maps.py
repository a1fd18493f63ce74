"""A map of the expansion that is cut, old or inconsistent is named, and one that is not of the scene is listed."""

import json
from pathlib import Path

import pytest

from data_prep import map_files
from data_prep.root_check import checking, maps
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


def test_a_map_and_its_geometries(root):
    found = maps.geometries(maps.read(root, NAME))
    assert len(found["road_segment"]) == len(found["road_divider"]) == 1 and found["lane"] == []


@pytest.mark.parametrize("version", ["1.3", "1.4", "2.0", "1.3.1"])
def test_a_later_version_is_read(root, version):
    (root / "maps" / "expansion" / f"{NAME}.json").write_text(spoiled(lambda c: c.update(version=version)))
    maps.read(root, NAME)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (spoiled(lambda c: None)[:500], "not valid JSON"),
        ("<html>", "not valid JSON"),
        ("[]", "is of version None"),
        (spoiled(lambda c: c.update(version="1.2")), "is of version '1.2', which cannot be read"),
        (spoiled(lambda c: c.pop("version")), "is of version None"),
        (spoiled(lambda c: c.update(version=1.3)), "is of version 1.3"),
        (spoiled(lambda c: c.pop("lane")), "nothing is called 'lane'"),
        (spoiled(lambda c: c["road_divider"][0].update(line_token="x")), "line_token of road_divider d0 is 'x'"),
        (spoiled(lambda c: c["ped_crossing"][0].update(polygon_token="x")), "polygon_token of ped_crossing c0 is 'x'"),
        (spoiled(lambda c: c["line"][0]["node_tokens"].append("x")), "node_tokens of line l0 is 'x'"),
        (spoiled(lambda c: c["polygon"][0]["exterior_node_tokens"].append("x")), "is 'x', which is no node"),
        (spoiled(lambda c: c["polygon"][0]["holes"].append({"node_tokens": ["x"]})), "is 'x', which is no node"),
        (spoiled(lambda c: c["node"][0].update(x=float("nan"))), "no finite coordinates"),
        (spoiled(lambda c: c["node"][0].update(x="here")), "no finite coordinates"),
        (spoiled(lambda c: c["node"][0].update(x=True)), "no finite coordinates"),
        (spoiled(lambda c: c["node"][0].update(x=10**400)), "OverflowError"),
        (spoiled(lambda c: c["polygon"][0].pop("holes")), "nothing is called 'holes'"),
        (spoiled(lambda c: c.update(lane={})), "lane is no list"),
        (spoiled(lambda c: [c[layer].clear() for layer in c if isinstance(c[layer], list)]), "it has no nodes"),
        (spoiled(lambda c: c.update(node=3)), "no whole map expansion"),
    ],
)
def test_a_bad_map_is_named_with_the_remedy(root, content, message):
    (root / "maps" / "expansion" / f"{NAME}.json").write_text(content)
    with pytest.raises(UserError) as raised:
        maps.read(root, NAME)
    text = str(raised.value)
    assert f"{NAME}.json: " in text and message in text and len(text.splitlines()) == 1
    assert text.endswith(f"unpack the nuScenes map expansion v1.3 into {root}/maps")


def _crossed(content):
    """The crossing's outline meets itself."""
    tokens = content["polygon"][1]["exterior_node_tokens"]
    tokens[0], tokens[1] = tokens[1], tokens[0]


def _nodes(layer, count, row=0):
    """Leaves so many nodes of a line or a polygon."""
    return lambda content: [
        content[layer][row].update({name: tokens[:count]})
        for name, tokens in [*content[layer][row].items()]
        if name.endswith("node_tokens")
    ]


@pytest.mark.parametrize(
    ("kind", "change", "line"),
    [
        ("note", _crossed, "1 of 1 geometries of ped_crossing are not valid"),
        ("note", _nodes("line", 0), "1 of 1 geometries of road_divider are empty"),
        ("note", lambda c: c["ped_crossing"].clear(), "1 of 2 polygons are of no layer"),
        ("skip", _nodes("line", 1), "1 of 1 geometries of road_divider are no geometries: too few nodes"),
        ("skip", _nodes("polygon", 2, 1), "1 of 1 geometries of ped_crossing are no geometries: too few nodes"),
        ("skip", lambda c: c["node"].append(c["node"][0] | {"x": 1.0}), "1 rows of node have the token of a later one"),
        ("skip", lambda c: c["road_divider"].append(c["road_divider"][0]), "1 rows of road_divider have the token of"),
        (
            "skip",
            lambda c: [n.update(x=n["x"] + 1e5) for n in c["node"]],
            "11 key frames of scene-0061 are more than 60 m from it",
        ),
    ],
)
def test_what_is_left_out_is_listed(damaged, kind, change, line):
    path = damaged / "maps" / "expansion" / f"{NAME}.json"
    before = path.read_text()
    content = json.loads(before)
    change(content)
    path.write_text(json.dumps(content))
    report = checking.check(str(damaged), tiny_root.VERSION)
    layers = map_files.read_layers(damaged, NAME)  # what the check passes, the devkit opens
    path.write_text(before)
    assert report.of_kind("error") == []
    assert any(line in text for finding in report.of_kind(kind) for text in finding.lines), report.text()
    built = {
        name: [shape for shape in found if shape and shape.is_valid] for name, found in maps.geometries(content).items()
    }
    assert {name: found.geometries.tolist() for name, found in layers.items()} == built


def test_maps_as_nuscenes_has_them_pass_a_strict_check(damaged):
    """Some of its geometries are not valid, and some of its lines and polygons are of no layer that is read."""
    path = damaged / "maps" / "expansion" / f"{NAME}.json"
    before = path.read_text()
    content = json.loads(before)
    _crossed(content)
    content["line"].append({"token": "other", "node_tokens": ["n0"]})
    content["polygon"].append({"token": "other", "exterior_node_tokens": ["n0"], "holes": []})
    path.write_text(json.dumps(content))
    report = checking.check(str(damaged), tiny_root.VERSION)
    path.write_text(before)
    report.refuse(is_strict=True)
    assert len(report.of_kind("note")) == 2
