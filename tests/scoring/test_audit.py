"""The audit's table: the row minus the student with its interval, and what a sentence concludes from it."""

import io
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from rich.console import Console

from dima_jax.constants import CAMERAS
from dima_jax.output_files import json_text
from dima_jax.scoring import align, audit, controls, result, run, tables
from dima_jax.scoring.predictions import Predictions
from tests.scoring.fake import fake_truth

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "scores.schema.json").read_text())
BLANK, OTHER = "student, blank images", "student, another scene's images"


def built(rows: dict[str, float | np.ndarray], scenes: int = 8, base: float = 1.0) -> dict:
    """scores.json of a student `base` meters beside the recorded path, and of rows so many meters beside it."""
    truth = fake_truth(scenes=scenes, frames=9, agents=1)
    files = []
    for name, off in {"student": base, **rows}.items():
        plans = truth.path.astype(float)
        plans[..., 0] += np.reshape(off, (-1, 1)) if np.ndim(off) else off
        kind = {} if name == "student" else {"kind": "control" if name in (BLANK, OTHER) else "audit"}
        files.append(Predictions(name, f"{name}.npz", "lidar", truth.tokens.tolist(), plans, None, kind))
    every = [*files, *controls.plans(truth)]
    plans = align.align(truth, every, False)
    told = result.build(truth, plans, every, run.score(truth, plans, ["stp3_vad"], workers=1), ["stp3_vad"], pair=True)
    told = json.loads(json_text(told))
    jsonschema.Draft202012Validator(SCHEMA).validate(told)
    return told


def entries(*args, **options) -> dict[str, dict]:
    return {one["row"]: one for one in built(*args, **options).get("audit", [])}


def test_worse_better_and_unchanged():
    told = entries({BLANK: 1.68, "student, CAN bus zeroed": 0.75, "student, always straight": 1.0})
    assert list(told) == ["student", BLANK, "student, CAN bus zeroed", "student, always straight"]  # the order of ROWS
    assert "recorded command" in told["student"]["sentence"] and told["student"]["l2_difference"] is None
    np.testing.assert_allclose(list(told[BLANK]["l2"].values()), 1.68, atol=1e-5)
    np.testing.assert_allclose(list(told[BLANK]["l2_difference"].values()), 0.68, atol=1e-5)
    assert told[BLANK]["sentence"] == "Black images raise L2 by 0.68 m [0.68, 0.68]: the plan depends on the cameras."
    assert told["student, CAN bus zeroed"]["sentence"] == (
        "A zeroed CAN bus lowers L2 by 0.25 m [0.25, 0.25]: the plan would be better without the CAN bus."
    )
    assert told["student, always straight"]["sentence"] == (
        'The command "straight" throughout changes nothing: this student is not given another input, or does not read it.'
    )
    assert [one["verdict"] for one in told.values()] == [None, "worse", "better", "unchanged"]


def test_the_interval_is_that_of_the_difference_turned_round():
    """Scenes that differ: an end is not the mirror of the other."""
    truth_frames = 9
    off = np.repeat([1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 3.0, 4.0], truth_frames)
    told = built({BLANK: off})
    one = told["audit"][1]["l2_difference"]
    assert [entry["frames"] for entry in told["audit"]] == [24, 24]  # of 72: those whose six steps are known
    (pair,) = (
        d
        for d in told["differences"]["stp3_vad"]["all frames"]
        if (d["a"], d["b"], d["column"]) == ("student", BLANK, "l2_avg")
    )
    assert (one["value"], one["low"], one["high"]) == (-pair["difference"], -pair["high"], -pair["low"])
    assert 0 < one["low"] < one["value"] < one["high"]
    assert one["high"] - one["value"] != pytest.approx(one["value"] - one["low"], abs=1e-3)
    assert f"[{one['low']:.2f}, {one['high']:.2f}]" in told["audit"][1]["sentence"]


@pytest.mark.parametrize(
    ("name", "conclusion"),
    [
        (BLANK, "nothing shows that the plan depends on the cameras"),
        ("student, speed x0.5", "the plan does not hang on the speed that it is told, as far as these scenes tell"),
    ],
)
def test_undecided(name, conclusion):
    off = np.repeat(1.0 + 0.3 * np.array([1, -1, 1, -1, 1, -1, 1, -1]), 9)
    told = entries({name: off})[name]
    assert told["verdict"] == "undecided"
    assert "cannot be told apart from the recorded input (L2 " in told["sentence"]
    assert told["sentence"].endswith(f"{conclusion}.")


def test_too_few_scenes():
    told = entries({BLANK: 1.5}, scenes=3)[BLANK]
    assert told["verdict"] == "too_few_scenes"
    assert told["sentence"] == "Black images move L2 by +0.50 m, in too few scenes to tell (fewer than 5)."


def test_the_six_cameras_are_one_row():
    rows = {f"student, {camera} black": 1.0 + 0.1 * i for i, camera in enumerate(CAMERAS)}
    told = entries(rows)
    assert list(told) == ["student", "student, one camera black"]
    one = told["student, one camera black"]
    np.testing.assert_allclose(one["l2_difference"]["value"], 0.25, atol=1e-5)
    assert one["l2_difference"]["low"] is None  # the mean's interval is not that of any row
    assert one["worst"]["camera"] == CAMERAS[-1]
    np.testing.assert_allclose(one["worst"]["l2_difference"]["high"], 0.5, atol=1e-5)
    assert one["sentence"] == (
        "A black camera moves L2 by +0.25 m on average. One black camera (CAM_BACK_RIGHT, the worst) raises L2 by 0.50 m "
        "[0.50, 0.50]: the plan suffers."
    )


def test_cameras_of_another_rig():
    told = entries({f"student, {camera} black": 1.2 + i for i, camera in enumerate(("rear", "front_wide"))})
    assert told["student, one camera black"]["worst"]["camera"] == "front_wide"


def test_nothing_to_audit():
    assert "audit" not in built({})
    assert audit.table({"scores": {}, "differences": {}}) == []
    audit.print_table([])


def test_variants_are_compared_with_their_planner_alone():
    told = built({BLANK: 1.68, "student, CAN bus zeroed": 0.75, "elsewhere": 1.0})
    pairs = {(one["a"], one["b"]) for one in told["differences"]["stp3_vad"]["all frames"]}
    assert {a for a, b in pairs if b == BLANK} == {"student"} and not any(a == BLANK for a, _ in pairs)
    assert ("student", "elsewhere") in pairs  # of kind audit too, under whatever name: the first file's


def printed(told: dict) -> str:
    out = io.StringIO()
    tables.print_all(told, Console(file=out, width=130, force_terminal=False))
    return out.getvalue()


def test_what_is_printed():
    told = built({BLANK: 1.68, "student, CAN bus zeroed": 0.75, "student, CAM_BACK black": 1.0})
    text = printed(told)
    head, _, table = text.partition(
        "audit: the student on changed inputs (stp3_vad; differences over the frames of both)"
    )
    protocol = head.partition("stp3_vad (ST-P3")[2]
    assert "student, blank" in protocol and "zeroed" not in protocol and "CAM_BACK" not in protocol
    assert "0.68 [+0.68, +0.68]" in table and "worst: CAM_BACK" in table
    assert "Black images raise L2 by 0.68 m [0.68, 0.68]: the plan depends on the cameras." in table
    assert any(BLANK in one for one in told["verdicts"]) and not any("zeroed" in one for one in told["verdicts"])
