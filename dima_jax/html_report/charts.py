"""Charts of the page: differences with intervals, distances of all frames, collisions step by step."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from dima_jax.constants import STEP_SECONDS
from dima_jax.html_report import svg, words, worst
from dima_jax.html_report.series import Series, audited
from dima_jax.scoring import subsets
from dima_jax.scoring.npz_file import Arrays

BINS = 36
FAR = 3.0  # a difference so many times the median one is drawn at the edge
LONGEST = 26  # letters of a name in a drawing


class Chart(NamedTuple):
    """title and note: what stands around the drawing."""

    title: str
    note: str
    drawing: Markup


def short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from low to high."""
    span = high - low
    if not span > 0:
        return [low]
    step = 10.0 ** np.floor(np.log10(span / most))
    step *= next(one for one in (1, 2, 5, 10) if span / (step * one) <= most)
    return [
        round(one * step, 10) for one in range(int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9)) + 1)
    ]


def differences(result: dict, planner: str) -> list[Chart]:
    """A planner minus every other one, with intervals, by the first protocol that has the number."""
    charts, hidden = [], audited(result)
    for column in ("l2_avg", "collision_avg"):
        for name in result["differences"]:
            found = result["differences"][name].get(subsets.ALL, [])
            rows = [one for one in found if one["a"] == planner and one["column"] == column and one["b"] not in hidden]
            rows = [one for one in rows if one["difference"] is not None and one["low"] is not None]
            if rows:
                charts.append(_differences(result, name, column, planner, rows))
                break
    return charts


def _differences(result: dict, name: str, column: str, planner: str, rows: list[dict]) -> Chart:
    definition = result["protocols"][name]["definition"]
    quantity = column.removesuffix("_avg")
    unit = definition["quantities"][quantity]
    scale = words.FORMS.get(unit, (1.0,))[0]
    ends = np.array([[scale * one[key] for key in ("low", "difference", "high")] for one in rows])
    far = np.abs(ends[:, 1]) > FAR * max(float(np.median(np.abs(ends[:, 1]))), 1e-9)
    near = ends[~far] if (~far).any() else ends
    low, high = min(0.0, near.min()), max(0.0, near.max())
    pad = 0.06 * (high - low) or 1.0
    low, high = low - pad, high + pad
    left, right, height = 170.0, 400.0, 26.0

    def at(value: float) -> float:
        return left + (right - left) * (min(max(value, low), high) - low) / (high - low)

    bottom = height * len(rows) + 12
    parts = []
    for tick in ticks(low, high):
        parts.append(svg.line(at(tick), 6, at(tick), bottom, "zero" if tick == 0 else "grid"))
        parts.append(svg.text(at(tick), bottom + 15, _signed(tick), "tick", text_anchor="middle"))
    for number, (row, (one_low, middle, one_high), is_far) in enumerate(zip(rows, ends.tolist(), far, strict=True)):
        y = height * (number + 0.5) + 6
        decided = row["verdict"] in ("a_better", "b_better")
        class_ = f"{row['verdict'].replace('_', '-')}"
        parts.append(svg.text(left - 14, y + 4, short(row["b"]), "name", text_anchor="end"))
        if is_far and not low <= middle <= high:
            edge, way = (left, 1) if middle < low else (right, -1)
            arrow = np.array([[edge + 7 * way, y - 5], [edge, y], [edge + 7 * way, y + 5]])
            parts.append(svg.element("polyline", points=svg.points(arrow), class_=f"arrow {class_}"))
        else:
            parts.append(svg.line(at(one_low), y, at(one_high), y, f"range {class_}"))
            mark = "mark" if decided else "mark open"
            parts.append(
                svg.element("circle", cx=svg.number(at(middle)), cy=svg.number(y), r="4.2", class_=f"{mark} {class_}")
            )
        told = words.number(row["difference"], unit, "+")
        parts.append(svg.text(right + 16, y + 4, told, "value"))
        parts.append(svg.element("title", f"{row['b']}: {told} ({words.interval(row, unit)})"))
    title = f"{words.label(column)}, {words.unit(unit)}: {planner} minus each other planner"
    note = (
        f"By {name}, all frames, with 95 % intervals. Left of the line {planner} is better; "
        f"an open mark is undecided; an arrow is off the scale."
    )
    return Chart(title, note, svg.picture((0, 0, 480, bottom + 24), title, *parts, class_="chart differences"))


def _signed(value: float) -> str:
    return f"{value:+g}".replace("-", "−") if value else "0"


def histograms(result: dict, arrays: Arrays, series: list[Series]) -> list[Chart]:
    """How L2 of the first protocol that has it is spread over frames, for each planner on the same axis."""
    metric = next((one for one in worst.metrics(result) if one.column == worst.DISTANCE), None)
    if metric is None:
        return []
    values = {one: worst.values(result, arrays, metric, one.row) for one in series}
    values = {one: value[np.isfinite(value)] for one, value in values.items()}
    values = {one: value for one, value in values.items() if len(value)}
    if not values:
        return []
    most = {one: float(np.percentile(value, 98)) for one, value in values.items()}
    top = 1.5 * max([far for one, far in most.items() if one.shown] or most.values()) + 0.1
    shares = {
        one: np.histogram(np.minimum(value, top * (1 - 1e-9)), BINS, (0.0, top))[0] / len(value)
        for one, value in values.items()
    }
    highest = max(float(share[:-1].max()) for share in shares.values()) or 1.0  # what is beyond may be cut off
    return [_histogram(one, values[one], share, top, highest, metric) for one, share in shares.items()]


