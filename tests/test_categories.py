"""The tables of names are the devkit's."""

from nuscenes.eval.detection.constants import ATTRIBUTE_NAMES
from nuscenes.eval.detection.utils import category_to_detection_name

from dima_jax import categories
from dima_jax.constants import AGENT_CLASSES


def test_classes_are_the_devkits():
    for name in categories.LIDARSEG_CATEGORIES:
        assert categories.CLASS_OF_CATEGORY.get(name) == category_to_detection_name(name), name
    assert set(categories.CLASS_OF_CATEGORY.values()) == set(AGENT_CLASSES)


def test_q2_the_table_is_that_of_lidarseg():
    """Rows 2 to 8 are humans, rows 14 to 23 vehicles, which the table of plain nuScenes would not give."""
    table = categories.LIDARSEG_CATEGORIES
    assert len(table) == 32 and table[0] == "noise" and table[-1] == "vehicle.ego"
    assert all(name.startswith("human.") for name in table[2:9]) and sum("human." in name for name in table) == 7
    assert all(name.startswith("vehicle.") for name in table[14:24])


def test_attributes_are_the_devkits():
    assert list(categories.ATTRIBUTES) == ATTRIBUTE_NAMES
