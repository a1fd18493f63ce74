"""The reaction to a painted car: numbers that one can do in the head, and a student that is driven as in the recording."""

import io
import json
from types import SimpleNamespace
from zlib import crc32

import cv2
import jsonschema
import numpy as np
import pytest
from rich.console import Console

from dima_jax import edit_reaction, types
from dima_jax.constants import CAMERAS, COMMANDS
from dima_jax.data import sequences, transforms
from dima_jax.edit_reaction import AWAY, IN_THE_WAY
from dima_jax.errors import UserError
from dima_jax.interface import Outputs
from dima_jax.output_files import json_text
from dima_jax.policy import Policy
from dima_jax.scoring import edits_file
from tests.scoring.test_audit import SCHEMA

FORWARD = np.pi / 2
STRAIGHT = np.stack([np.zeros(6), 3.0 * np.arange(1, 7)], axis=-1)  # 6 m/s
CAR = np.array([0.0, 12.0, FORWARD, 4.0, 2.0])


def plans(*each) -> np.ndarray:
    return np.stack(each).astype(float)


def test_gaps():
    """The ego is 4.084 m long, its center 0.5 m before the LiDAR; a car of 4 m stands 12 m ahead."""
    stops = np.minimum(STRAIGHT, 6.0)
    beside = np.add(STRAIGHT, [3.0, 0.0])
    found = edit_reaction.gaps(plans(STRAIGHT, stops, beside), np.tile(CAR, (3, 1)))
    assert found.shape == (3, 60)
    aside = 3.0 - (2.0 + 1.85) / 2
    np.testing.assert_allclose(found[1:].min(axis=1), [12 - 2 - 6 - 0.5 - 4.084 / 2, aside], atol=1e-9)
    np.testing.assert_allclose(found[0].min(), -(2.0 + 1.85) / 2)  # over it, however far apart the waypoints are
    np.testing.assert_allclose(found[0, 9], 12 - 2 - 3 - 0.5 - 4.084 / 2)  # at the first waypoint
    np.testing.assert_allclose(np.diff(found[0, :20]), -0.3)


def scored(in_the_way, away, scenes=8, each=3, found=None):
    count = scenes * each
    told = edit_reaction.score(
        plans(*[STRAIGHT] * count),
        {IN_THE_WAY: plans(*[in_the_way] * count), AWAY: plans(*[away] * count)},
        np.tile(CAR, (count, 1)),
        np.repeat(np.arange(scenes), each),
        found,
    )
    told = json.loads(json_text(told))
    jsonschema.Draft202012Validator(SCHEMA["properties"]["edit_reaction"] | {"$defs": SCHEMA["$defs"]}).validate(told)
    return told


def test_a_plan_that_stops():
    told = scored(np.minimum(STRAIGHT, 6.0), STRAIGHT)
    way, away = told["kinds"][IN_THE_WAY], told["kinds"][AWAY]
    assert told["sites"] == told["ran_into"] == 24 and told["scenes"] == 8
    np.testing.assert_allclose(way["shift"]["value"], np.mean([0, 0, 3, 6, 9, 12]))
    np.testing.assert_allclose([way["travel"]["value"], away["travel"]["value"]], [-12, 0], atol=1e-9)
    assert way["more_room"]["value"] == way["avoided"]["value"] == 1 and away["avoided"]["value"] == 0
    assert away["shift"]["value"] == away["more_room"]["value"] == away["gap"]["value"] == 0
    assert way["found"]["value"] is None and told["differences"]["found"]["decided"] is None
    assert told["differences"]["shift"]["decided"] and told["differences"]["more_room"]["value"] == 1
    text = " ".join(told["sentences"])
    for words in (
        "moves the plan by 5.00 m, one painted elsewhere by 0.00 m (24 sites of 8 scenes): it reacts to where a car stands.",
        "in 100.00 % of the sites",
        "with the car elsewhere in 0.00 %: more often than by chance.",
        "24 plans ran over the place of the car. With the car there 100.00 % of them no longer do, and they reach it 1.75 s "
        "later, with the car elsewhere 0.00 s: it brakes or swerves for the car.",
    ):
        assert words in text


