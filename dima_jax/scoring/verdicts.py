"""What can be said of two planners: who is ahead, or that nobody is.

Smaller is better, but for scores (unit "score"). A difference whose 95 % interval contains 0 is undecided.
"""

from dima_jax.scoring.statistics import FEWEST_RANKED, Estimate

A_BETTER, B_BETTER, UNDECIDED, TOO_FEW = "a_better", "b_better", "undecided", "too_few_scenes"
LARGER_IS_BETTER = ("score",)  # units
FORMS = {"m": (1.0, ".2f", " m"), "share": (100.0, ".2f", " %")}  # by unit: scale, form, what follows


def verdict(difference: Estimate, unit: str) -> str | None:
    """Of a minus b. None where there is no difference to speak of: one of them has no number."""
    if difference.value is None:
        return None
    if difference.scenes < FEWEST_RANKED or difference.low is None:
        return TOO_FEW
    if difference.low <= 0 <= difference.high:
        return UNDECIDED
    return A_BETTER if (difference.value > 0) == (unit in LARGER_IS_BETTER) else B_BETTER


def sentence(
    difference: Estimate, a: str, b: str, column: str, unit: str, protocol: str, coverage: str = ""
) -> str | None:
    """The verdict in words. coverage: which frames were scored, where not all were; "" else."""
    found = verdict(difference, unit)
    if found is None:
        return None
    of = f"{protocol}, {column}"
    where = f"{difference.frames:,} frames of {difference.scenes:,} {'scene' if difference.scenes == 1 else 'scenes'}"
    where += f"; {coverage}" if coverage else ""
    by = number(abs(difference.value), unit)
    if found == TOO_FEW:
        return f"{of}: too few scenes to rank {a} and {b} (they differ by {by}; {where})."
    ends = [difference.low, difference.high]
    if found == UNDECIDED:
        low, high = (number(end, unit, "+") for end in ends)
        return f"{of}: {a} and {b} cannot be told apart: the difference is {low} to {high} ({where})."
    low, high = (number(end, unit) for end in sorted(map(abs, ends)))
    better, worse = (a, b) if found == A_BETTER else (b, a)
    return f"{of}: {better} is better than {worse} by {by}, {low} to {high} ({where})."


def number(value: float, unit: str, sign: str = "") -> str:
    """With its unit; shares in percent."""
    scale, form, after = FORMS.get(unit, (1.0, ".3f", ""))
    return f"{scale * value:{sign}{form}}{after}"
