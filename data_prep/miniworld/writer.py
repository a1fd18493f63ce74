"""Writes a whole data set: plans the scenes, records them in several processes, joins their table rows.

Each finished scene leaves a fragment (its table rows and questions) in `<out>/unfinished`, so an interrupted run
resumes with the missing scenes. When all scenes are there, the fragments become the tables and the folder is removed.
`<out>/v1.0-miniworld/miniworld.json` records the settings, and a hash of the code, that a data set was written with.
"""

import hashlib
import json
import shutil
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2

from data_prep.miniworld import map_expansion, scene_recorder
from data_prep.miniworld.nuscenes_tables import SCENE_TABLES, fixed_tables, token, write_json
from data_prep.miniworld.render import rig
from data_prep.miniworld.traffic import maneuvers
from data_prep.miniworld.world.state import KEYFRAME_RATE
from data_prep.miniworld.world.town import load_town
from data_prep.nuscenes_schema import TABLES, TRAFFIC_LIGHTS
from dima_jax import constants, locks, processes
from dima_jax.errors import UserError
from dima_jax.progress import Progress

VERSION = "v1.0-miniworld"
NO_CAN = {*range(161, 169), *range(170, 177), *range(309, 315)}  # NuScenesCanBus rejects these scene numbers
LARGEST_NUMBER = 9999


class Job(NamedTuple):
    """One scene to write. number: its index in the data set; index: its index in its split."""

    name: str
    number: int
    split: str
    index: int


class Settings(NamedTuple):
    """Everything that determines the bytes of a data set. size: (width, height), pixels; code: hash of the source; rig: of
    `rig.RIGS`. Without cameras both splits have the situations of val, so that every one can be learned.
    """

    scenes: int
    val_scenes: int
    seed: int
    size: tuple[int, int]
    seconds: float
    code: str
    rig: str = "six"


def settings(scenes, val_scenes, seed, size, seconds=20.0, rig_name="six"):
    """Checked `Settings`. Raises UserError without any scene, or with more scenes than nuScenes has names."""
    if not 1 <= scenes + val_scenes <= LARGEST_NUMBER - len(NO_CAN):
        raise UserError(f"{scenes} + {val_scenes} scenes: give between 1 and {LARGEST_NUMBER - len(NO_CAN)} in all")
    return Settings(scenes, val_scenes, seed, tuple(size), float(seconds), _code(), rig_name)


def _code():
    """A hash of all source that determines a data set: the modules here, the constants, and the road network."""
    here = Path(__file__).parent
    files = sorted(path for pattern in ("*.py", "*.net.xml") for path in here.rglob(pattern))
    files.append(Path(constants.__file__))
    return hashlib.blake2b(b"".join(path.read_bytes() for path in files), digest_size=8).hexdigest()


def plan(wanted):
    """The jobs of a data set, training scenes first; scene names skip the numbers in NO_CAN."""
    numbers = (number for number in range(1, LARGEST_NUMBER + 1) if number not in NO_CAN)
    places = [("train", i) for i in range(wanted.scenes)] + [("val", i) for i in range(wanted.val_scenes)]
    return [
        Job(f"scene-{name:04d}", number, split, index)
        for number, ((split, index), name) in enumerate(zip(places, numbers, strict=False))
    ]


def write(out, wanted, workers=1):
    """Writes the data set below `out`, or its missing scenes; returns the number of key frames written now.

    Raises UserError for a folder with other content or another writer, a scene that cannot be simulated, and a disk error.
    """
    out = Path(out).resolve()
    with locks.held(out.with_name(f"{out.name}.lock"), out):  # beside it: its own bytes depend on the settings alone
        return _write(out, wanted, workers)


def _write(out, wanted, workers):
    jobs = plan(wanted)
    if _is_complete(out, wanted):
        return 0
    fragments = out / "unfinished"
    try:
        fragments.mkdir(parents=True, exist_ok=True)
        write_json(fragments / "settings.json", wanted._asdict())
        missing = [job for job in jobs if not _is_kept(out, wanted, job)]
        _write_scenes(out, wanted, missing, workers, len(jobs))
        _join(out, wanted, jobs)
    except OSError as error:
        where, why = error.filename or out, error.strerror or error
        raise UserError(f"{where}: {why}; free the disk or choose another --out") from error
    return len(missing) * _frames(wanted)


