"""The rules that records keep, and what breaks them. Kinds of findings are those of `root_check/problems.py`."""

from collections.abc import Iterable
from typing import NamedTuple

from data_prep.root_check.problems import ERROR, NOTE, SKIP, Files

CORRECT = "correct it in the nuScenes root and build the records again"
RECALIBRATE = "correct calibrated_sensor.json and build the records again"


class Rule(NamedTuple):
    """kind: of a finding; text: what holds for good records; remedy: what to do otherwise."""

    kind: str
    text: str
    remedy: str


RECORD = Rule(ERROR, "a record is whole", "build the records again")
ORDER = Rule(ERROR, "a scene's key frames follow each other", "build the records again")
POSE = Rule(ERROR, "poses are rigid motions", CORRECT)
IMAGE = Rule(ERROR, "images are whole JPEG files", "copy the image again and build the records again")
INTRINSICS = Rule(ERROR, "intrinsics are those of a pinhole and fit the image", RECALIBRATE)
BOX = Rule(ERROR, "boxes are possible", CORRECT)
FUTURE = Rule(ERROR, "an agent's future ends once", CORRECT)
MAP = Rule(ERROR, "map lines are whole and within their patch", CORRECT)
CAN = Rule(ERROR, "the CAN bus is finite", CORRECT)
PATH = Rule(ERROR, "the recorded path and its command are possible", CORRECT)
TAG = Rule(ERROR, "a tag names a camera and a pixel", "correct or remove the question")
UPRIGHT = Rule(ERROR, "a camera stands upright on the vehicle and looks where its name says", RECALIBRATE)
SEEN = Rule(ERROR, "boxes with LiDAR points and the map near the ego are in an image", RECALIBRATE)

GAP = Rule(SKIP, "key frames are 0.5 s apart", "correct the times in the nuScenes root")
JUMP = Rule(SKIP, "the ego moves on without jumps", CORRECT)
FAST = Rule(SKIP, "agents move at a speed that is possible", CORRECT)
OUTSIDE = Rule(SKIP, "a tag is inside of its camera's image", "remove the question")
ON_BOX = Rule(
    SKIP, "tags of a camera are on boxes", "compare the questions' file and calibrated_sensor.json with the images"
)
SPEED = Rule(SKIP, "the CAN bus and the ego poses tell the same speed", "correct can_bus/*_pose.json: vel is in m/s")
SIZE = Rule(SKIP, "boxes have the sizes of their class", "correct size in sample_annotation.json: meters")
UNIFORM = Rule(SKIP, "an image is a picture of something", "copy the image again and build the records again")

COMMAND = Rule(NOTE, "every command occurs", "give scenes in which the vehicle turns")


class Problem(NamedTuple):
    """scene: its name, "" for the whole split; sample: token, "" for the whole scene; detail: what is wrong there."""

    rule: Rule
    scene: str
    sample: str
    detail: str

    def line(self) -> str:
        where = ", sample ".join(filter(None, (self.scene, self.sample)))
        return ": ".join(filter(None, (where, self.detail)))


def grouped(name: str, problems: Iterable[Problem]) -> list[Files]:
    """One finding for every rule that is broken, in order of appearance. name: of the split."""
    lines: dict[Rule, list[str]] = {}
    for problem in problems:
        lines.setdefault(problem.rule, []).append(f"{name}: {problem.line()}")
    return [Files(rule.kind, name, rule.text, found, rule.remedy) for rule, found in lines.items()]
