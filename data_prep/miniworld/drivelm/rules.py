"""Questions and answers about a key frame in DriveLM's layout and wording, by rules from the simulation's ground truth.

Layout of DriveLM v1.1: `{scene_token: {scene_description, key_frames: {sample_token: {key_object_infos, QA,
image_paths}}}}`, QA in four lists (perception, prediction, planning, behavior) of `{Q, A, C, con_up, con_down,
cluster, layer}`, the last five null as in the released sample. Objects are named `<cN,CAMERA,x,y>`: the center of
their 2D box in the 1600x900 image. For a car without cameras they are `cN (12 m ahead, 3 m left)`, and nothing is asked
about looks: no colors, no boxes in images.

The phrasing of the questions is DriveLM's own, so that one prompt builder and one metric serve both; every answer is a
fact of the simulation (no weather, no opinions). The facts come from `facts.py`; the questions are in `perception.py`
(what is there) and `reasoning.py` (what happens next, what to do).
"""

from dataclasses import replace

from data_prep.miniworld.drivelm.perception import perception
from data_prep.miniworld.drivelm.reasoning import planning, prediction
from data_prep.miniworld.drivelm.words import by_place, pair, sentence, tag


def key_frame(facts, image_paths, *, has_images=True):
    """One entry of `key_frames`: the key objects, all questions and answers, and the six image paths.

    facts: `facts.Facts`; image_paths: {camera: path} as written to the file. has_images: False for a car without cameras.
    """
    name = tag if has_images else by_place
    if not has_images:
        facts = replace(facts, objects=tuple(replace(thing, description=thing.noun) for thing in facts.objects))
    named = [(name(number, thing), thing) for number, thing in enumerate(facts.key_objects(), 1)]
    head = facts.key_light()
    light = (name(len(named) + 1, head), head) if head else None
    behavior = f"The ego vehicle is {facts.steering}. The ego vehicle is {facts.pace}."
    infos = {key: _info(thing) for key, thing in named}
    if light:
        infos[light[0]] = _entry("Traffic element", None, f"{head.color} light", head.box)
    for info in () if has_images else infos.values():
        del info["2d_bbox"]
    return {
        "key_object_infos": infos,
        "QA": {
            "perception": perception(facts, named, light, has_images=has_images),
            "prediction": prediction(facts, named, light),
            "planning": planning(facts, named, light),
            "behavior": [pair("Predict the behavior of the ego vehicle.", behavior)],
        },
        "image_paths": image_paths,
    }


def _info(thing):
    category = "Pedestrian" if thing.noun == "pedestrian" else "Object" if thing.is_fixed else "Vehicle"
    status = "Moving" if thing.status == "moving" else "Stationary"
    return _entry(category, status, thing.description, thing.box)


def _entry(category, status, description, box):
    return {
        "Category": category,
        "Status": status,
        "Visual_description": sentence(description),
        "2d_bbox": list(box),
    }
