"""Names of the nuScenes v1.0 schema that reading (`scenes.py`) and writing (`miniworld/`) share."""

from dima_jax.constants import CAMERAS

TABLES = (
    "category",
    "attribute",
    "visibility",
    "instance",
    "sensor",
    "calibrated_sensor",
    "ego_pose",
    "log",
    "scene",
    "sample",
    "sample_data",
    "sample_annotation",
    "map",
)
LIDAR, CAMERA = "LIDAR_TOP", "camera"  # a channel; a modality
TRAFFIC_LIGHTS = "traffic_lights.json"  # of the mini world alone: {sample token: {stop line token: state}}


def cameras(sensors: list[dict]) -> tuple[str, ...]:
    """The names of the cameras of a data set: nuScenes' in the order of `CAMERAS`, then others in that of sensor.json."""
    names = [row["channel"] for row in sensors if row["modality"] == CAMERA]
    return (*(name for name in CAMERAS if name in names), *(name for name in names if name not in CAMERAS))