def test_a_plan_that_moves_as_much_for_any_car():
    """Shaken by whatever is painted: nothing of it is a reaction."""
    shaken = np.add(STRAIGHT, [0.0, 0.3])
    told = scored(shaken, shaken)
    assert told["kinds"][AWAY]["shift"]["value"] > 0.29
    assert not told["differences"]["shift"]["decided"]
    assert "that cannot be told apart." in told["sentences"][0]


def test_a_plan_that_comes_nearer():
    told = scored(np.add(STRAIGHT, [0.1, 0.0]), np.add(STRAIGHT, [2.0, 0.0]))
    assert told["sentences"][0].endswith("it reacts more to a car that is not in its way.")


def test_few_scenes_and_what_was_found():
    count = 4 * 3
    found = {IN_THE_WAY: np.arange(count) % 2 == 0, AWAY: np.zeros(count, bool)}
    told = scored(np.minimum(STRAIGHT, 6.0), STRAIGHT, scenes=4, found=found)
    assert told["kinds"][IN_THE_WAY]["found"]["value"] == 0.5
    assert told["differences"]["shift"]["decided"] is None and "too few scenes to tell." in told["sentences"][0]


def test_what_is_printed():
    out = io.StringIO()
    edit_reaction.print_table(scored(np.minimum(STRAIGHT, 6.0), STRAIGHT), Console(file=out, width=120))
    assert "scene edits: 24 sites of 8 scenes" in out.getvalue() and "5.00 m (5.00 m .. 5.00 m)" in out.getvalue()
    assert "it reacts to where a car stands" in out.getvalue()


SIZE = (16, 24)
CONFIG = SimpleNamespace(
    data=SimpleNamespace(cameras=CAMERAS, image_scale=1.0, valid_shape=SIZE, image_shape=(32, 32), color_order="bgr")
)


