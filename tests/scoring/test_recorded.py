"""What was recorded: groups of keys, frames of a scene, and frames that are chosen with all that belongs to them."""

import numpy as np
import pytest

from dima_jax.scoring.recorded import ALWAYS, GROUPS, KINDS
from tests.scoring.fake import fake_truth


@pytest.fixture(scope="module")
def truth():
    return fake_truth(scenes=3, frames=4, agents=5)


def test_every_key_is_in_one_group():
    keys = [*ALWAYS, *(key for group in GROUPS.values() for key in group)]
    assert sorted(keys) == sorted(KINDS) and len(GROUPS["areas"]) == 12


def test_groups_that_are_there(truth):
    assert truth.has(*GROUPS) and truth.has()
    arrays = truth.arrays()
    del arrays["future_yaw"]
    partial = type(truth)(truth.header, **arrays)
    assert not partial.has("futures") and partial.has("agents", "paths")


def test_scenes_and_their_frames(truth):
    assert [found.tolist() for found in truth.scene_frames()] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert [found.tolist() for found in truth.select(np.array([1, 9, 10])).scene_frames()] == [[0], [1, 2]]


def lines(truth, i):
    ends = truth.line_vertex_start
    return [truth.line_vertices[ends[j] : ends[j + 1]] for j in range(truth.line_start[i], truth.line_start[i + 1])]


def curbs(truth, i):
    ends = truth.curb_vertex_start
    return [truth.curb_vertices[ends[j] : ends[j + 1]] for j in range(truth.curb_start[i], truth.curb_start[i + 1])]


@pytest.mark.parametrize("indices", [[7], [2, 11, 5], [3, 3], []])
def test_chosen_frames_keep_what_is_theirs(truth, indices):
    # frames with unequal numbers of agents and lines: those of the first frame are gone
    uneven = truth.arrays()
    for start, keys in (
        ("agent_start", [key for key in uneven if KINDS[key].dim_str.split()[0] == "T"]),
        ("light_start", ["light_stop_line", "light_state"]),
    ):
        first = uneven[start][1]
        uneven |= {key: uneven[key][first:] for key in keys}
        uneven[start] = np.maximum(uneven[start] - first, 0)
    uneven = type(truth)(truth.header, **uneven)
    chosen = uneven.select(np.array(indices, int))
    assert len(chosen.tokens) == len(indices) and chosen.agent_start[-1] == len(chosen.boxes)
    for i, j in enumerate(indices):
        assert chosen.tokens[i] == uneven.tokens[j] and (chosen.path[i] == uneven.path[j]).all()
        for start, key in (("agent_start", "boxes"), ("agent_start", "instance"), ("light_start", "light_state")):
            mine = slice(*getattr(chosen, start)[i : i + 2])
            theirs = slice(*getattr(uneven, start)[j : j + 2])
            np.testing.assert_array_equal(getattr(chosen, key)[mine], getattr(uneven, key)[theirs])
        for of in (lines, curbs):
            assert len(of(chosen, i)) == len(of(uneven, j)) > 1
            for one, other in zip(of(chosen, i), of(uneven, j), strict=True):
                np.testing.assert_array_equal(one, other)
    assert chosen.ring_vertices is uneven.ring_vertices and chosen.scene_names is uneven.scene_names


def test_a_mask_chooses_too(truth):
    mask = truth.frame_index == 2
    np.testing.assert_array_equal(truth.select(mask).tokens, truth.tokens[mask])
