"""A drive as nuScenes CAN bus messages: what the car's own sensors would have said, with nuScenes' names, units and rates.

| file | rate | content |
|---|---|---|
| `<scene>_pose.json` | 50 Hz | position, orientation, velocity, acceleration (with gravity), turn rate |
| `<scene>_steeranglefeedback.json` | 100 Hz | steering wheel angle, rad, left positive (as recorded; its README says right) |
| `<scene>_vehicle_monitor.json` | 2 Hz | pedals, lamps, wheel speeds; the battery is not simulated and always full |
| `<scene>_route.json` | | the lane centre lines the drive follows, every half metre, points only |
| `<scene>_meta.json` | | counts, rates and statistics of the messages above |

`ms_imu`, `zoesensors` and `zoe_veh_info` are not written: they hold one make's raw signals, which nothing here simulates.
Values between two states (20 a second) are interpolated linearly. Times are whole microseconds.
"""

import math

import numpy as np

from data_prep.nuscenes_tables import quaternion

GRAVITY = 9.81  # m/s2; at rest the accelerometer shows it upwards
POSE_RATE, STEERING_RATE, MONITOR_RATE = 50, 100, 2
WHEEL_RADIUS, TRACK = 0.31, 1.5  # m
FULL_BRAKE, FULL_THROTTLE = 8.0, 4.0  # m/s2 at the end of the pedal's travel
ROUTE_STEP = 0.5  # m
ROUTE_HEADING = math.radians(60)


def can_bus(states, start, town):
    """All messages of a scene: {message name: list (or dict for `meta`) ready for JSON}.

    states: `WorldState`s in order of time; start: the time of the first in microseconds; town: for the route.
    """
    drive = _Drive(states)
    messages = {
        "pose": [_pose(drive, t, start) for t in drive.times(POSE_RATE)],
        "steeranglefeedback": [
            {"utime": start + round(1e6 * t), "value": round(drive.at("steering", t), 6)}
            for t in drive.times(STEERING_RATE)
        ],
        "vehicle_monitor": [_monitor(drive, t, start) for t in drive.times(MONITOR_RATE)],
    }
    meta = {name: _statistics(rows) for name, rows in messages.items()}
    return {**messages, "route": _route(drive, town), "meta": meta}


class _Drive:
    """The ego's states as curves over time."""

    def __init__(self, states):
        self.states = states
        self.time = np.array([state.time for state in states]) - states[0].time
        names = ("x", "y", "yaw", "speed", "acceleration", "yaw_rate", "steering")
        self.curves = {name: np.array([getattr(state.ego, name) for state in states], float) for name in names}
        self.curves["yaw"] = np.unwrap(self.curves["yaw"])

    def at(self, name, time):
        return float(np.interp(time, self.time, self.curves[name]))

    def times(self, rate):
        return [i / rate for i in range(int(self.time[-1] * rate + 1e-6) + 1)]

    def ego(self, time):
        """The last recorded state at or before `time`, for what cannot be interpolated."""
        return self.states[max(0, int(np.searchsorted(self.time, time + 1e-6)) - 1)].ego


def _pose(drive, time, start):
    value = {name: round(drive.at(name, time), 6) for name in drive.curves}
    return {
        "accel": [value["acceleration"], round(value["speed"] * value["yaw_rate"], 6), GRAVITY],
        "orientation": quaternion(value["yaw"]),
        "pos": [value["x"], value["y"], 0.0],
        "rotation_rate": [0.0, 0.0, value["yaw_rate"]],
        "utime": start + round(1e6 * time),
        "vel": [value["speed"], 0.0, 0.0],
    }


def _monitor(drive, time, start):
    ego, speed, yaw_rate = drive.ego(time), drive.at("speed", time), drive.at("yaw_rate", time)
    acceleration = drive.at("acceleration", time)
    rpm = {side: (speed - sign * yaw_rate * TRACK / 2) / WHEEL_RADIUS * 30 / math.pi for side, sign in _SIDES}
    turning = (drive.at("steering", time + 0.05) - drive.at("steering", time - 0.05)) / 0.1
    return {
        "available_distance": 200,
        "battery_level": 100,
        "brake": round(126 * min(max(-acceleration / FULL_BRAKE, 0.0), 1.0)) if ego.braking else 0,
        "brake_switch": 2 if ego.braking else 1,
        "gear_position": 7,
        "left_signal": int(ego.blinker == 1),
        "rear_left_rpm": round(rpm["left"], 2),
        "rear_right_rpm": round(rpm["right"], 2),
        "right_signal": int(ego.blinker == -1),
        "steering": round(math.degrees(drive.at("steering", time)), 1),
        "steering_speed": round(math.degrees(turning), 1),
        "throttle": 0 if ego.braking else round(1000 * min(max(acceleration / FULL_THROTTLE, 0.0), 1.0)),
        "utime": start + round(1e6 * time),
        "vehicle_speed": round(3.6 * speed, 2),
        "yaw_rate": round(math.degrees(yaw_rate), 1),
    }


_SIDES = (("left", 1), ("right", -1))


def _statistics(rows):
    """The `meta` entry of one message type: how many, how often, and the spread of each value and of its steps."""
    times = [row["utime"] for row in rows]
    span = (times[-1] - times[0]) / 1e6
    stats = {}
    for key in rows[0]:
        values = np.array([row[key] for row in rows], float)
        entry = _spread(values, "")
        if len(rows) > 1:
            entry |= _spread(np.diff(values, axis=0), "diff_")
        stats[key] = entry
    frequency = (len(rows) - 1) / span if span else 0.0
    return {"message_count": len(rows), "message_freq": frequency, "timespan": span, "var_stats": stats}


def _spread(values, prefix):
    reduced = {"max": values.max(0), "mean": values.mean(0), "min": values.min(0), "std": values.std(0)}
    return {prefix + name: value.tolist() for name, value in reduced.items()}


def _route(drive, town):
    """Points [[x, y], ...] on the centre lines of the lanes the drive follows, each a pose moved onto the nearest line
    that runs its way. A drive around an obstacle keeps its lane here: a route knows the streets, not the traffic."""
    lines = [lane.centerline for lane in town.lanes.values()]
    begin = np.concatenate([line[:-1] for line in lines])
    step = np.concatenate([np.diff(line, axis=0) for line in lines])
    length = np.hypot(*step.T)
    unit = step / length[:, None]
    x, y, yaw = (drive.curves[name] for name in ("x", "y", "yaw"))
    driven = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    places = np.arange(0.0, driven[-1] + 1e-6, ROUTE_STEP)
    keep = np.concatenate([[True], np.diff(driven) > 0])
    route = []
    for place in places:
        point = np.array([np.interp(place, driven[keep], curve[keep]) for curve in (x, y)])
        heading = np.interp(place, driven[keep], yaw[keep])
        along = np.clip(((point - begin) * unit).sum(-1), 0.0, length)
        feet = begin + along[:, None] * unit
        distance = np.hypot(*(feet - point).T)
        distance[unit @ [math.cos(heading), math.sin(heading)] < math.cos(ROUTE_HEADING)] = np.inf
        best = int(distance.argmin())
        if np.isfinite(distance[best]):
            foot = [round(float(v), 3) for v in feet[best]]
            if not route or foot != route[-1]:
                route.append(foot)
    return route
