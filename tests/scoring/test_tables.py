"""What is printed: verdicts first, every protocol, coverage in every title, what is not available and why."""

import io

import numpy as np
from rich.console import Console

from dima_jax.scoring import align, controls, result, run, tables
from dima_jax.scoring.predictions import Predictions
from tests.scoring import toy
from tests.scoring.fake import fake_truth


def printed(truth, rows=slice(None)) -> str:
    plans = truth.path[rows] + np.array([0.5, 0.0])
    ours = Predictions("[b]ours[/b]", "ours.npz", "lidar", truth.tokens[rows].tolist(), plans, None, {})
    files = [ours, *controls.plans(truth)]
    aligned = align.align(truth, files, allow_missing=True)
    scored = run.score(truth, aligned, ["toy", "mapped"], workers=1)
    out = io.StringIO()
    tables.print_all(
        result.build(truth, aligned, files, scored, ["toy", "mapped"]),
        Console(file=out, width=130, force_terminal=False),
    )
    return out.getvalue()


def test_what_is_printed(monkeypatch):
    toy.register(monkeypatch)
    truth = fake_truth(scenes=6, frames=9, agents=1)
    bare = type(truth)(
        truth.header,
        **{k: a for k, a in truth.arrays().items() if not k.startswith(("area_", "ring_", "center_", "light_"))},
    )
    text = printed(bare)
    assert text.index("cannot be told apart" if "cannot be told apart" in text else "is better") < text.index(
        "toy (dist"
    )
    assert "mapped: not available, needs areas: data_prep.truth --dataroot adds them" in text
    for words in (
        f"definition {toy.TOY.definition.hash}",
        "[b]ours[/b]",
        "54 frames of 6 scenes",
        "beside: recorded path, constant velocity",
        "the same of other groups of frames",
    ):
        assert words in text, words
    row = next(line for line in text.splitlines() if line.startswith("│ [b]ours[/b]"))
    assert "0.50 0.50 0.50 0.50 │ 0.50 .. 0.50 │" in row
    assert "scored" not in text
    assert "comparisons in all" in text
    partial = printed(bare, np.arange(20))
    title = partial[partial.index("toy (dist") :].partition("┏")[0]
    assert "scored 20 of 54 frames" in " ".join(title.split())
