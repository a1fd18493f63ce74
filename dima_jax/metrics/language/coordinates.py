"""Points that an answer names, held against those of the recorded answer: the F1 of DriveLM's "match" score.

DriveLM writes an object as `<c1,CAM_BACK,1088.3,497.5>`: an id, a camera, the pixel of its center in the 1600 x 900
image. Every number with a decimal point is read, two make a point; the camera is not compared. Each point of the answer
takes the nearest recorded point that is left, if it is nearer than 16 pixels in the L1 norm.

Source: OpenDriveLab/DriveLM, challenge/evaluation.py, `match_result`. Where that stops with an error, at an odd count of
recorded numbers, the last one is left out here, as it is in answers.
"""

import re

Point = tuple[float, float]

NUMBER = re.compile(r"\d+\.\d+")
NEAR = 16.0  # pixels, L1: points that are nearer are one
SMALL = 1e-8  # DriveLM adds it to every denominator


def points(text: str) -> list[Point]:
    """(x, y) in pixels of every point in the text, in its order; a number that is left over is dropped."""
    numbers = [float(number) for number in NUMBER.findall(text)]
    return list(zip(numbers[::2], numbers[1::2], strict=False))


def match(answer: str, truth: str) -> tuple[list[Point], float]:
    """(the recorded points that the answer names, F1 in [0, 1])."""
    left, named = points(truth), points(answer)
    recorded, found = len(left), []
    for x, y in named:
        distances = [abs(x - a) + abs(y - b) for a, b in left]
        nearest = min(range(len(left)), key=distances.__getitem__, default=None)
        if nearest is not None and distances[nearest] < NEAR:
            found.append(left.pop(nearest))
    precision, recall = len(found) / (len(named) + SMALL), len(found) / (recorded + SMALL)
    return found, 2 * precision * recall / (precision + recall + SMALL)
