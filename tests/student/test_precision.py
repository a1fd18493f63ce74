"""A train step in bfloat16: what is computed in it and what stays float32, read off the traced program."""

import collections

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dima_jax import fake_frames, weights
from dima_jax.plan_run.plan import abstract_step
from dima_jax.student import bev_encoder, deformable_attention, image_encoder, layers, query_decoder
from dima_jax.student import student as student_lib
from dima_jax.student.precision import computing_in
from tests.mini import mini_config

OPERATIONS = {  # of the whole step, gradients included
    "conv_general_dilated": {"bfloat16"},
    "dot_general": {"bfloat16", "float32"},
    "exp": {"float32"},  # softmax
    "logistic": {"float32"},  # boxes, scores, reference points
    "rsqrt": {"float32"},  # norms
    "floor": {"float32"},  # cells around a sample
    "round": {"float32"},  # of the rotated BEV
    "cos": {"float32"},
    "reduce_sum": {"float32"},  # gradients of biases among them
    "scatter-add": {"float32"},  # gradients of sampled tables
}
RESULTS = (  # (where a function is, its name, the types of what it returns)
    (bev_encoder, "project_pillars", {"float32", "bool"}),
    (bev_encoder, "ego_shift", {"float32"}),
    (bev_encoder, "rotate_bev", {"float32"}),
    (bev_encoder, "sampling_locations", {"float32"}),
    (bev_encoder, "sample_levels", {"float32"}),
    (bev_encoder.BevEncoder, "camera_tokens", {"bfloat16"}),
    (deformable_attention, "corner_cells", {"float32", "int32"}),
    (deformable_attention, "gather_rows", {"bfloat16"}),
    (deformable_attention, "sum_of_samples", {"float32"}),
    (deformable_attention.DeformableProjections, "points", {"float32"}),
    (deformable_attention.DeformableProjections, "values", {"bfloat16"}),
    (image_encoder.ImageEncoder, "__call__", {"bfloat16"}),
    (image_encoder.FrozenNorm, "affine", {"float32"}),
    (layers, "softmax_weighted_mean", {"float32"}),
    (layers.Attention, "split_heads", {"bfloat16", "float32"}),  # float32: the keys' share of relative positions
    (layers.AttentionBlock, "__call__", {"float32"}),
    (nnx.LayerNorm, "__call__", {"float32"}),
    (query_decoder.QueryDecoder, "__call__", {"float32"}),  # states, codes and reference points
)


def a_config(dtype="bfloat16"):
    """The mini world's kind of student alone, with every auxiliary head."""
    config = mini_config()
    config.teacher.enabled = False
    config.auxiliary.update(image=True, bev=True, agent_groups=1, map_groups=1)
    config.student.update(dtype=dtype, num_points=10)
    return config


def types(tree):
    return {str(leaf.dtype) for leaf in jax.tree.leaves(tree)}


def operations(jaxpr, found=None):
    """{primitive: types of its floating-point operands} of a jaxpr and of those that it calls."""
    found = collections.defaultdict(set) if found is None else found
    for equation in jaxpr.eqns:
        if equation.primitive.name == "reduce_sum" and equation.invars[0].aval.size == equation.outvars[0].aval.size:
            continue  # over an axis of one element
        operands = [x.aval.dtype for x in equation.invars if hasattr(x.aval, "dtype")]
        found[equation.primitive.name] |= {str(x) for x in operands if jnp.issubdtype(x, jnp.floating)}
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            operations(inner, found)
    return found


@pytest.fixture(scope="module")
def traced():
    """(types of what each function of RESULTS returned, the step's jaxpr, its outputs' shapes)."""
    returned = collections.defaultdict(set)

    def watched(place, name):
        function = getattr(place, name)

        def run(*arguments, **options):
            result = function(*arguments, **options)
            returned[place, name] |= types(result)
            return result

        return run

    with pytest.MonkeyPatch.context() as patch:
        for place, name, _ in RESULTS:
            patch.setattr(place, name, watched(place, name))
        step, arguments = abstract_step(a_config(), jax.devices()[:1])
        jaxpr, shapes = jax.make_jaxpr(step, return_shape=True)(*arguments)
    return returned, jaxpr, shapes


def in_one_order(value) -> str:
    """The same in every process: a set is not written in one order."""
    return " ".join(sorted(value)) if isinstance(value, set) else getattr(value, "__name__", str(value))


@pytest.mark.parametrize(("place", "name", "expected"), RESULTS, ids=in_one_order)
def test_types_of_what_functions_return(traced, place, name, expected):
    assert traced[0][place, name] == expected


@pytest.mark.parametrize("primitive", OPERATIONS)
def test_types_of_operations(traced, primitive):
    assert operations(traced[1].jaxpr)[primitive] == OPERATIONS[primitive]


def test_weights_optimizer_and_log_are_float32(traced):
    state, log = traced[2]
    assert types((state.params, log)) == {"float32"}
    assert types(state.opt_state) == {"float32", "int32"}  # int32: counters


def test_gradients_and_outputs_are_float32():
    config = a_config()
    graph, shapes = student_lib.abstract(config)
    frame = jax.tree.map(jnp.asarray, fake_frames.drive(config.data.image_shape, 1, batch_size=1)[0])
    inputs = jnp.zeros((1, 32, config.student.width)), jnp.array([True])

    def run(params):
        output = weights.bind(graph, params)(frame, *inputs)
        return sum(leaf.sum() for leaf in jax.tree.leaves(output)), output

    gradients, output = jax.eval_shape(jax.grad(run, has_aux=True), shapes)
    assert types(gradients) == types(output) == {"float32"}
    assert types(shapes) == {"float32"}


def test_nothing_is_bfloat16_unless_it_is_asked_for():
    step, arguments = abstract_step(a_config("float32"), jax.devices()[:1])
    assert "bf16[" not in str(jax.make_jaxpr(step)(*arguments))


def test_a_layer_multiplies_in_its_type_and_sums_its_biases_gradient_in_float32():
    with computing_in("bfloat16"):
        layer, exact = (layers.linear(16, 4, nnx.Rngs(0), dtype=dtype) for dtype in (None, jnp.float32))
    assert layers.linear(16, 4, nnx.Rngs(0)).dtype == jnp.float32  # outside
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 16)), jnp.float32)
    plain = x @ layer.kernel[...] + layer.bias[...]
    assert layer(x).dtype == jnp.bfloat16 and exact(x).dtype == jnp.float32
    np.testing.assert_allclose(exact(x), plain, atol=1e-6)
    difference = np.abs(np.asarray(layer(x), np.float32) - plain).max()
    assert 1e-5 < difference < 2e-2

    graph, params = weights.split(layer)
    many = jnp.ones((4096, 16), jnp.bfloat16)
    gradient = jax.grad(lambda params: weights.bind(graph, params)(many).astype(jnp.float32).sum())(params)["bias"]
    np.testing.assert_array_equal(gradient, 4096.0)  # 256 in a sum of bfloat16 ones
