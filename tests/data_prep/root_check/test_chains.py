"""Chains that are broken, closed, crossed or not of one scene, sensor or instance."""

import pytest

from tests import tiny_root


def cut(rows):
    rows[3]["next"] = ""


def close(rows):
    rows[3]["next"] = rows[1]["token"]


def loop(rows):
    rows[3]["next"] = rows[3]["prev"] = rows[3]["token"]


def split(rows):
    rows[3]["next"] = rows[4]["prev"] = ""


def cross(rows):
    other = next(row for row in rows[4:] if row["next"] and row["prev"] == "")
    other["prev"], rows[3]["next"] = rows[3]["token"], other["token"]


@pytest.mark.parametrize("change", [cut, close, loop, split, cross])
@pytest.mark.parametrize(
    ("table", "kind"), [("sample", "error"), ("sample_annotation", "error"), ("sample_data", "skip")]
)
def test_a_chain_that_is_none(damaged, lines, table, kind, change):
    rows = tiny_root.tables(damaged, table)
    change(rows)
    found = lines(kind, **{table: rows})
    assert found and all(
        f"{table}.json: " in line or "instance.json: " in line or "scene.json" in line for line in found
    )


@pytest.mark.parametrize(
    ("kind", "table", "field", "value", "words"),
    [
        ("error", "scene", "nbr_samples", 10, "nbr_samples is 10, but sample.json has 11"),
        (
            "error",
            "scene",
            "first_sample_token",
            "smp_0009",
            "first_sample_token is 'smp_0009', which is not its first",
        ),
        ("error", "scene", "last_sample_token", "smp_0284", "last_sample_token is 'smp_0284', which is not its last"),
        ("skip", "instance", "nbr_annotations", 7, "nbr_annotations is 7, but sample_annotation.json has 6"),
        ("skip", "instance", "last_annotation_token", "ann_0194", "is 'ann_0194', which is not its last"),
    ],
)
def test_ends_and_counts(damaged, lines, kind, table, field, value, words):
    rows = tiny_root.tables(damaged, table)
    rows[0][field] = value
    found = lines(kind, **{table: rows})
    assert found and all(f"{table}.json: " in line for line in found) and any(words in line for line in found)


def test_tracks_that_leave_out_a_key_frame_or_jump(damaged, lines):
    rows = tiny_root.tables(damaged, "sample_annotation")
    rows[0]["sample_token"] = "smp_0009"  # of smp_0010
    (line,) = lines("skip", sample_annotation=rows)
    assert (
        "ann_0194 (scene scene-0061, sample smp_0009): next is 'ann_0195', which is not of the next key frame" in line
    )
    rows = tiny_root.tables(damaged, "sample_annotation")
    rows[0]["translation"][0] += 500
    (line,) = lines("skip", sample_annotation=rows)
    assert "ann_0194 (scene scene-0061, sample smp_0010): the box jumps to 'ann_0195'" in line


def test_a_track_that_goes_back_in_time(damaged, lines):
    rows = tiny_root.tables(damaged, "sample_annotation")
    rows[0]["sample_token"], rows[1]["sample_token"] = rows[1]["sample_token"], rows[0]["sample_token"]
    found = lines("error", sample_annotation=rows)
    assert any("next is 'ann_0195', which is not later" in line for line in found)
