"""A whole evaluation of an untrained run: files, rows, refusals and pictures; the command on a real run is `make demo`."""

import json
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest

from dima_jax import evaluation, report
from dima_jax.data import sequences, truth_arrays
from dima_jax.data.records import Records
from dima_jax.detections import recorded_agents, recorded_lines
from dima_jax.driving import drive
from dima_jax.errors import UserError
from dima_jax.journal import Journal
from dima_jax.metrics import bootstrap, perception
from dima_jax.policy import Policy
from dima_jax.prediction_writer import Places
from dima_jax.scoring import align, controls, perception_tables, predictions, run, tables, truth
from dima_jax.scoring import result as result_of_files
from dima_jax.variants import chosen

SCHEMA = json.loads((Path(__file__).parents[1] / "docs" / "scores.schema.json").read_text())
BLANK, BEHIND = "student, blank images", "student, always straight"


@pytest.fixture(scope="module")
def policy(student_run):
    return Policy.load(student_run.folder)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return Places.beside(tmp_path_factory.mktemp("evaluation") / "scores.json")


@pytest.fixture(scope="module")
def found(student_run, policy, places):
    rows = chosen(blank_images=True, other_images=False, audit=False)
    rows += [one for one in chosen(False, False, audit=True) if one.name == BEHIND]
    told = dict(variants=rows, audit_scenes=1, command="evaluate")
    return evaluation.evaluate(policy, student_run.config, "val", places, **told)


@pytest.fixture(scope="module")
def written(found, places):
    evaluation.write(found, places)
    assert not places.journal.exists()
    return json.loads(places.out.read_text(), parse_constant=pytest.fail)  # which NaN and Infinity would call


def test_the_result_is_of_the_schema(written):
    jsonschema.Draft202012Validator(SCHEMA).validate(written)
    told = {one["name"]: one for one in written["planners"]}
    assert list(told)[:4] == ["student", BLANK, BEHIND, "recorded path"]
    kinds = [told[name]["kind"] for name in ("student", BLANK, BEHIND, "go straight")]
    assert kinds == ["prediction", "control", "audit", "control"]
    assert told["student"]["given"] == {"ego_status": "full", "command": True}
    compared = {(one["a"], one["b"]) for one in written["differences"]["stp3_vad"]["all frames"]}
    assert ("student", BLANK) in compared and {a for a, _ in compared} == {"student"}


def test_the_files_say_what_the_evaluation_says(student_run, written, places, tmp_path):
    """As `dima_jax.score` scores them against the truth of `data_prep.truth`."""
    records = Records(student_run.config.data.path, "val")
    truth.save(tmp_path / "truth.npz", *truth_arrays.arrays(records))
    recorded = truth.load(tmp_path / "truth.npz")
    assert recorded.header["content_hash"] == written["header"]["truth"]["content_hash"]
    files = [predictions.load(places.row(name)) for name in ("student", BLANK)]
    assert files[0].header["data_hash"] == records.data_hash and files[0].tokens == records.samples
    files += controls.plans(recorded)
    aligned = align.align(recorded, files, allow_missing=False)
    scored = run.score(recorded, aligned, ["stp3_vad", "uniad"], workers=1)
    told = result_of_files.build(recorded, aligned, files, scored, ["stp3_vad", "uniad"])
    for protocol, subsets in told["scores"].items():
        for subset, planners in subsets.items():
            for name in ("student", BLANK):
                assert planners[name] == written["scores"][protocol][subset][name]


def test_perception_is_that_of_the_frames_as_they_are_driven(student_run, policy, found):
    drives = sequences.Drives(student_run.config, "val")
    scores = [
        perception.score_frame(
            *one.predicted, recorded_agents(one.frame.agents, 0), recorded_lines(one.frame.map, 0), drives.pc_range
        )
        for one in drive(Policy(policy.student), drives)
    ]
    told = found.result["perception"]
    np.testing.assert_equal(told["scores"], perception.summarize(scores))
    assert told["intervals"].items() >= bootstrap.perception_intervals(scores, drives.records.scenes).items()
    assert told["scenes"] == student_run.scenes and told["coverage"]["scored"] == len(drives)


