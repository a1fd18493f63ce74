"""Names and sizes that the whole project shares: cameras, classes, commands, the ego vehicle. Imports nothing.

The ego vehicle is nuScenes' Renault Zoe as VAD and ST-P3 measure it. Frames: see `types.py`.
"""

CAMERAS = (
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_FRONT_LEFT",
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_BACK_RIGHT",
)
CAMERA_YAWS_DEG = (0.0, -55.0, 55.0, 180.0, 110.0, -110.0)  # of CAMERAS in nuScenes' rigs, to the left of forward
AGENT_CLASSES = (
    "car",
    "truck",
    "construction_vehicle",
    "bus",
    "trailer",
    "barrier",
    "motorcycle",
    "bicycle",
    "pedestrian",
    "traffic_cone",
)
NUM_VEHICLE_CLASSES = 5  # the first of AGENT_CLASSES: what VAD's planning constraints call a vehicle
MAP_CLASSES = ("divider", "ped_crossing", "boundary")
COMMANDS = ("right", "left", "straight")
NUM_FACTS = 512  # that an auxiliary head may learn from questions (`data/facts.py`)
QUESTION_KINDS = ("perception", "prediction", "planning", "behavior")  # DriveLM's, in the order of its question ids
FORWARD_SPEED = 13  # index in the CAN bus numbers, m/s
STEP_SECONDS = 0.5  # between key frames, and between waypoints

EGO_LENGTH, EGO_WIDTH = 4.084, 1.85  # meters
EGO_CENTER_AHEAD = 0.5  # meters from the LiDAR to the center of the ego's box, forward
WHEELBASE = 2.588  # meters
LIDAR_HEIGHT = 1.84  # meters of LIDAR_TOP above the road
