"""Layers that all parts of the student share: linear layers with VAD's initializers, MLPs, attention, dropout.

Modules hold weights and sizes. Random numbers are an argument, `dropout_keys`: an array [n] of PRNG keys in training,
None in evaluation, where dropout is the identity. `make_dropout_keys` makes all keys of a forward pass from one.
Every module divides its keys among its children (`split_dropout_keys`; `dropout_keys_per_layer` for stacked layers),
and `dropout` uses the first key that it receives, so no two dropouts of a step share a key.

Initializers follow PyTorch's defaults unless VAD sets its own (docs/vad.md#initialization).
"""

import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from dima_jax import sharding
from dima_jax.student.exported_operations import softmax
from dima_jax.student.precision import Linear, product_dtype

xavier = nnx.initializers.xavier_uniform()
zeros = nnx.initializers.zeros_init()
QUERY_BLOCK = 512  # queries whose attention scores are computed at once
NUM_DROPOUT_KEYS = 1024  # that `make_dropout_keys` makes; a model that needs more raises an error
PRIOR_BIAS = -math.log(99.0)  # sigmoid(PRIOR_BIAS) = 0.01: the rare positive class of focal loss


class InitRngs:
    """PRNG keys for initializers; takes the place of `nnx.Rngs` in constructors.

    The counter is a plain integer: that of `nnx.Rngs` is traced under `nnx.eval_shape`, where counting up takes time
    quadratic in the number of weights.
    """

    def __init__(self, key: jax.Array):
        self.key, self.count = key, 0

    def params(self) -> jax.Array:
        """The next key."""
        self.count += 1
        return jax.random.fold_in(self.key, self.count)


Rngs = InitRngs | nnx.Rngs


def torch_uniform(fan_in: int) -> Callable:
    """PyTorch's default for the weight and the bias of a Linear: U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
    return symmetric_uniform(1.0 / math.sqrt(fan_in))


def packed_xavier(width: int) -> Callable:
    """Xavier initialization of PyTorch's packed [3D, D] projection, for one of its three [D, D] parts."""
    return symmetric_uniform(math.sqrt(6.0 / (4 * width)))


def symmetric_uniform(bound: float) -> Callable:
    """An initializer that draws from U(-bound, bound)."""

    def init(key, shape, dtype=jnp.float32, **_):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def linear(d_in: int, d_out: int, rngs: Rngs, kernel_init=None, bias_init=None, *, dtype=None) -> Linear:
    """A Linear layer; initializers that are not given are PyTorch's. dtype: of operands and result, by default
    `precision.product_dtype()`; weights are float32.
    """
    default = torch_uniform(d_in)
    inits = dict(kernel_init=kernel_init or default, bias_init=bias_init or default)
    return Linear(d_in, d_out, dtype=dtype or product_dtype(), **inits, rngs=rngs)


def layer_norm(width: int, rngs: Rngs) -> nnx.LayerNorm:
    """LayerNorm over the last axis with PyTorch's epsilon; float32, whatever its input is."""
    return nnx.LayerNorm(width, epsilon=1e-5, use_fast_variance=False, rngs=rngs)


def embedding(rows: int, width: int, rngs: Rngs, init=None) -> nnx.Param:
    """A learned array [rows, width], drawn from N(0, 1) if no initializer is given."""
    init = init or nnx.initializers.normal(1.0)
    return nnx.Param(init(rngs.params(), (rows, width), jnp.float32))


def make_dropout_keys(key: jax.Array | None) -> jax.Array | None:
    """NUM_DROPOUT_KEYS keys from one key; None stays None.

    They are derived in one operation: deriving them layer by layer took a tenth of the decoders' compilation time.
    """
    return None if key is None else jax.lax.optimization_barrier(jax.random.split(key, NUM_DROPOUT_KEYS))


