"""Groups of devices in each notation of XLA."""

import pytest

from dima_jax.plan_run import collectives


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("replica_groups={{0,1},{2,3}}, dimensions={0}", 2),
        ("replica_groups=[2,4]<=[8], dimensions={0}", 4),
        ("replica_groups=mesh['a'=8,'b'=1,'c'=8], device_ids=([8,8]T(1,0)) {'a'}, dimensions={0}", 8),
        ("replica_groups=mesh['a'=8,'b'=2] {'a','b'}, to_apply=%add", 16),
        ("replica_groups=mesh['a'=8,'b'=2] {'a':(2)4}, to_apply=%add", 4),
        ("replica_groups={}, to_apply=%add", 64),
        ("dimensions={0}", 64),
    ],
)
def test_groups_of_devices(written, size):
    assert collectives.group_size(f"channel_id=1, {written}", 64) == size


def test_groups_written_otherwise_are_not_guessed():
    with pytest.raises(ValueError, match="unknown replica groups: replica_groups=@somewhere"):
        collectives.group_size("channel_id=1, replica_groups=@somewhere", 64)
