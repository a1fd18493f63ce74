"""The tiny data set with sensor hits and attributes, and perception files that find what is annotated in it."""

from pathlib import Path

import numpy as np

from data_prep.detection_results import attribute
from data_prep.key_frames import KeyFrames
from data_prep.scenes import Root
from dima_jax.categories import CLASS_OF_CATEGORY
from dima_jax.constants import AGENT_CLASSES
from dima_jax.detections import Agents, Lines
from dima_jax.scoring import perception_file
from tests import tiny_root

HEADER = {"planner": "ours", "pc_range": [-15.0, -30.0, -2.0, 15.0, 30.0, 2.0], "num_points": 20}
CLASSES = 4  # of the ten are annotated in the val scene


def annotate(folder: Path) -> Path:
    """Every annotation is hit, and has the attribute that the rule by speed gives it."""
    tables = Root(str(folder), tiny_root.VERSION).tables
    rows = tiny_root.tables(folder, "sample_annotation")
    names = set()
    for row in rows:
        row["num_lidar_pts"] = 5
        name = CLASS_OF_CATEGORY.get(tables.get("sample_annotation", row["token"])["category_name"])
        speed = np.linalg.norm(np.nan_to_num(tables.box_velocity(row["token"])[:2]))
        found = attribute(name, bool(speed > 0.2)) if name else ""
        row["attribute_tokens"] = [f"at_{found}"] if found else []
        names |= {found} - {""}
    tiny_root.write_table(folder, "sample_annotation", rows)
    kept = [{"token": f"at_{name}", "name": name, "description": ""} for name in sorted(names)]
    tiny_root.write_table(folder, "attribute", kept)
    return folder


def perfect(root: Root) -> tuple[list[str], list[Agents]]:
    """(tokens, what is annotated in each) of the val scene; different scores, lower in later frames."""
    scene = root.splits()["val"][0]
    frames = KeyFrames(root, scene)
    tokens, found = [], []
    for i in range(len(frames)):
        agents = frames.numbers(i)["agents"]
        rows = [row for row, name in enumerate(agents["categories"]) if name in CLASS_OF_CATEGORY]
        labels = [AGENT_CLASSES.index(CLASS_OF_CATEGORY[agents["categories"][row]]) for row in rows]
        tokens.append(frames.samples[i]["token"])
        n = len(rows)
        found.append(
            Agents(
                boxes=np.nan_to_num(agents["boxes"][rows]),
                labels=np.array(labels, np.int8),
                scores=0.95 - 0.05 * i - 0.001 * np.arange(n),
                futures=np.zeros((n, 1, 6, 2)),
                mode_scores=np.ones((n, 1)),
                future_mask=np.ones((n, 6), bool),
            )
        )
    return tokens, found


def write(path: Path, tokens: list[str], found: list[Agents], **header) -> Path:
    nothing = Lines([], np.zeros(0, np.int8), np.zeros(0, np.float32))
    parts = [perception_file.arrays(agents, nothing) for agents in found]
    perception_file.write(path, tokens, perception_file.joined(parts), HEADER | header)
    return path