def dropout_keys_per_layer(dropout_keys: jax.Array | None, count: int) -> jax.Array | None:
    """The keys [n] divided into `count` equal parts [count, n // count], the xs of `scan_layers`; None stays None.

    ValueError if there are fewer keys than parts.
    """
    if dropout_keys is None:
        return None
    if not (share := len(dropout_keys) // count):
        raise ValueError(f"{len(dropout_keys)} PRNG keys for {count} layers: raise NUM_DROPOUT_KEYS in {__name__}")
    return dropout_keys[: share * count].reshape(count, share)


def split_dropout_keys(dropout_keys: jax.Array | None, count: int) -> list[jax.Array | None]:
    """The keys divided into a list of `count` arrays, for `count` children; as many Nones if there are no keys."""
    return [None] * count if dropout_keys is None else list(dropout_keys_per_layer(dropout_keys, count))


def dropout(x: Array, rate: float, dropout_keys: jax.Array | None) -> Array:
    """Zeroes elements with probability `rate` and scales the others by 1 / (1 - rate); without keys, x as it is."""
    if dropout_keys is None or rate == 0.0:
        return x
    keep = jax.random.bernoulli(dropout_keys[0], 1.0 - rate, x.shape)
    return jnp.where(keep, x / (1.0 - rate), 0.0)


class Mlp(nnx.Module):
    """Linear, [LayerNorm,] ReLU for every hidden layer, then a last Linear.

    widths: of the input, the hidden layers and the output. norm: with LayerNorm. last_bias: initializer of the last
    Linear's bias, PyTorch's default if None. dtype: of the hidden layers, as in `linear`; the last Linear is float32.
    """

    def __init__(self, widths: tuple[int, ...], rngs: Rngs, *, norm: bool = False, last_bias=None, dtype=None):
        hidden = list(itertools.pairwise(widths[:-1]))
        self.layers = nnx.List([linear(a, b, rngs, dtype=dtype) for a, b in hidden])
        self.norms = nnx.List([layer_norm(b, rngs) for _, b in hidden] if norm else [])
        self.last = linear(widths[-2], widths[-1], rngs, bias_init=last_bias, dtype=jnp.float32)

    def features(self, x: Float[Array, "... I"]) -> Float[Array, "... J"]:
        """The input of the last Linear."""
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if self.norms:
                x = self.norms[i](x)
            x = jax.nn.relu(x)
        return x

    def __call__(self, x: Float[Array, "... I"]) -> Float[Array, "... O"]:
        return self.last(self.features(x))


class Attention(nnx.Module):
    """Multi-head attention (torch.nn.MultiheadAttention as mmcv wraps it), without residual.

    num_heads must divide width. dropout_rate: of the attention weights and of the output.
    """

    def __init__(self, width: int, num_heads: int, dropout_rate: float, rngs: Rngs):
        self.num_heads, self.dropout_rate = num_heads, dropout_rate
        init = packed_xavier(width)
        self.q = linear(width, width, rngs, init, zeros)
        self.k = linear(width, width, rngs, init, zeros)
        self.v = linear(width, width, rngs, init, zeros)
        self.o = linear(width, width, rngs, xavier, zeros)

    def split_heads(self, x: Float[Array, "... S D"]) -> Float[Array, "... S h d"]:
        """Channels as heads x channels of a head."""
        return x.reshape(*x.shape[:-1], self.num_heads, -1)

    def __call__(
        self,
        query: Float[Array, "B Q D"],
        key: Float[Array, "B S D"],
        value: Float[Array, "B S D"],
        dropout_keys: jax.Array | None = None,
    ) -> Float[Array, "B Q D"]:
        q, k, v = self.split_heads(self.q(query)), self.split_heads(self.k(key)), self.split_heads(self.v(value))
        q = q * q.shape[-1] ** -0.5
        keys_weights, keys_out = split_dropout_keys(dropout_keys, 2)

        def attend(q, dropout_keys):
            scores = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=jnp.float32)
            return softmax_weighted_mean(scores, v, self.dropout_rate, dropout_keys)

        return self.merge_heads(map_query_blocks(attend, q, keys_weights), keys_out)

    def attend(
        self, scores: Float[Array, "B h Q S"], v: Float[Array, "B S h d"], dropout_keys: jax.Array | None
    ) -> Float[Array, "B Q D"]:
        """The attention for scores that the caller computed; -inf where a key may not be attended to."""
        keys_weights, keys_out = split_dropout_keys(dropout_keys, 2)
        return self.merge_heads(softmax_weighted_mean(scores, v, self.dropout_rate, keys_weights), keys_out)

    def merge_heads(self, x: Float[Array, "B Q h d"], dropout_keys: jax.Array | None) -> Float[Array, "B Q D"]:
        """The output projection, with dropout."""
        return dropout(self.o(x.reshape(*x.shape[:2], -1)), self.dropout_rate, dropout_keys)


