"""Twin of `protocols/paradrive_std.py` with shapely alone."""

import shapely

from dima_jax.categories import AREA_LAYERS, CLASS_OF_CATEGORY, LIDARSEG_CATEGORIES
from tests.oracles import boxes


def struck(agents, box, step):
    """The lowest row of the agents whose box meets an ego's, -1 = none."""
    ego = shapely.Polygon(box)
    met = [row for row, at, other in agents if at == step and ego.intersects(shapely.Polygon(other))]
    return min(met, default=-1)


def on(truth, index, layers, points):
    """Whether each point of the LiDAR frame is in an area of these layers at the frame's place."""
    pose = truth.ego2global[index] @ truth.lidar2ego[index]
    areas = []
    for area in range(len(truth.area_layer)):
        if AREA_LAYERS[truth.area_layer[area]] in layers and truth.area_location[area] == truth.location[index]:
            first, end = truth.area_ring_start[area : area + 2]
            rings = [
                truth.ring_vertices[truth.ring_vertex_start[r] : truth.ring_vertex_start[r + 1]]
                for r in range(first, end)
            ]
            assert not truth.ring_is_hole[first] and truth.ring_is_hole[first + 1 : end].all()
            areas.append(shapely.Polygon(rings[0], rings[1:]))
    turned = [pose[:2, :2] @ point + pose[:2, 3] for point in points]
    return [any(area.intersects(shapely.Point(point)) for area in areas) for point in turned]


def score(truth, index, lidar, ego):
    """{"collision", "off_road", "off_lane", "hit": [P][F], "recorded": [F]}."""

    def keep(row):
        found = CLASS_OF_CATEGORY.get(LIDARSEG_CATEGORIES[truth.category[row]])
        hit = truth.lidar_points[row] + truth.radar_points[row] > 0
        return found is not None and found not in ("barrier", "traffic_cone") and hit

    agents = list(boxes.annotated(truth, index, keep))
    result = {"collision": [], "off_road": [], "off_lane": [], "hit": []}
    for plan in lidar:
        placed = [boxes.ego(*waypoint) for waypoint in plan]
        result["hit"].append([struck(agents, box, step) for step, box in enumerate(placed)])
        result["collision"].append([row >= 0 for row in result["hit"][-1]])
        result["off_road"].append([not all(on(truth, index, ["drivable_area"], box)) for box in placed])
        centers = [(box[0][0] + box[2][0], box[0][1] + box[2][1]) for box in placed]
        lanes = on(truth, index, ["lane", "lane_connector", "intersection"], [(x / 2, y / 2) for x, y in centers])
        result["off_lane"].append([not found for found in lanes])
    path = [
        (float(x), float(y), float(yaw)) for (x, y), yaw in zip(truth.path[index], truth.path_yaw[index], strict=True)
    ]
    result["recorded"] = [struck(agents, boxes.ego(*waypoint), step) >= 0 for step, waypoint in enumerate(path)]
    return result
