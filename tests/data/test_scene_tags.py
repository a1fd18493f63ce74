"""Tags at the end of a scene's description."""

from dima_jax.data.scene_tags import scene_tags


def test_scene_tags():
    assert scene_tags("The car turns left. [turn_left] tags: turn_left, overtake.") == ("turn_left", "overtake")
    assert scene_tags("Parked truck, construction") == ()