def softmax_weighted_mean(
    scores: Float[Array, "B h Q S"], v: Float[Array, "B S h d"], rate: float, dropout_keys: jax.Array | None
) -> Float[Array, "B Q h d"]:
    """Softmax of the scores over S, with dropout, times the values; it divides last, where there is less.

    scores and result are float32; the weights are rounded to the values' type to be multiplied with them.
    """
    if sharding.platform() == "onnx":  # where a whole softmax is one operation, and nothing is dropped
        return jnp.einsum("bhqk,bkhd->bqhd", softmax(scores).astype(v.dtype), v, preferred_element_type=jnp.float32)
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
    total = weights.sum(axis=-1, keepdims=True)
    weights = dropout(weights, rate, dropout_keys).astype(v.dtype)
    mean = jnp.einsum("bhqk,bkhd->bhqd", weights, v, preferred_element_type=jnp.float32) / total
    return jnp.moveaxis(mean, 1, 2)


def map_query_blocks(
    attend: Callable, q: Float[Array, "B Q h d"], dropout_keys: jax.Array | None
) -> Float[Array, "B Q h d"]:
    """attend(q, dropout_keys), at most QUERY_BLOCK queries at a time, so that their scores stay in a CPU's cache.

    Exported programs, which have no dropout, hold the blocks one after the other instead of a loop.
    """
    batch, queries, *rest = q.shape
    blocks = -(-queries // QUERY_BLOCK)
    if blocks == 1:
        return attend(q, dropout_keys)
    size = -(-queries // blocks)
    padded = jnp.pad(q, ((0, 0), (0, blocks * size - queries), (0, 0), (0, 0)))
    stacked = jnp.moveaxis(padded.reshape(batch, blocks, size, *rest), 1, 0)
    if sharding.platform() == "onnx":
        out = jnp.stack([attend(block, None) for block in stacked])
    elif dropout_keys is None:
        out = jax.lax.map(lambda q: attend(q, None), stacked)
    else:
        out = jax.lax.map(lambda block: attend(*block), (stacked, jax.random.split(dropout_keys[0], (blocks, 1))))
    return jnp.moveaxis(out, 0, 1).reshape(batch, blocks * size, *rest)[:, :queries]


class FeedForward(nnx.Module):
    """x + Linear(ReLU(Linear(x))), with dropout after each Linear; ffn_width: between the two."""

    def __init__(self, width: int, ffn_width: int, dropout_rate: float, rngs: Rngs):
        self.dropout_rate = dropout_rate
        self.up = linear(width, ffn_width, rngs, xavier)
        self.down = linear(ffn_width, width, rngs, xavier)

    def __call__(self, x: Float[Array, "... D"], dropout_keys: jax.Array | None = None) -> Float[Array, "... D"]:
        keys_up, keys_down = split_dropout_keys(dropout_keys, 2)
        hidden = dropout(jax.nn.relu(self.up(x)), self.dropout_rate, keys_up)
        return x + dropout(self.down(hidden), self.dropout_rate, keys_down)


class AttentionBlock(nnx.Module):
    """VAD's interaction layer: attention, LayerNorm, feed-forward, LayerNorm. Arguments as in its parts."""

    def __init__(self, width: int, ffn_width: int, num_heads: int, dropout_rate: float, rngs: Rngs):
        self.attn = Attention(width, num_heads, dropout_rate, rngs)
        self.norm1 = layer_norm(width, rngs)
        self.ffn = FeedForward(width, ffn_width, dropout_rate, rngs)
        self.norm2 = layer_norm(width, rngs)

    def __call__(
        self,
        query: Float[Array, "B Q D"],
        query_pos: Float[Array, "#B Q D"],
        key: Float[Array, "B S D"],
        key_pos: Float[Array, "B S D"],
        dropout_keys: jax.Array | None = None,
    ) -> Float[Array, "B Q D"]:
        """Positions are added to queries and keys, not to the values (which are the keys) or the residual."""
        keys_attn, keys_ffn = split_dropout_keys(dropout_keys, 2)
        return self.add_and_norm(query, self.attn(query + query_pos, key + key_pos, key, keys_attn), keys_ffn)

    def add_and_norm(
        self, query: Float[Array, "B Q D"], attended: Float[Array, "B Q D"], dropout_keys: jax.Array | None
    ) -> Float[Array, "B Q D"]:
        """What follows the attention: residual, LayerNorm, feed-forward, LayerNorm."""
        return self.norm2(self.ffn(self.norm1(query + attended), dropout_keys))
