"""Does the plan react to a vehicle that is painted into the images, and only where it matters?

At each site of a file of edits the student plans three times: on the recorded images, with a standing car on the path
that was driven next, and with the same car where it does not matter. In the last frames before the site the car stands
there as well, so the previous BEV has seen it. A plan that looks comes to keep more distance from the car in its way,
and stays as it is for the other. There is no recorded path in an edited scene, so no L2 is measured; whether the new
plan would be a good one otherwise is not said. docs/scores/audit.md#scene-edits says how to read it.

n sites. Meters, LiDAR frame of the site (x right, y forward).
"""

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple
from zlib import crc32

import numpy as np
from jaxtyping import Bool, Float, Int
from rich.console import Console
from rich.table import Table

from dima_jax import progress
from dima_jax.constants import CAMERAS, EGO_CENTER_AHEAD, EGO_LENGTH, EGO_WIDTH, NUM_VEHICLE_CLASSES, STEP_SECONDS
from dima_jax.data import sequences, transforms
from dima_jax.data.records import Records
from dima_jax.detections import Agents
from dima_jax.errors import UserError
from dima_jax.metrics import polygons
from dima_jax.metrics.protocols.base import Column, Definition
from dima_jax.policy import Frame, Policy
from dima_jax.scoring import headings, statistics, verdicts
from dima_jax.scoring.edits_file import FRAMES, KINDS, REMEDY, Edits
from dima_jax.scoring.statistics import Estimate, Planner

IN_THE_WAY, AWAY = KINDS
LEAST = 0.01  # m
BETWEEN = 10  # places of the ego from one waypoint to the next
FOUND_SCORE, FOUND_WITHIN = 0.3, 2.0  # a vehicle of at least this score, its center so many meters from the painted one
QUANTITIES = {  # of one edited plan, always measured against the car in the way; unit
    "found": "share",  # the student sees the painted car (its own)
    "shift": "m",  # mean distance of the waypoints from those of the plan on the recorded images
    "more_room": "share",  # the smallest gap to the car has grown, by more than LEAST
    "gap": "m",  # by how much
    "avoided": "share",  # of the plans that ran into the car before: those that no longer do
    "delay": "s",  # of the same: by how much later they reach it, the end of the plan at the latest
    "travel": "m",  # by how much the way of three seconds has become longer
}
DEFINITION = Definition(
    name="edit_reaction",
    version=1,
    title="reaction to a painted vehicle",
    source="this repository",
    frames="all",
    quantities=QUANTITIES,
    columns=tuple(Column(name, name, (0,), "mean", "frame") for name in QUANTITIES),
    averages={},
    mask_rule="none; avoided, delay: over the plans that ran into the car",
    constants={"found_score": FOUND_SCORE, "found_within": FOUND_WITHIN},
    needs=(),
)


class Site(NamedTuple):
    """The plans at one site, [F, 2] each, and whether the student found the painted car; one for each of KINDS."""

    plan: np.ndarray
    edited: list[np.ndarray]
    found: list[bool]


def run(policy: Policy, config, split: str, edits: Edits) -> dict:
    """Plans at every site of a file of edits and scores the plans: `score`'s dict.

    config: of the student, with the records that the edits were made from. UserError if they are of others.
    """
    drives = sequences.Drives(config, split)
    number = {token: i for i, token in enumerate(drives.records.samples)}
    site_of = check(edits, drives.records, config.data.cameras)
    done: dict[int, Site] = {}
    scenes = drives.records.scenes
    groups = groupby(sorted(site_of), key=lambda i: scenes[i])
    with progress.Progress(len(site_of), "site", name="edits") as shown:
        for _, group in groups:
            for i, site in _drive(policy, drives, edits, site_of, list(group)):
                done[i] = site
                shown.advance()
    order = [number[token] for token in edits.tokens]
    named = [scenes[i] for i in order]
    plans = np.stack([done[i].plan for i in order]).astype(np.float64)
    edited = {kind: np.stack([done[i].edited[k] for i in order]).astype(np.float64) for k, kind in enumerate(KINDS)}
    found = {kind: np.array([done[i].found[k] for i in order]) for k, kind in enumerate(KINDS)}
    scene = np.unique(named, return_inverse=True)[1]
    return score(plans, edited, edits.boxes[:, 0].astype(np.float64), scene, found) | {"source": edits.header["source"]}


