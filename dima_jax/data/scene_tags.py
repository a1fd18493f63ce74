"""What happens in a scene of the mini world, as its description says it."""

import re


def scene_tags(description: str) -> tuple[str, ...]:
    """The tags at the end of a mini-world scene's description, "... tags: turn_left, overtake."; () elsewhere."""
    found = re.search(r"tags: ([a-z_, ]+)\.$", description)
    return tuple(found[1].split(", ")) if found else ()
