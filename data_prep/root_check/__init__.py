"""One check of a whole nuScenes root, before anything is made of it (docs/data.md#what-is-checked).

`checking.py` runs the parts: `schema.py` and `reading.py` (every row of the 13 tables), `references.py` (tokens),
`chains.py`, `times.py`, `calibration.py`, `splits.py`, `files.py`, `can_bus.py` and `maps.py`. Each part yields the
problems of `problems.py`; `report.py` prints and stores them.
"""
