"""A synthetic town with simulated traffic and six painted cameras. This package is its Python API:

    from dataclasses import replace
    from data_prep import miniworld

    town = miniworld.load_town()                                        # lanes, signals, buildings: a `Town`
    scene = miniworld.simulate(index=0, seed=0, split="train", seconds=20.0)     # a `Scene`: 20 states a second
    painter = miniworld.Painter(town, size=(400, 224), seed=0)          # seed: lighting and weather
    for time in (0.0, 0.5, 1.0):
        state = scene.state(time)                                       # ego, agents and signals: a `WorldState`
        ego = replace(state.ego, y=state.ego.y + 1.0)                   # any pose of the ego: an `Ego`
        images = painter.paint(state, ego)                              # {camera: uint8 BGR [224, 400, 3]}
    camera = miniworld.rig.intrinsic("CAM_FRONT", 400, 224)             # [3, 3]; see `rig` for all transforms

World frame: meters, x east, y north, z up, yaw in radians counter-clockwise from +x; the ground is z = 0. The ego
pose is that of the rear axle. The agents of a scene follow their recorded motion whatever ego pose is painted: they
do not react. A scene holds the agents within 80 m of its own ego.

`python -m data_prep.miniworld` writes whole data sets in nuScenes' format from the same parts. Names are imported when
they are first used, so that importing this package loads neither SUMO nor OpenCV.
"""

import importlib

_MODULES = {  # name: the module that defines it
    "Agent": "world.state",
    "Ego": "world.state",
    "Painter": "render.painter",
    "Scene": "world.state",
    "Signal": "world.state",
    "Town": "world.state",
    "WorldState": "world.state",
    "load_town": "world.town",
    "rig": "render.rig",
    "simulate": "traffic.maneuvers",
}
__all__ = list(_MODULES)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return module if name == "rig" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
