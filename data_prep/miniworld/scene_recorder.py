"""Records one simulated scene as files and table rows: images, point clouds, CAN messages, annotations, questions.

All sensors fire at the time of the key frame (nuScenes' differ by up to 50 ms), so the ego poses of a frame are
equal; each sample_data still has its own, as the schema requires. There are only key frames, no sweeps.

An agent is annotated while it is part of the states (within 80 m), from the first to the last key frame in which it is
detectable (a LiDAR point on it, or a visible part), including the frames between. An agent that leaves and returns is
another instance, so that an annotation's `next` is always in the next key frame.

For a rig without cameras nothing is painted and no LiDAR file is written: rays to the agents' boxes tell how much of each
is visible, and how many LiDAR points it would get.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from data_prep.miniworld import nuscenes_tables as tables
from data_prep.miniworld import signals
from data_prep.miniworld.can_bus import can_bus
from data_prep.miniworld.drivelm.facts import observe
from data_prep.miniworld.drivelm.rules import key_frame
from data_prep.miniworld.drivelm.views import views
from data_prep.miniworld.map_expansion import LOCATION
from data_prep.miniworld.nuscenes_tables import SCENE_TABLES, meters, quaternion, token, write_json
from data_prep.miniworld.render import lidar, rig
from data_prep.miniworld.render.painter import Painter
from data_prep.miniworld.visibility import Boxes, count_points, visible_fraction
from data_prep.miniworld.world.state import KEYFRAME_RATE, STATE_RATE
from data_prep.nuscenes_schema import LIDAR

VEHICLE = "w001"  # nuScenes names its cars n008 and n015
EPOCH = 1_600_000_000_000_000  # microseconds; start of the first scene, each further one starts an hour later
JPEG_QUALITY = 90
WALL_RANGE = 100.0  # m
MIN_VISIBLE = 0.05  # visible share from which on an agent without LiDAR points is detectable
DRIVELM_FUTURE = 1.0  # s of recorded future that a key frame with questions has at least


def light_seed(seed, number):
    """The seed of the lighting of scene `number` in the data set with this seed."""
    return seed * 10_007 + number


class _Observation(NamedTuple):
    """The agents of one key frame, the number of LiDAR points on each, and its visible share over all images."""

    agents: tuple
    points: np.ndarray
    shares: np.ndarray


class Recorder:
    """Writes scenes below `root`.

    size: (width, height) in pixels of the images that are full-size in the rig, see `rig.image_size`; seed: the seed of
    the whole data set; rig_name: of `rig.RIGS`.
    """

    def __init__(self, root, town, size, seed, rig_name="six"):
        self.root, self.town, self.size, self.seed, self.rig = Path(root), town, size, seed, rig.RIGS[rig_name]
        outlines = [np.asarray(outline) for outline, _ in town.buildings]
        walls = [np.stack([outline, np.roll(outline, -1, axis=0)], 1) for outline in outlines]
        self.walls = np.concatenate([np.zeros((0, 2, 2)), *walls])
        for channel in self.rig.sensors if self.rig.cameras else ():
            (self.root / "samples" / channel).mkdir(parents=True, exist_ok=True)

    def record(self, scene, name, number):
        """Writes the sensor and CAN files of a scene; returns {"tables": rows, "drivelm": entry, "traffic_lights": states}.

        name: "scene-0001" and so on; number: index in the data set, from 0, which sets the start time of the scene and
        the seeds of its lighting and noise.
        """
        return _Recording(self, scene, name, number).run()


class _Recording:
    """The recording of one scene; collects its table rows."""

    def __init__(self, recorder, scene, name, number):
        self.recorder, self.scene, self.name, self.number = recorder, scene, name, number
        self.start = EPOCH + number * 3_600_000_000
        self.logfile = f"{VEHICLE}-{name}"
        self.rows = {name: [] for name in SCENE_TABLES}
        every = STATE_RATE // KEYFRAME_RATE
        self.keys = list(range(0, len(scene.states), every))
        self.samples = [token("sample", name, k) for k in range(len(self.keys))]

    def run(self):
        seed, car = light_seed(self.recorder.seed, self.number), self.recorder.rig
        if car.cameras:
            self.painter = Painter(self.recorder.town, self.recorder.size, seed, car.cameras)
        frames, questions, lights = [], {}, {}
        for k, state in enumerate(self.scene.states[:: STATE_RATE // KEYFRAME_RATE]):
            frame = self._frame(k, state) if car.cameras else self._frame_without_files(k, state)
            frames.append(frame)
            lights[self.samples[k]] = signals.shown(state, self.recorder.town)
            if car.has_questions and self.scene.states[-1].time - state.time >= DRIVELM_FUTURE - 1e-6:
                questions[self.samples[k]] = self._questions(k, state, frame.shares)
        self._annotations(frames)
        self._scene_rows()
        messages = can_bus(self.scene.states, self.start, self.recorder.town) if car.has_questions else {}
        for name, content in messages.items():
            write_json(self.recorder.root / "can_bus" / f"{self.name}_{name}.json", content)
        drivelm = {"scene_description": self.scene.description, "key_frames": questions}
        return {"tables": self.rows, "drivelm": {token("scene", self.name): drivelm}, "traffic_lights": lights}

    def _frame(self, k, state):
        """Writes the files of one key frame and returns the `_Observation` of its agents."""
        ego = state.ego
        images = self.painter.paint(state)
        points = lidar.scan(self.recorder.town, state, np.random.default_rng([self.recorder.seed, self.number, k]))
        points = np.ascontiguousarray(points, np.float32)
        for channel in self.recorder.rig.sensors:
            path = self._sample_data(k, state, channel)
            if channel == LIDAR:
                points.tofile(path)
            elif not cv2.imwrite(str(path), images[channel], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
                raise OSError(f"{path}: could not be written")
        to_world = rig.sensor_to_world(LIDAR, ego)
        world = points[:, :3].astype(np.float64) @ to_world[:3, :3].T + to_world[:3, 3]
        return _Observation(state.agents, count_points(Boxes(state.agents), world), self.painter.visibility(state))

    def _frame_without_files(self, k, state):
        """The `_Observation` of a vehicle without cameras; trees and poles hide nothing."""
        self._sample_data(k, state, LIDAR)
        eye, boxes = rig.sensor_to_world(LIDAR, state.ego)[:3, 3], Boxes(state.agents)
        shares = visible_fraction(boxes, eye, self._walls_near(state.ego))
        return _Observation(state.agents, lidar.expected_points(boxes, eye, shares), shares)

    def _walls_near(self, ego):
        walls = self.recorder.walls
        return walls[(np.hypot(*(walls - (ego.x, ego.y)).transpose(2, 0, 1)) < WALL_RANGE).any(1)]

    def _sample_data(self, k, state, channel):
        """Adds the rows of one sensor at key frame k; returns the path of its file."""
        name = self.name
        time = self.start + round(1e6 * (state.time - self.scene.states[0].time))
        suffix = "pcd.bin" if channel == LIDAR else "jpg"
        filename = f"samples/{channel}/{self.logfile}__{channel}__{time}.{suffix}"
        width, height = (0, 0) if channel == LIDAR else rig.image_size(channel, self.recorder.size)
        pose = token("ego_pose", name, channel, k)
        self.rows["ego_pose"].append(
            {
                "token": pose,
                "timestamp": time,
                "rotation": quaternion(state.ego.yaw),
                "translation": meters(state.ego.x, state.ego.y, 0.0),
            }
        )
        self.rows["sample_data"].append(
            {
                "token": token("sample_data", name, channel, k),
                "sample_token": self.samples[k],
                "ego_pose_token": pose,
                "calibrated_sensor_token": token("calibrated_sensor", channel),
                "timestamp": time,
                "fileformat": "pcd" if channel == LIDAR else "jpg",
                "is_key_frame": True,
                "height": height,
                "width": width,
                "filename": filename,
                "prev": token("sample_data", name, channel, k - 1) if k else "",
                "next": token("sample_data", name, channel, k + 1) if k + 1 < len(self.keys) else "",
            }
        )
        return self.recorder.root / filename

    def _questions(self, k, state, shares):
        """The DriveLM entry of key frame k. shares [agents]: visible share of each agent."""
        visible = views(state, shares, self._walls_near(state.ego))
        facts = observe(self.scene.states, self.keys[k], visible, self.recorder.town)
        files = {
            row["filename"].split("/")[1]: row["filename"]
            for row in self.rows["sample_data"][-len(self.recorder.rig.sensors) :]
        }
        cameras = self.recorder.rig.cameras
        return key_frame(
            facts, {channel: "../nuscenes/" + files[channel] for channel in cameras}, has_images=bool(cameras)
        )

    def _annotations(self, frames):
        """Adds instances and annotations; an instance is a run of consecutive key frames."""
        runs = {}
        for k, frame in enumerate(frames):
            for index, agent in enumerate(frame.agents):
                chains = runs.setdefault(agent.id, [])
                if not chains or chains[-1][-1][0] != k - 1:
                    chains.append([])
                chains[-1].append((k, agent, int(frame.points[index]), float(frame.shares[index])))
        for agent_id, chains in runs.items():
            for run, chain in enumerate(chains):
                detectable = [i for i, (_, _, points, share) in enumerate(chain) if points or share >= MIN_VISIBLE]
                if detectable:
                    key = token("instance", self.name, agent_id, run)
                    self._instance(key, chain[detectable[0] : detectable[-1] + 1])

    def _instance(self, instance, chain):
        keys = [token("sample_annotation", instance, k) for k, *_ in chain]
        for place, (k, agent, points, share) in enumerate(chain):
            name = tables.attribute(agent)
            self.rows["sample_annotation"].append(
                {
                    "token": keys[place],
                    "sample_token": self.samples[k],
                    "instance_token": instance,
                    "visibility_token": tables.visibility_token(share),
                    "attribute_tokens": [token("attribute", name)] if name else [],
                    "translation": meters(agent.x, agent.y, agent.height / 2),
                    "size": meters(agent.width, agent.length, agent.height),
                    "rotation": quaternion(agent.yaw),
                    "prev": keys[place - 1] if place else "",
                    "next": keys[place + 1] if place + 1 < len(keys) else "",
                    "num_lidar_pts": points,
                    "num_radar_pts": 0,
                }
            )
        self.rows["instance"].append(
            {
                "token": instance,
                "category_token": token("category", chain[0][1].category),
                "nbr_annotations": len(chain),
                "first_annotation_token": keys[0],
                "last_annotation_token": keys[-1],
            }
        )

    def _scene_rows(self):
        name, log = self.name, token("log", self.name)
        for k, key in enumerate(self.samples):
            offset = self.scene.states[self.keys[k]].time - self.scene.states[0].time
            self.rows["sample"].append(
                {
                    "token": key,
                    "timestamp": self.start + round(1e6 * offset),
                    "prev": self.samples[k - 1] if k else "",
                    "next": self.samples[k + 1] if k + 1 < len(self.samples) else "",
                    "scene_token": token("scene", name),
                }
            )
        tags = f" tags: {', '.join(self.scene.tags)}." if self.scene.tags else ""
        self.rows["scene"].append(
            {
                "token": token("scene", name),
                "log_token": log,
                "nbr_samples": len(self.samples),
                "first_sample_token": self.samples[0],
                "last_sample_token": self.samples[-1],
                "name": name,
                "description": self.scene.description + tags,
            }
        )
        self.rows["log"].append(
            {
                "token": log,
                "logfile": self.logfile,
                "vehicle": VEHICLE,
                "date_captured": datetime.fromtimestamp(self.start // 1_000_000, UTC).date().isoformat(),
                "location": LOCATION,
            }
        )
