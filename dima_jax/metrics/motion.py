"""Motion metrics as VAD reports them, after ViP3D: minADE, minFDE, miss rate, EPA (docs/vad.md#metrics).

Only agents that are both detected (score above 0.6) and matched (centers within 2 m) have an error. Missed agents and
false positives enter EPA alone, the end-to-end prediction accuracy: (hits - 0.5 * false positives) / recorded agents.
Meters; counts are summed over frames and divided once.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from scipy.optimize import linear_sum_assignment

from dima_jax.detections import Agents

MIN_SCORE = 0.6
MATCH_DISTANCE = 2.0  # meters between centers
HIT_DISTANCE = 2.0  # meters at the last step
DYNAMIC = (0, 1, 3, 4, 6, 7, 8)  # classes that are matched: all but construction vehicles, barriers, traffic cones
# Class to the row it is reported in: truck, bus and trailer count as car; the other classes are in no row.
KINDS = {0: "car", 1: "car", 3: "car", 4: "car", 8: "pedestrian"}
FALSE_POSITIVE_COST = 0.5
FAR = 1e6  # meters; the distance of a pair that must not be matched


def frame_counts(predicted: Agents, recorded: Agents) -> Counter:
    """Sums of one frame by "<count>_<kind>", the counts being gt, fp, hit, MR, cnt_ade, ADE, cnt_fde and FDE."""
    predicted = confident(predicted)
    match = match_agents(predicted, recorded)
    counts = Counter()
    for index in set(range(len(predicted.labels))) - set(match.tolist()):
        if predicted.labels[index] in KINDS:
            counts[f"fp_{KINDS[predicted.labels[index]]}"] += 1
    for agent, index in enumerate(match.tolist()):
        if recorded.labels[agent] in KINDS:
            counts.update(_agent_counts(predicted, recorded, agent, index, KINDS[recorded.labels[agent]]))
    return counts


def summarize(frames: Sequence[Counter]) -> dict[str, float]:
    """{"EPA_car", "ADE_car", "FDE_car", "MR_car", the same for pedestrian}; NaN where nothing was counted."""
    total = sum(frames, Counter())
    row = {}
    for kind in ("car", "pedestrian"):
        sums = {name: total[f"{name}_{kind}"] for name in ("gt", "fp", "hit", "MR", "cnt_ade", "ADE", "cnt_fde", "FDE")}
        row[f"EPA_{kind}"] = _ratio(sums["hit"] - FALSE_POSITIVE_COST * sums["fp"], sums["gt"])
        row[f"ADE_{kind}"] = _ratio(sums["ADE"], sums["cnt_ade"])
        row[f"FDE_{kind}"] = _ratio(sums["FDE"], sums["cnt_fde"])
        row[f"MR_{kind}"] = _ratio(sums["MR"], sums["cnt_fde"])
    return row


def standing(predicted: Agents) -> Agents:
    """The zero predictor: the same agents, each of which stays where it is."""
    n, _, steps, _ = predicted.futures.shape
    futures = np.broadcast_to(predicted.boxes[:, None, None, :2], (n, 1, steps, 2))
    return predicted._replace(futures=futures, mode_scores=np.ones((n, 1), np.float32))


def confident(predicted: Agents) -> Agents:
    """The predictions scored above MIN_SCORE."""
    keep = predicted.scores > MIN_SCORE
    return Agents(*(field[keep] for field in predicted))


def match_agents(predicted: Agents, recorded: Agents) -> Int[np.ndarray, " recorded"]:
    """Index of the (confident) prediction of each recorded agent, -1 = missed. Any two classes of DYNAMIC may match."""
    distance = np.linalg.norm(predicted.boxes[:, None, :2] - recorded.boxes[None, :, :2], axis=-1)
    distance[~np.isin(predicted.labels, DYNAMIC)] = FAR
    distance[:, ~np.isin(recorded.labels, DYNAMIC)] = FAR
    distance[distance > MATCH_DISTANCE] = FAR
    match = np.full(len(recorded.labels), -1)
    for index, agent in zip(*linear_sum_assignment(distance), strict=True):
        if distance[index, agent] <= MATCH_DISTANCE:
            match[agent] = index
    return match


def _agent_counts(predicted: Agents, recorded: Agents, agent: int, index: int, kind: str) -> Counter:
    """Counts of one recorded agent and its prediction (index -1 = missed).

    As many first steps are compared as are recorded, each path starting from its own box's center.
    """
    steps = int(recorded.future_mask[agent].sum())
    complete = steps == recorded.future_mask.shape[1]
    counts = Counter({f"gt_{kind}": int(complete)})
    if index < 0 or steps == 0:
        return counts
    modes, truth = predicted.futures[index, :, :steps], recorded.futures[agent, 0, :steps]
    errors = np.linalg.norm(modes - truth, axis=-1)  # [K, steps]
    counts.update({f"cnt_ade_{kind}": 1, f"ADE_{kind}": float(errors.mean(-1).min())})
    if complete:
        final = float(errors[:, -1].min())
        hit = final <= HIT_DISTANCE
        counts.update({f"cnt_fde_{kind}": 1, f"FDE_{kind}": final, f"{'hit' if hit else 'MR'}_{kind}": 1})
    return counts


def _ratio(value: float, count: float) -> float:
    return value / count if count else float("nan")
