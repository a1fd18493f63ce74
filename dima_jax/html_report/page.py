"""The page of a scoring: one HTML file with everything in it, that needs no network and no script to be read."""

import datetime
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from dima_jax.constants import COMMANDS, STEP_SECONDS
from dima_jax.html_report import (
    audit_table,
    bev,
    charts,
    generic_tables,
    images,
    perception_table,
    series,
    tables,
    templates,
    words,
    worst,
)
from dima_jax.html_report.generic_tables import Titled
from dima_jax.html_report.series import Series
from dima_jax.html_report.tables import Cell
from dima_jax.output_files import json_text, new_file
from dima_jax.scoring.frames_file import Frames
from dima_jax.scoring.npz_file import Arrays
from dima_jax.scoring.recorded import Truth

NAME = "index.html"
MORE = {  # of scores.json: what other commands add
    "audit": "Audit",
    "perception": "Perception",
    "edit_reaction": "Reaction to edits",
}
Answers = dict[str, list[dict]]


class Group(NamedTuple):
    """Sentences of one protocol."""

    protocol: str
    sentences: list[tuple[str, str]]  # what is compared, and how it came out


class FramePlanner(NamedTuple):
    """What a planner did in a frame."""

    series: Series
    distances: list[Cell]
    collisions: str


class Shown(NamedTuple):
    """A frame as the template writes it. metrics: numbers of `worst.metrics` for which it is among the worst."""

    token: str
    scene: str
    facts: list[str]
    reasons: list[tuple[int, str]]
    drawing: Markup
    planners: list[FramePlanner]
    pictures: list[images.Picture]
    answers: list[dict]


def write(
    folder: str | Path,
    result: dict,
    frames: Frames,
    truth: Truth,
    pictures: images.Images | None = None,
    answers: Answers | None = None,
) -> Path:
    """Writes `folder`/index.html and returns its path.

    result: the content of scores.json; frames: of the same scoring; truth: the same frames. pictures: a token's JPEG
    files by camera, only asked for frames that are shown. answers: {token: entries with
    "question", "answer" and perhaps "gt_answer"}. UserError where the file cannot be written.
    """
    path = Path(folder) / NAME
    text = render(result, frames, truth, pictures, answers)
    with new_file(path) as part:
        part.write_text(text, encoding="utf-8", errors="replace")
    return path


def render(result: dict, frames: Frames, truth: Truth, pictures: images.Images | None, answers: Answers | None) -> str:
    """The text of the page; arguments as for `write`. A number that is not finite is shown like one that is not there."""
    result = json.loads(json_text(result))
    everybody = series.all_series(result, frames.arrays["planners"])
    focus, metrics = series.first(everybody), worst.metrics(result)
    more = {title: _more(key, title, result.get(key)) for key, title in MORE.items()}
    return templates.render(
        "page.html.j2",
        style=templates.text("page.css"),
        script=templates.text("page.js"),
        title=_title(result),
        header=result["header"],
        date=_date(result["header"]["created"]),
        verdicts=verdicts(result),
        comparisons=result["comparisons"],
        differences=charts.differences(result, focus.name) if focus else [],
        headline=tables.headline(result),
        protocols=[tables.protocol(result, name) for name in result["protocols"]],
        planners=tables.planners(result),
        histograms=charts.histograms(result, frames.arrays, everybody),
        collisions=charts.collisions(result, frames.arrays, everybody),
        more={title: found for title, found in more.items() if found},
        series=everybody,
        focus=focus,
        metrics=[f"{one.protocol}: {words.label(one.column)}" for one in metrics],
        frames=shown(result, frames.arrays, truth, everybody, pictures, answers or {}),
        most=worst.MOST,
    )


def _more(key: str, title: str, content: Any) -> list[Titled]:
    known = {"audit": audit_table.table, "perception": perception_table.table}
    if key not in known:
        return generic_tables.tables(content, title)
    found = known[key](content) if content else None
    return [Titled(title, found)] if found else []


def _title(result: dict) -> str:
    names = list(dict.fromkeys(one["name"] for one in result["planners"] if one["kind"] == "prediction"))
    return (
        f"Planning scores of {', '.join(names[:3])}{' and others' if len(names) > 3 else ''}"
        if names
        else "Planning scores"
    )


