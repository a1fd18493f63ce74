"""Makes the contact sheet of checked records: chooses key frames, and gathers what the page shows of them.

`dima_jax/html_report/contact_sheet.py` is the page.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from data_prep import qa
from data_prep.record_check import projection, rules, tags
from data_prep.root_check.problems import KINDS, NOTE
from data_prep.validation import Checked, Scene, Split
from dima_jax.constants import AGENT_CLASSES, COMMANDS, FORWARD_SPEED
from dima_jax.data import truth_arrays
from dima_jax.html_report import bev, camera_view, contact_sheet, distributions, images, tables
from dima_jax.html_report.contact_sheet import Finding, KeyFrame, Numbers, Sheet, View
from dima_jax.scoring.recorded import Truth

WIDTH = 640  # pixels of a picture
LINES = 6  # of a finding that are shown
QUESTIONS = 4  # of a key frame that are shown
# Rules that must hold in a key frame, and in all of a scene, for a drawing of its boxes and map lines.
TO_DRAW = (rules.BOX, rules.MAP)
FROM_ABOVE = (*TO_DRAW, rules.POSE, rules.FUTURE, rules.PATH, rules.ORDER)


NOTHING = camera_view.Scene(np.zeros((0, 8, 3)), [], np.zeros(0, int), [], np.zeros(0, int))


class Chosen(NamedTuple):
    split: Split
    scene: str
    record: int


def write(folder: str | Path, checked: Checked, count: int) -> Path:
    """Writes the page of `count` key frames at most into `folder` and returns its path."""
    report = checked.report
    findings = [
        Finding(one.kind, one.rule, one.count, one.lines[:LINES], one.remedy)
        for one in sorted(report.findings, key=lambda one: KINDS.index(one.kind))
    ]
    summary = [split.summary() for split in checked.splits]
    shown = [key_frame(one) for one in chosen(checked.splits, count)]
    return contact_sheet.write(folder, Sheet(report.root, summary, findings, numbers(checked.splits), shown))


def chosen(splits: list[Split], count: int) -> list[Chosen]:
    """Key frames of all splits by turns: of scenes in which something was found, then of those with tags not shown yet.

    Of a scene it is a key frame in which something was found, else the middle one of those with questions, else the middle
    one. A scene comes again, with others of its key frames, only if there are fewer scenes than `count`.
    """
    lists = [list(_ordered(split)) for split in splits]
    turns = [group[i] for i in range(max(map(len, lists), default=0)) for group in lists if i < len(group)]
    picked = [Chosen(split, name, record) for split, name, record in turns][:count]
    place = {split.name: number for number, split in enumerate(splits)}
    return sorted(picked, key=lambda one: (place[one.split.name], one.record))


def _ordered(split: Split) -> Iterator[Chosen]:
    """The key frames of a split as they are chosen."""
    wrong: dict[str, list[str]] = {}
    for problem in split.problems:
        if problem.scene in split.scenes and problem.rule.kind != NOTE:
            wrong.setdefault(problem.scene, []).append(problem.sample)
    order, rest, known = [], dict(split.scenes), set()
    while rest:
        name = max(rest, key=lambda name: (name in wrong, len(set(rest[name].tags) - known)))
        known |= set(rest.pop(name).tags)
        order.append(name)
    queues = {name: _records(split, split.scenes[name], wrong.get(name, [])) for name in order}
    while queues:
        for name in order:
            if queues.get(name):
                yield Chosen(split, name, queues[name].pop(0))
            else:
                queues.pop(name, None)


def _records(split: Split, scene: Scene, samples: list[str]) -> list[int]:
    """Records of a scene, the first choice first."""
    found = [i for i in scene.frames if split.reader.samples[i] in samples][:1]
    groups = [group for group in (scene.asked, scene.frames) if group]
    found += [group[len(group) * part // 4] for part in (2, 1, 3) for group in groups[:1]]
    found += [i for i in scene.frames if i not in found]
    return list(dict.fromkeys(found))


def key_frame(one: Chosen) -> KeyFrame:
    """What the page shows of a key frame."""
    frame = one.split.reader.decode(one.record)
    sample = frame["sample_token"]
    found = [problem for problem in one.split.problems if problem.scene == one.scene]
    mine = [problem for problem in found if problem.sample in ("", sample)]
    wrong = [f"{problem.rule.kind}: {problem.detail}" for problem in mine]
    above = None if {problem.rule for problem in found} & {*FROM_ABOVE} else _above(one)
    drawn = NOTHING if {problem.rule for problem in mine} & {*TO_DRAW} else _scene(frame)
    pairs = list(zip(frame["qa"]["questions"], frame["qa"]["answers"], strict=True))
    asked = sorted(pairs, key=lambda pair: not qa.tags(pair))[:QUESTIONS]
    return KeyFrame(sample, one.scene, _facts(one, frame), wrong, above, _views(frame, drawn), asked)


def _facts(one: Chosen, frame: dict) -> list[str]:
    speed = abs(float(frame["can_bus"][FORWARD_SPEED]))
    return [
        f"split {one.split.name}",
        f"key frame {frame['frame_index'] + 1} of {frame['scene_length']}",
        *[tag.replace("_", " ") for tag in one.split.scenes[one.scene].tags],
        *[f"command: {name}" for number, name in enumerate(COMMANDS) if number == frame["ego"]["command"]],
        f"{speed:.1f} m/s by the CAN bus or, without one, by poses",
        f"{len(frame['agents']['boxes'])} boxes",
    ]


def _above(one: Chosen) -> Markup | None:
    """The drawing from above; None for a scene of which a key frame is missing or cannot be read."""
    reader, numbers = one.split.reader, one.split.scenes[one.scene].frames
    try:
        frames = [reader.decode(i, truth_arrays.FIELDS) for i in numbers]
        truth = Truth({}, **truth_arrays.of_frames(frames))
    except ValueError:
        return None
    return bev.draw(
        truth, numbers.index(one.record), None, [], [], f"{one.scene} from above: boxes and the recorded path"
    )


def _views(frame: dict, drawn: camera_view.Scene) -> list[View]:
    """The cameras' pictures in the order of the page of scores, cameras of other names after them."""
    rig, cameras = projection.rig(frame), frame["cameras"]
    order = sorted(
        range(len(rig.names)),
        key=lambda i: images.ORDER.index(rig.names[i]) if rig.names[i] in images.ORDER else len(images.ORDER),
    )
    scale = rig.sizes / np.array(qa.IMAGE_SIZE)
    pixels = qa.pixels(" ".join(tags.named(frame)))
    views = []
    for i in order:
        name = rig.names[i]
        marks = [
            camera_view.Mark(pixel.tag.strip("<> ").split(",")[0], *(scale[i] * (pixel.x, pixel.y)).tolist())
            for pixel in pixels
            if pixel.camera == name
        ]
        size = (int(rig.sizes[i, 0]), int(rig.sizes[i, 1]))
        told = f"boxes, map lines and {len(marks)} tags in the image of {name}"
        overlay = camera_view.draw(drawn, rig.lidar2img[i], size, marks, told)
        views.append(View(images.picture(name, cameras["images"][i], WIDTH), overlay))
    return views


