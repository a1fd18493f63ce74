"""Plans with an exported student, without JAX: python examples/plan_with_onnx.py STUDENT.onnx FRAMES.npz"""

import sys

import numpy as np

from dima_jax import Frame, Policy

policy = Policy.from_onnx(sys.argv[1])
frames = np.load(sys.argv[2])  # arrays with a frame a row, named as the fields of Frame
for images, lidar2img, can_bus, command in zip(*(frames[name] for name in Frame._fields), strict=True):
    plan = policy.step(Frame(images, lidar2img, can_bus, str(command)))
    print(f"{command}: {plan.waypoints.astype(float).round(2).tolist()} m, {len(plan.agents.scores)} agents")
