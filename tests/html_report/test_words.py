"""What columns are called, and what they mean."""

import pytest

from dima_jax.html_report import words
from dima_jax.metrics.protocols import registry


@pytest.mark.parametrize("name", registry.PROTOCOLS)
def test_every_column_of_every_protocol_is_explained(name):
    definition = registry.get(name).definition
    told = definition._asdict() | {"columns": [column._asdict() for column in definition.columns]}
    terms = dict(words.terms(told))
    assert list(terms) == [column.name for column in definition.columns] + list(definition.averages)
    assert all(len(meaning) > 20 for meaning in terms.values())
    rules = dict(words.rules(told))
    assert rules["source"] == definition.source and rules["masks"] == definition.mask_rule
    assert set(rules) >= {words.label(key) for key in definition.constants}


def test_a_meaning_names_steps_quantity_unit_and_weight():
    definition = {"quantities": {"collision": "share"}}
    column = {"quantity": "collision", "steps": [0, 1, 2, 3], "how": "any", "weight": "mask"}
    found = words.meaning(definition, column)
    assert found.startswith("1 if it happens at any of the steps at 0.5 to 2 s: whether the ego's box")
    assert found.endswith("(%); steps that do not count are left out of the mean.")
    found = words.meaning(definition, column | {"steps": [5], "weight": "frame"})
    assert "at 3 s (%)" in found and "still divide it" in found
    assert words.steps([1, 3]) == "1, 2 s" and words.steps((0, 1)) == "0.5 to 1 s"


@pytest.mark.parametrize("name", ["nu_pdms", "nu_epdms"])
def test_a_score_is_of_the_whole_plan_and_not_of_a_step(name):
    definition = registry.get(name).definition
    told = definition._asdict() | {"columns": [column._asdict() for column in definition.columns]}
    for column in told["columns"]:
        found = words.meaning(told, column)
        assert found == f"{words.QUANTITIES[column['quantity']]}; frames without data are left out of the mean."


def test_labels_and_numbers():
    names = ("l2_1s", "l2_avg", "collision_3s", "any_3s", "point_collision_2s", "l2_masked_1s")
    labels = ["L2 1 s", "L2 avg", "collision 3 s", "any collision within 3 s", "point collision 2 s", "L2 masked 1 s"]
    assert [words.label(name) for name in names] == labels
    assert words.number(0.0123, "share") == "1.23" and words.number(-1.0, "m", "+") == "−1.00"
    assert words.number(None, "m") == "n/a" and words.number(0.5, "score") == "0.500"
    assert words.interval({"low": 0.01, "high": 0.02}, "share") == "1.00 to 2.00"
    assert words.interval({"low": None, "high": None}, "m") == ""


def test_numbers_and_units_stay_together():
    found = words.kept_together("by 0.80 m (-0.6 m to 2 %). 3 means of 4 frames-5")
    assert (
        found == "by 0.80\N{NO-BREAK SPACE}m (−0.6\N{NO-BREAK SPACE}m to 2\N{NO-BREAK SPACE}%). 3 means of 4 frames-5"
    )