def _histogram(
    one: Series,
    value: Float[np.ndarray, " n"],
    share: Float[np.ndarray, " bins"],
    top: float,
    highest: float,
    metric: worst.Metric,
) -> Chart:
    left, right, base, height = 8.0, 312.0, 116.0, 92.0
    width = (right - left) / BINS
    parts = []
    for number, part in enumerate(share.tolist()):
        tall = height * min(part / highest, 1.0)
        rest = number == BINS - 1 and (value >= top).any()
        parts.append(
            svg.element(
                "rect",
                x=svg.number(left + number * width),
                y=svg.number(base - tall),
                width=svg.number(width - 1),
                height=svg.number(tall),
                class_="bar rest" if rest else "bar",
            )
        )
    parts.append(svg.line(left, base, right, base, "axis"))
    for tick in ticks(0.0, top):
        x = left + (right - left) * tick / top
        parts.append(svg.line(x, base, x, base + 4, "axis"))
        parts.append(svg.text(x, base + 17, f"{tick:g}", "tick", text_anchor="middle"))
    median = float(np.median(value))
    if median < top:
        x = left + (right - left) * median / top
        parts.append(svg.line(x, 12, x, base, "median"))
        anchor = "start" if x < 200 else "end"
        parts.append(
            svg.text(x + (4 if anchor == "start" else -4), 20, f"median {median:.2f} m", "tick", text_anchor=anchor)
        )
    beyond = int((value >= top).sum())
    note = (
        f"{len(value):,} frames; {beyond:,} at {top:.1f} m or more are the last bar"
        if beyond
        else f"{len(value):,} frames"
    )
    title = f"L2 in meters of {one.name} by {metric.protocol}: median {median:.2f} m"
    return Chart(one.name, note, svg.picture((0, 0, 320, 140), title, *parts, class_=f"chart histogram {one.style}"))


def collisions(result: dict, arrays: Arrays, series: list[Series]) -> list[Chart]:
    """The share of frames in which a plan collides at each step, for each protocol that knows collisions."""
    charts = []
    for name, protocol in result["protocols"].items():
        if not protocol["available"] or f"{name}/collision" not in arrays:
            continue
        lines = {one: rates(arrays, name, one.row) for one in series}
        lines = {one: line for one, line in lines.items() if np.isfinite(line).all()}
        if lines:
            charts.append(_collisions(name, protocol, lines))
    return charts


def rates(arrays: Arrays, name: str, row: int) -> Float[np.ndarray, " F"]:
    """Over the frames where the step counts; NaN where there are none."""
    counts = arrays[f"{name}/collision/mask"][row] & arrays[f"{name}/entered"][:, None]
    value = np.where(counts, arrays[f"{name}/collision"][row], 0.0).astype(np.float64)
    number = counts.sum(axis=0)
    return np.where(number > 0, value.sum(axis=0) / np.maximum(number, 1), np.nan)


def _collisions(name: str, protocol: dict, lines: dict[Series, Float[np.ndarray, " F"]]) -> Chart:
    left, right, base, top = 34.0, 312.0, 130.0, 12.0
    steps = len(next(iter(lines.values())))
    high = max(100 * max(float(line.max()) for line in lines.values()), 0.5) * 1.08

    def place(number: int, value: float) -> tuple[float, float]:
        return left + (right - left) * (number + 1) / steps, base - (base - top) * value / high

    parts = []
    for tick in ticks(0.0, high, 4):
        y = place(0, tick)[1]
        parts.append(svg.line(left, y, right, y, "axis" if tick == 0 else "grid"))
        parts.append(svg.text(left - 6, y + 4, f"{tick:g}", "tick", text_anchor="end"))
    for number in range(steps):
        x, seconds = place(number, 0.0)[0], STEP_SECONDS * (number + 1)
        if seconds == int(seconds):
            parts.append(
                svg.text(x, base + 17, f"{seconds:g} s", "tick", text_anchor="end" if number == steps - 1 else "middle")
            )
    for one, line in reversed(lines.items()):
        xy = np.array([place(number, 100 * value) for number, value in enumerate(line.tolist())])
        inside = [svg.element("title", one.name), svg.element("polyline", points=svg.points(xy), class_="curve")]
        inside += [
            svg.element("circle", cx=svg.number(x), cy=svg.number(y), r="2.4", class_="dot") for x, y in xy.tolist()
        ]
        parts.append(svg.element("g", *inside, class_=one.style))
    told = "; ".join(f"{one.name} {100 * line[-1]:.2f} % at {STEP_SECONDS * steps:g} s" for one, line in lines.items())
    title = f"collisions in percent of frames by {name}: {told}"
    note = "steps that do not count by the protocol are left out"
    return Chart(
        f"{name}",
        f"{protocol['definition']['title']}; {note}",
        svg.picture((0, 0, 320, 154), title, *parts, class_="chart collisions"),
    )
