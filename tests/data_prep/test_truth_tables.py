"""Visibility and attributes are those of the tables, row by row; a root of other drives is refused."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from data_prep import truth_tables
from data_prep.nuscenes_schema import TRAFFIC_LIGHTS
from data_prep.scenes import Root
from dima_jax.categories import ATTRIBUTES
from dima_jax.data import records, truth_arrays
from dima_jax.errors import UserError
from tests import tiny_root
from tests.scoring.fake import fake_truth


@pytest.fixture(scope="module")
def root(dataset):
    """With the visibility of nuScenes, of which the data set has one row for all."""
    opened = Root(str(dataset), tiny_root.VERSION)
    places = ("v0-40", "v40-60", "v60-80", "v80-100")
    opened.tables.visibility = [{"token": f"level {name}", "level": name} for name in places]
    for number, row in enumerate(opened.tables.sample_annotation):
        row["visibility_token"] = ["", *(f"level {name}" for name in places)][number % 5]
    return opened


@pytest.fixture(scope="module")
def arrays(built):
    return truth_arrays.arrays(records.Records(built, "val"))[0]


def test_every_row_has_what_its_annotation_says(root, arrays):
    found = truth_tables.annotations(arrays, root)
    assert found["visibility"].dtype == found["attribute"].dtype == np.int8
    by_pair = {(row["sample_token"], row["instance_token"]): row for row in root.tables.sample_annotation}
    name = {row["token"]: row["name"] for row in root.tables.attribute}
    places = ("", "level v0-40", "level v40-60", "level v60-80", "level v80-100")
    for i, token in enumerate(arrays["tokens"].tolist()):
        for row in range(*arrays["agent_start"][i : i + 2]):
            annotation = by_pair[token, arrays["instance_tokens"][arrays["instance"][row]]]
            assert places[found["visibility"][row]] == annotation["visibility_token"]
            attributes = [name[one] for one in annotation["attribute_tokens"]]
            assert found["attribute"][row] == (ATTRIBUTES.index(attributes[0]) if attributes else -1)


def test_a_root_of_other_drives_is_refused(root, arrays):
    other = arrays | {"instance_tokens": arrays["instance_tokens"][::-1]}
    with pytest.raises(UserError, match=r"has other annotations of sample .*; --dataroot is the root that"):
        truth_tables.annotations(other, root)
    other = arrays | {"tokens": np.char.add(arrays["tokens"], "x")}
    with pytest.raises(UserError, match=r"has no sample \w+x; --dataroot"):
        truth_tables.annotations(other, root)


@pytest.fixture
def lit(tmp_path):
    """(arrays, a root, the content of its file of lights)."""
    found = fake_truth(scenes=2, frames=3)
    lines = found.area_token[found.area_layer == 7].tolist()
    states = {str(token): {lines[0]: "red", lines[1]: "green", "far": "red"} for token in found.tokens}
    (tmp_path / "v").mkdir()
    return found.arrays(), SimpleNamespace(path=tmp_path, version="v"), states


def write(root, content):
    (root.path / "v" / TRAFFIC_LIGHTS).write_text(json.dumps(content))


def test_lights_of_stop_lines_that_are_near(lit):
    arrays, root, states = lit
    assert truth_tables.lights(arrays, root) == {}
    write(root, states)
    found = truth_tables.lights(arrays, root)
    assert found["light_start"].tolist() == [0, 2, 4, 6, 8, 10, 12] and found["light_state"].tolist() == [2, 0] * 6
    np.testing.assert_array_equal(found["light_stop_line"][:2], np.flatnonzero(arrays["area_layer"] == 7))


@pytest.mark.parametrize("change", [lambda s, t: s.pop(t), lambda s, t: s.update({t: []})])
def test_lights_of_another_format_are_refused(lit, change):
    arrays, root, states = lit
    change(states, str(arrays["tokens"][1]))
    write(root, states)
    with pytest.raises(UserError, match=r"traffic_lights\.json: sample f+00000001: no stop lines with states"):
        truth_tables.lights(arrays, root)


def test_a_state_that_is_none_is_refused(lit):
    arrays, root, states = lit
    token = str(arrays["tokens"][0])
    states[token] = dict.fromkeys(states[token], "blue")
    write(root, states)
    with pytest.raises(UserError, match="no stop lines with states"):
        truth_tables.lights(arrays, root)
