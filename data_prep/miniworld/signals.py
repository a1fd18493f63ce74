"""What the traffic lights show at a key frame: the content of `<version>/traffic_lights.json`.

nuScenes has no such file: its maps have traffic lights, but nobody recorded what they showed. Here they are simulated, so a
score may ask whether a plan runs a red light (docs/scores/pdms.md).
"""

import numpy as np

from data_prep.miniworld.nuscenes_tables import token
from data_prep.miniworld.world.state import Town, WorldState

STATES = {"r": "red", "y": "yellow", "g": "green"}
NEAR = 80.0  # meters from the ego, as for agents


def shown(state: WorldState, town: Town) -> dict[str, str]:
    """{token of a stop line of the map: what its lights show} of the lines near the ego that have lights."""
    colors = {signal.id: STATES[signal.state] for signal in state.signals}
    ego = np.array([state.ego.x, state.ego.y])
    return {
        token("stop_line", i): colors[heads[0]]
        for i, (outline, heads) in enumerate(town.stop_lines)
        if heads and np.linalg.norm(outline.exterior - ego, axis=1).min() <= NEAR
    }
