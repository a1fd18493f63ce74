"""A small data set with one train and one val scene, written once for all tests and all workers of pytest-xdist."""

import fcntl
import os

import pytest
from nuscenes.nuscenes import NuScenes

from data_prep.miniworld import scene_recorder, writer
from data_prep.miniworld.render.painter import Painter
from data_prep.miniworld.traffic import maneuvers
from data_prep.miniworld.world.town import load_town
from tests.data_prep.miniworld import small_world


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """One train and one val scene, written by two processes."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "miniworld" / "data"
    folder.parent.mkdir(exist_ok=True)
    with open(folder.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert writer.write(folder, small_world.settings(), workers=2) in (70, 0)  # 0: another worker wrote it
    return folder


@pytest.fixture(scope="session")
def tables(root):
    return NuScenes(writer.VERSION, str(root), verbose=False)


@pytest.fixture(scope="session")
def simulated():
    """The train scene as simulated, its key states, and a painter like the writer's."""
    scene = maneuvers.simulate(0, small_world.SEED, "train", small_world.SECONDS)
    painter = Painter(load_town(), small_world.SIZE, scene_recorder.light_seed(small_world.SEED, 0))
    return scene.states[::10], painter, scene
