"""Tracks of simulated scenes of the mini world, without pictures: as the recorder would write them, seen or not."""

import numpy as np
import shapely

from data_prep.mining.roads import Ground, Roads
from data_prep.mining.tracks import Agents, Tracks
from data_prep.miniworld import signals
from data_prep.miniworld.nuscenes_tables import token
from data_prep.miniworld.traffic import maneuvers
from data_prep.miniworld.world.state import KEYFRAME_RATE, STATE_RATE
from data_prep.miniworld.world.town import load_town
from dima_jax.categories import LIDARSEG_CATEGORIES

CENTER = 1.44  # meters from the ego's rear axle to the center of its box
TURN = 2.0  # meters to the side after STEPS: the command is not "straight"
STEPS = 6


def simulate(index, seed, split):
    """(tracks, tags) of `maneuvers.simulate`."""
    scene = maneuvers.simulate(index, seed, split)
    states = scene.states[:: STATE_RATE // KEYFRAME_RATE]
    rear = np.array([[state.ego.x, state.ego.y] for state in states])
    yaw = np.unwrap([state.ego.yaw for state in states])
    later = rear[np.minimum(np.arange(len(states)) + STEPS, len(states) - 1)] - rear
    side = -later[:, 0] * np.sin(yaw) + later[:, 1] * np.cos(yaw)
    ids = sorted({agent.id for state in states for agent in state.agents})
    center, heading = np.full((len(ids), len(states), 2), np.nan), np.full((len(ids), len(states)), np.nan)
    category = np.zeros(len(ids), int)
    for t, state in enumerate(states):
        for agent in state.agents:
            row = ids.index(agent.id)
            center[row, t], heading[row, t] = (agent.x, agent.y), agent.yaw
            category[row] = LIDARSEG_CATEGORIES.index(agent.category)
    tracks = Tracks(
        scene=scene.name,
        tokens=tuple(f"{scene.name}_{t}" for t in range(len(states))),
        time=np.array([state.time for state in states]),
        center=rear + CENTER * np.stack([np.cos(yaw), np.sin(yaw)], axis=-1),
        yaw=yaw,
        turning=np.abs(side) >= TURN,
        agents=Agents(category, center, heading),
        roads=Roads(ground(), [closed(state) for state in states]),
    )
    return tracks, scene.tags


def ground():
    town = load_town()
    lanes = [lane for lane in town.lanes.values() if not lane.is_connector]
    return Ground(
        surface=shapely.union_all([polygon(one) for one in town.drivable]),
        lanes=[polygon(lane.polygon) for lane in lanes],
        lines=[lane.centerline for lane in lanes],
    )


def closed(state):
    shown = signals.shown(state, load_town())
    lines = {token("stop_line", i): outline for i, (outline, _) in enumerate(load_town().stop_lines)}
    return [polygon(lines[line]) for line, color in shown.items() if color != "green"]


def polygon(outline):
    return shapely.Polygon(outline.exterior, outline.holes)
