"""Charts of a study: effect sizes with intervals, and learning curves."""

import numpy as np

from dima_jax.html_report import svg, words
from dima_jax.html_report.charts import Chart, short, ticks

DECIDED = ("a_better", "b_better")


def number(value: float, unit: str, sign: str = "") -> str:
    """Meters with three digits: arms of a study differ by centimeters."""
    return f"{value:{sign}.3f}".replace("-", "−") if unit == "m" else words.number(value, unit, sign)


def interval(one: dict, unit: str, sign: str = "") -> str:
    """Both ends, "" where there are none."""
    return "" if one["low"] is None else f"{number(one['low'], unit, sign)} to {number(one['high'], unit, sign)}"


def forest(result: dict, subset: str, column: str, rows: dict[str, dict]) -> Chart:
    """The differences of arms to the reference, one below the other. rows: {arm: its difference}, in order."""
    unit, reference = result["units"][column], result["plan"]["reference"]
    scale = words.FORMS.get(unit, (1.0,))[0]
    ends = np.array([[scale * one[key] for key in ("low", "difference", "high")] for one in rows.values()])
    low, high = min(0.0, float(ends.min())), max(0.0, float(ends.max()))
    pad = 0.06 * (high - low) or 1.0
    low, high = low - pad, high + pad
    left, right, height = 186.0, 420.0, 26.0
    bottom = height * len(rows) + 12

    def at(value: float) -> float:
        return left + (right - left) * (value - low) / (high - low)

    parts = []
    for tick in ticks(low, high):
        parts.append(svg.line(at(tick), 6, at(tick), bottom, "zero" if tick == 0 else "grid"))
        told = f"{tick:+g}".replace("-", "−") if tick else "0"
        parts.append(svg.text(at(tick), bottom + 15, told, "tick", text_anchor="middle"))
    for place, ((arm, one), (start, middle, end)) in enumerate(zip(rows.items(), ends.tolist(), strict=True)):
        y, class_ = height * (place + 0.5) + 6, str(one["verdict"]).replace("_", "-")
        mark = "mark" if one["verdict"] in DECIDED else "mark open"
        parts += [
            svg.text(left - 12, y + 4, short(arm), "name", text_anchor="end"),
            svg.line(at(start), y, at(end), y, f"range {class_}"),
            svg.element("circle", cx=svg.number(at(middle)), cy=svg.number(y), r="4.2", class_=f"{mark} {class_}"),
            svg.text(right + 10, y + 4, number(one["difference"], unit, "+"), "value"),
            svg.element("title", f"{arm}: {number(one['difference'], unit, '+')} ({interval(one, unit, '+')})"),
        ]
    title = f"{words.label(column)}, {words.unit(unit)}: each arm minus {reference}, {subset}"
    note = "Vector mode. 95 % intervals; left of the line the arm is better; an open mark is undecided."
    return Chart(title, note, svg.picture((0, 0, 480, bottom + 24), title, *parts, class_="chart differences"))


def curves(result: dict, name: str, beside: str | None, unit: str) -> list[Chart]:
    """One chart for each arm, all on one scale: a curve of training, its seeds' range, and another curve beside it."""
    found = {arm: one for arm, one in result["curves"].items() if name in one}
    keys = [key for key in (name, beside) if key]
    high = max((value for one in found.values() for key in keys for value in _known(one.get(key))), default=0.0)
    return [
        _curves(arm, [(key, one[key]) for key in keys if key in one], high or 1.0, unit, result)
        for arm, one in found.items()
    ]


def _known(curve: dict | None) -> list[float]:
    """What scales the chart: the means after the first tenth, which is far off before anything is learned."""
    means = curve["mean"] if curve else []
    return [value for value in means[len(means) // 10 :] if value is not None]


def _curves(arm: str, lines: list[tuple[str, dict]], high: float, unit: str, result: dict) -> Chart:
    left, right, base, top = 34.0, 312.0, 116.0, 10.0
    high = 1.08 * high

    def place(number: int, count: int, value: float) -> tuple[float, float]:
        return left + (right - left) * (number + 1) / count, base - (base - top) * min(value, high) / high

    parts = []
    for tick in ticks(0.0, high, 4):
        y = place(0, 1, tick)[1]
        parts.append(svg.line(left, y, right, y, "axis" if tick == 0 else "grid"))
        parts.append(svg.text(left - 6, y + 4, f"{tick:g}", "tick", text_anchor="end"))
    parts.append(svg.text(right, base + 17, f"step {result['plan']['steps']:,}", "tick", text_anchor="end"))
    told = []
    for style, (name, curve) in zip(("s0", "s1"), lines, strict=False):
        rows = [
            (k, *row)
            for k, row in enumerate(zip(curve["low"], curve["mean"], curve["high"], strict=True))
            if None not in row
        ]
        if not rows:
            continue
        count = len(curve["mean"])
        low, mean, most = (np.array([place(row[0], count, row[k]) for row in rows]) for k in (1, 2, 3))
        inside = [
            svg.element("polygon", points=svg.points(np.concatenate([low, most[::-1]])), class_="band"),
            svg.element("polyline", points=svg.points(mean), class_="curve"),
        ]
        parts.append(svg.element("g", svg.element("title", words.label(name)), *inside, class_=style))
        told.append(f"{words.label(name)} ends at {number(rows[-1][2], unit)}{f' {unit}' if unit else ''}")
    title = f"{arm}: {'; '.join(told)}"
    return Chart(arm, "; ".join(told), svg.picture((0, 0, 320, 140), title, *parts, class_="chart curves"))
