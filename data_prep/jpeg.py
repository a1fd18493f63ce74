"""Reading a camera image as it is, and knowing that it is whole."""

from pathlib import Path

import cv2
import numpy as np

from dima_jax.errors import UserError


def read(path: Path, where: str) -> bytes:
    """The bytes of a JPEG file. Raises UserError when it is missing or `defect` finds something.

    where: scene and sample, for the error.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing image ({where}); unpack the nuScenes file blobs again")
    data = path.read_bytes()
    problem = defect(data)
    if problem:
        raise UserError(f"{path}: {problem} ({where}); copy the image again")
    return data


def defect(data: bytes) -> str:
    """What is wrong with a JPEG, "" if nothing is.

    Decoders fill the missing end of a cut file with grey and only warn, hence the look at the end marker.
    """
    if data[:2] != b"\xff\xd8":
        return "not a JPEG file"
    if b"\xff\xd9" not in data[-64:]:
        return "truncated JPEG (no end marker)"
    if cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8) is None:
        return "JPEG does not decode"
    return ""
