"""What columns are called on the page, and what they mean, in words made of a protocol's definition.

Definitions are those of scores.json: a `protocols.base.Definition` as a dict.
"""

import re
from collections.abc import Sequence

from dima_jax.constants import STEP_SECONDS
from dima_jax.scoring.verdicts import FORMS

NOT_THERE = "n/a"
NAMES = {"l2": "L2", "any_3s": "any collision within 3 s"}
FRAMES = {
    "all": "every key frame",
    "future_valid": "key frames whose six future steps are all recorded",
    "not_first": "every key frame but the first of a scene",
}
HOW = {
    "mean": "the mean of",
    "any": "1 if it happens at any of",
    "sum": "the sum of",
}
WEIGHTS = {
    "mask": "steps that do not count are left out of the mean",
    "frame": "steps that do not count are 0 in the mean and still divide it",
}
QUANTITIES = {
    "l2": "distance between a waypoint of the plan and the recorded one at the same time",
    "collision": "whether the ego's box, at the planned place, meets another road user's",
    "point_collision": "whether the planned point itself lies on another road user, as the published code looks it up",
    "off_road": "whether the ego's box leaves the drivable area",
    "off_lane": "whether the center of the ego's box is in no lane",
    "curb": "whether the ego's box meets a line of the road's boundary",
    "score_filtered": "the score: sub-scores that the recorded drive itself fails are 1, then product and weighted mean",
    "score_unfiltered": "the score without the human filter: product and weighted mean of the sub-scores as they are",
    "nc": "no collision at fault: 0 if at fault with a vehicle or person, 0.5 with an object, else 1",
    "dac": "drivable area: 0 if a corner of the box is off it, else 1",
    "ddc": "driving direction: 0.5 or 0, by how far the center travels where no lane of the route is, else 1",
    "tlc": "traffic lights: 0 if it passes a stop line while its light is red, else 1",
    "ttc": "time to collision: 0 if driving on as it does for up to 0.9 s it would hit someone, else 1",
    "ep": "ego progress: meters along the route's centerline, as a share of the best of plan and reference",
    "lk": "lane keeping: 0 if the center is more than 0.5 m from the centerline for 2 s, intersections not counted, else 1",
    "c": "comfort: 0 if an acceleration, jerk, yaw rate or yaw acceleration is beyond nuPlan's limits, else 1",
    "hc": "comfort as in c, the recorded 1.5 s before included",
    "ec": "consistency: 0 if the plan of the key frame before feels different where both overlap, else 1",
}
SCORE = "score"  # the unit of a quantity that says one number of the whole plan, in [0, 1]; more is better
CONTROLS = {
    "recorded path": "what the driver did; its distance is 0 by definition",
    "constant velocity": "the last move repeated",
    "constant turn rate": "the last move repeated, turn included",
    "go straight": "the length of the last move, straight ahead",
    "stand still": "the vehicle stays where it is",
    "nearest neighbors": "the mean of the training drives that began most alike",
    "blind MLP": "a small network on what the student is told of the vehicle, without images; the mean of several fits",
}
POINTS = {"lidar": "the LiDAR", "ego": "the ego's origin"}


def unit(name: str) -> str:
    """As it is printed."""
    return FORMS.get(name, (1.0, "", ""))[2]


def number(value: float | None, name: str, sign: str = "") -> str:
    """In its unit, which is not printed."""
    scale, form, _ = FORMS.get(name, (1.0, ".3f", ""))
    return NOT_THERE if value is None else format(scale * value, f"{sign}{form}").replace("-", "−")


def kept_together(sentence: str) -> str:
    """A sentence in which a line does not end between a number and its unit, and minus signs are those of print."""
    return re.sub(r"(?<=\d) (?=(m|%)(?!\w))", "\N{NO-BREAK SPACE}", re.sub(r"(?<=[( ])-(?=\d)", "−", sentence))


def interval(one: dict, name: str) -> str:
    """Both ends, "" where there are none. one: a number of scores.json."""
    if one.get("low") is None:
        return ""
    return f"{number(one['low'], name)} to {number(one['high'], name)}"


def label(name: str) -> str:
    """A column or quantity as it is shown: "collision_1s" is "collision 1 s"."""
    if name in NAMES:
        return NAMES[name]
    stem, _, last = name.rpartition("_")
    if stem and last.endswith("s") and last[:-1].isdigit():
        return f"{label(stem)} {last[:-1]} s"
    return f"{label(stem)} {last}" if stem in NAMES else name.replace("_", " ")


def steps(numbers: Sequence[int]) -> str:
    """ "0.5 to 3 s", "3 s"."""
    times = [f"{STEP_SECONDS * (one + 1):g}" for one in numbers]
    whole = list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    return f"{times[0]} to {times[-1]} s" if whole and len(times) > 1 else f"{', '.join(times)} s"


def meaning(definition: dict, column: dict) -> str:
    """What a column says of one frame; the table has the mean over frames."""
    quantity = column["quantity"]
    what = QUANTITIES.get(quantity, label(quantity))
    told = unit(definition["quantities"][quantity])
    number_of = column["steps"]
    if definition["quantities"][quantity] == SCORE:
        return f"{what}; frames without data are left out of the mean."
    if len(number_of) == 1:
        text = f"{what}, at {steps(number_of)}"
    else:
        text = f"{HOW[column['how']]} the steps at {steps(number_of)}: {what}"
    weight = f"; {WEIGHTS[column['weight']]}" if column["weight"] in WEIGHTS else ""
    return f"{text}{f' ({told})' if told else ''}{weight}."


def terms(definition: dict) -> list[tuple[str, str]]:
    """(column or average, what it means) of a protocol."""
    found = [(column["name"], meaning(definition, column)) for column in definition["columns"]]
    averages = definition["averages"].items()
    return found + [(name, f"the mean of {', '.join(members)}.") for name, members in averages]


def rules(definition: dict) -> list[tuple[str, str]]:
    """What else makes a protocol's numbers what they are: (rule, in words)."""
    constants = [(label(key), _plain(value)) for key, value in definition["constants"].items()]
    frames = FRAMES.get(definition["frames"], definition["frames"])
    return [
        ("source", definition["source"]),
        ("frames", frames),
        ("masks", definition["mask_rule"]),
        ("needs of the truth", ", ".join(definition["needs"]) or "nothing more"),
        *constants,
    ]


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
