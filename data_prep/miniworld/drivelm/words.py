"""The words of DriveLM's questions and answers: nouns, colors, numbers, lists, sentences, and the shape of one pair."""

import numpy as np

from data_prep.miniworld.render import colors

NUMBERS = ("no", "one", "two", "three")
NOUNS = {
    "vehicle.car": "car",
    "vehicle.truck": "truck",
    "vehicle.bus": "bus",
    "vehicle.motorcycle": "motorcycle",
    "vehicle.bicycle": "bicycle",
    "vehicle.construction": "construction vehicle",
    "vehicle.trailer": "trailer",
    "vehicle.emergency": "emergency vehicle",
    "human.pedestrian": "pedestrian",
    "movable_object.barrier": "barrier",
    "movable_object.trafficcone": "traffic cone",
}
FIXED = ("barrier", "traffic cone", "object")  # static objects: no question asks for their status
COLORS = {  # BGR
    "white": (225, 225, 225),
    "silver": (190, 190, 190),
    "gray": (120, 120, 120),
    "black": (45, 45, 45),
    "red": (40, 35, 180),
    "blue": (150, 80, 30),
    "light blue": (190, 150, 70),
    "green": (80, 125, 60),
    "yellow": (50, 190, 225),
    "orange": (50, 140, 215),
    "brown": (60, 100, 160),
    "beige": (160, 180, 200),
    "purple": (140, 70, 130),
}


def noun(category):
    """What DriveLM calls a nuScenes category."""
    return next((word for prefix, word in NOUNS.items() if category.startswith(prefix)), "object")


def describe(agent):
    """(noun, visual description) of an agent; the description names the color it is painted in."""
    what = noun(agent.category)
    if what in (*FIXED, "construction vehicle"):
        return what, what
    if what == "pedestrian":
        return what, f"pedestrian in {_color(colors.SHIRTS[agent.paint % len(colors.SHIRTS)])}"
    paints = colors.BUS_PAINTS if what == "bus" else colors.PAINTS
    paint = paints[agent.paint % len(paints)]
    if what in ("truck", "trailer"):
        paint = colors.CARGO_PAINTS[(agent.paint // 3) % len(colors.CARGO_PAINTS)]
    return what, f"{_color(paint)} {what}"


def _color(bgr):
    names, table = list(COLORS), np.array(list(COLORS.values()), float)
    return names[int(((table - bgr) ** 2).sum(-1).argmin())]


def pair(question, answer):
    """One question with its answer, in DriveLM's layout."""
    return {"Q": question, "A": answer, "C": None, "con_up": None, "con_down": None, "cluster": None, "layer": None}


def tag(number, thing):
    """`<cN,CAMERA,x,y>`: the center of the thing's box in the 1600x900 image."""
    x1, y1, x2, y2 = thing.box
    return f"<c{number},{thing.camera},{(x1 + x2) / 2:.1f},{(y1 + y2) / 2:.1f}>"


def by_place(number, thing):
    """`cN (12 m ahead, 3 m left)`: where the thing's center is, seen from the ego's rear axle, for a car without cameras."""
    ahead, left = (round(value) for value in thing.place)
    along, across = "ahead" if ahead >= 0 else "behind", "left" if left >= 0 else "right"
    return f"c{number} ({abs(ahead)} m {along}, {abs(left)} m {across})"


def plural(word):
    return word + ("es" if word.endswith("s") else "s")


def number_word(number):
    return NUMBERS[number] if number < len(NUMBERS) else "many"


def count(number, word):
    return f"{number_word(number)} {word if number == 1 else plural(word)}"


def listing(words):
    """a; a and b; a, b, and c."""
    return " and ".join(words) if len(words) < 3 else ", ".join(words[:-1]) + ", and " + words[-1]


def sentence(text):
    return text[0].upper() + text[1:] + "."


def with_article(words):
    return ("an " if words[0] in "aeiou" else "a ") + words


def place(sector):
    """A sector relative to the ego car, in words."""
    return {"front": "in front of", "back": "behind"}.get(sector, f"to the {sector} of")
