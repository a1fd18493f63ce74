"""Golden piece map_ap: average precision of map lines per threshold and class."""

from pathlib import Path

import numpy as np

from dima_jax.detections import Lines
from dima_jax.metrics import map_ap
from tests.golden.check import close

TOLERANCE = 1e-6


def check(folder: Path):
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            d = dict(data)
        frames = [_frame(d, i) for i in range(int(d["num_frames"]))]
        table = map_ap.average_precisions(frames)
        golden = d["ap_threshold_by_class__f64"]
        yield (
            path.name,
            [
                close("AP", np.nan_to_num(table), np.nan_to_num(golden), TOLERANCE),
                close("mAP", map_ap.summarize(frames)["mAP"], d["mAP__f64"], TOLERANCE),
            ],
        )


def _frame(d, index):
    f = {key.split("/")[1]: value for key, value in d.items() if key.startswith(f"f{index}/")}
    vertices = [line[:n] for line, n in zip(f["gt_vertices__f64"], f["gt_num"], strict=True)]
    recorded = Lines(vertices, f["gt_labels"], np.ones(len(vertices)))
    return map_ap.frame_matches(Lines(list(f["pred_pts"]), f["pred_labels"], f["pred_scores"]), recorded)
