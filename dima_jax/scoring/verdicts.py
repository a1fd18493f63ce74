"""What can be said of two planners: who is ahead, or that nobody is.

Smaller is better, but for scores (unit "score"). A difference whose 95 % interval contains 0 is undecided.
"""

from collections.abc import Sequence

from dima_jax.scoring.statistics import FEWEST_RANKED, Estimate

A_BETTER, B_BETTER, UNDECIDED, TOO_FEW = "a_better", "b_better", "undecided", "too_few_scenes"
LARGER_IS_BETTER = ("score",)  # units
WORDS = {
    A_BETTER: "is better than",
    B_BETTER: "is worse than",
    UNDECIDED: "cannot be told apart from",
    TOO_FEW: "has too few scenes to be ranked with",
}
FORMS = {
    "m": (1.0, ".2f", "m"),
    "share": (100.0, ".2f", "%"),
    "s": (1.0, ".2f", "s"),
}  # by unit: scale, form, how the unit is printed


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
    a: str, others: Sequence[tuple[str, Estimate]], column: str, unit: str, protocol: str, coverage: str = ""
) -> str | None:
    """What a's differences to others say, in words; None where there is none. others: their names and a minus them.

    coverage: which frames were scored, where not all were; "" else.
    """
    parts: dict[str, list[str]] = {}
    known = [(b, one) for b, one in others if one.value is not None]
    for b, one in known:
        found = verdict(one, unit)
        by, ends = number(abs(one.value), unit), (one.low, one.high)
        if found == TOO_FEW:
            parts.setdefault(found, []).append(f"{b} (they differ by {by})")
        elif found == UNDECIDED:
            parts.setdefault(found, []).append(f"{b} ({' to '.join(number(end, unit, '+') for end in ends)})")
        else:
            away = " to ".join(number(end, unit) for end in sorted(map(abs, ends)))
            parts.setdefault(found, []).append(f"{b} by {by} ({away})")
    if not known:
        return None
    told = "; ".join(f"{WORDS[found]} {_and(names)}" for found, names in parts.items())
    frames, scenes = min(one.frames for _, one in known), min(one.scenes for _, one in known)
    where = f"{frames:,} frames of {scenes:,} {'scene' if scenes == 1 else 'scenes'}"
    return f"{protocol}, {column}: {a} {told}. {where}{f'; {coverage}' if coverage else ''}."


def _and(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " and " * (len(names) > 1) + names[-1]


def number(value: float, unit: str, sign: str = "") -> str:
    """With its unit; shares in percent."""
    scale, form, printed = FORMS.get(unit, (1.0, ".3f", ""))
    return f"{scale * value:{sign}{form}} {printed}".rstrip()
