"""Trained students that ship with the package: `Policy.load(pretrained.MINIWORLD)`. Model cards: README.md beside them."""

from pathlib import Path

MINIWORLD = Path(__file__).parent / "miniworld"  # of configs/miniworld.py; sees, on the mini world alone