def score(
    plans: Float[np.ndarray, "n F 2"],
    edited_plans: Mapping[str, Float[np.ndarray, "n F 2"]],
    edits: Float[np.ndarray, "n 5"],
    scene: Int[np.ndarray, " n"],
    found: Mapping[str, Bool[np.ndarray, " n"]] | None = None,
) -> dict:
    """What the plans do. edited_plans, found: by kind of edit; edits: the box (as in `Edits`) of the car in the way.

    {"sites", "scenes", "ran_into": how many plans met the car before it was there, "kinds": {kind: {quantity: value, low,
    high, sites}}, "differences": {quantity: the same, in the way minus away, and whether it is decided}, "sentences"}.
    Intervals by resampling scenes.
    """
    planners = {
        kind: _planner(plans, edited_plans[kind], edits, None if found is None else found[kind]) for kind in KINDS
    }
    estimates = statistics.estimates(DEFINITION, planners, scene)
    (differences,) = statistics.differences(DEFINITION, planners, [KINDS], scene)
    told = {
        "sites": len(plans),
        "scenes": len(np.unique(scene)),
        "ran_into": int((gaps(plans, edits).min(axis=1) < 0).sum()),
        "kinds": {kind: {name: _number(one) for name, one in columns.items()} for kind, columns in estimates.items()},
        "differences": {
            name: _number(one) | {"decided": _is_decided(one, unit)}
            for (name, unit), one in zip(QUANTITIES.items(), differences.values(), strict=True)
        },
    }
    return told | {"sentences": _sentences(told)}


def gaps(plans: Float[np.ndarray, "n F 2"], boxes: Float[np.ndarray, "n 5"]) -> Float[np.ndarray, "n t"]:
    """The gap between the ego's box and another along a plan, at BETWEEN times a step; below 0 they overlap
    (`polygons.separation`). The ego goes straight from waypoint to waypoint, and turns evenly.
    """
    count, steps = plans.shape[:2]
    heading = headings.estimate(plans, headings.AHEAD["lidar"])[..., None]
    start = np.broadcast_to((0.0, 0.0, headings.AHEAD["lidar"]), (count, 1, 3))
    poses = np.concatenate([start, np.concatenate([plans, heading], axis=-1)], axis=1)
    poses[..., 2] = np.unwrap(poses[..., 2], axis=1)
    share = (np.arange(BETWEEN) + 1)[:, None] / BETWEEN
    poses = (poses[:, :-1, None] + share * np.diff(poses, axis=1)[:, :, None]).reshape(-1, 3)
    ahead = EGO_CENTER_AHEAD * np.stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])], axis=-1)
    size = np.broadcast_to((EGO_LENGTH, EGO_WIDTH), ahead.shape)
    ego = np.concatenate([poses[:, :2] + ahead, poses[:, 2:], size], axis=-1)
    return polygons.separation(ego, np.repeat(boxes, steps * BETWEEN, axis=0)).reshape(count, -1)


def print_table(told: dict, console: Console | None = None) -> None:
    """Prints what `score` made."""
    console = console or Console()
    table = Table(title=f"scene edits: {told['sites']:,} sites of {told['scenes']:,} scenes", title_justify="left")
    for head in ("quantity", *(f"car {kind}" for kind in KINDS), "difference, 95 %"):
        table.add_column(head, justify="left" if head == "quantity" else "right")
    for name, unit in QUANTITIES.items():
        cells = [_cell(told["kinds"][kind][name], unit) for kind in KINDS]
        table.add_row(f"{name.replace('_', ' ')}", *cells, _cell(told["differences"][name], unit))
    console.print(table)
    for sentence in told["sentences"]:
        console.print(sentence, highlight=False, soft_wrap=True)


