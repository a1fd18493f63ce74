"""Who drives which scene, and what happens when one fails."""

import threading
from types import SimpleNamespace

import pytest

from dima_jax import scene_shards
from dima_jax.errors import UserError
from dima_jax.scene_shards import Scene


class Records(SimpleNamespace):
    def __len__(self):
        return len(self.scenes)


SCENES = [Scene(name, []) for name in "abcdefg"]


def test_scenes_of_records():
    assert scene_shards.scenes_of(Records(scenes=list("aabcc"))) == [("a", [0, 1]), ("b", [2]), ("c", [3, 4])]


@pytest.mark.parametrize("processes", (1, 2, 3, 9))
def test_every_scene_is_of_one_process(processes):
    shares = [scene_shards.share(SCENES, process, processes) for process in range(processes)]
    assert sorted(scene for share in shares for scene in share) == SCENES
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("workers", (1, 2, 9))
def test_every_scene_is_driven_once_by_workers_side_by_side(workers):
    seen, lock = [], threading.Lock()
    together = threading.Barrier(min(workers, len(SCENES)))

    def work(worker, scene, stopped):
        with lock:
            is_first = worker not in [one for one, _ in seen]
            seen.append((worker, scene))
        if is_first:
            together.wait(10)  # BrokenBarrierError if they are not all at work

    scene_shards.run(SCENES, range(workers), work)
    assert sorted(scene for _, scene in seen) == SCENES
    assert len({worker for worker, _ in seen}) == together.parties
    scene_shards.run([], range(workers), work)
    assert len(seen) == len(SCENES)


def test_the_first_failure_stops_all_and_is_raised():
    driven, stops = [], []

    def work(worker, scene, stopped):
        driven.append(scene.name)
        if scene.name == "b":
            raise UserError("no such record")
        while not stopped.wait(0.01):
            pass
        stops.append(scene.name)

    with pytest.raises(UserError, match="no such record"):
        scene_shards.run(SCENES, range(3), work)
    assert set(driven) <= set("abc") and set(stops) == set(driven) - {"b"}
