"""Motion metrics as VAD reports them, after ViP3D: minADE, minFDE, miss rate, EPA (vad-spec 12.2).

Only agents that are both detected (score above 0.6) and matched (centers within 2 m) have an error; what was missed or
invented shows in EPA alone, end-to-end prediction accuracy: (hits - 0.5 * false positives) / recorded agents.
Meters; counts are summed over frames and divided once.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from dima_jax.metrics.decode import Agents

MIN_SCORE = 0.6
MATCH_DISTANCE = 2.0  # meters between centers
HIT_DISTANCE = 2.0  # meters at the last step
DYNAMIC = (0, 1, 3, 4, 6, 7, 8)  # classes that may be matched: no construction vehicles, barriers, cones
KINDS = {0: "car", 1: "car", 3: "car", 4: "car", 8: "pedestrian"}  # truck, bus and trailer count as car; others do not
FALSE_POSITIVE_COST = 0.5
FAR = 1e6


def frame_counts(predicted: Agents, recorded: Agents) -> Counter:
    """Sums of one frame, by "<count>_<kind>": gt, fp, hit, MR, cnt_ade, ADE, cnt_fde, FDE."""
    predicted = confident(predicted)
    match = match_agents(predicted, recorded)
    counts = Counter()
    for index in set(range(len(predicted.labels))) - set(match.tolist()):
        if predicted.labels[index] in KINDS:
            counts[f"fp_{KINDS[predicted.labels[index]]}"] += 1
    for agent, index in enumerate(match):
        if recorded.labels[agent] in KINDS:
            counts.update(_agent_counts(predicted, recorded, agent, index, KINDS[recorded.labels[agent]]))
    return counts


def summarize(frames: Sequence[Counter]) -> dict[str, float]:
    """{"EPA_car", "ADE_car", "FDE_car", "MR_car", the same for pedestrian}; NaN where nothing was counted."""
    total = sum(frames, Counter())
    row = {}
    for kind in ("car", "pedestrian"):
        of = {name: total[f"{name}_{kind}"] for name in ("gt", "fp", "hit", "MR", "cnt_ade", "ADE", "cnt_fde", "FDE")}
        row[f"EPA_{kind}"] = _ratio(of["hit"] - FALSE_POSITIVE_COST * of["fp"], of["gt"])
        row[f"ADE_{kind}"] = _ratio(of["ADE"], of["cnt_ade"])
        row[f"FDE_{kind}"] = _ratio(of["FDE"], of["cnt_fde"])
        row[f"MR_{kind}"] = _ratio(of["MR"], of["cnt_fde"])
    return row


def confident(predicted: Agents) -> Agents:
    """The predictions that count."""
    keep = predicted.scores > MIN_SCORE
    return Agents(*(field[keep] for field in predicted))


def match_agents(predicted: Agents, recorded: Agents) -> np.ndarray:
    """Index of the (confident) prediction of each recorded agent, -1 = missed; class plays no part beyond DYNAMIC."""
    apart = np.linalg.norm(predicted.boxes[:, None, :2] - recorded.boxes[None, :, :2], axis=-1)
    apart[~np.isin(predicted.labels, DYNAMIC)] = FAR
    apart[:, ~np.isin(recorded.labels, DYNAMIC)] = FAR
    apart[apart > MATCH_DISTANCE] = FAR
    match = np.full(len(recorded.labels), -1)
    for index, agent in zip(*linear_sum_assignment(apart), strict=True):
        if apart[index, agent] <= MATCH_DISTANCE:
            match[agent] = index
    return match


def _agent_counts(predicted, recorded, agent, index, kind):
    """Counts of one recorded agent; its error runs over as many first steps as are real, from each box's own center."""
    steps = int(recorded.future_mask[agent].sum())
    complete = steps == recorded.future_mask.shape[1]
    counts = Counter({f"gt_{kind}": int(complete)})
    if index < 0 or steps == 0:
        return counts
    truth = recorded.boxes[agent, :2] + recorded.future_offsets[agent, 0, :steps].cumsum(0)
    modes = predicted.boxes[index, :2] + predicted.future_offsets[index, :, :steps].cumsum(1)
    errors = np.linalg.norm(modes - truth, axis=-1)  # [K, steps]
    counts.update({f"cnt_ade_{kind}": 1, f"ADE_{kind}": float(errors.mean(-1).min())})
    if complete:
        final = float(errors[:, -1].min())
        hit = final <= HIT_DISTANCE
        counts.update({f"cnt_fde_{kind}": 1, f"FDE_{kind}": final, f"{'hit' if hit else 'MR'}_{kind}": 1})
    return counts


def _ratio(value, count):
    return value / count if count else float("nan")
