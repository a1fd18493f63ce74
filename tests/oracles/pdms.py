"""Twins of the parts of `nu_pdms` and `nu_epdms` in plain loops, after NAVSIM's text; slow and short."""

import numpy as np
from shapely.geometry import LineString, Point, Polygon

L, DT, N = 2.588, 0.1, 10


def drive(plan, speed, acceleration, steering):
    """[31, 5] x, y, heading, speed, acceleration of one plan [6, 3], matrix by matrix."""
    knots = np.vstack([np.zeros(3), plan])
    knots[:, 2] = np.unwrap(knots[:, 2])
    path = np.array([[np.interp(t, np.arange(7) * 5, column) for column in knots.T] for t in range(31)])
    speeds = _speeds(path)
    curvatures = _curvatures(path, speeds)
    x, y, heading, states = 0.0, 0.0, 0.0, []
    states.append([x, y, heading, speed, acceleration])
    for t in range(30):
        last = min(t + N, 29)
        if speeds[last] <= 0.2 and speed <= 0.2:
            command, rate = -0.5 * (speed - speeds[last]), 0.0
        else:
            command = -10 * (speed - speeds[last]) / 11
            a, b, g = np.eye(3), np.zeros(3), np.zeros(3)
            for k in range(N):
                v, kappa = speed + k * DT * command, curvatures[min(t + k, last)]
                step = np.array([[1, v * DT, 0], [0, 1, v * DT / L], [0, 0, 1]])
                a, b, g = step @ a, step @ b + [0, 0, DT], step @ g + [0, -v * kappa * DT, 0]
            dx, dy, theta = x - path[t, 0], y - path[t, 1], path[t, 2]
            now = [-dx * np.sin(theta) + dy * np.cos(theta), _wrap(heading - theta), steering]
            error = a @ now + g
            error[1] = _wrap(error[1])
            q = np.diag([1.0, 10.0, 0.0])
            rate = -(b @ q @ error) / (b @ q @ b + 1.0)
        lagged = DT / (DT + 0.2) * (command - acceleration) + acceleration
        ideal = steering + DT * rate
        steered = DT / (DT + 0.05) * (ideal - steering) + steering
        x, y = x + DT * speed * np.cos(heading), y + DT * speed * np.sin(heading)
        heading = _wrap(heading + DT * speed * np.tan(steering) / L)
        speed, acceleration = speed + DT * lagged, lagged
        steering = float(np.clip(steered, -np.pi / 3, np.pi / 3))
        states.append([x, y, heading, speed, acceleration])
    return np.array(states)


def _speeds(path):
    """Least squares of both coordinates, the first speed and 29 accelerations unknown."""
    rows, y = np.zeros((60, 30)), np.zeros(60)
    for k in range(30):
        way = np.array([np.cos(path[k, 2]), np.sin(path[k, 2])])
        y[2 * k : 2 * k + 2] = path[k + 1, :2] - path[k, :2]
        for column in range(k + 1):
            rows[2 * k : 2 * k + 2, column] = way * (DT if column == 0 else DT**2)
    jerk = np.zeros((28, 30))
    for k in range(28):
        jerk[k, k + 1], jerk[k, k + 2] = -1, 1
    x = np.linalg.lstsq(np.vstack([rows, 1e-2 * jerk]), np.concatenate([y, np.zeros(28)]), rcond=None)[0]
    return x[0] + DT * np.concatenate([[0], np.cumsum(x[1:])])


def _curvatures(path, speeds):
    rows, y = np.zeros((30, 30)), np.zeros(30)
    for k in range(30):
        y[k] = _wrap(path[k + 1, 2] - path[k, 2])
        for column in range(k + 1):
            rows[k, column] = speeds[k] * (DT if column == 0 else DT**2)
    penalty = np.diag([1e-5] + [0.1] * 29)
    x = np.linalg.lstsq(np.vstack([rows, penalty]), np.concatenate([y, np.zeros(30)]), rcond=None)[0]
    return x[0] + DT * np.concatenate([[0], np.cumsum(x[1:])])


def _wrap(angle):
    return np.arctan2(np.sin(angle), np.cos(angle))


