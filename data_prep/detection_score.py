"""nuScenes' detection score of a file of results, by the devkit's `DetectionEval`: as nuScenes defines it, and in VAD's range.

docs/scores/perception.md says how the two differ.
"""

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.detection.data_classes import DetectionBox, DetectionConfig
from nuscenes.eval.detection.evaluate import DetectionEval
from nuscenes.utils.splits import is_predefined_split

from data_prep.detection_results import Place, outside
from data_prep.root_check import splits
from data_prep.root_check.reading import read_json
from data_prep.scenes import Root
from dima_jax.categories import CLASS_OF_CATEGORY
from dima_jax.errors import UserError
from dima_jax.scoring.predictions import named

CONFIG = "detection_cvpr_2019"
ERRORS = {"trans_err": "ATE", "scale_err": "ASE", "orient_err": "AOE", "vel_err": "AVE", "attr_err": "AAE"}
VAD_RANGE = (30.0, 15.0)  # meters from the ego along x and y
VAD_SCORE = 0.2  # VAD drops what it is less sure of
EVERYWHERE = 1e6  # meters
Rule = Callable[[DetectionBox, Place], bool]


class Score(NamedTuple):
    """numbers: NDS, mAP and the mean errors; present: the same over the classes that are annotated; NaN = undefined.

    classes: by class AP, the errors, and how many boxes are annotated and predicted. outside: share of the annotated
    boxes that lie outside of the range that the student looks at. devkit: `DetectionMetrics.serialize`.
    """

    numbers: dict[str, float]
    present: dict[str, float]
    classes: dict[str, dict[str, float]]
    outside: float
    devkit: dict

    def told(self) -> dict:
        """All but what the devkit tells itself."""
        return {key: value for key, value in self._asdict().items() if key != "devkit"}


def split_name(root: Root, split: str) -> str:
    """The devkit's name of a split. UserError where the devkit would take its own list of scenes for another one."""
    path = root.path / root.version / "splits.json"
    if not path.is_file():
        return splits.PREDEFINED[root.version.rsplit("-", 1)[-1]][split]
    name = next(name for name in read_json(path, "write it again") if name.rsplit("_", 1)[-1] == split)
    if is_predefined_split(name):
        raise UserError(f"{path}: the devkit has a split {name!r} of its own; name it otherwise, e.g. 'mine_{split}'")
    return name


def check(root: Root, file: str, boxes: dict[str, list[dict]]) -> None:
    """UserError for what the devkit stops at: results of a perception file without boxes, or with too many; an annotation
    with two attributes; a split without annotations of the ten classes.
    """
    if not any(boxes.values()):
        raise UserError(f"{file}: holds no agent; there is nothing to score")
    most = config_factory(CONFIG).max_boxes_per_sample
    if many := [token for token, found in boxes.items() if len(found) > most]:
        raise UserError(f"{file}: more than {most} agents in {named(many)}; give the best {most} of each sample")
    path, classes = root.path / root.version / "sample_annotation.json", 0
    for row in (root.tables.get("sample_annotation", one) for token in boxes for one in _annotations(root, token)):
        if len(row["attribute_tokens"]) > 1:
            raise UserError(f"{path}: {row['token']} has {len(row['attribute_tokens'])} attributes; leave one")
        classes += row["category_name"] in CLASS_OF_CATEGORY
    if not classes:
        raise UserError(f"{path}: no agent of the ten classes is annotated in this split; give one with annotations")


def _annotations(root: Root, token: str) -> list[str]:
    return root.tables.get("sample", token)["anns"]


