"""The truth in files that other projects publish, read without running anything in them.

What a file is, its content says:

* paths: `gt_traj.pkl`, {sample token: [1, 6, 2 or 3] or [6, 2 or 3]}, LiDAR frame, and after it their masks,
  `gt_traj_mask.pkl`, of the same shape; the heading in a third column is not taken, its convention differs
* UniAD's results: {"bbox_results": [{"token", "planning": {"planning_gt": {"sdc_planning", "sdc_planning_mask",
  "command"}}}]}
* VAD's results: {"plan_results": {sample token: [plans, one-hot command]}}; only the commands are truth
* waypoints: [{"sample_token", "scene", "waypoints" [6, 2], "command"}], ego frame
* infos of mmdetection3d and VAD, with their instances: `truth_infos.py`
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_prep import field_files, truth_infos
from data_prep.field_files import is_name, numbers, refuse
from dima_jax import commit
from dima_jax.constants import COMMANDS
from dima_jax.data.features import NUM_FUTURE
from dima_jax.data.records import Records
from dima_jax.data.truth_arrays import texts
from dima_jax.errors import UserError

FARTHEST = 1000.0  # meters
# Kinds of files that hold recorded paths, and the kinds that may come with each.
BESIDE = {"paths": ("masks", "vad_results"), "uniad_results": (), "waypoints": (), "infos": ("instances",)}
Arrays = dict[str, np.ndarray]
Found = dict[str, Arrays]  # {sample token: its arrays, without the axis of frames}


def make(files: list[str], split: str, scenes: str | None, records: str | None) -> tuple[Arrays, dict]:
    """(arrays, header) for `scoring.truth.save`.

    scenes: a JSON file {sample token: name of its scene}; records: a folder of `data_prep.build` that knows them as well.
    Without either, every frame of a file that has no scenes is its own, and the header says "scenes": "unknown".
    UserError, with file and sample token, for a file that is none of these and for numbers that cannot be.
    """
    read: dict[str, Any] = {}
    for file in files:
        content = field_files.read(file)
        kind = _kind(file, content)
        if kind == "paths" and kind in read:
            kind = "masks"
        if kind in read:
            raise UserError(f"{file}: is the second file of {kind}; give one of each")
        read[kind] = (file, content)
    mains = [kind for kind in BESIDE if kind in read]
    if len(mains) != 1:
        raise UserError(f"{', '.join(files)}: {len(mains)} of them hold recorded paths; give one, e.g. gt_traj.pkl")
    for kind, (file, _) in read.items():
        if kind not in (*mains, *BESIDE[mains[0]]):
            raise UserError(f"{file}: {kind} are of no use beside {mains[0]}; leave the file out")
    order = _scene_order(split, scenes, records)
    if mains == ["infos"]:
        arrays = truth_infos.arrays(*read["infos"], *read.get("instances", (None, None)), order)
    else:
        arrays = _arrays(_frames(mains[0], read), order, files[0])
    kind = {"paths": "gt_traj"}.get(mains[0], mains[0])
    header = {
        "split": split,
        "source": {"kind": kind, "files": [Path(file).name for file in files]},
        "commit": commit.describe(),
        "data_hash": _hash([*files, *([scenes] if scenes else [])]),
    }
    is_known = order is not None or kind in ("infos", "waypoints")
    return arrays, header | ({} if is_known else {"scenes": "unknown"})


def _kind(file: str, content: Any) -> str:
    """What a file is by its content."""
    if isinstance(content, dict) and isinstance(content.get("infos"), list):
        return "infos"
    if isinstance(content, dict) and isinstance(content.get("bbox_results"), list):
        return "uniad_results"
    if isinstance(content, dict) and isinstance(content.get("plan_results"), dict):
        return "vad_results"
    if isinstance(content, list) and content and isinstance(content[0], dict) and "waypoints" in content[0]:
        return "waypoints"
    if isinstance(content, dict) and content and all(is_name(key) for key in content):
        first = next(iter(content.values()))
        if isinstance(first, list) and all(one is None or isinstance(one, str) for one in first):
            return "instances"
        if isinstance(first, (list, np.ndarray)):
            return "paths"
    raise UserError(
        f"{file}: is no file of paths, masks, waypoints, infos or results by its content; see docs/scores/truth.md"
    )


def _frames(main: str, read: Mapping[str, tuple[str, Any]]) -> Found:
    """Arrays by sample token of all files but infos."""
    sources: dict[str, Callable[..., Found]] = {
        "paths": _of_paths,
        "uniad_results": _of_uniad,
        "waypoints": _of_waypoints,
    }
    found = sources[main](*read[main], *read.get("masks", ()))
    if "vad_results" in read:
        _add_commands(found, *read["vad_results"])
    return found


def _of_paths(file: str, paths: dict, mask_file: str = "", masks: dict | None = None) -> Found:
    if masks is None:
        raise UserError(f"{file}: has no masks; give them as well, --field=gt_traj.pkl,gt_traj_mask.pkl")
    if set(paths) != set(masks):
        raise UserError(f"{mask_file}: {_tokens(set(paths) ^ set(masks))} not in both files; give two of one split")
    found = {token: _path(file, token, paths[token], masks[token], mask_file) for token in paths}
    if all(np.isin(one["path"], (0, 1)).all() for one in found.values()):
        raise UserError(f"{file}: every number is 0 or 1; give the paths first, then their masks")
    return found


def _of_uniad(file: str, content: dict) -> Found:
    found: Found = {}
    for place, row in enumerate(content["bbox_results"]):
        token = row.get("token") if isinstance(row, dict) else None
        if not is_name(token):
            raise UserError(f"{file}: bbox_results {place} has no token; give results that test.py of UniAD wrote")
        try:
            truth = row["planning"]["planning_gt"]
            path, mask, command = (truth[key] for key in ("sdc_planning", "sdc_planning_mask", "command"))
        except (LookupError, TypeError):
            raise refuse(file, token, "planning_gt of its planning is not there or not whole") from None
        if token in found:
            raise refuse(file, token, "is there twice")
        index = numbers(file, token, "command", command).reshape(-1)
        if len(index) != 1 or index[0] not in range(len(COMMANDS)):
            raise refuse(file, token, f"command is {index.tolist()}, not 0 to 2")
        found[token] = _path(file, token, path, mask, file) | {"command": np.int8(index[0])}
    return found


def _of_waypoints(file: str, content: list) -> Found:
    found: Found = {}
    for place, row in enumerate(content):
        token = row.get("sample_token") if isinstance(row, dict) else None
        if not is_name(token) or not is_name(row.get("scene")):
            raise UserError(f"{file}: entry {place} has no sample_token or no scene")
        if token in found:
            raise refuse(file, token, "is there twice")
        if row.get("command") not in COMMANDS:
            raise refuse(file, token, f"command is {row.get('command')!r:.40}, not of {', '.join(COMMANDS)}")
        one = _path(file, token, row.get("waypoints"), np.ones((NUM_FUTURE, 2)), file)
        one["ego_path"] = one.pop("path")
        found[token] = one | {"command": np.int8(COMMANDS.index(row["command"])), "scene": row["scene"]}
    return found


def _add_commands(found: Found, file: str, content: dict) -> None:
    plans = content["plan_results"]
    if missing := set(found) - set(plans):
        raise UserError(f"{file}: {_tokens(missing)} not in it; give results of the same split")
    for token in found:
        pair = plans[token]
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise refuse(file, token, "is no pair of plans and command")
        one_hot = numbers(file, token, "command", pair[1]).reshape(-1)
        if len(one_hot) != len(COMMANDS) or sorted(one_hot) != [0, 0, 1]:
            raise refuse(file, token, f"command is {one_hot.tolist()}, not one-hot")
        found[token]["command"] = np.int8(one_hot.argmax())


def _path(file: str, token: str, path: Any, mask: Any, mask_file: str) -> Arrays:
    """`path` [6, 2] float32 and `path_mask` [6]; steps that are masked repeat the last known one, or the start."""
    where = _steps(file, token, path)
    known = _steps(mask_file, token, mask)
    if not np.isin(known, (0, 1)).all():
        raise refuse(mask_file, token, "the mask has other numbers than 0 and 1")
    known = known.all(axis=1)
    if not np.isfinite(where[known]).all() or (np.abs(where[known]) > FARTHEST).any():
        raise refuse(file, token, f"the path is not finite, or goes beyond {FARTHEST:,.0f} m")
    last = np.maximum.accumulate(np.where(known, np.arange(1, NUM_FUTURE + 1), 0))
    return {"path": np.concatenate([[[0.0, 0.0]], where])[last].astype(np.float32), "path_mask": known}


def _steps(file: str, token: str, value: Any) -> np.ndarray:
    """[6, 2] float64 of [..., 6, 2 or 3], where the axes before are of length 1."""
    array = numbers(file, token, "path or mask", value)
    if (
        array.ndim < 2
        or array.shape[-2] != NUM_FUTURE
        or array.shape[-1] not in (2, 3)
        or math.prod(array.shape[:-2]) != 1
    ):
        raise refuse(file, token, f"has the shape {array.shape}, not [{NUM_FUTURE}, 2] or [{NUM_FUTURE}, 3]")
    return array.reshape(array.shape[-2:])[:, :2]


def _scene_order(split: str, scenes: str | None, records: str | None) -> dict[str, tuple[str, int, int]] | None:
    """{sample token: (scene, number in it, length of it)}, None where nothing was given; -1 for what is not known."""
    if records:
        found = Records(records, split)
        rows = zip(found.samples, found.scenes, found.frames, found.lengths, strict=True)
        return {token: tuple(row) for token, *row in rows}
    if not scenes:
        return None
    content = field_files.read(scenes)
    if not isinstance(content, dict) or not all(is_name(one) for pair in content.items() for one in pair):
        raise UserError(f"{scenes}: is not {{sample token: name of its scene}}")
    return {token: (scene, -1, -1) for token, scene in content.items()}


def _arrays(found: Found, order: dict[str, tuple[str, int, int]] | None, file: str) -> Arrays:
    """The frames in order of scenes, and within one in the order of time where it is known, else in that of the file."""
    if not found:
        raise UserError(f"{file}: has no frames")
    if order is not None and (missing := set(found) - set(order)):
        raise UserError(
            f"{file}: the scene is not known of {_tokens(missing)}; --scenes or --data has to name them all"
        )
    places = order or {token: (one.get("scene", token), -1, -1) for token, one in found.items()}
    names = list(dict.fromkeys(places[token][0] for token in found))
    number = {name: index for index, name in enumerate(sorted(names) if order else names)}
    tokens = sorted(found, key=lambda token: (number[places[token][0]], places[token][1]))
    arrays = {key: np.stack([found[token][key] for token in tokens]) for key in found[tokens[0]] if key != "scene"}
    arrays |= {
        "tokens": texts(tokens),
        "scene": np.array([number[places[token][0]] for token in tokens], np.int32),
        "scene_names": texts(number),
        "future_valid": arrays["path_mask"].all(axis=1),
    }
    if all(places[token][1] >= 0 for token in tokens):
        arrays["frame_index"], arrays["scene_length"] = (
            np.array([places[token][at] for token in tokens], np.int32) for at in (1, 2)
        )
    if "command" in arrays:
        arrays["targeted"] = arrays["command"] != COMMANDS.index("straight")
    return arrays


def _tokens(tokens: set[str]) -> str:
    """The first three and how many there are."""
    shown = ", ".join(f"{token:.40}" for token in sorted(tokens)[:3])
    return f"{shown}{', ...' if len(tokens) > 3 else ''} ({len(tokens)} in all)"


def _hash(files: list[str]) -> str:
    lines = [f"{Path(file).name} {hashlib.sha256(Path(file).read_bytes()).hexdigest()}" for file in files]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]
