"""A town small enough for results by hand: one straight street along x, one house, one signal, one crossing."""

import numpy as np

from data_prep.miniworld.world.state import Agent, Ego, Lane, Polygon, Signal, Town, WorldState

SIZES = {  # category: (width, length, height)
    "vehicle.car": (1.9, 4.6, 1.6),
    "vehicle.truck": (2.5, 7.5, 3.2),
    "vehicle.bus.rigid": (2.9, 11.0, 3.4),
    "vehicle.trailer": (2.5, 8.0, 3.5),
    "vehicle.construction": (2.7, 6.4, 3.1),
    "vehicle.motorcycle": (0.8, 2.1, 1.6),
    "vehicle.bicycle": (0.6, 1.75, 1.7),
    "human.pedestrian.adult": (0.65, 0.7, 1.75),
    "movable_object.trafficcone": (0.4, 0.4, 1.0),
    "movable_object.barrier": (2.5, 0.5, 1.0),
    "movable_object.debris": (0.8, 0.8, 0.6),
}


def rectangle(x0, y0, x1, y1):
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)


def town(houses=True):
    """The carriageway spans y in [46, 54] over x in [0, 160]; eastbound traffic keeps to y = 48."""
    lanes = {
        name: Lane(name, np.array(line, float), 4.0, Polygon(rectangle(0, y - 2, 160, y + 2)), (), False, name, 13.9)
        for name, line, y in (("east", [(0, 48), (160, 48)], 48), ("west", [(160, 52), (0, 52)], 52))
    }
    road = Polygon(rectangle(0, 46, 160, 54))
    return Town(
        size=(160.0, 100.0),
        lanes=lanes,
        road_segments=(("street", road, False),),
        road_dividers=(np.array([(0.0, 50.0), (160.0, 50.0)]),),
        lane_dividers=(),
        crossings=((Polygon(rectangle(70, 46, 74, 54)), "street"),),
        walkways=(Polygon(rectangle(0, 43, 160, 46)), Polygon(rectangle(0, 54, 160, 57))),
        drivable=(road,),
        stop_lines=((Polygon(rectangle(68, 46, 68.5, 50)), ("light",)),),
        signals=(light("r"),),
        buildings=((rectangle(60, 58, 80, 70), 9.0),) if houses else (),
    )


def light(state):
    return Signal("light", 70.0, 45.0, 0.0, state)


def agent(x, y, category="vehicle.car", size=(1.9, 4.5, 1.6), yaw=0.0, name=None, **changes):
    """size: (width, length, height)."""
    width, length, height = size
    plain = dict(speed=0.0, braking=False, blinker=0, parked=False, paint=4) | changes
    name = name or f"{category}@{x},{y}"
    return Agent(name, category, x, y, yaw, width=width, length=length, height=height, **plain)


def state(*agents, x=40.0, y=48.0, yaw=0.0, time=0.0, signals=()):
    ego = Ego(x, y, yaw, speed=5.0, acceleration=0.0, yaw_rate=0.0, steering=0.0, braking=False, blinker=0)
    return WorldState(time, ego, tuple(agents), tuple(signals))
