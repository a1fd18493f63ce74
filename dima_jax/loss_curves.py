"""The losses of a run, read from its TensorBoard events and drawn: `losses.png` in the run's folder."""

from pathlib import Path

import numpy as np

from dima_jax import events

PREFIX = "loss/"
COLUMNS = 4
POINTS = 30  # a curve is shown as so many means at most


def read(workdir: str | Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{term: (steps [n], values [n])} of a run, in order of step; of a step that was logged twice, the later value.

    A last event that is still being written is left out. {} where nothing was logged.
    """
    logged = {
        name.removeprefix(PREFIX): dict(rows) for name, rows in events.read(workdir).items() if name.startswith(PREFIX)
    }
    return {
        term: tuple(np.array(column) for column in zip(*sorted(of.items()), strict=True)) for term, of in logged.items()
    }


def thinned(values: np.ndarray, points: int = POINTS) -> np.ndarray:
    """At most so many means of equally many neighbors, in order."""
    return np.array([part.mean() for part in np.array_split(values, min(points, len(values)))])


def draw(workdir: str | Path) -> Path | None:
    """Draws every term that was ever other than zero, and returns the picture's path; None where nothing was logged."""
    from matplotlib.figure import Figure

    curves = {term: curve for term, curve in read(workdir).items() if np.any(curve[1])}
    if not curves:
        return None
    rows = -(-len(curves) // COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 2.0 * rows), dpi=100, layout="constrained")
    for axes, (term, (steps, values)) in zip(
        figure.subplots(rows, COLUMNS, squeeze=False).flat, curves.items(), strict=False
    ):
        axes.plot(thinned(steps), thinned(values), linewidth=1.5)
        axes.set_title(term, fontsize=9)
        axes.set_ylim(min(0.0, float(values.min())), None)
        axes.tick_params(labelsize=7)
    for axes in figure.axes[len(curves) :]:
        axes.set_axis_off()
    figure.supxlabel("step", fontsize=9)
    path = Path(workdir) / "losses.png"
    figure.savefig(path)
    return path
