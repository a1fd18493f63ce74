"""Facts and answers: of situations made by hand, as a person would give them, and of a written data set."""

import itertools
import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest

from data_prep.miniworld.drivelm.facts import observe
from data_prep.miniworld.drivelm.rules import key_frame
from data_prep.miniworld.drivelm.views import views
from data_prep.miniworld.world.state import Agent, Ego, Polygon, Signal, WorldState
from tests import realdata

NOWHERE = SimpleNamespace(signals=(), stop_lines=())
STOP_LINE = Polygon(np.array([[6.0, -3.5], [6.5, -3.5], [6.5, 0.2], [6.0, 0.2]]))


def ego(t, speed=8.0, yaw=0.0, x=None, y=0.0, acceleration=0.0, braking=False):
    return Ego(speed * t if x is None else x, y, yaw, speed, acceleration, 0.0, 0.0, braking, 0)


def agent(name, x, y, category="vehicle.car", yaw=0.0, speed=0.0, parked=False):
    size = (0.7, 0.7, 1.8) if category.startswith("human") else (1.9, 4.5, 1.6)
    return Agent(name, category, x, y, yaw, speed, *size, False, 0, parked, 0)


def states(ego_at, agents_at=lambda t: (), signals=()):
    times = np.arange(0, 4, 0.05)
    return [WorldState(t, ego_at(t), tuple(agents_at(t)), tuple(signals)) for t in times]


def answers(drive, town=NOWHERE):
    """Facts and {question: answer} of the first state, its agents all in full view."""
    seen = views(drive[0], np.ones(len(drive[0].agents)), np.zeros((0, 2, 2)))
    facts = observe(drive, 0, seen, town)
    frame = key_frame(facts, {})
    return facts, frame, {pair["Q"]: pair["A"] for pairs in frame["QA"].values() for pair in pairs}


def about(frame, text):
    """{tag: answer} of the questions that begin like text with a tag in it."""
    start, end = text.split("<>")
    return {
        pair["Q"].removeprefix(start).removesuffix(end): pair["A"]
        for pairs in frame["QA"].values()
        for pair in pairs
        if pair["Q"].startswith(start + "<c") and pair["Q"].endswith(end)
    }


def test_waiting_at_a_red_light():
    light = Signal("light", 20.0, -4.0, 0.0, "r")
    town = SimpleNamespace(signals=(light,), stop_lines=((STOP_LINE, ("light",)),))
    facts, frame, said = answers(states(lambda t: ego(t, 0.0, x=0.0), signals=[light]), town)
    assert (facts.action, facts.target, facts.light) == ("keep stationary", "stationary", "red")
    assert said["What is the traffic signal that the ego vehicle should pay attention to?"] == "Red light."
    assert list(about(frame, "What does <> mean?").values()) == ["Please wait."]
    assert said["In this scenario, what are dangerous actions to take for the ego vehicle?"] == (
        "Accelerate and go ahead."
    )
    assert said["Predict the behavior of the ego vehicle."] == (
        "The ego vehicle is going straight. The ego vehicle is not moving."
    )
    (tag,) = frame["key_object_infos"]
    assert tag.startswith("<c1,CAM_FRONT,") and frame["key_object_infos"][tag]["Category"] == "Traffic element"


def test_a_light_for_the_cross_street_is_not_ours():
    light = Signal("light", 20.0, -4.0, math.pi / 2, "r")
    town = SimpleNamespace(signals=(light,), stop_lines=((STOP_LINE, ("light",)),))
    facts, frame, _ = answers(states(lambda t: ego(t, 0.0, x=0.0), signals=[light]), town)
    assert facts.light is None and frame["key_object_infos"] == {}


def test_stopping_behind_a_standing_car():
    def slowing(t):
        speed = max(8.0 - 3.0 * t, 0.0)
        return ego(t, speed, x=8 * t - 1.5 * t * t if speed else 32 / 3, acceleration=-3.0, braking=True)

    facts, frame, said = answers(states(slowing, lambda t: [agent("lead", 18.0, 0.0)]))
    assert facts.action == "brake gently to a stop"
    assert list(
        about(frame, "Is <> an object that the ego vehicle should consider in the current scene?").values()
    ) == ["Yes."]
    risk = "What is the probability of colliding with <> after the ego vehicle goes straight and keeps the same speed?"
    assert list(about(frame, risk).values()) == ["High."]
    (why,) = about(
        frame, "What actions could the ego vehicle take based on <>? Why take this action and what's the probability?"
    ).values()
    assert why.startswith("The action is to brake gently to a stop. The reason is to maintain a safe distance.")
    assert said["What are objects to the front of the ego car?"] == "There is one car in front of the ego car."
    assert said["What is the status of the car that is to the front of the ego car?"] == "One car is stopped."


