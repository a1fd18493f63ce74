"""Findings are printed in groups of bounded length, stored as strict JSON, and refused in one line."""

import json

import pytest

from data_prep.root_check.problems import ERROR, NOTE, SKIP, Files
from data_prep.root_check.report import Report
from dima_jax.errors import UserError
from dima_jax.output_files import json_text


def report_of(**counts: int) -> Report:
    report = Report("root", "v1.0")
    for kind, count in counts.items():
        lines = [f"file: {kind} {i}" for i in range(count)]
        report.add([Files(kind, "file", f"rule of {kind}", lines, "mend it")], {})
    return report


def test_text_and_content():
    report = report_of(note=1, skip=500, error=0)
    lines = report.text().splitlines()
    assert lines[0] == "skip: file: rule of skip (500); mend it"
    assert lines[1:5] == ["    file: skip 0", "    file: skip 1", "    file: skip 2", "    and 497 more"]
    assert lines[-1] == "root v1.0: 0 errors, 500 skips, 1 notes"
    stored = json.loads(json_text(report.content()))
    assert [(one["kind"], one["count"], len(one["lines"])) for one in stored["findings"]] == [
        (NOTE, 1, 1),
        (SKIP, 500, 100),
    ]


def test_refuse():
    report_of(skip=1, note=1).refuse()
    with pytest.raises(UserError, match=r"^file: skip 0; mend it$"):
        report_of(skip=1).refuse(is_strict=True)
    with pytest.raises(
        UserError, match=r"^file: error 0; mend it \(and 2 more: `python -m data_prep\.check` lists them\)$"
    ):
        report_of(skip=1, error=3).refuse()
    report = Report("root", "v1.0")
    report.add_error(UserError("a.json: not valid JSON (x; y); unpack it"))
    assert report.findings[0].kind == ERROR and report.findings[0].file == "a.json"
    with pytest.raises(UserError, match=r"^a\.json: not valid JSON \(x; y\); unpack it$"):
        report.refuse()
