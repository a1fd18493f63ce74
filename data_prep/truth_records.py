"""The truth of records, with what the nuScenes root adds to them."""

import numpy as np

from data_prep import truth_maps, truth_tables
from data_prep.root_check import maps
from data_prep.scenes import Root
from dima_jax.data import truth_arrays
from dima_jax.data.records import Records


def make(data: str, split: str, dataroot: str | None, version: str) -> tuple[dict[str, np.ndarray], dict]:
    """(arrays, header) for `scoring.truth.save`.

    dataroot, version: the nuScenes root that the records in `data` were made from; without one there are no curbs, areas,
    visibility, attributes and lights. UserError for what is missing or damaged, and for a root of other drives.
    """
    records = Records(data, split)
    root = Root(dataroot, version) if dataroot else None
    arrays, header = truth_arrays.arrays(records)
    if root:
        arrays |= truth_tables.annotations(arrays, root) if "boxes" in arrays else {}
        if maps.are_there(root.path):
            arrays |= truth_maps.add(arrays, root)
            arrays |= truth_tables.lights(arrays, root)
        else:
            print(
                f"{root.path / 'maps' / 'expansion'}: no map, so the truth has no curbs, areas and lights; unpack it there"
            )
        header["source"] |= {"root": version}
    return arrays, header
