"""Tables say what scores.json says."""

from dima_jax.html_report import tables, words
from tests.html_report import fake_page


def test_the_headline_has_every_planner_and_protocol():
    result, _, _ = fake_page.scored()
    table = tables.headline(result)
    (body,) = table.bodies
    assert [row.name for row in body.rows] == [one["name"] for one in result["planners"]]
    assert [title for title, _ in table.groups] == ["L2 avg, m", "collision avg, %", "score avg"]
    assert sum(count for _, count in table.groups) == len(table.columns) == len(body.rows[0].cells)
    assert [name for name, _ in table.columns][-2:] == ["nu_pdms", "nu_epdms"]
    score = result["scores"]["nu_pdms"]["all frames"][body.rows[0].name]["score_avg"]["value"]
    assert body.rows[0].cells[-2].value == score and 0 <= score <= 1
    number = result["scores"]["stp3_vad"]["all frames"][body.rows[0].name]["l2_avg"]
    assert body.rows[0].cells[0] == (
        f"{number['value']:.2f}",
        f"{number['low']:.2f} to {number['high']:.2f}",
        number["value"],
    )


def test_a_protocol_has_all_its_columns_and_groups_of_frames():
    result, _, _ = fake_page.scored()
    for name in fake_page.PROTOCOLS:
        shown, definition = tables.protocol(result, name), result["protocols"][name]["definition"]
        lacking = result["protocols"][name]["columns_not_available"]
        columns = [one["name"] for one in definition["columns"]] + list(definition["averages"])
        whole = [one for one in columns if one not in lacking]
        assert sum(count for _, count in shown.table.groups) == len(shown.table.columns) == len(whole)
        assert shown.hash == result["protocols"][name]["definition_hash"]
        assert (
            len(shown.table.bodies) == 1
            and [one.title for one in shown.others.bodies] == list(result["scores"][name])[1:]
        )
        assert all(meaning for _, meaning in shown.table.columns)


def test_a_planner_with_few_frames_says_so():
    result, _, _ = fake_page.scored()
    name = fake_page.HOSTILE[0]
    planners = [
        one | {"coverage": {"scored": 3, "of": 54}} if one["name"] == name else one for one in result["planners"]
    ]
    rows = tables.headline(result | {"planners": planners}).bodies[0].rows
    assert [row.note for row in rows if row.note] == ["scored 3 of 54 frames"]


def test_what_is_not_available_has_a_reason():
    result, _, _ = fake_page.scored()
    lacking = result["protocols"]["uniad"] | {"available": False, "why_not": "needs maps"}
    shown = tables.protocol(result | {"protocols": {"uniad": lacking}}, "uniad")
    assert shown.why_not == "needs maps" and shown.table is None and shown.terms
    some = result["protocols"]["uniad"] | {"columns_not_available": {"l2_1s": "why", "any_3s": "why"}}
    shown = tables.protocol(result | {"protocols": {"uniad": some}}, "uniad")
    assert shown.lacking == [("L2 1 s, any collision within 3 s", "why")]
    assert "L2, m" not in [title for title, _ in shown.table.groups]


def test_planners_and_their_files():
    result, _, _ = fake_page.scored()
    rows = tables.planners(result).bodies[0].rows
    assert [row.cells[0].text for row in rows] == ["prediction", "prediction", "control", "control"]
    assert rows[2].cells[1].text == "the last move repeated" and rows[0].cells[1].text == "0.npz"


def test_what_a_planner_does_where_it_has_no_file():
    control = {"kind": "control", "frame": "lidar", "coverage": {"scored": 1, "of": 1}, "given": {}, "file": None}
    names = ("blind MLP (speed), seed 0", "nearest neighbors (16, speed)", "recorded path", "unknown")
    planners = [control | {"row": name, "name": name.removesuffix(", seed 0")} for name in names]
    planners.append(control | {"row": "student, blank images", "name": "student, blank images", "file": "blank.npz"})
    texts = [row.cells[1].text for row in tables.planners({"planners": planners}).bodies[0].rows]
    own = [words.CONTROLS[name] for name in ("blind MLP", "nearest neighbors", "recorded path")]
    assert texts == [*own, "", "blank.npz"]


def test_the_audit_is_in_the_list_of_planners_alone():
    result, _, _ = fake_page.scored()
    planners = [one | ({"kind": "audit"} if one["name"] == "stand still" else {}) for one in result["planners"]]
    names, told = [one["name"] for one in planners], result | {"planners": planners}
    assert [row.name for row in tables.planners(told).bodies[0].rows] == names
    rest = [name for name in names if name != "stand still"]
    assert [row.name for row in tables.headline(told).bodies[0].rows] == rest
    for name in fake_page.PROTOCOLS:
        shown = tables.protocol(told, name)
        for body in (*shown.table.bodies, *shown.others.bodies):
            assert [row.name for row in body.rows] == rest
    everybody = [one | {"kind": "audit"} for one in planners]
    assert tables.headline(result | {"planners": everybody}) is None
