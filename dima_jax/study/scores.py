"""The scores of a study's arms, and their differences to the reference: by `stp3_vad`, in vector mode.

A mean is over seeds and frames; its interval comes from resampling whole scenes and seeds. In a difference seed k of one
arm is paired with seed k of the other: both began with the same order of windows and, where their weights have the same
shapes, with the same weights.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from dima_jax.scoring import align, result, run, statistics, subsets, verdicts
from dima_jax.scoring.predictions import Predictions
from dima_jax.scoring.recorded import Truth
from dima_jax.scoring.statistics import Estimate, Planner
from dima_jax.study import power
from dima_jax.study.power import Components

PROTOCOL = "stp3_vad"
MAIN = "l2_avg"  # what arms are ranked by
COLUMNS = (MAIN, "l2_1s", "l2_2s", "l2_3s", "collision_avg", "collision_1s", "collision_2s", "collision_3s")
SPOKEN = (MAIN, "collision_avg")  # for which there are sentences
WORST = 0.2  # the share of frames that are the blind arm's worst
BLIND_WORST = "worst fifth of frames of the blind arm"
LLM = ", LLM drives"  # ends the name of the row of an arm's own LLM; no arm has a comma in its name


class Scores:
    """Of one split. arms: {name: its rows}, of those that were added. situations: {name: frames that are scored apart}."""

    def __init__(self, truth: Truth, situations: Mapping[str, Bool[np.ndarray, " v"]] | None = None):
        self.truth, self.situations, self.arms = truth, dict(situations or {}), dict[str, Planner]()
        self.definition = None

    def add(self, name: str, tokens: list[str], plans: Float[np.ndarray, "K v 6 2"]) -> None:
        """Scores the plans of an arm or of its LLM, seed by seed."""
        rows = [
            Predictions(name, f"{name}, seed {seed}", "lidar", tokens, plan.astype(np.float64), seed, {})
            for seed, plan in enumerate(plans)
        ]
        found = run.score(self.truth, align.align(self.truth, rows, False), [PROTOCOL], workers=1)[PROTOCOL]
        self.definition = found.definition
        self.arms[name] = Planner(found.value, found.weight)

    def subsets(self, blind: str) -> dict[str, Bool[np.ndarray, " v"]]:
        """{name: its frames}: all, turns and stops, the situations, and the worst of the blind arm, if that is there."""
        known = subsets.masks(self.truth)
        found = {name: known[name] for name in (subsets.ALL, subsets.EITHER) if name in known and known[name].any()}
        found |= {name: mask & self.truth.future_valid for name, mask in self.situations.items()}
        if blind in self.arms:
            value, counts = self.distances(blind)
            value = np.where(counts, value.mean(axis=0), -np.inf)
            number = max(1, round(WORST * counts.sum()))
            worst = np.zeros(len(counts), bool)
            worst[np.argsort(-value, kind="stable")[:number]] = True
            found[BLIND_WORST] = worst & counts
        return found

    def estimates(self, mask: Bool[np.ndarray, " v"]) -> dict[str, dict[str, Estimate]]:
        """{arm: {column: its mean}} over these frames."""
        arms = {name: _of(arm, mask) for name, arm in self.arms.items()}
        return statistics.estimates(self.definition, arms, self.truth.scene[mask])

    def differences(self, reference: str, mask: Bool[np.ndarray, " v"]) -> dict[str, dict[str, Estimate]]:
        """{arm: {column: it minus the reference}} over these frames; {} without the reference."""
        if reference not in self.arms:
            return {}
        pairs = [(name, reference) for name in self.arms if name != reference]
        arms = {name: _of(arm, mask) for name, arm in self.arms.items()}
        found = statistics.differences(self.definition, arms, pairs, self.truth.scene[mask], paired_seeds=True)
        return {name: one for (name, _), one in zip(pairs, found, strict=True)}

    def sentence(self, name: str, reference: str, columns: Mapping[str, Estimate], column: str) -> str | None:
        """What a difference to the reference says, in words."""
        unit = result.units(self.definition)[column]
        return verdicts.sentence(name, [(reference, columns[column])], column, unit, f"vector mode, {PROTOCOL}")

    def distances(self, name: str) -> tuple[Float[np.ndarray, "K v"], Bool[np.ndarray, " v"]]:
        """(L2 of each seed's plan in each frame, meters, the frames that count)."""
        arm = self.arms[name]
        columns = [column.name for column in self.definition.columns]
        chosen = [columns.index(member) for member in self.definition.averages[MAIN]]
        counts = (arm.weight[..., chosen] > 0).all(axis=(0, 2))
        return np.where(counts, arm.value[..., chosen].mean(axis=-1), np.nan), counts

    def components(self, name: str, reference: str) -> Components | None:
        """The parts of an arm's differences to the reference; None for fewer than two seeds or scenes."""
        (ours, counts), (theirs, _) = self.distances(name), self.distances(reference)
        scenes = np.unique(self.truth.scene[counts])
        difference = ours - theirs
        table = [difference[:, counts & (self.truth.scene == scene)].mean(axis=1) for scene in scenes]
        if len(scenes) < 2 or len(difference) < 2:
            return None
        return power.components(np.stack(table, axis=1))

    def scenes(self) -> int:
        """How many have frames that can be scored."""
        return len(np.unique(self.truth.scene[self.truth.future_valid]))


def _of(arm: Planner, mask: Bool[np.ndarray, " v"]) -> Planner:
    return Planner(arm.value[:, mask], arm.weight[:, mask])
