"""Sampling in GPU kernels, interpreted, against the passes over all queries: values and every gradient."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dima_jax import expected_work
from dima_jax.student import kernel_sampling
from dima_jax.student.deformable_attention import sample_cameras
from tests.student.visible_pairs import Sizes, check_bfloat16, check_on_a_mesh, inputs, results

SIZES = Sizes(cameras=3, queries=37, heads=4)
ALIGNED = Sizes(cameras=1, queries=16, heads=2, channels=16, points=4, anchors=1)
SHAPES = ((5, 7), (3, 4))


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.setattr(kernel_sampling, "INTERPRET", True)


@pytest.mark.parametrize(
    ("sizes", "shapes", "visible_share"),
    [(SIZES, SHAPES, 0.0), (SIZES, SHAPES, 0.3), (ALIGNED, SHAPES[:1], 1.0)],
)
def test_equals_the_passes_over_all_queries(sizes, shapes, visible_share):
    expected = results(sample_cameras, sizes, shapes, visible_share)
    for got, wanted in zip(
        results(kernel_sampling.sample_in_kernel, sizes, shapes, visible_share), expected, strict=True
    ):
        np.testing.assert_allclose(got, wanted, atol=3e-5)


def test_a_bfloat16_table_is_rounded_once():
    check_bfloat16(kernel_sampling.sample_in_kernel, SIZES, SHAPES)


def test_every_device_of_a_mesh_samples_its_own_part_of_the_batch():
    check_on_a_mesh("gpu", SIZES, SHAPES)


def test_a_block_of_queries_visits_the_cameras_that_see_one_of_them():
    value, references, visible, offsets, weights = map(jnp.asarray, inputs(SIZES, SHAPES, 0.0))
    visible = visible.at[0, 2, 3].set(True).at[0, 1, 36].set(True).at[1, 0, 16].set(True)
    operands = kernel_sampling._operands(SHAPES, value, references, visible, offsets, weights)
    first, count = np.asarray(operands.cameras[..., 0]), np.asarray(operands.cameras[..., -1])
    assert count.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert first[count > 0].tolist() == [2, 1, 0]


def test_the_kernels_compile_for_a_gpu_and_say_how_many_bytes_of_rows_they_touch(monkeypatch):
    monkeypatch.setattr(kernel_sampling, "INTERPRET", False)
    value, references, visible, offsets, weights = map(jnp.asarray, inputs(SIZES, SHAPES, 0.3))

    def total(value):
        return kernel_sampling.sample_in_kernel(value, SHAPES, references, visible, offsets, weights).sum()

    lowered = jax.jit(jax.grad(total)).trace(value).lower(lowering_platforms=("cuda",))
    names = re.findall(r'"([^"]*/pallas_call)"', lowered.as_text(debug_info=True))
    numbers = math.ceil(2 * 37 * 4 * 2 * 8 * 4 * 3 * 1.2)  # batch, queries, heads, levels, points, corners, channels
    assert sorted(map(expected_work.row_bytes_of, names)) == [4 * numbers, 3 * 4 * numbers]
    assert lowered.as_text().count("__gpu$xla.gpu.triton") == 2


def test_every_query_sees_the_one_camera_that_is_a_bev():
    assert kernel_sampling.expected_numbers((2, 1, 9, 8, 32), (2, 100, 8, 1, 4, 2)) == 2 * 100 * 8 * 4 * 4 * 32