def check(edits: Edits, records: Records, cameras: Sequence[str]) -> dict[int, int]:
    """{number of the record: site}. cameras: config.data.cameras.

    UserError for sites that the records do not have, or that come too early, and for a student with other cameras.
    """
    if tuple(cameras) != CAMERAS:
        raise UserError(
            f"edits: painted for {', '.join(CAMERAS)}; config.data.cameras is {tuple(cameras)}; leave --edits out"
        )
    number = {token: i for i, token in enumerate(records.samples)}
    if not edits.tokens:
        raise UserError(f"the edits have no site; {REMEDY}, with --every=1")
    if unknown := [token for token in edits.tokens if token not in number]:
        raise UserError(
            f"edits: {len(unknown)} of {len(edits.tokens)} sites are not in split {records.split!r}, e.g. {unknown[0]!r:.60}; "
            "give edits of these records"
        )
    if early := [token for token in edits.tokens if records.frames[number[token]] < FRAMES - 1]:
        raise UserError(f"edits: {early[0]!r:.60} has no {FRAMES - 1} key frames before it; {REMEDY}")
    return {number[token]: site for site, token in enumerate(edits.tokens)}


def _drive(policy: Policy, drives: sequences.Drives, edits: Edits, site_of: Mapping[int, int], wanted: list[int]):
    """Yields (record, `Site`) of the wanted records of one scene, in order of time."""
    own = Policy(policy.student)
    before: deque[tuple[Policy, Frame]] = deque(maxlen=FRAMES)  # the policy as it was before each frame
    for i in range(wanted[0] - drives.records.frames[wanted[0]], wanted[-1] + 1):
        driven = drives[i]
        given = Frame.from_batch(driven.frame)
        before.append((own.fork(), given))
        plan = own.step(given)
        if i in site_of:
            site = site_of[i]
            if crc32(driven.jpegs[CAMERAS.index("CAM_FRONT")]) != edits.recorded_crc[site]:
                raise UserError(
                    f"edits: site {edits.tokens[site]!r:.60} shows another world; make them of these records, of full-size images"
                )
            edited = [_edited(before, drives, edits, site, kind) for kind in range(len(KINDS))]
            found = [is_found(one.agents, edits.boxes[site, k]) for k, one in enumerate(edited)]
            yield i, Site(plan.waypoints, [one.waypoints for one in edited], found)


def _edited(before, drives: sequences.Drives, edits: Edits, site: int, kind: int):
    """The plan at a site after its edited frames; all but the images is as recorded."""
    policy, data = before[0][0].fork(), drives.config
    for place, (_, given) in enumerate(before):
        where = f"edits: site {edits.tokens[site]!r:.60}"
        images = [transforms.decode(jpeg, where) for jpeg in edits.jpegs(site, kind, place)]
        options = (data.image_scale, data.valid_shape, data.image_shape, data.color_order)
        sizes = [image.shape[:2] for image in images]
        plan = policy.step(given._replace(images=transforms.prepare(images, sizes, *options)[0]))
    return plan


def is_found(agents: Agents, box: Float[np.ndarray, " 5"]) -> bool:
    """Whether one of the predicted vehicles is the painted one."""
    near = np.linalg.norm(agents.boxes[:, :2] - box[:2], axis=-1) <= FOUND_WITHIN
    return bool((near & (agents.scores >= FOUND_SCORE) & (agents.labels < NUM_VEHICLE_CLASSES)).any())


