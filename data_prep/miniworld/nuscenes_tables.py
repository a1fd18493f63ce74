"""The nuScenes v1.0 tables: fixed rows, tokens, units, and JSON files.

The tables are thirteen JSON files in `<root>/<version>/`, each a list of rows that refer to each other by `token`. The
fields are those of nuScenes' schema page and of its released tables. Five tables do not depend on the data (category,
attribute, visibility, sensor, and calibrated_sensor for a given rig); the others grow with the scenes.

Categories are the 23 of v1.0-trainval in the order of its `category.json`. The 32-row table of nuScenes-lidarseg has
another order, so code that needs an index (VAD's planning metric does, docs/vad.md#quirks) must map by name.

Tokens are 32 hex digits, as in nuScenes, but hashes of the row's identity instead of random numbers, so the same world
has the same tokens.
"""

import hashlib
import json
import math
import os
from pathlib import Path

from data_prep.nuscenes_schema import LIDAR

SCENE_TABLES = ("instance", "ego_pose", "log", "scene", "sample", "sample_data", "sample_annotation")

CATEGORIES = {
    "human.pedestrian.adult": "A grown person on foot.",
    "human.pedestrian.child": "A child on foot.",
    "human.pedestrian.wheelchair": "A person in a wheelchair.",
    "human.pedestrian.stroller": "A stroller, with whoever sits in it.",
    "human.pedestrian.personal_mobility": "A person on a skateboard, scooter or the like.",
    "human.pedestrian.police_officer": "A police officer on foot.",
    "human.pedestrian.construction_worker": "A construction worker on foot.",
    "animal": "An animal.",
    "vehicle.car": "A car, van or jeep for personal use.",
    "vehicle.motorcycle": "A motorcycle or motor scooter.",
    "vehicle.bicycle": "A bicycle.",
    "vehicle.bus.bendy": "One section of an articulated bus.",
    "vehicle.bus.rigid": "A bus without joint.",
    "vehicle.truck": "A vehicle that hauls cargo.",
    "vehicle.construction": "A vehicle made for construction work.",
    "vehicle.emergency.ambulance": "An ambulance.",
    "vehicle.emergency.police": "A police vehicle.",
    "vehicle.trailer": "A trailer.",
    "movable_object.barrier": "A temporary road barrier.",
    "movable_object.trafficcone": "A traffic cone.",
    "movable_object.pushable_pullable": "Something a person pushes or pulls.",
    "movable_object.debris": "Something left on the road.",
    "static_object.bicycle_rack": "A rack for bicycles.",
}
ATTRIBUTES = {
    "vehicle.moving": "Vehicle is moving.",
    "vehicle.stopped": "Vehicle is stationary, with a driver who intends to move.",
    "vehicle.parked": "Vehicle is stationary with no intent to move.",
    "cycle.with_rider": "There is a rider on the cycle.",
    "cycle.without_rider": "There is no rider on the cycle.",
    "pedestrian.sitting_lying_down": "The person is sitting or lying.",
    "pedestrian.standing": "The person is standing.",
    "pedestrian.moving": "The person is moving.",
}
VISIBILITY = (("1", "v0-40", 0, 40), ("2", "v40-60", 40, 60), ("3", "v60-80", 60, 80), ("4", "v80-100", 80, 100))
MOVING = 0.3  # m/s; slower agents are standing


def token(*parts):
    """32 hex digits that depend on `parts` (strings and integers) and nothing else."""
    return hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=16).hexdigest()


def quaternion(yaw):
    """[w, x, y, z], w >= 0, of a rotation by `yaw` radians about z."""
    yaw = math.remainder(yaw, 2 * math.pi)
    return [round(math.cos(yaw / 2), 12), 0.0, 0.0, round(math.sin(yaw / 2), 12)]


def meters(*values):
    """Floats rounded to a tenth of a millimeter, so that tables are small and the same on every machine."""
    return [round(float(value), 4) for value in values]


def attribute(agent):
    """Name of the attribute of a `world.state.Agent`, None for categories without attributes."""
    if agent.category in ("vehicle.bicycle", "vehicle.motorcycle"):
        return "cycle.without_rider" if agent.parked else "cycle.with_rider"
    if agent.category.startswith("vehicle."):
        return "vehicle.parked" if agent.parked else "vehicle.moving" if agent.speed > MOVING else "vehicle.stopped"
    if agent.category.startswith("human."):
        return "pedestrian.moving" if agent.speed > MOVING else "pedestrian.standing"
    return None


def visibility_token(fraction):
    """Token of the visibility row for the visible fraction [0, 1] of an object over the six cameras."""
    return next((row[0] for row in VISIBILITY if 100 * fraction < row[3]), "4")


def fixed_tables(rig, intrinsics):
    """The tables that do not depend on scenes.

    rig: {channel: sensor with .translation [3] and .rotation (w, x, y, z)}; intrinsics: {camera: [3, 3] in pixels}.
    """
    described = [(name, text, "category") for name, text in CATEGORIES.items()]
    described += [(name, text, "attribute") for name, text in ATTRIBUTES.items()]
    tables = {"category": [], "attribute": []}
    for name, text, table in described:
        tables[table].append({"token": token(table, name), "name": name, "description": text})
    tables["visibility"] = [
        {"description": f"visibility of whole object is between {low} and {high}%", "token": key, "level": level}
        for key, level, low, high in VISIBILITY
    ]
    tables["sensor"] = [
        {
            "token": token("sensor", channel),
            "channel": channel,
            "modality": "lidar" if channel == LIDAR else "camera",
        }
        for channel in rig
    ]
    tables["calibrated_sensor"] = [
        {
            "token": token("calibrated_sensor", channel),
            "sensor_token": token("sensor", channel),
            "translation": [float(value) for value in rig[channel].translation],
            "rotation": [float(value) for value in rig[channel].rotation],
            "camera_intrinsic": [] if channel == LIDAR else [[float(v) for v in row] for row in intrinsics[channel]],
        }
        for channel in rig
    ]
    return tables


def write_json(path, content):
    """Writes a list with one row per line, anything else as plain JSON, to a temporary name, and renames the file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    if isinstance(content, list):
        text = "[\n" + ",\n".join(json.dumps(row) for row in content) + "\n]\n"
    else:
        text = json.dumps(content) + "\n"
    temporary.write_text(text)
    os.replace(temporary, path)
