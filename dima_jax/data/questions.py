"""Which question a window asks: one of DriveLM's about its current frame, or one made by rule (D12).

Rule-made questions are about motion (how does the nearest agent move), position (where is it), relation (where is one
agent seen from another) and ego behavior (what will the ego do). They need nothing but the record's boxes and path.
"""

import math

import numpy as np

from dima_jax.categories import CLASS_OF_CATEGORY
from dima_jax.data.prompts import Tokens, tokenize

NEAR = 30.0  # meters: agents further away are not asked about
SLOW, FAST = 0.5, 6.0  # meters per second: below, something stands; above, it is fast
TURN = math.radians(20)  # heading change over the known future that makes a turn
BRAKE = 1.5  # meters per second lost or won over the known future


def candidates(record: dict) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """All (question, answer) pairs about a frame: DriveLM's, but for those without an answer, and those made by rule."""
    recorded = zip(record["qa"]["questions"], record["qa"]["answers"], strict=True)
    return [pair for pair in recorded if pair[1]], rule_questions(record)


def choose(kinds, tokenizer, max_text: int, rng) -> Tokens:
    """A question about the frame with its answer, tokenized; by chance among those that fit into max_text.

    kinds: what `candidates` returns; the first kind that fits is taken. If nothing fits, the shortest is cut and says so
    (`Tokens.cut`).
    """
    tried = []
    for pairs in kinds:
        for i in rng.permutation(len(pairs)):
            tried.append(tokenize(tokenizer, *pairs[i], max_text))
            if not tried[-1].cut:
                return tried[-1]
    return min(tried, key=lambda tokens: tokens.cut)


def rule_questions(record: dict) -> list[tuple[str, str]]:
    """(question, answer) pairs; never empty, since the ego always behaves somehow."""
    agents = _near_agents(record["agents"])
    pairs = [("What will the ego vehicle do?", _ego_behavior(record["ego"]))]
    if not agents:
        return [*pairs, ("Is any agent near the ego vehicle?", "No.")]
    for name, position, motion in agents[:3]:
        where = _direction(position)
        distance = round(float(np.linalg.norm(position)))
        pairs.append((f"Where is the nearest {name}?", f"{where.capitalize()}, {distance} meters away."))
        pairs.append((f"How does the {name} {where} move?", motion))
    if len(agents) > 1:
        (first, here, _), (second, there, _) = agents[:2]
        relation = _direction(there - here)
        if first == second:
            second = f"other {second}"
        pairs.append(
            (f"Where is the {second} seen from the {first} {_direction(here)}?", f"{relation.capitalize()} of it.")
        )
    return pairs


def _near_agents(agents: dict) -> list[tuple[str, np.ndarray, str]]:
    """(class in words, position, motion in words) of the nearest agent of each class, and of the two nearest of all."""
    distance = np.linalg.norm(agents["boxes"][:, :2], axis=1)
    found = []
    for i in np.argsort(distance, kind="stable"):
        name = CLASS_OF_CATEGORY.get(agents["categories"][i])
        seen = agents["num_lidar_pts"][i] + agents["num_radar_pts"][i] > 0
        if name is None or not seen or distance[i] > NEAR:
            continue
        if name.replace("_", " ") not in [n for n, _, _ in found] or len(found) < 2:
            steps = agents["future_offsets"][i][agents["future_mask"][i]]
            found.append((name.replace("_", " "), agents["boxes"][i, :2], _motion(steps)))
    return found


def _direction(offset: np.ndarray) -> str:
    """One of eight directions in the LiDAR frame (x right, y forward)."""
    names = ("ahead", "ahead to the left", "to the left", "behind to the left")
    names += ("behind", "behind to the right", "to the right", "ahead to the right")
    return names[round(math.atan2(-offset[0], offset[1]) / (math.pi / 4)) % 8]


def _motion(steps: np.ndarray) -> str:
    """What known steps [n, 2] of 0.5 s amount to."""
    if not len(steps):
        return "It is not known."
    speeds = np.linalg.norm(steps, axis=1) / 0.5
    if speeds.max() < SLOW:
        return "It stands still."
    words = "It turns left" if _turn(steps) > TURN else "It turns right" if _turn(steps) < -TURN else "It goes straight"
    change = speeds[-1] - speeds[0]
    return words + (" and slows down." if change < -BRAKE else " and speeds up." if change > BRAKE else ".")


def _turn(steps: np.ndarray) -> float:
    """Heading change (radians, left positive) between the first and the last step that is long enough to have one."""
    moving = steps[np.linalg.norm(steps, axis=1) > 0.5 * SLOW]
    if len(moving) < 2:
        return 0.0
    (x0, y0), (x1, y1) = moving[0], moving[-1]
    return math.atan2(x0 * y1 - y0 * x1, x0 * x1 + y0 * y1)


def _ego_behavior(ego: dict) -> str:
    """Direction by the command, speed by the recorded path."""
    direction = ("turns right", "turns left", "goes straight")[ego["command"]]
    steps = ego["future_offsets"][ego["future_mask"]]
    if not len(steps):
        return f"It {direction}."
    speeds = np.linalg.norm(steps, axis=1) / 0.5
    if speeds.max() < SLOW:
        return "It stays where it is."
    change = speeds[-1] - speeds[0]
    pace = "slows down" if change < -BRAKE else "speeds up" if change > BRAKE else "keeps its speed"
    return f"It {direction} and {pace}."