def box(x, y, heading, length, width):
    """Front left, front right, rear right, rear left as a polygon."""
    c, s = np.cos(heading), np.sin(heading)
    corners = [(a * length / 2, b * width / 2) for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))]
    return Polygon([(x + c * u - s * v, y + s * u + c * v) for u, v in corners])


def no_collision(boxes, rear, speed, across, tracks):
    """NC of one drive. boxes [31, 5]; tracks: list of (boxes [31, 5] with NaN, speeds [31], is_agent)."""
    score, ignored = 1.0, set()
    for t in range(31):
        own = box(*boxes[t])
        for i, (others, speeds, is_agent) in enumerate(tracks):
            if np.isnan(others[t, 0]) or not own.intersects(box(*others[t])):
                continue
            if t == 0:
                ignored.add(i)
            if i in ignored:
                continue
            corners = list(own.exterior.coords)
            if speed[t] <= 0.05:
                fault = False
            elif not is_agent or speeds[t] <= 0.05:
                fault = True
            elif _angle(rear[t], boxes[t, 2], others[t]) > 150:
                fault = False
            else:
                fault = LineString(corners[:2]).intersects(box(*others[t])) or across[t]
            if fault:
                score = min(score, 0.0 if is_agent else 0.5)
            else:
                ignored.add(i)
    return score


def time_to_collision(boxes, rear, speed, across, at_crossing, tracks):
    """TTC of one drive; arguments as in `no_collision`."""
    score = 1.0
    ignored = {
        i
        for i, (others, _, _) in enumerate(tracks)
        if not np.isnan(others[0, 0]) and box(*boxes[0]).intersects(box(*others[0]))
    }
    for t in range(22):
        for ahead in (0, 3, 6, 9):
            way = speed[t] * ahead * DT
            moved = boxes[t].copy()
            moved[:2] += way * np.array([np.cos(boxes[t, 2]), np.sin(boxes[t, 2])])
            for i, (others, _, _) in enumerate(tracks):
                there = others[t + ahead]
                if (
                    np.isnan(there[0])
                    or i in ignored
                    or abs(speed[t]) < 0.005
                    or not box(*moved).intersects(box(*there))
                ):
                    continue
                angle = _angle(rear[t], boxes[t, 2], there)
                if angle < 30 or ((across[t] or at_crossing[t]) and angle <= 150):
                    score = 0.0
                else:
                    ignored.add(i)
    return score


def _angle(rear, heading, other):
    """Degrees between the heading and the way to the other."""
    way = np.asarray(other[:2]) - rear
    cosine = (way @ [np.cos(heading), np.sin(heading)]) / np.linalg.norm(way)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def flags(points, areas):
    """(several lanes, off the road, [6] in an intersection) of six points. areas: list of (layer, polygon)."""
    inside = [(layer, [polygon.intersects(Point(p)) for p in points]) for layer, polygon in areas]
    lanes = [told[:4] for layer, told in inside if layer in ("lane", "lane_connector")]
    several = sum(any(told) for told in lanes) > 1 and not any(all(told) for told in lanes)
    roads = [told for layer, told in inside if layer not in ("stop_line", "road_block")]
    off = any(not any(told[k] for told in roads) for k in range(4))
    crossing = [any(told[k] for layer, told in inside if layer == "intersection") for k in range(6)]
    return several, off, crossing


def direction(centers, legal):
    """DDC of one drive: legal [31] = in a lane of the route or in an intersection."""
    travel = [0.0] + [0.0 if legal[t] else np.linalg.norm(centers[t] - centers[t - 1]) for t in range(1, len(centers))]
    worst = max(sum(travel[max(0, t - 10) : t + 1]) for t in range(len(travel)))
    return 1.0 if worst < 2 else 0.5 if worst < 6 else 0.0


def lane_keeping(line, centers, crossing):
    """LK of one drive."""
    count = 0
    for center, skipped in zip(centers, crossing, strict=True):
        if skipped:
            continue
        count = count + 1 if Point(center).distance(line) > 0.5 else 0
        if count >= 20:
            return 0.0
    return 1.0
