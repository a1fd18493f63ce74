"""Hard braking: of the ego, and of the vehicle that it follows."""

import numpy as np
from jaxtyping import Bool

from data_prep.mining.spans import mask_of
from data_prep.mining.tracks import Tracks

HARD = 4.0  # m/s2 over a second: about what nuPlan's comfort allows for an instant (4.05)
NOTICE = 1.0  # s before: what a planner must see coming
LEADER_BRAKES = 4.0  # m/s2 over a second: more than a driver who comes to a light in comfort
EGO_BRAKES = 2.0  # m/s2 over a second, at some key frame of the next REACTION
EGO_LOSES = 3.0  # m/s within REACTION: the ego answers, it was not far behind
REACTION = 3.0  # s: what a planner plans
FAST = 4.0  # m/s of both before: slower is a queue
LEADER_AHEAD = 35.0  # meters between the centers along the ego's further path; at 50 km/h 2.5 s
LEADER_ASIDE = 1.4  # meters beside that path: in the same lane
ALIGNED = np.cos(np.radians(45))  # of the angle between the headings: the leader drives the same way


def hard_brake(tracks: Tracks) -> Bool[np.ndarray, " T"]:
    """The ego brakes with HARD or more. Tagged: from NOTICE before until then."""
    brakes = tracks.time[np.flatnonzero(tracks.acceleration <= -HARD)]
    soon = (brakes[:, None] >= tracks.time) & (brakes[:, None] <= tracks.time + NOTICE)
    return soon.any(axis=0)


def lead_brakes(tracks: Tracks) -> Bool[np.ndarray, " T"]:
    """The vehicle ahead brakes with LEADER_BRAKES or more, and the ego has to brake for it. Tagged: while it does."""
    found = [(frame, frame + 1) for frame in range(1, len(tracks) - 1) if _answers(tracks, frame)]
    return mask_of(len(tracks), found)


def _answers(tracks: Tracks, frame: int) -> bool:
    later = slice(frame, int(np.searchsorted(tracks.time, tracks.time[frame] + REACTION, side="right")))
    loses = tracks.speed[frame] - tracks.speed[later].min() >= EGO_LOSES
    brakes = (tracks.acceleration[later] <= -EGO_BRAKES).any()
    if tracks.speed[frame] < FAST or not (loses and brakes):
        return False
    along, left = tracks.ahead(frame, LEADER_AHEAD)
    leads = tracks.agents.vehicles & (along > 0) & (np.abs(left) < LEADER_ASIDE)
    leads &= np.cos(tracks.agents.yaw[:, frame] - tracks.yaw[frame]) > ALIGNED
    hard = (tracks.agent_acceleration[:, frame] <= -LEADER_BRAKES) & (tracks.agent_steps[:, frame - 1] > FAST)
    return bool((leads & hard).any())
