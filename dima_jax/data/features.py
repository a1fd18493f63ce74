"""The record contract: what one key frame is, for the writer (`data_prep`) and the reader alike.

A record holds everything the project ever needs of one nuScenes key frame, in the LiDAR frame of that key frame (x right,
y forward, z up; meters, seconds, radians) unless said otherwise. A window of several records of one scene makes a
training sample; nothing here depends on a config.

The schema is tensorflow-datasets', so the files open anywhere with `tfds.builder_from_directory`. Two of its habits
shape it: float64 tensors are stored as float32 unless `encoding="bytes"` (poses of ~1500 m would lose 0.1 mm, Unix
seconds 12 s), and a tensor may have one unknown dimension, so lines are flat vertices plus a length per line.

`encode` is deterministic (same frame, same bytes); `decode` needs no TensorFlow.

| field | is |
|---|---|
| sample_token, scene/{token,name,description,location} | nuScenes' own strings |
| frame_index, scene_length | place of the frame in its scene, number of key frames of the scene |
| timestamp | LIDAR_TOP key frame, microseconds |
| lidar2ego, ego2global | 4x4 float64 |
| can_bus | [18] VAD's numbers with absolute position and yaw (docs/vad.md#can-bus); without CAN bus, what poses tell |
| cameras/{names,sizes} | N names, nuScenes' six in the order of `constants.CAMERAS`; [N,2] rows, columns of the recorded images |
| cameras/{images,paths,timestamps} | N JPEG files as they are; path below the dataroot |
| cameras/intrinsics, cameras/sensor2lidar | [N,3,3] pixels of the stored image; [N,4,4], ego motion included |
| agents/boxes | [n,9] cx, cy, cz, w, l, h, yaw_box, vx, vy of every annotation; velocity NaN where nuScenes has none |
| agents/instances, agents/categories | instance token, nuScenes category name |
| agents/num_lidar_pts, agents/num_radar_pts | points inside the box |
| agents/future_offsets, future_mask, future_yaw | [n,6,2], [n,6], [n,6]: steps of 0.5 s; heading differences |
| map/vertices, map/lengths, map/labels | lines of `constants.MAP_CLASSES` in the 30 x 60 m patch; a closed line repeats its first vertex |
| qa | kind (perception, prediction, planning, behavior), question, answer; DriveLM's, in file order |
| ego | future_offsets [6,2], future_mask [6], history_offsets [2,2], command, status [9] (docs/vad.md#ego-targets) |
"""

from functools import lru_cache

import numpy as np

NUM_FUTURE = 6


@lru_cache(maxsize=1)
def features():
    """The `tfds.features.FeaturesDict` of a record."""
    from tensorflow_datasets import features as f

    def exact(*shape):
        return f.Tensor(shape=shape, dtype=np.float64, encoding="bytes")

    def floats(*shape):
        return f.Tensor(shape=shape, dtype=np.float32)

    def integers(*shape):
        return f.Tensor(shape=shape, dtype=np.int64)

    def booleans(*shape):
        return f.Tensor(shape=shape, dtype=np.bool_)

    def strings(*shape):
        return f.Tensor(shape=shape, dtype=np.object_)

    return f.FeaturesDict(
        {
            "sample_token": f.Text(),
            "scene": {"token": f.Text(), "name": f.Text(), "description": f.Text(), "location": f.Text()},
            "frame_index": f.Scalar(np.int64),
            "scene_length": f.Scalar(np.int64),
            "timestamp": f.Scalar(np.int64),
            "lidar2ego": exact(4, 4),
            "ego2global": exact(4, 4),
            "can_bus": exact(18),
            "cameras": {
                "names": strings(None),
                "sizes": integers(None, 2),
                "images": strings(None),
                "paths": strings(None),
                "timestamps": integers(None),
                "intrinsics": exact(None, 3, 3),
                "sensor2lidar": exact(None, 4, 4),
            },
            "agents": {
                "boxes": floats(None, 9),
                "instances": strings(None),
                "categories": strings(None),
                "num_lidar_pts": integers(None),
                "num_radar_pts": integers(None),
                "future_offsets": floats(None, NUM_FUTURE, 2),
                "future_mask": booleans(None, NUM_FUTURE),
                "future_yaw": floats(None, NUM_FUTURE),
            },
            "map": {"vertices": floats(None, 2), "lengths": integers(None), "labels": integers(None)},
            "qa": {"kinds": strings(None), "questions": strings(None), "answers": strings(None)},
            "ego": {
                "future_offsets": floats(NUM_FUTURE, 2),
                "future_mask": booleans(NUM_FUTURE),
                "history_offsets": floats(2, 2),
                "command": f.Scalar(np.int64),
                "status": floats(9),
            },
        }
    )


def encode(frame: dict) -> bytes:
    """One key frame (nested dict of the fields above, strings as `str` or `bytes`) to the bytes of a record.

    Protobuf's map order differs between processes, so the message is serialized again in key order.
    """
    from tensorflow_datasets.proto import tf_example_pb2

    example = tf_example_pb2.Example.FromString(features().serialize_example(_with_bytes(frame)))
    return example.SerializeToString(deterministic=True)


def decode(record: bytes, fields: tuple[str, ...] = ()) -> dict:
    """The bytes of a record to the nested dict: numpy arrays, `str` for scalars of text, lists of `str` for strings.

    Images stay `bytes`: they are JPEG files. fields: names of the outermost level that are wanted, () for all; without
    the cameras it takes a third of the time.
    """
    frame = (_part(fields) if fields else features()).deserialize_example_np(record)
    if "sample_token" in frame:
        frame["sample_token"] = frame["sample_token"].decode()
    if "scene" in frame:
        frame["scene"] = {key: value.decode() for key, value in frame["scene"].items()}
    for group, names in _STRINGS.items():
        for name in names if group in frame else ():
            frame[group][name] = [value.decode() for value in frame[group][name]]
    if "cameras" in frame:
        frame["cameras"]["images"] = list(frame["cameras"]["images"])
    return frame


@lru_cache(maxsize=8)
def _part(fields: tuple[str, ...]):
    from tensorflow_datasets import features as f

    return f.FeaturesDict({name: features()[name] for name in fields})


_STRINGS = {
    "cameras": ("names", "paths"),
    "agents": ("instances", "categories"),
    "qa": ("kinds", "questions", "answers"),
}


def _with_bytes(frame: dict) -> dict:
    """The frame with every list of strings as an object array of bytes, as tfds wants them."""
    frame = {key: dict(value) if isinstance(value, dict) else value for key, value in frame.items()}
    for group, names in {**_STRINGS, "cameras": ("names", "paths", "images")}.items():
        for name in names:
            values = [v.encode() if isinstance(v, str) else v for v in frame[group][name]]
            frame[group][name] = np.array([*values, None], dtype=object)[:-1]  # never a 2-D or fixed-width array
    return frame
