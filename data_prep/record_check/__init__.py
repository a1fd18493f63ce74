"""The checks of finished records, of one key frame, one scene and one split (docs/data.md#check-the-records).

`data_prep/validation.py` runs the parts: `frames.py` and `order.py` (fields, and key frames one after the other),
`projection.py` (calibrations, and what they bring into the images), `tags.py` (questions), `readings.py` (CAN bus, sizes,
commands) and `pictures.py` (a share of the images, decoded). Each yields the problems of `rules.py`.
"""