def scores(
    root: Root, results: Path, split: str, out: Path, at: dict[str, Place], pc_range: list[float]
) -> dict[str, Score]:
    """{"nuscenes": the official score, "vad_range": the same in VAD's range, "vad_range_as_coded": cut as VAD's code cuts}.

    results: file of detection results; split: the devkit's name; out: a folder for the devkit; at: all samples of the
    split; pc_range: what the student looks at.
    """
    official = config_factory(CONFIG)
    everywhere = {"class_range": dict.fromkeys(official.class_range, EVERYWHERE)}
    found = {}
    for config in (official, DetectionConfig.deserialize(official.serialize() | everywhere)):
        evaluation = DetectionEval(root.tables, config, str(results), split, str(out), verbose=False)
        if config is official:
            found["nuscenes"] = _score(evaluation, at, pc_range)
    predicted, annotated = dict(evaluation.pred_boxes.boxes), dict(evaluation.gt_boxes.boxes)
    for protocol, (of_predicted, of_annotated) in CUTS.items():
        for token, place in at.items():
            sure = [box for box in predicted[token] if box.detection_score >= VAD_SCORE]
            evaluation.pred_boxes.boxes[token] = _inside(sure, place, of_predicted)
            evaluation.gt_boxes.boxes[token] = _inside(annotated[token], place, of_annotated)
        found[protocol] = _score(evaluation, at, pc_range)
    with contextlib.suppress(OSError):
        (out / "plots").rmdir()  # the devkit's, empty
    return found


def _inside(boxes: list[DetectionBox], place: Place, rules: Sequence[Rule]) -> list[DetectionBox]:
    return [box for box in boxes if all(rule(box, place) for rule in rules)]


def _along_ego(box: DetectionBox, place: Place) -> bool:
    x, y, _ = place.to_ego(np.array([box.translation]))[0]
    return bool(abs(x) < VAD_RANGE[0] and abs(y) < VAD_RANGE[1])


def _along_global(box: DetectionBox, _: Place) -> bool:
    x, y, _ = box.ego_translation  # the devkit's name for the offset, which it does not turn
    return bool(abs(x) < VAD_RANGE[0] and abs(y) < VAD_RANGE[1])


# {protocol: (rules for predictions, rules for annotations)}
CUTS: Mapping[str, tuple[Sequence[Rule], Sequence[Rule]]] = {
    "vad_range": ((_along_ego,), (_along_ego,)),
    "vad_range_as_coded": ((_along_ego, _along_global), (_along_global,)),  # quirk Q8
}


def _score(evaluation: DetectionEval, at: dict[str, Place], pc_range: list[float]) -> Score:
    metrics, _ = evaluation.evaluate()
    names = list(evaluation.cfg.class_names)
    annotated, predicted = (_counts(boxes) for boxes in (evaluation.gt_boxes, evaluation.pred_boxes))
    classes = {
        name: {
            "AP": float(metrics.mean_dist_aps[name]),
            **{short: float(metrics.get_label_tp(name, error)) for error, short in ERRORS.items()},
            "annotated": annotated.get(name, 0),
            "predicted": predicted.get(name, 0),
        }
        for name in names
    }
    boxes = {token: np.array([box.translation for box in evaluation.gt_boxes[token]]).reshape(-1, 3) for token in at}
    away = [outside(boxes[token], place, pc_range) for token, place in at.items()]
    numbers = {"NDS": metrics.nd_score, "mAP": metrics.mean_ap}
    return Score(
        numbers | {f"m{short}": metrics.tp_errors[error] for error, short in ERRORS.items()},
        over([one for one in classes.values() if one["annotated"]], evaluation.cfg.mean_ap_weight),
        classes,
        _mean(np.concatenate(away)),
        metrics.serialize(),
    )


def over(classes: list[dict[str, float]], weight: float) -> dict[str, float]:
    """NDS, mAP and the mean errors over some classes, by nuScenes' formula; weight: of mAP beside the five errors."""
    mean_ap = _mean([one["AP"] for one in classes])
    errors = {
        f"m{short}": _mean([one[short] for one in classes if not math.isnan(one[short])]) for short in ERRORS.values()
    }
    total = weight * mean_ap + sum(np.maximum(0.0, 1.0 - np.array([*errors.values()])))
    return {"NDS": float(total / (weight + len(errors))), "mAP": mean_ap} | errors


def _mean(values: list | Float[np.ndarray, " n"]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _counts(boxes: EvalBoxes) -> dict[str, int]:
    names, counts = np.unique([box.detection_name for box in boxes.all], return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))