def test_what_is_printed(written, capsys):
    perception_tables.print_all(written["perception"])
    tables.print_all(written)
    printed = capsys.readouterr().out
    assert " nan" not in printed and "n/a" in printed
    assert printed.index("AP") < printed.index("l2 m")
    for words in ("zero motion", BLANK, "4 scenes", "Planners are not ranked"):
        assert words in printed, words


def test_the_audit_drives_the_first_scenes(student_run, found, written, places):
    frames = sequences.Drives(student_run.config, "val").records.lengths[0]
    coverage = {one["name"]: one["coverage"]["scored"] for one in written["planners"]}
    assert coverage[BEHIND] == frames < coverage["student"] == coverage[BLANK] == len(found.driven.tokens)
    assert predictions.load(places.row(BEHIND)).tokens == found.driven.tokens[:frames]
    assert [one["row"] for one in written["audit"]] == ["student", BLANK, BEHIND]


def test_plans_that_are_no_numbers_are_refused(found, places):
    plans = dict(found.driven.plans)
    plans["student"] = plans["student"].copy()
    plans["student"][1, 2, 0] = np.nan
    driven = found.driven._replace(plans=plans)
    with pytest.raises(UserError, match=f"1 of .* no finite numbers, the first in frame {found.driven.tokens[1]}"):
        evaluation._row("student", places.plans, driven, found.headers["student"])


def test_pictures(student_run, found, tmp_path):
    drives = sequences.Drives(student_run.config, "val")
    report.draw_chosen(found, drives, tmp_path, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["median.png", *(f"worst-{i}.png" for i in (1, 2, 3))]
    for path in tmp_path.iterdir():
        assert cv2.imread(str(path)).std() > 10


@pytest.mark.parametrize(("split", "said"), [("absent", "no split 'absent'"), ("val", "split 'val' is scored itself")])
def test_without_training_records_a_line_says_so(student_run, found, capsys, split, said):
    config = student_run.config.copy_and_resolve_references()
    config.data.train_split = split
    assert evaluation.train_truth(config.data, found.truth) is None
    assert said in capsys.readouterr().out


def test_what_was_stopped_is_of_these_weights_data_and_rows(student_run, policy, tmp_path):
    """Each changes what the journal hangs on; where the records lie and how many threads read them do not."""
    config, records = student_run.config.copy_and_resolve_references(), Records(student_run.config.data.path, "val")

    def source(policy=policy, config=config, records=records, rows=(), audit_scenes=None, dual=None):
        return evaluation._source(policy, config, records, rows, audit_scenes, dual)

    plain = source()
    other = Policy(policy.student)
    other.student = type("Student", (), dict(params=dict(policy.student.params), step=policy.student.step))
    path = min(other.student.params)
    other.student.params[path] = other.student.params[path] + 1e-3
    moved, status = (config.copy_and_resolve_references() for _ in range(2))
    moved.data.update(path="elsewhere", workers=7, cache_gib=0.5, prefetch_gib=0.5, shuffle_scenes=3)
    status.data.ego_status = "none"
    assert source(config=moved) == plain
    for changed, key in (
        (source(other), "checkpoint"),
        (source(config=status), "config"),
        (source(records=Records(config.data.path, "train")), "data"),
        (source(rows=chosen(True, False, False)), "rows"),
        (source(dual=object()), "config"),
        (source(audit_scenes=3), "audit_scenes"),
    ):
        assert changed[key] != plain[key]
        Journal(tmp_path / key, plain).open()
        with pytest.raises(UserError, match=f"with another .*{key}"):
            Journal(tmp_path / key, changed).check()


def test_a_truth_of_other_frames_is_refused(student_run, policy, tmp_path):
    truth.save(tmp_path / "train.npz", *truth_arrays.arrays(Records(student_run.config.data.path, "train")))
    places = Places.beside(tmp_path / "scores.json")
    with pytest.raises(UserError, match="is not of the frames of split 'val'"):
        evaluation.evaluate(policy, student_run.config, "val", places, truth_file=tmp_path / "train.npz")
    assert not places.journal.exists()
