"""The number of every frame: written, read again, and enough to make the table anew."""

import numpy as np
import pytest

from dima_jax.errors import UserError
from dima_jax.scoring import frames_file, run
from dima_jax.scoring.truth import FORMAT
from tests.scoring import toy
from tests.scoring.fake import fake_plans, fake_truth


def test_round_trip(tmp_path, monkeypatch):
    toy.register(monkeypatch)
    truth = fake_truth(scenes=2, frames=8, agents=1)
    plans = fake_plans(truth)
    scored = run.score(truth, plans, ["toy"], workers=1)
    frames_file.save(tmp_path / "a.npz", {"header": {"commit": "c"}}, truth, plans, scored)
    found = frames_file.load(tmp_path / "a.npz")
    arrays = found.arrays
    assert found.header["commit"] == "c" and found.header["protocols"] == {"toy": toy.TOY.definition.hash}
    np.testing.assert_array_equal(arrays["tokens"], truth.tokens)
    assert arrays["planners"].tolist() == plans.names and arrays["toy/columns"][0] == "l2_1s"
    np.testing.assert_array_equal(arrays["toy/l2"], scored["toy"].values["l2"].astype(np.float32))
    np.testing.assert_array_equal(arrays["plans"], plans.lidar.astype(np.float32))
    for key in ("hit", "recorded", "entered", "value", "weight"):
        np.testing.assert_array_equal(arrays[f"toy/{key}"], getattr(scored["toy"], key))
    assert arrays["toy/value"].dtype == np.float64 and arrays["toy/l2/mask"].dtype == bool


def test_another_file_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", header=f'{{"format": "{FORMAT}", "version": 1}}')
    with pytest.raises(UserError, match=r"give a file of the format dima_jax\.frames"):
        frames_file.load(tmp_path / "a.npz")
