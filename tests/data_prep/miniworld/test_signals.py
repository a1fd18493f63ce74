"""The states of the lights in a written data set are those that were simulated."""

import json

import numpy as np

from data_prep.miniworld import signals, writer
from data_prep.miniworld.nuscenes_tables import token
from data_prep.miniworld.world.state import Polygon
from data_prep.miniworld.world.town import load_town
from data_prep.nuscenes_schema import TRAFFIC_LIGHTS
from dima_jax.categories import LIGHT_STATES
from tests.data_prep.miniworld import small_world


def test_states_are_those_of_the_heads_of_the_line(simulated):
    town, states = load_town(), simulated[0]
    seen = set()
    for state in states:
        shown = {signal.id: signal.state for signal in state.signals}
        found = signals.shown(state, town)
        seen |= set(found.values())
        for i, (outline, heads) in enumerate(town.stop_lines):
            near = np.hypot(*(outline.exterior - [state.ego.x, state.ego.y]).T).min() <= 80
            assert (token("stop_line", i) in found) == (bool(heads) and near)
            for head in heads if near else ():
                assert found[token("stop_line", i)][0] == shown[head]
    assert {"red", "green"} <= seen <= set(LIGHT_STATES)


def test_the_file_has_every_sample_and_lines_of_the_map(root, tables, simulated):
    content = json.loads((root / writer.VERSION / TRAFFIC_LIGHTS).read_text())
    assert set(content) == {sample["token"] for sample in tables.sample}
    town = load_town()
    for state, sample in zip(simulated[0], small_world.samples(tables, tables.scene[0]), strict=True):
        assert content[sample["token"]] == signals.shown(state, town)
    lines = {row["token"] for row in json.loads((root / "maps/expansion/boston-seaport.json").read_text())["stop_line"]}
    assert {line for told in content.values() for line in told} <= lines


def test_a_line_that_is_far_or_has_no_lights_is_not_told(simulated):
    town, state = load_town(), simulated[0][0]
    x, y = state.ego.x, state.ego.y
    heads = next(heads for _, heads in town.stop_lines if heads)
    lines = tuple(
        (Polygon(np.array([(x - 1, y + d), (x + 1, y + d), (x, y + d + 1)])), told)
        for d, told in ((79.9, heads), (80.1, heads), (0.0, ()))
    )
    changed = town.__class__(**{**vars(town), "stop_lines": lines})
    assert list(signals.shown(state, changed)) == [token("stop_line", 0)]
