"""scores.json: its schema, its numbers, who is compared with whom, and what does not change between runs."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from dima_jax.output_files import json_text
from dima_jax.scoring import align, controls, result, run, tables
from dima_jax.scoring.predictions import Predictions
from tests.scoring import toy
from tests.scoring.fake import fake_truth

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "scores.schema.json").read_text())


@pytest.fixture(autouse=True)
def _protocols(monkeypatch):
    toy.register(monkeypatch)


@pytest.fixture(scope="module")
def truth():
    return fake_truth(scenes=7, frames=8, agents=1)


def prediction(truth, name, off, seed=None, rows=slice(None)):
    """Plans that are `off` meters beside the recorded path."""
    plans = truth.path[rows] + np.array([off, 0.0])
    return Predictions(name, f"{name}.npz", "lidar", truth.tokens[rows].tolist(), plans, seed, {"given": {"a": 1}})


def build(truth, files, pair=False, mixed=False, **options):
    rows = [*files, *controls.plans(truth)]
    if mixed:
        order = np.random.default_rng(0).permutation(len(files[0].tokens))
        rows[0] = files[0]._replace(tokens=[files[0].tokens[i] for i in order], plans=files[0].plans[order])
    plans = align.align(truth, rows, allow_missing=True)
    scored = run.score(truth, plans, ["toy", "mapped"], workers=1)
    told = result.build(truth, plans, rows, scored, ["toy", "mapped"], pair=pair, **options)
    told = json.loads(json_text(told))
    jsonschema.Draft202012Validator(SCHEMA).validate(told)
    return told


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate({"format": "dima_jax.scores"})


def test_numbers(truth):
    told = build(truth, [prediction(truth, "ours", 0.5), prediction(truth, "theirs", 0.75)])
    scores = told["scores"]["toy"]["all frames"]
    last = (~truth.path_mask).all(axis=1).sum()  # frames without a future have no weight
    for name, off in (("ours", 0.5), ("theirs", 0.75), ("recorded path", 0.0)):
        for column in ("l2_1s", "l2_avg"):
            one = scores[name][column]
            np.testing.assert_allclose([one["value"], one["low"], one["high"]], off, atol=1e-6)
            assert one["frames"] == len(truth.tokens) - last
    assert scores["stand still"]["any_3s"]["value"] == 1.0
    assert told["subsets"]["all frames"] == {"frames": 56, "scenes": 7, "ranked": True}
    assert told["subsets"]["scenes with left"]["ranked"] is False
    (found,) = (
        one
        for one in told["differences"]["toy"]["all frames"]
        if (one["a"], one["b"], one["column"]) == ("ours", "theirs", "l2_avg")
    )
    assert found["verdict"] == "a_better" and found["scenes"] == 7
    np.testing.assert_allclose(found["difference"], -0.25, atol=1e-6)
    assert told["verdicts"][0].startswith("toy, l2_avg: ours is better than theirs by 0.25 m (0.25 m to 0.25 m)")
    in_few = told["differences"]["toy"]["scenes with left"]
    assert {one["verdict"] for one in in_few} == {"too_few_scenes"}
    assert told["planners"][0] | {"given": 0} == {
        **dict(name="ours", row="ours", kind="prediction", file="ours.npz", frame="lidar", seed=None, given=0),
        **dict(checkpoint=None, step=None),
        "coverage": {"scored": 56, "of": 56},
    }


def test_who_is_compared(truth):
    files = [prediction(truth, name, 0.1 * i) for i, name in enumerate("abc")]
    for pair, among in ((False, ["ab", "ac"]), (True, ["ab", "ac", "bc"])):
        told = build(truth, files, pair)["differences"]["toy"]["all frames"]
        found = {(one["a"], one["b"]) for one in told}
        sighted = [name for name in controls.NAMES if name != "recorded path"]
        assert found == {*map(tuple, among), *((name, control) for name in "abc" for control in sighted)}


def test_other_inputs_of_a_student_are_compared_with_it_alone(truth, capsys):
    blank = prediction(truth, "blank", 0.5)._replace(header={"kind": "control"})
    told = build(truth, [prediction(truth, "ours", 0.1), blank])
    found = {(one["a"], one["b"]) for one in told["differences"]["toy"]["all frames"]}
    assert ("ours", "blank") in found and {a for a, _ in found} == {"ours"}
    assert [one["kind"] for one in told["planners"][:3]] == ["prediction", "control", "control"]
    assert any("blank" in one for one in told["verdicts"])
    told = build(truth, [prediction(truth, "ours", 0.1), blank._replace(header={"kind": "audit"})])
    assert ("ours", "blank") in {(one["a"], one["b"]) for one in told["differences"]["toy"]["all frames"]}
    assert told["verdicts"] and not any("blank" in one for one in told["verdicts"])
    tables.print_all(told)
    table = capsys.readouterr().out.split("definition ")[1]
    assert "ours" in table and "blank" not in table
    odd = prediction(truth, "odd", 0.5)._replace(header={"kind": 5, "step": "late", "checkpoint": 1})
    assert (build(truth, [odd])["planners"][0] | {"row": 0})["kind"] == "prediction"


def test_shuffled_files_give_the_same(truth):
    files = [prediction(truth, "ours", 0.5), prediction(truth, "theirs", 0.75)]
    assert build(truth, files) == build(truth, files, mixed=True)


def test_created_and_command_alone_may_differ(truth):
    files = [prediction(truth, "ours", 0.5)]
    one, two = build(truth, files, created="now", command="a"), build(truth, files, created="then", command="b")
    assert one != two
    for told in (one, two):
        del told["header"]["created"], told["header"]["command"]
    assert one == two


def test_seeds_are_one_planner(truth):
    files = [prediction(truth, "ours", off, seed) for seed, off in enumerate((0.2, 0.4, 0.9))]
    told = build(truth, files)
    one = told["scores"]["toy"]["all frames"]["ours"]["l2_avg"]
    np.testing.assert_allclose(one["value"], 0.5, atol=1e-6)
    assert one["low"] < 0.4 and one["high"] > 0.6
    assert [row["row"] for row in told["planners"][:3]] == [f"ours, seed {seed}" for seed in range(3)]


def test_coverage_is_everywhere(truth):
    few = prediction(truth, "theirs", 0.75, rows=np.arange(40))
    told = build(truth, [prediction(truth, "ours", 0.5), few])
    assert told["planners"][1]["coverage"] == {"scored": 40, "of": 56}
    mine = [one for one in told["verdicts"] if "theirs" in one]
    assert mine and all("theirs: scored 40 of 56 frames" in one for one in mine)
    whole = build(truth, [prediction(truth, "ours", 0.5)])["verdicts"]
    assert whole and not any("scored" in one for one in whole)
    pair = next(one for one in told["differences"]["toy"]["all frames"] if (one["a"], one["b"]) == ("ours", "theirs"))
    assert pair["frames"] < told["scores"]["toy"]["all frames"]["ours"]["l2_1s"]["frames"]


def test_what_is_not_available_is_said(truth):
    bare = type(truth)(
        truth.header,
        **{k: a for k, a in truth.arrays().items() if not k.startswith(("area_", "ring_", "center_", "light_"))},
    )
    told = build(bare, [prediction(truth, "ours", 0.5)])["protocols"]
    assert told["toy"]["available"] and not told["mapped"]["available"]
    assert told["mapped"]["why_not"] == "needs areas: data_prep.truth --dataroot adds them"
    assert told["toy"]["definition_hash"] == toy.TOY.definition.hash


def test_unknown_scenes_have_no_intervals(truth):
    bare = type(truth)(truth.header | {"scenes": "unknown"}, **truth.arrays())
    told = build(bare, [prediction(truth, "ours", 0.5)])
    assert told["header"]["truth"]["scenes"] is None and not told["subsets"]["all frames"]["ranked"]
    one = told["scores"]["toy"]["all frames"]["ours"]["l2_avg"]
    assert one["value"] is not None and one["low"] is None
    assert told["verdicts"] == ["Planners are not ranked: fewer than 5 scenes, or none known."]