def test_a_car_without_cameras_names_objects_by_place_and_asks_nothing_about_looks():
    light = Signal("light", 20.0, -4.0, 0.0, "r")
    town = SimpleNamespace(signals=(light,), stop_lines=((STOP_LINE, ("light",)),))
    drive = states(ego, lambda t: [agent("lead", 12.4, 1.6, speed=3.0)], signals=[light])
    seen = views(drive[0], np.ones(1), np.zeros((0, 2, 2)))
    facts = observe(drive, 0, seen, town)
    with_images, without = (key_frame(facts, {}, has_images=known) for known in (True, False))
    assert list(without["key_object_infos"]) == ["c1 (12 m ahead, 2 m left)", "c2 (20 m ahead, 4 m right)"]
    assert all("2d_bbox" not in info for info in without["key_object_infos"].values())
    assert "2d_bbox" in next(iter(with_images["key_object_infos"].values()))
    text = json.dumps(without)
    assert "<c" not in text and "CAM_" not in text and "visual description" not in text and "bounding box" not in text
    assert "a car to the front of the ego vehicle" in text and facts.objects[0].description not in text
    counts = [sum(map(len, frame["QA"].values())) for frame in (with_images, without)]
    assert counts[0] - counts[1] == 3  # two descriptions, one list of boxes
    names = list(without["key_object_infos"])
    for kind, pairs in without["QA"].items():
        told = [pair["Q"] + pair["A"] for pair in pairs]
        assert kind == "behavior" or any(names[0] in one for one in told)


def test_someone_on_the_sidewalk_is_no_concern():
    person = lambda t: [agent("walker", 9.0, -5.0, "human.pedestrian.adult", speed=0.0)]  # noqa: E731
    facts, frame, _ = answers(states(ego, person))
    (tag,) = frame["key_object_infos"]
    assert frame["key_object_infos"][tag]["Category"] == "Pedestrian"
    assert about(frame, "Would <> be in the moving direction of the ego vehicle?") == {tag: "No."}
    assert about(frame, "What actions taken by the ego vehicle can lead to a collision with <>?") == {
        tag: "Sharp right turn."
    }
    assert facts.action == "keep going at the same speed"
    assert facts.objects[0].status == "standing"


def test_turning_left():
    def turning(t):
        yaw = min(0.5 * t, 1.5)
        return ego(t, 4.0, yaw=yaw, x=8 * math.sin(yaw), y=8 * (1 - math.cos(yaw)))

    facts, _, said = answers(states(turning))
    assert (facts.action, facts.steering) == ("turn left", "steering to the left")
    assert said["What is the target action of the ego vehicle?"] == "Turn left."
    assert said["Please describe the current scene."].endswith("the road is empty.")


def test_going_round_an_obstacle():
    drive = states(lambda t: ego(t, 6.0, y=1.5 * (1 - math.cos(min(t, 3.0) * math.pi / 3))))
    assert answers(drive)[0].action == "slightly offset to the left"


def test_many_cars_and_their_states():
    def queue(t):
        moving = [agent(f"m{i}", 15.0 + 6 * i, 0.8, speed=3.0) for i in range(4)]
        return [*moving, agent("p", 14.0, -4.0, parked=True)]

    _, _, said = answers(states(ego, queue))
    front = said["What is the status of the cars that are to the front of the ego car?"]
    assert front == "Many of the cars are moving, and one is parked."
    assert said["Are there moving cars to the front of the ego car?"] == "Yes."


def test_questions_name_what_is_there(root, tables):
    drivelm = json.loads((root / "drivelm.json").read_text())
    assert set(drivelm) == {scene["token"] for scene in tables.scene}
    kinds = {"perception", "prediction", "planning", "behavior"}
    pairs = 0
    for scene, entry in drivelm.items():
        assert len(entry["key_frames"]) == 33  # all but the last second, whose future is not recorded
        for token, frame in entry["key_frames"].items():
            assert tables.get("sample", token)["scene_token"] == scene
            assert set(frame) == {"key_object_infos", "QA", "image_paths"} and set(frame["QA"]) == kinds
            for path in frame["image_paths"].values():
                assert (root / path.removeprefix("../nuscenes/")).is_file()
            for tag, info in frame["key_object_infos"].items():
                name, camera, x, y = tag.strip("<>").split(",")
                x1, y1, x2, y2 = info["2d_bbox"]
                assert re.fullmatch("c[1-9]", name) and camera in frame["image_paths"]
                assert 0 <= x1 < x2 <= 1600 and 0 <= y1 < y2 <= 900
                assert (float(x), float(y)) == pytest.approx(((x1 + x2) / 2, (y1 + y2) / 2), abs=0.06)
            for pair in itertools.chain(*frame["QA"].values()):
                assert list(pair) == ["Q", "A", "C", "con_up", "con_down", "cluster", "layer"]
                assert set(re.findall("<c[^>]*>", pair["Q"] + pair["A"])) <= set(frame["key_object_infos"])
                pairs += 1
    assert pairs > 66 * 20


def test_questions_look_like_drivelms(root):
    """Our templates, tags replaced, are DriveLM's own wherever the released sample has that kind of question."""
    real = realdata.folder() / "drivelm_challenge" / "data" / "train_sample.json"

    def templates(path):
        found = set()
        for scene in json.loads(path.read_text()).values():
            for frame in scene["key_frames"].values():
                for kind, pairs in frame["QA"].items():
                    found |= {(kind, re.sub("<c[^>]*>", "<T>", pair["Q"])) for pair in pairs}
        return found

    theirs, ours = templates(real), templates(root / "drivelm.json")
    free = re.compile(r"^(What are objects|What is the status of|Are there)")  # depend on what stands where
    unknown = {q for kind, q in ours if not free.match(q) and (kind, q) not in theirs}
    assert unknown == set()
