"""The cameras' pictures of a frame: from records, small, as text within a page."""

import base64
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from dima_jax.errors import UserError

WIDTH, QUALITY = 480, 72  # pixels, of JPEG
ORDER = ("CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT")
Images = Callable[[str], dict[str, bytes]]  # of a token: {camera: JPEG file}


class Picture(NamedTuple):
    """camera: its name; uri: the picture, None where it cannot be read; width, height: pixels."""

    camera: str
    uri: str | None
    width: int
    height: int


def of_records(folder: str | Path, split: str, tokens: Iterable[str]) -> Images:
    """The JPEG files of the frames of a split of records, read when asked for.

    UserError where the records cannot be read, and where they lack one of the tokens.
    """
    try:
        from dima_jax.data.records import Records
    except ImportError as error:
        raise UserError(f"reading records needs {error.name}; pip install 'dima_jax[data]'") from None
    records = Records(folder, split)
    places = {token: number for number, token in enumerate(records.samples)}

    if missing := [token for token in tokens if token not in places]:
        raise UserError(
            f"{folder}: no record of frame {missing[0]} and {len(missing) - 1} others; give the records that the truth "
            "was made from"
        )

    def images(token: str) -> dict[str, bytes]:
        cameras = records.decode(places[token], ("cameras",))["cameras"]
        return dict(zip(cameras["names"], cameras["images"], strict=True))

    return images


def smaller(jpeg: bytes, width: int = WIDTH) -> tuple[bytes, int, int] | None:
    """(JPEG of that width at most, its width, its height); None for what is no picture."""
    import cv2
    import numpy as np

    try:
        pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    if pixels is None:
        return None
    height = round(pixels.shape[0] * width / pixels.shape[1])
    if pixels.shape[1] > width:
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    return encoded, pixels.shape[1], pixels.shape[0]


def pictures(images: Images, token: str) -> list[Picture]:
    """Those of a frame: of nuScenes' cameras the front row first, then others."""
    files = images(token)
    order = [*(name for name in ORDER if name in files), *(name for name in files if name not in ORDER)]
    return [picture(camera, files[camera]) for camera in order]


def picture(camera: str, jpeg: bytes, width: int = WIDTH) -> Picture:
    """One of them, of that width at most."""
    small = smaller(jpeg, width)
    uri = None if small is None else f"data:image/jpeg;base64,{base64.b64encode(small[0]).decode()}"
    return Picture(camera, uri, *(small[1:] if small else (width, 9 * width // 16)))
