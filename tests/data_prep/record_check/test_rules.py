"""Problems as findings of a report."""

from data_prep.record_check import rules
from data_prep.record_check.rules import Problem


def test_problems_are_grouped_by_rule():
    problems = [
        Problem(rules.SPEED, "scene-1", "", "too fast"),
        Problem(rules.IMAGE, "scene-1", "abc", "gray"),
        Problem(rules.SPEED, "scene-2", "", "too slow"),
        Problem(rules.SIZE, "", "", "huge"),
    ]
    found = rules.grouped("val", problems)
    assert [(one.kind, one.file, one.rule) for one in found] == [
        ("skip", "val", rules.SPEED.text),
        ("error", "val", rules.IMAGE.text),
        ("skip", "val", rules.SIZE.text),
    ]
    assert found[0].lines == ["val: scene-1: too fast", "val: scene-2: too slow"]
    assert found[1].lines == ["val: scene-1, sample abc: gray"] and found[2].lines == ["val: huge"]
