"""The command: files in, tables and files out, one line for what is wrong, and neither JAX nor a model on the way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from dima_jax.detections import Agents, Lines
from dima_jax.scoring import frames_file, perception_file, predictions, token_lists, truth
from tests.scoring.fake import fake_truth

ROOT = Path(__file__).parents[1]
RUN = """
import sys
from dima_jax.metrics.protocols import registry
registry.PROTOCOLS = {"toy": "tests.scoring.toy:TOY", "mapped": "tests.scoring.toy:MAPPED"}
from dima_jax.scoring import ego_mlp
ego_mlp.STEPS = 20
import runpy
sys.argv = ["score", *sys.argv[1:]]
try:
    runpy.run_module("dima_jax.score", run_name="__main__", alter_sys=True)
finally:
    heavy = {"jax", "flax", "optax", "tensorflow", "nuscenes"} & {name.split(".")[0] for name in sys.modules}
    print("heavy", sorted(heavy))
"""


def score(*arguments, cwd=ROOT):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    recorded = fake_truth(scenes=6, frames=9, agents=2)
    truth.save(folder / "truth.npz", recorded.arrays(), {"split": "val", "source": {}, "commit": "c", "data_hash": "d"})
    plans = recorded.path + np.array([0.5, 0.0], np.float32)
    predictions.write(folder / "ours.npz", recorded.tokens, {"plans": plans}, {"planner": "ours", "frame": "lidar"})
    table = dict(zip(recorded.tokens.tolist(), (recorded.ego_path + 0.25).tolist(), strict=True))
    (folder / "theirs.json").write_text(json.dumps(table))
    return folder


def test_controls_that_learn(files, tmp_path):
    """From the training split's truth; of the first file's header they know what it was given."""
    recorded, teaching = truth.load(files / "truth.npz"), fake_truth(scenes=4, frames=9, agents=1, seed=1)
    header = {"split": "train", "source": {}, "commit": "c", "data_hash": "d"}
    other = {"tokens": np.array([f"train-{token}" for token in teaching.tokens])}
    truth.save(tmp_path / "train.npz", teaching.arrays() | other, header)
    given = {"planner": "ours", "frame": "lidar", "given": {"ego_status": "speed", "command": False}}
    predictions.write(tmp_path / "ours.npz", recorded.tokens, {"plans": recorded.path}, given)
    flags = [f"--truth={files}/truth.npz", f"--predictions={tmp_path}/ours.npz", f"--out={tmp_path}/scores.json"]
    without = score(*flags)
    assert without.returncode == 0, without.stderr
    assert "blind MLP, nearest neighbors: not available, need --train_truth" in without.stdout
    result = score(*flags, f"--train_truth={tmp_path}/train.npz")
    assert result.returncode == 0, result.stderr
    assert "heavy []" in result.stdout and "not available, need --train_truth" not in result.stdout
    assert "blind MLP (speed): fitted on 36 frames; its row is the mean of 4 seeds" in result.stdout
    told = json.loads((tmp_path / "scores.json").read_text())
    jsonschema.validate(told, json.loads((ROOT / "docs" / "scores.schema.json").read_text()))
    rows = told["scores"]["toy"]["all frames"]
    assert list(rows)[-2] == "blind MLP (speed)" and list(rows)[-1].startswith("nearest neighbors (")
    wrong = score(*flags, f"--train_truth={files}/truth.npz")
    assert wrong.returncode == 2 and len(wrong.stderr.splitlines()) == 1
    assert "frames of the training truth are those that are scored" in wrong.stderr


def test_scores_of_two_files(files, tmp_path):
    given = f"{files}/ours.npz,{files}/theirs.json"
    out = tmp_path / "new" / "scores.json"
    wrong = score(f"--truth={files}/truth.npz", f"--predictions={given}", f"--out={out}")
    assert wrong.returncode == 2 and "theirs.json does not say whose origin" in wrong.stderr
    content = json.loads((files / "theirs.json").read_text())
    header = {"format": predictions.FORMAT, "version": 1, "frame": "ego", "steps": 6, "start_included": False}
    (tmp_path / "theirs.json").write_text(json.dumps(header | {"predictions": content}))
    given = f"{files}/ours.npz,{tmp_path}/theirs.json"
    tokens = truth.load(files / "truth.npz").tokens.tolist()
    lists = {"format": token_lists.FORMAT, "version": token_lists.VERSION, "tokens": {"odd": tokens[1::2], "none": []}}
    (tmp_path / "tokens.json").write_text(json.dumps(lists))
    subsets = f"--subsets={tmp_path}/tokens.json"
    result = score(f"--truth={files}/truth.npz", f"--predictions={given}", f"--out={out}", subsets)
    assert result.returncode == 0, result.stderr
    assert "heavy []" in result.stdout and "the same as JSON" in result.stdout
    told = json.loads(out.read_text())
    jsonschema.validate(told, json.loads((ROOT / "docs" / "scores.schema.json").read_text()))
    assert told["subsets"]["frames of odd"]["frames"] == len(tokens) // 2 and "frames of none" not in told["subsets"]
    assert 0 < told["scores"]["toy"]["frames of odd"]["ours"]["l2_avg"]["frames"] <= len(tokens) // 2
    scores = told["scores"]["toy"]["all frames"]
    np.testing.assert_allclose(scores["ours"]["l2_avg"]["value"], 0.5, atol=1e-5)
    np.testing.assert_allclose(scores["theirs"]["l2_avg"]["value"], 0.25 * 2**0.5, atol=1e-5)
    assert told["header"]["command"].startswith("python -m dima_jax.score --truth=")
    found = frames_file.load(tmp_path / "new" / "scores.frames.npz")
    assert found.header["truth"] == told["header"]["truth"] and found.arrays["planners"][0] == "ours"


def nothing_found(files, tokens):
    agents = Agents(
        *(np.zeros((0, *shape)) for shape in ((9,), (), (), (1, 6, 2), (1,))), future_mask=np.zeros((0, 6), bool)
    )
    part = perception_file.arrays(agents, Lines([], np.zeros(0), np.zeros(0)))
    header = {"pc_range": [-15.0, -30.0, -2.0, 15.0, 30.0, 2.0], "num_points": 20}
    perception_file.write(files / "p.npz", tokens, perception_file.joined([part] * len(tokens)), header)
    return files / "p.npz"


@pytest.mark.parametrize("with_plans", [False, True])
def test_perception_is_scored_beside_plans_or_alone(files, tmp_path, with_plans):
    recorded = truth.load(files / "truth.npz")
    found = nothing_found(tmp_path, recorded.tokens.tolist())
    given = [f"--predictions={files}/ours.npz"] if with_plans else []
    out = tmp_path / "scores.json"
    result = score(f"--truth={files}/truth.npz", *given, f"--perception={found}", f"--out={out}")
    assert result.returncode == 0 and "heavy []" in result.stdout, result.stderr
    assert "perception of p (p.npz), 54 frames of 6 scenes" in result.stdout
    told = json.loads(out.read_text())
    jsonschema.validate(told, json.loads((ROOT / "docs" / "scores.schema.json").read_text()))
    assert told["perception"]["scores"]["detection"]["mAP"] == 0.0
    assert told["perception"]["scores"]["detection"]["AP_trailer"] is None
    assert any(planner["file"] == "ours.npz" for planner in told["planners"]) == with_plans
    part = nothing_found(tmp_path, recorded.tokens.tolist()[:-1])
    result = score(f"--truth={files}/truth.npz", *given, f"--perception={part}", f"--out={out}")
    assert result.returncode == 2 and "1 of 54 frames of the truth are not in the file" in result.stderr


def test_a_page_beside_the_tables(files, tmp_path):
    """Neither a model nor JAX nor, without --images, what reads records."""
    tokens = truth.load(files / "truth.npz").tokens.tolist()
    rows = [{"id": f"scene_{token}_0", "answer": "A car."} for token in tokens]
    (tmp_path / "answers.json").write_text(json.dumps(rows))
    given = (f"--truth={files}/truth.npz", f"--predictions={files}/ours.npz", f"--out={tmp_path}/scores.json")
    result = score(*given, f"--report={tmp_path}/page", f"--answers={tmp_path}/answers.json")
    assert result.returncode == 0, result.stderr
    assert "heavy []" in result.stdout and f"page: {tmp_path}/page/index.html" in result.stdout
    text = (tmp_path / "page" / "index.html").read_text()
    assert "ours" in text and "A car." in text and "<img" not in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--truth={files}/truth.npz",), "--truth and --predictions are needed, or --truth and --perception;"),
        (
            ("--truth={files}/truth.npz", "--perception={files}/ours.npz"),
            "give a file of the format dima_jax.perception",
        ),
        (
            ("--truth={files}/truth.npz", "--perception={files}/p.npz", "--out={files}/p.npz"),
            "p.npz is one of the files that are read",
        ),
        (("--truth={files}/truth.npz", "--predictions={files}/absent.npz"), "absent.npz: No such file"),
        (("--truth={files}/ours.npz", "--predictions={files}/ours.npz"), "give a file of the format dima_jax.truth"),
        (
            ("--truth={files}/truth.npz", "--predictions={files}/ours.npz", "--answers={files}/a.json"),
            "give --report=FOLDER too",
        ),
        (
            ("--truth={files}/truth.npz", "--predictions={files}/ours.npz", "--report={files}/ours.npz"),
            "give a file in a folder that can be written",
        ),
        (
            ("--truth={files}/truth.npz", "--predictions={files}/ours.npz", "--report={files}/p", "--images={files}"),
            "no records; make them with",
        ),
        (
            ("--truth={files}/truth.npz", "--predictions={files}/ours.npz", "--rerun={files}/truth.npz"),
            "--rerun={files}/truth.npz is one of the files that are read",
        ),
        (
            ("--truth={files}/truth.npz", "--predictions={files}/ours.npz", "--out=a", "--rerun=a"),
            "--out and --rerun are both a; give two files",
        ),
        (
            ("--truth={files}/truth.npz", "--predictions={files}/ours.npz", "--protocols=l2"),
            "no protocol 'l2'; say one of toy, mapped",
        ),
        (
            ("--truth={files}/truth.npz", "--predictions={files}/ours.npz", "--out={files}/ours.npz"),
            "is one of the files that are read",
        ),
        (("--truth={files}/truth.npz", "--predictions={files}/ours.npz", "--out={files}"), "is a folder; give a file"),
        (
            ("--truth={files}/truth.npz", "--predictions={files}/ours.npz", "--out={files}/ours.npz/x.json"),
            "give a file in a folder that can be written",
        ),
    ],
)
def test_mistakes_are_one_line(files, arguments, said):
    result = score(*(one.format(files=files) for one in arguments))
    assert (
        result.returncode == 2 and result.stderr.startswith("error: ") and said.format(files=files) in result.stderr
    ), result.stderr
    assert result.stderr.count("\n") == 1
