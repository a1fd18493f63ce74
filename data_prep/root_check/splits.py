"""The scenes of every split, from `<version>/splits.json` if it exists, else from nuScenes' own lists."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from nuscenes.utils.splits import create_splits_scenes

from data_prep.root_check.problems import NOTE, SKIP, Files
from data_prep.root_check.reading import read_json
from dima_jax.errors import UserError

# The devkit's predefined splits by the ending of the version; any other set brings a `splits.json`.
PREDEFINED = {
    "trainval": {"train": "train", "val": "val"},
    "mini": {"train": "mini_train", "val": "mini_val"},
    "test": {"test": "test"},
}
SPLIT_NAME = re.compile(r"[A-Za-z0-9]+")  # of the last part of a split's name, which becomes part of file names


def listed(folder: Path) -> dict[str, list[str]]:
    """{split: names of its scenes, in this root or not}; folder: of the tables.

    Raises UserError for a splits.json that is none, and for a version without splits.
    """
    path, ending = folder / "splits.json", folder.name.rsplit("-", 1)[-1]
    if path.is_file():
        # the devkit reserves "train" and "val" for nuScenes' own lists; others have names like "mine_train"
        named = read_json(path, "write it again")
        if not isinstance(named, dict) or not all(
            isinstance(names, list) and all(isinstance(name, str) for name in names) for names in named.values()
        ):
            raise UserError(f"{path}: not splits and their lists of scene names; write it again")
        names = {split.rsplit("_", 1)[-1]: scenes for split, scenes in named.items()}
        if len(names) < len(named):
            raise UserError(f"{path}: two of {sorted(named)} have the same ending; one name for each split")
        if bad := [split for split in names if not SPLIT_NAME.fullmatch(split)]:
            raise UserError(f"{path}: split {bad[0]!r}: the part after the last _ must be of letters and digits")
        return names
    if ending not in PREDEFINED:
        raise UserError(f"{path}: missing, and version {folder.name} has no predefined splits; write this file")
    official = create_splits_scenes()
    return {split: official[name] for split, name in PREDEFINED[ending].items()}


def scenes(folder: Path, present: set[str]) -> dict[str, list[str]]:
    """{split: sorted names of its scenes that the root has}, without empty splits. present: the names in scene.json.

    Raises UserError as `listed` does, for a scene in two splits, one that is only in splits.json, and where none is left.
    """
    named, path = listed(folder), folder / "splits.json"
    of_splits = Counter(name for names in named.values() for name in names)
    for name, count in of_splits.items():
        if count > 1:
            where = [split for split, names in named.items() for other in names if other == name]
            raise UserError(f"{path}: scene {name!r} is in {' and in '.join(where)}; leave it in one of them")
        if path.is_file() and name not in present:
            raise UserError(f"{path}: scene {name!r} is not in scene.json; correct one of the two files")
    found = {split: sorted(present & set(names)) for split, names in named.items()}
    if not any(found.values()):
        raise UserError(f"{folder}: none of its scenes is in a split; add splits.json beside the tables")
    return {split: names for split, names in found.items() if names}


def problems(folder: Path, present: set[str]) -> Iterator[Files]:
    """Scenes of the root in no split, and of nuScenes' lists that the root lacks; UserError as `scenes` raises."""
    scenes(folder, present)
    names = {name for group in listed(folder).values() for name in group}
    own = folder / "splits.json"
    file = str(own) if own.is_file() else str(folder / "scene.json")
    lines = [f"{file}: scene {name!r} is in no split" for name in sorted(present - names)]
    yield Files(SKIP, file, "scenes in no split are not built", lines, "name them in splits.json")
    lines = [
        f"{folder / 'scene.json'}: scene {name!r} of nuScenes' splits is missing" for name in sorted(names - present)
    ]
    yield Files(
        NOTE, str(folder / "scene.json"), "scenes of nuScenes' splits that the root lacks", lines, "none is needed"
    )
