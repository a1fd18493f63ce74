"""A run's losses, read back from its events and drawn."""

import numpy as np
from tensorboardX import SummaryWriter

from dima_jax import loss_curves


def write(workdir, steps, values, tag="loss/plan_imitation"):
    with SummaryWriter(str(workdir / "events")) as events:
        for step, value in zip(steps, values, strict=True):
            events.add_scalar(tag, value, step)
            events.add_scalar("learning_rate", 0.1, step)


def test_losses_are_read_in_order(tmp_path):
    write(tmp_path, [10, 20, 30], [3.0, 2.0, 1.0])
    (term,) = curves = loss_curves.read(tmp_path)
    assert term == "plan_imitation"
    np.testing.assert_array_equal(curves[term][0], [10, 20, 30])
    np.testing.assert_array_equal(curves[term][1], [3.0, 2.0, 1.0])


def test_a_file_that_is_being_written_is_read_to_its_last_whole_event(tmp_path):
    write(tmp_path, [10, 20, 30], [3.0, 2.0, 1.0])
    (file,) = (tmp_path / "events").iterdir()
    content = file.read_bytes()
    seen = set()
    for cut in range(len(content)):
        file.write_bytes(content[:cut])
        steps, values = loss_curves.read(tmp_path).get("plan_imitation", ([], []))
        assert list(steps) == [10, 20, 30][: len(steps)] and list(values) == [3.0, 2.0, 1.0][: len(steps)]
        seen.add(len(steps))
    assert seen >= {0, 1, 2, 3}


def test_thinned_keeps_the_mean_and_the_ends():
    values = np.arange(100.0)
    thin = loss_curves.thinned(values, 20)
    assert len(thin) == 20 and thin.mean() == values.mean() and thin[0] == 2.0
    np.testing.assert_array_equal(loss_curves.thinned(values[:3], 20), values[:3])


def test_picture(tmp_path):
    assert loss_curves.draw(tmp_path) is None
    write(tmp_path, range(50), np.linspace(4, 1, 50))
    path = loss_curves.draw(tmp_path)
    assert path == tmp_path / "losses.png" and path.read_bytes()[:4] == b"\x89PNG"