def _date(created: str) -> str:
    try:
        return f"{datetime.datetime.fromisoformat(created):%-d %B %Y}"
    except ValueError:
        return created


def verdicts(result: dict) -> list[Group]:
    """The sentences by protocol; those of none first."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for sentence in map(words.kept_together, result["verdicts"]):
        protocol, _, rest = sentence.partition(", ")
        column, _, text = rest.partition(": ")
        if protocol in result["protocols"] and text:
            groups.setdefault(protocol, []).append((words.label(column), text))
        else:
            groups.setdefault("", []).append(("", sentence))
    return [Group(name, groups[name]) for name in sorted(groups, key=lambda name: name != "")]


def shown(
    result: dict,
    arrays: Arrays,
    truth: Truth,
    everybody: list[Series],
    pictures: images.Images | None,
    answers: Answers,
) -> list[Shown]:
    """The worst frames of the first planner, in the order of the truth's frames of `arrays`."""
    focus = series.first(everybody)
    if focus is None:
        return []
    metrics, plans = worst.metrics(result), arrays.get("plans")
    found = []
    for chosen in worst.choose(result, arrays, focus.row):
        token = str(arrays["tokens"][chosen.frame])
        rows = [one.row for one in everybody if one.kind == "prediction" or one == focus]
        hits = {row: worst.hits(arrays, chosen.frame, row, truth.instance) for row in [one.row for one in everybody]}
        struck = {row: bev.struck(truth, chosen.frame, some) for row, some in hits.items()}
        own = None if plans is None else plans[:, chosen.frame]
        scene = str(truth.scene_names[truth.scene[chosen.frame]])
        told = f"{scene} from above: {_alt(focus, struck[focus.row])}"
        drawn = [one for row in rows for one in struck[row]]
        found.append(
            Shown(
                token,
                scene,
                _facts(truth, chosen.frame),
                [(metrics.index(one.metric), _reason(one)) for one in chosen.reasons],
                bev.draw(truth, chosen.frame, own, everybody, drawn, told),
                [_frame_planner(result, arrays, chosen.frame, one, struck[one.row]) for one in everybody],
                images.pictures(pictures, token) if pictures else [],
                answers.get(token, []),
            )
        )
    return found


def _facts(truth: Truth, index: int) -> list[str]:
    facts = []
    if truth.frame_index is not None:
        facts.append(f"key frame {truth.frame_index[index] + 1} of {truth.scene_length[index]}")
    if truth.command is not None:
        facts.append(f"command: {COMMANDS[truth.command[index]]}")
    if truth.speed is not None and np.isfinite(truth.speed[index]):
        facts.append(f"{truth.speed[index]:.1f} m/s")
    if truth.location is not None:
        facts.append(str(truth.location_names[truth.location[index]]))
    return facts


def _reason(one: worst.Reason) -> str:
    name = f"{one.metric.protocol}, {words.label(one.metric.column)}"
    if one.metric.column == worst.ANY:
        return name
    unit = words.unit(one.metric.unit)
    return f"{name}: {words.number(one.value, one.metric.unit)}{f' {unit}' if unit else ''}, worst {one.rank}"


def _frame_planner(result: dict, arrays: Arrays, frame: int, one: Series, struck: list[bev.Struck]) -> FramePlanner:
    """Distances at 1, 2 and 3 s by the first protocol that has any, and who is struck."""
    name = next((name for name in result["protocols"] if f"{name}/l2" in arrays), None)
    at = arrays[f"{name}/l2"][one.row, frame, 1::2].tolist() if name else [np.nan] * 3
    return FramePlanner(one, [_distance(x) for x in at], _struck(struck))


def _distance(meters: float) -> Cell:
    known = np.isfinite(meters)
    return Cell(f"{meters:.2f}", value=round(meters, 2)) if known else Cell(words.NOT_THERE)


def _struck(struck: list[bev.Struck]) -> str:
    told = [f"{one.kind} at {STEP_SECONDS * (one.hit.step + 1):g} s ({', '.join(one.hit.protocols)})" for one in struck]
    return "; ".join(told) or "nobody"


def _alt(focus: Series, struck: list[bev.Struck]) -> str:
    return f"recorded path and plans; {focus.name} strikes {_struck(struck)}"
