"""Work that a town needs once: `once_per_town` remembers a function's results by which town it was given.

Towns hold arrays, so they cannot be compared; a town is the same only if it is the same object.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

from data_prep.miniworld.world.state import Town

T = TypeVar("T")


class _Same:
    """A town as a cache key."""

    def __init__(self, town: Town):
        self.town = town

    def __hash__(self) -> int:
        return id(self.town)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.town is self.town


def once_per_town(function: Callable[[Town], T]) -> Callable[[Town], T]:
    """Decorates a function of a town; the results of the last two towns are kept."""
    remember = lru_cache(maxsize=2)(lambda key: function(key.town))

    @wraps(function)
    def remembered(town: Town) -> T:
        return remember(_Same(town))

    return remembered