def _scene(frame: dict) -> camera_view.Scene:
    agents, lines = frame["agents"], frame["map"]
    ground = np.full((len(lines["vertices"]), 1), -frame["lidar2ego"][2, 3])
    vertices = np.concatenate([lines["vertices"].astype(np.float64), ground], axis=1)
    parts = np.split(vertices, np.cumsum(lines["lengths"])[:-1]) if len(lines["lengths"]) else []
    points = np.asarray(agents["num_lidar_pts"])
    return camera_view.Scene(tags.corners(agents["boxes"]), agents["categories"], points, parts, lines["labels"])


def numbers(splits: list[Split]) -> list[Numbers]:
    """Charts and tables of all splits together."""
    readings = [split.readings for split in splits if split.scenes]
    if not readings:
        return []
    can, poses = (np.concatenate(one) for one in zip(*[one.speeds() for one in readings], strict=True))
    boxes = np.concatenate([one.boxes() for one in readings])
    labels = np.concatenate([one.labels() for one in readings])
    commands = np.concatenate([one.commands for one in readings]).astype(int)
    fastest = max([1.0, *np.concatenate([can, poses])[np.isfinite(np.concatenate([can, poses]))].tolist()])
    names = [name.replace("_", " ") for name in AGENT_CLASSES]
    kinds: dict[str, int] = {}
    for tag in (tag for split in splits for scene in split.scenes.values() for tag in scene.tags):
        kinds[tag.replace("_", " ")] = kinds.get(tag.replace("_", " "), 0) + 1
    ego = [
        distributions.spread("Speed as the student is told it (CAN bus, else poses)", "m/s", can, (0.0, fastest)),
        distributions.spread("Speed by the ego poses", "m/s", poses, (0.0, fastest)),
        distributions.spread("What it is told minus ego poses", "m/s", can - poses),
        distributions.occurrences("Commands, key frames", _counts(commands, COMMANDS)),
        distributions.occurrences("Scenes by tag or place", dict(sorted(kinds.items(), key=lambda one: -one[1]))),
    ]
    objects = [
        distributions.spread("Distance of boxes", "m", np.hypot(boxes[:, 0], boxes[:, 1])),
        distributions.occurrences("Boxes by class", _counts(labels, [*names, "no agent"])),
    ]
    return [
        Numbers("The vehicle", [one for one in ego if one], []),
        Numbers("Boxes", [one for one in objects if one], _sizes(labels, boxes, names)),
        Numbers("Calibration", [], _seen(splits)),
    ]


