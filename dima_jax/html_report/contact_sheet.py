"""The contact sheet of records: one HTML file with findings, numbers, and key frames with what lies over their pictures.

It needs no network and no script to be read.
"""

from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from dima_jax.html_report import templates
from dima_jax.html_report.charts import Chart
from dima_jax.html_report.images import Picture
from dima_jax.html_report.tables import Table
from dima_jax.output_files import new_file

NAME = "index.html"


class Finding(NamedTuple):
    """A rule that is broken. kind: "error", "skip" or "note"; lines: some of `count`, each with its place."""

    kind: str
    rule: str
    count: int
    lines: list[str]
    remedy: str


class View(NamedTuple):
    """A camera's picture and what lies over it."""

    picture: Picture
    overlay: Markup


class KeyFrame(NamedTuple):
    """facts: what is known of it; wrong: what was found in it; above: the drawing, None where none can be made."""

    token: str
    scene: str
    facts: list[str]
    wrong: list[str]
    above: Markup | None
    views: list[View]
    questions: list[tuple[str, str]]


class Numbers(NamedTuple):
    """A group of charts, and perhaps tables, under a title."""

    title: str
    charts: list[Chart]
    tables: list[Table]


class Sheet(NamedTuple):
    """folder: of the records; summary: of each split, a sentence."""

    folder: str
    summary: list[str]
    findings: list[Finding]
    numbers: list[Numbers]
    frames: list[KeyFrame]


def write(folder: str | Path, sheet: Sheet) -> Path:
    """Writes `folder`/index.html and returns its path. UserError where the file cannot be written."""
    path = Path(folder) / NAME
    with new_file(path) as part:
        part.write_text(render(sheet), encoding="utf-8", errors="replace")
    return path


def render(sheet: Sheet) -> str:
    """The text of the page."""
    return templates.render(
        "contact_sheet.html.j2",
        style=templates.text("page.css"),
        more_style=templates.text("contact_sheet.css"),
        script=templates.text("page.js"),
        sheet=sheet,
        counts={
            kind: sum(one.count for one in sheet.findings if one.kind == kind) for kind in ("error", "skip", "note")
        },
    )
