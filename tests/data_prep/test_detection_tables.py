"""What is printed: every class and score, and the notes without which they would be misread."""

import math

from data_prep import detection_tables

ROW = {"AP": 0.5, "ATE": 0.25, "ASE": 0.1, "AOE": math.nan, "AVE": 1.0, "AAE": 0.0, "annotated": 1200, "predicted": 3}
NUMBERS = {"NDS": 0.31, "mAP": 0.25, "mATE": 0.5, "mASE": 0.5, "mAOE": math.nan, "mAVE": 1.0, "mAAE": 1.0}


def test_what_is_printed(capsys):
    classes = {"traffic_cone": ROW, "bus": ROW | {"annotated": 0}}
    score = {"numbers": NUMBERS, "present": NUMBERS | {"NDS": 0.62}, "classes": classes, "outside": 0.354}
    told = {"planner": "[b]ours[/b]", "file": "x.npz", "root": "v1.0-mini", "split": "mini_val", "samples": 1100}
    detection_tables.print_all(told | {"scores": {"nuscenes": score, "vad_range": score | {"outside": math.nan}}})
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "(detection_cvpr_2019: agents up to 50, 40 or 30 m by class); [b]ours[/b] (x.npz), v1.0-mini, split mini_val, 1,100",
        "│ traffic cone │ 0.500 │ 0.250 │ 0.100 │ n/a │ 1.000 │ 0.000 │ 1,200 │ 3 │",
        "NDS 0.310, mAP 0.250, mATE 0.500, mASE 0.500, mAOE n/a",
        "over the 1 classes that are annotated (nuScenes counts the others as AP 0, errors 1): NDS 0.620",
        "35 % of these annotated agents lie outside of the range",
        "Attributes are chosen by speed",
        "No intervals.",
    ):
        assert words in text, words
    assert text.count("lie outside") == 1