def _counts(values: np.ndarray, names: list[str] | tuple[str, ...]) -> dict[str, int]:
    return {name: int((values == number).sum()) for number, name in enumerate(names)}


def _sizes(labels: np.ndarray, boxes: np.ndarray, names: list[str]) -> list[tables.Table]:
    rows = []
    for label, name in enumerate(names):
        mine = boxes[labels == label]
        if len(mine):
            cells = [tables.Cell(f"{len(mine):,}", "", len(mine))]
            for column in (4, 3, 5):
                low, middle, high = np.percentile(mine[:, column], (5, 50, 95)).tolist()
                cells.append(tables.Cell(f"{middle:.2f}", f"{low:.2f} to {high:.2f}", round(middle, 3)))
            rows.append(tables.Row(name, cells))
    if not rows:
        return []
    columns = [("boxes", ""), ("length", "meters"), ("width", "meters"), ("height", "meters")]
    caption = "Sizes in meters: the median, and below it where nine in ten lie."
    return [tables.Table(caption, "class", [], columns, [tables.Body("", "", rows)])]


def _seen(splits: list[Split]) -> list[tables.Table]:
    """What of the boxes and of the map is in an image, and what of the tags is on a box."""
    rows = []
    for split in splits:
        seen = [(name, *one) for name, one in split.seen().items()]
        tagged = [(f"tags of {name} on a box", *one) for name, one in sorted(split.tagged().items())]
        found = [(f"{name} in an image", n, hits) for name, n, hits in seen] + tagged
        for name, n, hits in found:
            if n:
                cells = [tables.Cell(split.name, "", split.name), tables.Cell(f"{n:,}", "", n)]
                rows.append(tables.Row(name, [*cells, tables.Cell(f"{hits / n:.1%}", "", hits / n)]))
    if not rows:
        return []
    columns = [("split", ""), ("number", ""), ("share", "")]
    caption = "Boxes 5 to 50 m away, and points of map lines 10 to 30 m away, by the calibrations; tags by the boxes."
    return [tables.Table(caption, "what", [], columns, [tables.Body("", "", rows)])]
