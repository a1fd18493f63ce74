"""Names of the nuScenes v1.0 schema that reading (`scenes.py`) and writing (`miniworld/`) share."""

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
LIDAR = "LIDAR_TOP"
TRAFFIC_LIGHTS = "traffic_lights.json"  # of the mini world alone: {sample token: {stop line token: state}}
