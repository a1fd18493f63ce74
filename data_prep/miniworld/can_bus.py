"""A drive as nuScenes CAN bus messages, with nuScenes' names, units and rates.

| file | rate | content |
|---|---|---|
| `<scene>_pose.json` | 50 Hz | position, orientation, velocity, acceleration (with gravity), turn rate |
| `<scene>_steeranglefeedback.json` | 100 Hz | steering wheel angle, rad, left positive (as recorded, unlike its README) |
| `<scene>_vehicle_monitor.json` | 2 Hz | pedals, lamps, wheel speeds; the battery is always full |
| `<scene>_route.json` | | points on the lane center lines that the drive follows, every half meter |
| `<scene>_meta.json` | | counts, rates and statistics of the messages above |

`ms_imu`, `zoesensors` and `zoe_veh_info` are not written: they hold raw signals of one car model, which are not
simulated. Values between two states (20 a second) are interpolated linearly. Times are whole microseconds.
"""

import math

import numpy as np

from data_prep.miniworld.nuscenes_tables import quaternion

GRAVITY = 9.81  # m/s2; the upward acceleration that the accelerometer measures at rest
POSE_RATE, STEERING_RATE, MONITOR_RATE = 50, 100, 2
WHEEL_RADIUS, TRACK = 0.31, 1.5  # m
FULL_BRAKE, FULL_THROTTLE = 8.0, 4.0  # m/s2 at the end of the pedal's travel
ROUTE_STEP = 0.5  # m
ROUTE_HEADING = math.radians(60)
ROUTE_MARGIN = 60.0  # m around the drive: lanes farther away are none of its own


def can_bus(states, start, town):
    """All messages of a scene: {message name: list (or dict for `meta`) ready for JSON}.

    states: `WorldState`s in order of time; start: the time of the first in microseconds; town: for the route.
    """
    drive = _Drive(states)
    messages = {
        "pose": _poses(drive, start),
        "steeranglefeedback": _steering(drive, start),
        "vehicle_monitor": _monitors(drive, start),
    }
    meta = {name: _statistics(rows) for name, rows in messages.items()}
    return {**messages, "route": _route(drive, town), "meta": meta}


class _Drive:
    """The states of the ego as functions of time."""

    def __init__(self, states):
        self.states = states
        self.time = np.array([state.time for state in states]) - states[0].time
        names = ("x", "y", "yaw", "speed", "acceleration", "yaw_rate", "steering")
        self.curves = {name: np.array([getattr(state.ego, name) for state in states], float) for name in names}
        self.curves["yaw"] = np.unwrap(self.curves["yaw"])

    def times(self, rate):
        """The times, in seconds, of the messages with this rate (Hz)."""
        return np.arange(int(self.time[-1] * rate + 1e-6) + 1) / rate

    def at(self, times):
        """All quantities at the given times, interpolated: {name: array like times}."""
        return {name: np.interp(times, self.time, curve) for name, curve in self.curves.items()}

    def ego(self, time):
        """The last ego state at or before `time`, for quantities that cannot be interpolated."""
        return self.states[max(0, int(np.searchsorted(self.time, time + 1e-6)) - 1)].ego


def _rows(columns):
    """{name: array} to a list of {name: float}."""
    lists = {name: np.round(values, 6).tolist() for name, values in columns.items()}
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _utime(start, time):
    return start + round(1e6 * float(time))


def _poses(drive, start):
    times = drive.times(POSE_RATE)
    return [
        {
            "accel": [row["acceleration"], round(row["speed"] * row["yaw_rate"], 6), GRAVITY],
            "orientation": quaternion(row["yaw"]),
            "pos": [row["x"], row["y"], 0.0],
            "rotation_rate": [0.0, 0.0, row["yaw_rate"]],
            "utime": _utime(start, time),
            "vel": [row["speed"], 0.0, 0.0],
        }
        for time, row in zip(times, _rows(drive.at(times)), strict=True)
    ]


def _steering(drive, start):
    times = drive.times(STEERING_RATE)
    rows = _rows(drive.at(times))
    return [{"utime": _utime(start, t), "value": row["steering"]} for t, row in zip(times, rows, strict=True)]


def _monitors(drive, start):
    times = drive.times(MONITOR_RATE)
    columns = drive.at(times)
    before, after = (drive.at(times + step)["steering"] for step in (-0.05, 0.05))
    columns["turning"] = (after - before) / 0.1
    return [_monitor(row, drive.ego(t), _utime(start, t)) for t, row in zip(times, _rows(columns), strict=True)]


def _monitor(row, ego, utime):
    acceleration = row["acceleration"]
    turn = row["yaw_rate"] * TRACK / 2
    left, right = ((row["speed"] + sign * turn) / WHEEL_RADIUS * 30 / math.pi for sign in (-1, 1))
    return {
        "available_distance": 200,
        "battery_level": 100,
        "brake": round(126 * min(max(-acceleration / FULL_BRAKE, 0.0), 1.0)) if ego.braking else 0,
        "brake_switch": 2 if ego.braking else 1,
        "gear_position": 7,
        "left_signal": int(ego.blinker == 1),
        "rear_left_rpm": round(left, 2),
        "rear_right_rpm": round(right, 2),
        "right_signal": int(ego.blinker == -1),
        "steering": round(math.degrees(row["steering"]), 1),
        "steering_speed": round(math.degrees(row["turning"]), 1),
        "throttle": 0 if ego.braking else round(1000 * min(max(acceleration / FULL_THROTTLE, 0.0), 1.0)),
        "utime": utime,
        "vehicle_speed": round(3.6 * row["speed"], 2),
        "yaw_rate": round(math.degrees(row["yaw_rate"]), 1),
    }


def _statistics(rows):
    """The `meta` entry of one message type: count, frequency, and statistics of each value and of its differences."""
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
    """Points [[x, y], ...] on the center lines of the lanes that the drive follows.

    Each is a driven position projected onto the nearest center line of about the same heading, so the route of a drive
    around an obstacle stays on its lane.
    """
    lines = [lane.centerline for lane in town.lanes.values()]
    begin = np.concatenate([line[:-1] for line in lines])
    step = np.concatenate([np.diff(line, axis=0) for line in lines])
    length = np.hypot(*step.T)
    unit = step / length[:, None]
    x, y, yaw = (drive.curves[name] for name in ("x", "y", "yaw"))
    low, high = (np.array([function(x), function(y)]) for function in (np.min, np.max))
    is_near = (
        (np.maximum(begin, begin + step) > low - ROUTE_MARGIN) & (np.minimum(begin, begin + step) < high + ROUTE_MARGIN)
    ).all(1)
    begin, length, unit = begin[is_near], length[is_near], unit[is_near]
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
