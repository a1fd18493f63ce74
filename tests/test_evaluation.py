"""A whole evaluation of an untrained run: rows, intervals and pictures; the command on a real run is `make demo`."""

import json

import cv2
import numpy as np
import pytest

from dima_jax import blind_planner, evaluation, output_files, report, subsets
from dima_jax.data import truth_arrays
from dima_jax.data.records import Records
from dima_jax.metrics import bootstrap
from dima_jax.policy import Policy
from dima_jax.scoring import align, controls, predictions, run, truth
from dima_jax.scoring import result as result_of_files


@pytest.fixture(scope="module")
def policy(joint_run):
    return Policy.load(joint_run.folder)


def test_everything_at_once(joint_run, policy, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(blind_planner, "STEPS", 20)
    config = joint_run.config
    plain, *_ = evaluation.evaluate(policy, config, "val")
    blind = blind_planner.BlindPlanner(config, "train")
    result, pictures, plans = evaluation.evaluate(policy, config, "val", blank_images=True, blind=blind, num_pictures=1)
    for subset, rows in plain["planning"].items():  # what else is driven changes nothing
        more = result["planning"][subset]
        np.testing.assert_equal({name: more[name] for name in rows}, rows)
        assert set(more) - set(rows) == {"student, blank images", blind.name}
    assert [*result["planning"]][:4] == [*subsets.ALWAYS]
    np.testing.assert_equal(result["perception"], plain["perception"])

    found = result["intervals"]["planning"]["all frames"]
    assert found["scenes"] == 1 and found["l2_avg"]["student"] is None  # the split has one scene
    row = result["planning"]["all frames"]
    difference = row["student"]["stp3-vad"]["l2_avg"] - row["go straight"]["stp3-vad"]["l2_avg"]
    assert found["student_minus"]["go straight"]["avg"]["difference"] == pytest.approx(difference, abs=1e-5)
    seeds = result["blind"]["l2_avg_of_seeds"]
    assert seeds[config.seed] == pytest.approx(row[blind.name]["stp3-vad"]["l2_avg"], abs=1e-5)
    assert len(set(seeds.values())) == len(seeds) > 1

    assert [picture.name for picture in pictures] == ["scene-0103", "median", "worst"]
    for picture in pictures:
        report.draw(picture.driven, policy.info.pc_range, tmp_path, picture.name, picture.note)
        assert cv2.imread(str(tmp_path / f"{picture.name}.png")).std() > 10
    records = Records(config.data.path, "val")
    evaluation.save_predictions(tmp_path / "ours.npz", plans, policy, "val")
    truth.save(tmp_path / "truth.npz", *truth_arrays.arrays(records))
    recorded, saved = truth.load(tmp_path / "truth.npz"), predictions.load(tmp_path / "ours.npz")
    assert [*saved.tokens] == records.samples and saved.header["data_hash"] == records.data_hash
    files = [saved, *controls.plans(recorded)]
    aligned = align.align(recorded, files, allow_missing=False)
    scored = run.score(recorded, aligned, ["stp3_vad"], workers=1)
    told = result_of_files.build(recorded, aligned, files, scored, ["stp3_vad"])
    found = told["scores"]["stp3_vad"]["all frames"]["student"]
    for column, value in row["student"]["stp3-vad"].items():  # the files say what the evaluation says
        if column in found:
            assert found[column]["value"] == pytest.approx(value, abs=1e-5), column
    assert {"l2_1s", "l2_avg", "collision_3s"} <= set(found)

    command = {"split": "val", "seed": 0, "step": 0, "checkpoint": "run"}
    text = output_files.json_text(result | command)
    written = json.loads(text, parse_constant=pytest.fail)  # which NaN and Infinity would call
    assert "null" in text
    report.print_tables(written)
    printed = capsys.readouterr().out
    assert " nan" not in printed and "n/a" in printed
    assert printed.index("AP") < printed.index("L2 m")
    for words in ("zero motion", "student minus", "1 scene", "< 2 scenes", blind.name, "standard deviation"):
        assert words in printed, words


def test_stars_mark_what_excludes_zero():
    assert report._difference(-0.5, [-0.7, -0.3]) == "-0.50 (-0.70 .. -0.30)*"
    assert report._difference(0.1, [-0.2, 0.3]) == "+0.10 (-0.20 .. 0.30) "
    assert report._difference(0.1, None) == "+0.10 (< 2 scenes) "
    assert set(report.KEYS) == set(bootstrap.COLUMNS)


def test_what_is_not_defined_is_not_a_number():
    assert [report._number(value, ".2f", 100) for value in (None, float("nan"), 0.5)] == ["n/a", "n/a", "50.00"]