def jpeg(seed) -> bytes:
    image = np.full((*SIZE, 3), np.random.default_rng(seed).integers(0, 256, 3), np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


class Drives:
    """Two scenes of five frames."""

    def __init__(self, config, split):
        self.config = config.data
        self.records = SimpleNamespace(
            samples=[f"{split}{i}" for i in range(10)],
            frames=[*range(5), *range(5)],
            scenes=[*"aaaaabbbbb"],
            split=split,
        )

    def __getitem__(self, i):
        jpegs = [jpeg([i, camera]) for camera in range(len(CAMERAS))]
        decoded = [transforms.decode(one, "") for one in jpegs]
        images = transforms.prepare(decoded, [image.shape[:2] for image in decoded], 1.0, SIZE, (32, 32), "bgr")[0]
        command = np.eye(len(COMMANDS), dtype=np.float32)[i % 3]
        lidar2img = np.zeros((len(CAMERAS), 4, 4), np.float32)
        frame = types.Frame(images[None], lidar2img[None], np.full((1, 18), float(i), np.float32), command[None])
        return SimpleNamespace(frame=frame, jpegs=jpegs)


class Student:
    """Plans a sum of all it has been given since the start of the scene, the older the less."""

    batch_size = None
    info = SimpleNamespace(image_shape=(32, 32), commands=COMMANDS, cameras=CAMERAS)

    def __call__(self, images, lidar2img, can_bus, command, prev_bev):
        bev = images.astype(float).mean() + can_bus.mean() + command @ [[1.0], [2.0], [3.0]]
        bev = bev if prev_bev is None else bev + prev_bev / 2
        waypoints = np.tile(bev[..., None], (1, 6, 2))
        agents = (np.zeros((1, 1, 10)), np.zeros((1, 1, 9)), np.zeros((1, 1, 1, 6, 2)), np.ones((1, 1, 1)))
        lines = (np.zeros((1, 1, 3)), np.zeros((1, 1, 2, 2)))
        return Outputs(waypoints, waypoints[:, None], bev, *agents, *lines), None


def edits(change=lambda site, kind, frame, camera, seed: seed, tokens=("val7", "val3", "val2")):
    """Edits whose images are the recorded ones, unless `change` gives another seed for one."""
    records = [int(token[3:]) for token in tokens]
    files = [
        jpeg(change(site, kind, frame, camera, [i - 2 + frame, camera]))
        for site, i in enumerate(records)
        for kind in range(2)
        for frame in range(3)
        for camera in range(len(CAMERAS))
    ]
    starts = np.cumsum([0, *map(len, files)])
    crc = np.array([crc32(jpeg([i, 0])) for i in records], np.uint32)
    boxes = np.tile(CAR, (len(tokens), 2, 1)).astype(np.float32)
    return edits_file.Edits({"source": {}}, list(tokens), boxes, crc, np.frombuffer(b"".join(files), np.uint8), starts)


@pytest.fixture
def shifts(monkeypatch):
    """The distance of each edited plan from the plan, [site, kind], as `run` gives them to `score`."""
    monkeypatch.setattr(sequences, "Drives", Drives)
    told = {}

    def remember(plans, edited, boxes, scene, found):
        told.update(plans=plans, edited=edited, scene=scene.tolist())
        return {}

    monkeypatch.setattr(edit_reaction, "score", remember)

    def run(found):
        edit_reaction.run(Policy(Student()), CONFIG, "val", found)
        shifts = [np.abs(told["edited"][kind] - told["plans"]).max(axis=(1, 2)) for kind in edits_file.KINDS]
        return np.stack(shifts, axis=1), told

    return run


def test_the_recorded_images_give_the_recorded_plan(shifts):
    found, told = shifts(edits())
    np.testing.assert_array_equal(found, 0)
    assert told["scene"] == [1, 0, 0]
    drives, policy = Drives(CONFIG, "val"), Policy(Student())
    own = [policy.step(edit_reaction.Frame.from_batch(drives[i].frame)).waypoints for i in range(4)]
    np.testing.assert_array_equal(told["plans"][[2, 1]], own[2:])  # in the order of the edits


@pytest.mark.parametrize("frame", range(3))
def test_every_painted_frame_counts(shifts, frame):
    def change(site, kind, at, camera, seed):
        return [99, camera] if (site, kind, at) == (1, 0, frame) else seed

    found, _ = shifts(edits(change))
    assert found[1, 0] > 0
    found[1, 0] = 0
    np.testing.assert_array_equal(found, 0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (edits(tokens=("val3", "day2")), "1 of 2 sites are not in split 'val', e.g. 'day2'"),
        (edits(tokens=("val3", "val6")), "'val6' has no 2 key frames before it"),
        (edits()._replace(recorded_crc=np.zeros(3, np.uint32)), "shows another world"),
        (edits(tokens=()), "the edits have no site"),
    ],
)
def test_edits_of_other_data(shifts, given, words):
    with pytest.raises(UserError, match=words):
        shifts(given)


def test_found():
    def agents(x, score, label):
        boxes = np.zeros((1, 9))
        boxes[0, :2] = x, 12.0
        return SimpleNamespace(boxes=boxes, scores=np.array([score]), labels=np.array([label]))

    assert edit_reaction.is_found(agents(1.9, 0.31, 0), CAR)
    for other in (agents(2.1, 0.31, 0), agents(1.9, 0.29, 0), agents(1.9, 0.31, 8)):
        assert not edit_reaction.is_found(other, CAR)


def test_only_who_ran_into_the_car_can_avoid_it():
    beside, stops = np.add(STRAIGHT, [3.0, 0.0]), np.minimum(STRAIGHT, 6.0)
    own, edited = plans(STRAIGHT, STRAIGHT, beside, beside), plans(STRAIGHT, stops, beside, STRAIGHT)
    told = edit_reaction.score(own, {IN_THE_WAY: edited, AWAY: own}, np.tile(CAR, (4, 1)), np.arange(4))
    assert told["ran_into"] == told["kinds"][IN_THE_WAY]["avoided"]["sites"] == 2
    assert told["kinds"][IN_THE_WAY]["avoided"]["value"] == 0.5


def test_edits_are_of_nuscenes_cameras():
    with pytest.raises(
        UserError, match=r"edits: painted for CAM_FRONT, .*; config\.data\.cameras is \('rear',\); leave"
    ):
        edit_reaction.check(None, None, ("rear",))
