"""Three hundred damaged checkpoints, each by one fault in one file: refused in one line, or read as they were saved."""

import collections
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax
import pytest

from dima_jax import checkpoints
from dima_jax.errors import UserError
from tests.mini import mini_config

TRIALS = 300
SLOWEST = 5.0  # seconds
ITEMS = ("student", "trainable", "opt_state")


class Saved(NamedTuple):
    """manager, step: of a run's folder with one step; arrays: (student, trainable, optimizer's state) in it."""

    manager: checkpoints.Manager
    step: Path
    arrays: tuple


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    rng = np.random.default_rng(0)
    shapes = {"student/a": (64, 33), "student/b": (), "student/c": (5, 4, 3), "teacher/d": (40,)}
    params = {path: jax.numpy.asarray(rng.normal(size=shape).astype(np.float32)) for path, shape in shapes.items()}
    params["teacher/e"] = params["teacher/d"].astype(jax.numpy.bfloat16)
    student = {path: value for path, value in params.items() if path.startswith("student/")}
    trainable = {path: value for path, value in params.items() if path not in student}
    state = optax.adam(1e-3).init(params)
    arrays = (student, trainable, jax.tree.map(lambda x: x + 1, state))
    manager = checkpoints.open_manager(str(tmp_path_factory.mktemp("run")), keep=1)
    checkpoints.save(manager, 7, *arrays, position=14, config=mini_config(), windows=11)
    manager.wait_until_finished()
    return Saved(manager, Path(manager.directory) / "7", arrays)


def read(saved: Saved, item: str) -> dict:
    """{item: what is read of it}; the optimizer's state only together with all else, as training reads it."""
    meta = checkpoints.read_meta(saved.step)
    assert (meta["step"], meta["position"], meta["windows"]) == (7, 14, 11)
    if item == "meta":
        return {}
    if item in ("student", "trainable"):
        return {item: checkpoints.load_weights(saved.step / item, meta["sums"][item])}
    targets = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), saved.arrays)
    return dict(zip(ITEMS, checkpoints.restore(saved.manager, meta, *targets), strict=True))


def assert_as_saved(found: dict, saved: Saved) -> None:
    expected = dict(zip(ITEMS, saved.arrays, strict=True))
    for item, tree in found.items():
        jax.tree.map(np.testing.assert_array_equal, tree, expected[item])


def damage(kind: str, path: Path, rng: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    place = int(rng.integers(max(1, len(data))))
    if kind == "flip" and data:
        data[place] ^= 1 << int(rng.integers(8))
    elif kind == "byte" and data:
        data[place] ^= 0xFF
    elif kind == "cut":
        del data[place:]
    elif kind == "zero":
        data[place : place + 64] = bytes(len(data[place : place + 64]))
    elif kind == "empty":
        data.clear()
    elif kind == "extend":
        data += rng.bytes(50)
    path.write_bytes(data)
    if kind == "delete":
        path.unlink()
    elif kind == "extra":
        path.with_name(f"{path.name}.copy").write_bytes(rng.bytes(50))


KINDS = ("flip", "byte", "cut", "zero", "empty", "extend", "delete", "extra")


def test_a_damaged_checkpoint_is_refused_or_unharmed(saved, tmp_path, capfd):
    assert_as_saved(read(saved, "opt_state"), saved)
    whole = tmp_path / "whole"
    shutil.copytree(saved.step, whole)
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    rng, outcomes, slowest = np.random.default_rng(0), collections.Counter(), 0.0
    for trial in range(TRIALS):
        kind, file = KINDS[trial % len(KINDS)], files[int(rng.integers(len(files)))]
        damage(kind, saved.step / file, rng)
        start = time.monotonic()
        try:
            found = read(saved, file.parts[0])
        except UserError as error:
            assert "\n" not in str(error) and str(saved.step) in str(error)
            outcomes[kind, "refused"] += 1
        else:
            assert_as_saved(found, saved)
            outcomes[kind, "unharmed"] += 1
        slowest = max(slowest, time.monotonic() - start)
        shutil.rmtree(saved.step)
        shutil.copytree(whole, saved.step)
    printed = capfd.readouterr()
    assert "Traceback" not in printed.out + printed.err
    assert all(outcomes[kind, "refused"] for kind in KINDS if kind not in ("extra", "extend"))
    assert slowest < SLOWEST
    with capfd.disabled():
        for kind in KINDS:
            print(f"{kind:7s} {outcomes[kind, 'refused']:3d} refused {outcomes[kind, 'unharmed']:3d} read as saved")
        print(f"{len(files)} files, slowest {slowest:.2f} s")