def _planner(plans, edited, boxes, found) -> Planner:
    """The QUANTITIES of every site as values with weights, [1, n, C]."""
    count = len(plans)
    along, along_edited = gaps(plans, boxes), gaps(edited, boxes)
    before, after = along.min(axis=1), along_edited.min(axis=1)
    values = {
        "found": np.zeros(count) if found is None else found,
        "shift": np.linalg.norm(edited - plans, axis=-1).mean(axis=1),
        "more_room": after > before + LEAST,
        "gap": after - before,
        "avoided": after >= 0,
        "delay": _reached(along_edited) - _reached(along),
        "travel": _length(edited) - _length(plans),
    }
    weights = {"found": np.full(count, found is not None), "avoided": before < 0, "delay": before < 0}
    value = np.stack([values[name] for name in QUANTITIES], axis=-1).astype(np.float64)
    weight = np.stack([weights.get(name, np.ones(count)) for name in QUANTITIES], axis=-1).astype(np.float64)
    return Planner(np.where(weight > 0, value, np.nan)[None], weight[None])


def _reached(gaps: Float[np.ndarray, "n t"]) -> Float[np.ndarray, " n"]:
    """Seconds until the boxes overlap; those of the whole plan where they never do."""
    free = np.where((gaps < 0).any(axis=1), (gaps < 0).argmax(axis=1) + 1, gaps.shape[1])
    return free * STEP_SECONDS / BETWEEN


def _length(plans: Float[np.ndarray, "n F 2"]) -> Float[np.ndarray, " n"]:
    steps = np.diff(plans, axis=1, prepend=np.zeros_like(plans[:, :1]))
    return np.linalg.norm(steps, axis=-1).sum(axis=1)


def _number(one: Estimate) -> dict:
    return {"value": one.value, "low": one.low, "high": one.high, "sites": one.frames}


def _is_decided(one: Estimate, unit: str) -> bool | None:
    """Whether the interval excludes 0; None where there are too few scenes, or no number."""
    found = verdicts.verdict(one, unit)
    return None if found in (None, verdicts.TOO_FEW) else found != verdicts.UNDECIDED


def _sentences(told: dict) -> list[str]:
    way, away, differences = told["kinds"][IN_THE_WAY], told["kinds"][AWAY], told["differences"]
    sites = f"{told['sites']:,} sites of {told['scenes']:,} scenes"
    result = [
        f"A car painted into the way moves the plan by {_words(way['shift'], 'm')}, one painted elsewhere by "
        f"{_words(away['shift'], 'm')} ({sites}): "
        + _conclusion(
            differences["shift"], "it reacts to where a car stands", "it reacts more to a car that is not in its way"
        ),
        f"The plan leaves more room to the car in {_words(way['more_room'], 'share')} of the sites, with the car "
        f"elsewhere in {_words(away['more_room'], 'share')}: "
        + _conclusion(differences["more_room"], "more often than by chance", "less often than by chance"),
    ]
    if told["ran_into"]:
        result.append(
            f"{told['ran_into']:,} plans ran over the place of the car. With the car there "
            f"{_words(way['avoided'], 'share')} of them no longer do, and they reach it {_words(way['delay'], 's')} later, "
            f"with the car elsewhere {_words(away['delay'], 's')}: "
            + _conclusion(differences["delay"], "it brakes or swerves for the car", "it hurries toward the car")
        )
    return result


def _conclusion(difference: dict, more: str, less: str) -> str:
    if difference["decided"] is None:
        return "too few scenes to tell."
    if not difference["decided"]:
        return "that cannot be told apart."
    return f"{more if difference['value'] > 0 else less}."


def _words(one: dict, unit: str) -> str:
    return verdicts.number(one["value"], unit) if one["value"] is not None else "n/a"


def _cell(one: dict, unit: str) -> str:
    if one["value"] is None:
        return "n/a"
    ends = "" if one["low"] is None else f" ({' .. '.join(verdicts.number(one[end], unit) for end in ('low', 'high'))})"
    return f"{verdicts.number(one['value'], unit)}{ends}"
