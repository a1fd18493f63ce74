"""Reads the bytes of a camera image and checks that they are a complete JPEG of the expected size."""

from pathlib import Path

import cv2
import numpy as np

from dima_jax.errors import UserError


def read(path: Path, shape: tuple[int, int], where: str) -> bytes:
    """The bytes of a JPEG file. Raises UserError when it is missing, broken, or not of `shape` (rows, columns).

    where: scene and sample, for the error.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing image ({where}); unpack the nuScenes file blobs again")
    data = path.read_bytes()
    problem = defect(data, shape)
    if problem:
        raise UserError(f"{path}: {problem} ({where}); copy the image again")
    return data


def defect(data: bytes, shape: tuple[int, int]) -> str:
    """What is wrong with a JPEG that should have `shape` (rows, columns); "" if nothing.

    Decoders fill the missing end of a truncated file with gray and only warn, so the end marker is checked. Decoding at
    an eighth of the size reads the whole file and gives the shape up to 8 pixels.
    """
    if data[:2] != b"\xff\xd8":
        return "not a JPEG file"
    if b"\xff\xd9" not in data[-64:]:
        return "truncated JPEG (no end marker)"
    small = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
    if small is None:
        return "JPEG does not decode"
    if small.shape != tuple(-(-side // 8) for side in shape):
        return f"image is not {shape[0]} x {shape[1]} as the tables say"
    return ""


def shape(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) from the frame header of a JPEG; None if it has none."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
        at += 2 + length
    return None
