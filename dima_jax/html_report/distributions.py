"""Charts of many numbers: how they are spread, and how often each of a few names occurs."""

import numpy as np
from jaxtyping import Float

from dima_jax.html_report import svg
from dima_jax.html_report.charts import Chart, short, ticks

BINS = 36
BEYOND = 0.5  # percent of the numbers at each end that may be put into the first and the last bar


def spread(
    title: str, unit: str, values: Float[np.ndarray, " n"], limits: tuple[float, float] | None = None
) -> Chart | None:
    """A histogram of the finite numbers, None of none. limits: of the axis, so that two charts can be compared."""
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = limits or _limits(values)
    width = (high - low) / BINS
    inside = np.clip(values, low, high - 1e-9 * (high - low))
    counts = np.histogram(inside, BINS, (low, high))[0]
    left, right, base, height = 8.0, 312.0, 116.0, 92.0

    def at(value: float) -> float:
        return left + (right - left) * (value - low) / (high - low)

    parts = []
    for number, count in enumerate(counts.tolist()):
        if count:
            start, tall = low + number * width, max(height * count / counts.max(), 1.0)
            told = svg.element("title", f"{_text(start)} to {_text(start + width)} {unit}: {count:,}")
            parts.append(_bar(at(start), base - tall, (right - left) / BINS - 1, tall, told))
    parts.append(svg.line(left, base, right, base, "axis"))
    for tick in ticks(low, high):
        parts.append(svg.line(at(tick), base, at(tick), base + 4, "axis"))
        parts.append(svg.text(at(tick), base + 17, _text(tick), "tick", text_anchor="middle"))
    middle = float(np.median(values))
    if low <= middle <= high:
        x, anchor = at(middle), "start" if at(middle) < 200 else "end"
        parts.append(svg.line(x, 12, x, base, "median"))
        told = f"median {_text(round(middle, 2))} {unit}"
        parts.append(svg.text(x + (4 if anchor == "start" else -4), 20, told, "tick", text_anchor=anchor))
    note = f"{len(values):,} values, {_text(round(values.min(), 2))} to {_text(round(values.max(), 2))} {unit}"
    drawing = svg.picture((0, 0, 320, 140), f"{title}: {note}", *parts, class_="chart s0")
    return Chart(title, f"{note}; what is beyond the axis is in the first and the last bar", drawing)


def occurrences(title: str, counts: dict[str, int]) -> Chart | None:
    """A bar for each name; None of no names."""
    if not counts:
        return None
    left, right, step = 130.0, 330.0, 20.0
    most, total = max(*counts.values(), 1), max(sum(counts.values()), 1)
    parts = []
    for number, (name, count) in enumerate(counts.items()):
        y = step * number + 4
        parts.append(svg.text(left - 8, y + 12, short(name), "name", text_anchor="end"))
        told = svg.element("title", f"{name}: {count:,} ({count / total:.1%})")
        parts.append(_bar(left, y, max((right - left) * count / most, 1.0), step - 5, told))
        parts.append(svg.text(left + (right - left) * count / most + 6, y + 12, f"{count:,}", "tick"))
    height = step * len(counts) + 6
    told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return Chart(title, "", svg.picture((0, 0, 400, height), f"{title}: {told}", *parts, class_="chart s0"))


def _limits(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    low, high = (float(one) for one in np.percentile(values, (BEYOND, 100 - BEYOND)))
    low = 0.0 if 0 <= low < 0.3 * high else low
    pad = 0.02 * (high - low) or 0.5
    return low - (pad if low else 0.0), high + pad


def _bar(x: float, y: float, width: float, height: float, told: str):
    sides = {key: svg.number(one) for key, one in (("x", x), ("y", y), ("width", width), ("height", height))}
    return svg.element("rect", told, **sides, class_="bar")


def _text(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e4 and round(value, 3) == value else f"{value:.2f}"
