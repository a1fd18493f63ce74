"""Which frames are shown, and who is struck in them."""

import numpy as np

from dima_jax.html_report import worst
from dima_jax.html_report.worst import Hit, Metric

DEFINITION = {
    "columns": [
        {"name": "l2_1s", "quantity": "l2", "steps": [0, 1], "how": "mean", "weight": "mask"},
        {"name": "l2_3s", "quantity": "l2", "steps": [0, 5], "how": "mean", "weight": "mask"},
        {"name": "any_3s", "quantity": "collision", "steps": [0, 5], "how": "any", "weight": "mask"},
    ],
    "averages": {"l2_avg": ["l2_1s", "l2_3s"]},
    "quantities": {"l2": "m", "collision": "share"},
}
RESULT = {"protocols": {"a": {"available": True, "columns_not_available": {}, "definition": DEFINITION}}}


def arrays(l2, collision, scene, weight=None):
    """Of one planner; l2: the average."""
    l2 = np.array(l2, float)
    value = np.stack([l2 - 0.5, l2 + 0.5, np.array(collision, float)], axis=-1)[None]
    weight = np.ones(value.shape) if weight is None else np.array(weight, float)[None, :, None] * np.ones(3)
    names = np.array(["l2_1s", "l2_3s", "any_3s"])
    found = {"a/columns": names, "a/value": value, "a/weight": weight, "scene": np.array(scene)}
    return found | {"tokens": np.array([f"t{number}" for number in range(len(l2))])}


def test_the_worst_of_each_scene_by_each_metric():
    told = arrays([1, 5, 4, 3, 2, 9], [0, 0, 1, 0, 1, 1], [0, 0, 0, 1, 1, 2], weight=[1, 1, 1, 1, 1, 0])
    distance, collision = worst.metrics(RESULT)
    assert distance == Metric("a", "l2_avg", "m") and collision == Metric("a", "any_3s", "share")
    found = {
        one.frame: [(reason.metric.column, reason.rank, reason.value) for reason in one.reasons]
        for one in worst.choose(RESULT, told, 0)
    }
    assert found == {  # frame 5 does not count
        1: [("l2_avg", 1, 5.0)],
        3: [("l2_avg", 2, 3.0)],
        2: [("any_3s", 1, 1.0)],
        4: [("any_3s", 2, 1.0)],
    }
    assert [one.frame for one in worst.choose(RESULT, told, 0, most=1)] == [1, 2]


def test_of_equal_collisions_a_frame_that_is_shown_comes_first():
    told = arrays([1, 5, 4], [1, 1, 1], [0, 0, 0])
    assert [one.frame for one in worst.choose(RESULT, told, 0)] == [1]
    told = arrays([1, 4, 5], [1, 1, 0], [0, 0, 0])
    assert [one.frame for one in worst.choose(RESULT, told, 0)] == [2, 1]


def test_a_score_is_bad_where_it_is_low():
    definition = {
        "columns": [{"name": "score", "quantity": "score", "steps": [0], "how": "mean", "weight": "mask"}],
        "averages": {"score_avg": ["score"]},
        "quantities": {"score": "score"},
    }
    result = {"protocols": {"a": {"available": True, "columns_not_available": {}, "definition": definition}}}
    told = {
        "a/columns": np.array(["score"]),
        "a/value": np.array([[[0.9], [0.2], [1.0]]]),
        "a/weight": np.ones((1, 3, 1)),
    }
    told |= {"scene": np.arange(3), "tokens": np.array(["x", "y", "z"])}
    assert [one.frame for one in worst.choose(result, told, 0)] == [1, 0]


def test_what_is_lacking_is_no_metric():
    lacking = {
        "protocols": {"a": RESULT["protocols"]["a"] | {"columns_not_available": {"any_3s": "why", "l2_1s": "why"}}}
    }
    assert worst.metrics(lacking) == [] and worst.metrics({"protocols": {"a": {"available": False}}}) == []


def test_an_agent_is_struck_once_at_the_first_step_that_counts():
    told = {
        "a/hit": np.array([[[-1, 3, 3]]]),
        "a/collision": np.array([[[0.0, 0.0, 1.0]]]),  # the second step is exempt
        "b/hit": np.array([[[-1, 7, 9]]]),
        "b/collision": np.array([[[0.0, 1.0, 1.0]]]),
        "c/recorded": np.zeros((1, 3), bool),
    }
    instance = np.array([0, 0, 0, 5, 0, 0, 0, 5, 0, 6])
    assert worst.hits(told, 0, 0, instance) == [Hit(0, 7, 1, ("a", "b")), Hit(0, 9, 2, ("b",))]
    assert [one.agent for one in worst.hits(told, 0, 0, None)] == [7, 3, 9]