def _frames(wanted):
    return int(wanted.seconds * KEYFRAME_RATE)


def written(root):
    """The `Settings` of a complete data set. Raises UserError where there is none."""
    path = Path(root) / VERSION / "miniworld.json"
    try:
        found = json.loads(path.read_text())
        return Settings(**found | {"size": tuple(found["size"])})
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path}: no settings of a mini world ({error}); write one with data_prep.miniworld") from None


def _is_complete(out, wanted):
    """Whether the data set is complete. Raises UserError when `out` holds another data set, or anything else."""
    for path, state in ((out / VERSION / "miniworld.json", True), (out / "unfinished" / "settings.json", False)):
        if path.is_file():
            if json.loads(path.read_text()) != json.loads(json.dumps(wanted._asdict())):
                raise UserError(f"{path}: written with other flags or by another version; delete {out} or change --out")
            return state
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: not empty and not a mini world; give a new folder as --out")
    return False


def _fragment(out, job):
    return out / "unfinished" / f"{job.name}.json"


def _is_kept(out, wanted, job):
    """Whether an earlier run finished a scene and all its files still exist."""
    path = _fragment(out, job)
    if not path.is_file():
        return False
    rows = json.loads(path.read_text())["tables"]["sample_data"] if rig.RIGS[wanted.rig].cameras else ()
    return all((out / row["filename"]).is_file() for row in rows)


def _write_scenes(out, wanted, missing, workers, total):
    """Writes the missing scenes, in this process or in several, with a progress bar."""
    frames = _frames(wanted)
    done = (total - len(missing)) * frames
    with Progress(total * frames, "key frame", name="mini world", initial=done) as progress:
        for _ in _results(out, wanted, missing, min(workers, len(missing))):
            progress.advance(frames)


def _results(out, wanted, missing, workers):
    """Yields each job when it is done. SUMO has one state per process, so several workers are several processes."""
    yield from processes.as_they_end(partial(_write_scene, str(out), wanted), missing, workers, str(out))


def _write_scene(out, wanted, job):
    """Simulates and records one scene; its rows are written as a fragment."""
    cv2.setNumThreads(1)
    recorder = scene_recorder.Recorder(out, load_town(), wanted.size, wanted.seed, wanted.rig)
    cycle = None if rig.RIGS[wanted.rig].cameras else maneuvers.CYCLES["val"]
    scene = maneuvers.simulate(job.index, wanted.seed, job.split, wanted.seconds, cycle)
    rows = recorder.record(scene, job.name, job.number)
    write_json(_fragment(Path(out), job), rows)
    return job


def _join(out, wanted, jobs):
    """Writes tables, splits, maps and questions from the fragments, then removes the fragments."""
    town = load_town()
    rows = {name: [] for name in SCENE_TABLES}
    questions, lights = {}, {}
    for job in jobs:
        fragment = json.loads(_fragment(out, job).read_text())
        for name in SCENE_TABLES:
            rows[name] += fragment["tables"][name]
        questions |= fragment["drivelm"]
        lights |= fragment["traffic_lights"]
    car = rig.RIGS[wanted.rig]
    sizes = {channel: rig.image_size(channel, wanted.size) for channel in car.cameras}
    rows |= fixed_tables(car.sensors, {channel: rig.intrinsic(channel, *size) for channel, size in sizes.items()})
    rows["map"] = [
        {
            "category": "semantic_prior",
            "token": token("map", map_expansion.LOCATION),
            "filename": map_expansion.MASK_FILE,
            "log_tokens": [row["token"] for row in rows["log"]],
        }
    ]
    write_json(out / "maps" / "expansion" / f"{map_expansion.LOCATION}.json", map_expansion.expansion(town))
    cv2.imwrite(str(out / map_expansion.MASK_FILE), map_expansion.semantic_prior(town))
    for name in TABLES:
        write_json(out / VERSION / f"{name}.json", rows[name])
    splits = {f"miniworld_{split}": [job.name for job in jobs if job.split == split] for split in ("train", "val")}
    write_json(out / VERSION / "splits.json", splits)
    write_json(out / VERSION / TRAFFIC_LIGHTS, lights)
    if car.has_questions:
        write_json(out / "drivelm.json", questions)
    write_json(out / VERSION / "miniworld.json", wanted._asdict())
    shutil.rmtree(out / "unfinished")
