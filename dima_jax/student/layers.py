"""Small layers that every part of the student shares: linear maps with VAD's initializers, MLPs, attention.

Modules hold weights only. Randomness is an argument: `dropout_keys` is a bunch of PRNG keys [n] in training, shared out by
`split_dropout_keys`, and None in evaluation, where dropout does nothing. Attention masks are True where a key may be attended to.
Initializers follow PyTorch's defaults unless VAD sets its own (vad-spec 10).
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

xavier = nnx.initializers.xavier_uniform()
zeros = nnx.initializers.zeros_init()
QUERY_BLOCK = 512  # queries whose attention scores are computed at once
NUM_DROPOUT_KEYS = 1024  # keys that `make_dropout_keys` makes
PRIOR_BIAS = -math.log(99.0)  # sigmoid(PRIOR_BIAS) = 0.01: the rare positive class of focal loss


class Keys:
    """Fresh PRNG keys for initializers, called like `nnx.Rngs`.

    The counter is a plain integer: that of `nnx.Rngs` is traced under `nnx.eval_shape`, where counting up takes time
    quadratic in the number of weights.
    """

    def __init__(self, key: jax.Array):
        self.key, self.count = key, 0

    def params(self) -> jax.Array:
        self.count += 1
        return jax.random.fold_in(self.key, self.count)


def torch_uniform(fan_in: int):
    """PyTorch's default for the weight and the bias of a Linear: U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
    bound = 1.0 / math.sqrt(fan_in)

    def init(key, shape, dtype=jnp.float32, **_):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def linear(d_in: int, d_out: int, rngs: Keys, kernel_init=None, bias_init=None) -> nnx.Linear:
    """A Linear layer; initializers that are not given are PyTorch's."""
    default = torch_uniform(d_in)
    return nnx.Linear(d_in, d_out, kernel_init=kernel_init or default, bias_init=bias_init or default, rngs=rngs)


def layer_norm(width: int, rngs: Keys) -> nnx.LayerNorm:
    return nnx.LayerNorm(width, epsilon=1e-5, use_fast_variance=False, rngs=rngs)


def table(rows: int, width: int, rngs: Keys, init=None) -> nnx.Param:
    """A learned [rows, width] array, N(0, 1) unless `init` says otherwise."""
    init = init or nnx.initializers.normal(1.0)
    return nnx.Param(init(rngs.params(), (rows, width), jnp.float32))


def make_dropout_keys(key: jax.Array | None) -> jax.Array | None:
    """As many keys [n] as a part of the student needs, of one; None stays None.

    They are hashed at once: hashing for every layer took a tenth of the time that the decoders take to compile.
    """
    return None if key is None else jax.lax.optimization_barrier(jax.random.split(key, NUM_DROPOUT_KEYS))


def dropout_keys_per_layer(dropout_keys: jax.Array | None, count: int) -> jax.Array | None:
    """A bunch in `count` equal parts [count, n]; None stays None. ValueError if there are too few."""
    if dropout_keys is None:
        return None
    if not (share := len(dropout_keys) // count):
        raise ValueError(f"{len(dropout_keys)} PRNG keys for {count} layers: raise NUM_DROPOUT_KEYS in {__name__}")
    return dropout_keys[: share * count].reshape(count, share)


def split_dropout_keys(dropout_keys: jax.Array | None, count: int) -> list[jax.Array | None]:
    """`dropout_keys_per_layer` as a list, or as many Nones."""
    return [None] * count if dropout_keys is None else list(dropout_keys_per_layer(dropout_keys, count))


def dropout(x: Array, rate: float, dropout_keys: jax.Array | None) -> Array:
    if dropout_keys is None or rate == 0.0:
        return x
    keep = jax.random.bernoulli(dropout_keys[0], 1.0 - rate, x.shape)
    return jnp.where(keep, x / (1.0 - rate), 0.0)


class Mlp(nnx.Module):
    """Linear, [LayerNorm,] ReLU, ..., Linear. `widths` lists input, hidden and output widths."""

    def __init__(self, widths: tuple[int, ...], rngs: Keys, *, norm: bool = False, last_bias=None):
        hidden = list(itertools.pairwise(widths[:-1]))
        self.layers = nnx.List([linear(a, b, rngs) for a, b in hidden])
        self.norms = nnx.List([layer_norm(b, rngs) for _, b in hidden] if norm else [])
        self.last = linear(widths[-2], widths[-1], rngs, bias_init=last_bias)

    def features(self, x: Float[Array, "... I"]) -> Float[Array, "... J"]:
        """What enters the last Linear."""
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if self.norms:
                x = self.norms[i](x)
            x = jax.nn.relu(x)
        return x

    def __call__(self, x: Float[Array, "... I"]) -> Float[Array, "... O"]:
        return self.last(self.features(x))


def packed_xavier(width: int):
    """Xavier of PyTorch's packed [3D, D] projection, for one of its three D x D parts."""
    bound = math.sqrt(6.0 / (4 * width))

    def init(key, shape, dtype=jnp.float32, **_):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Attention(nnx.Module):
    """Multi-head attention (torch.nn.MultiheadAttention as mmcv wraps it), without the residual."""

    def __init__(self, width: int, heads: int, rate: float, rngs: Keys):
        self.heads, self.rate = heads, rate
        init = packed_xavier(width)
        self.q = linear(width, width, rngs, init, zeros)
        self.k = linear(width, width, rngs, init, zeros)
        self.v = linear(width, width, rngs, init, zeros)
        self.o = linear(width, width, rngs, xavier, zeros)

    def split(self, x: Float[Array, "... S D"]) -> Float[Array, "... S h d"]:
        return x.reshape(*x.shape[:-1], self.heads, -1)

    def __call__(
        self,
        query: Float[Array, "B Q D"],
        key: Float[Array, "B S D"],
        value: Float[Array, "B S D"],
        dropout_keys: jax.Array | None = None,
    ) -> Float[Array, "B Q D"]:
        q, k, v = self.split(self.q(query)), self.split(self.k(key)), self.split(self.v(value))
        q = q * q.shape[-1] ** -0.5
        keys_weights, keys_out = split_dropout_keys(dropout_keys, 2)

        def attend(q, dropout_keys):
            return weighted_mean(jnp.einsum("bqhd,bkhd->bhqk", q, k), v, self.rate, dropout_keys)

        return self.project(in_blocks(attend, q, keys_weights), keys_out)

    def mix(self, scores: Float[Array, "B h Q S"], v: Float[Array, "B S h d"], dropout_keys) -> Float[Array, "B Q D"]:
        """Attention with scores that were made elsewhere."""
        keys_weights, keys_out = split_dropout_keys(dropout_keys, 2)
        return self.project(weighted_mean(scores, v, self.rate, keys_weights), keys_out)

    def project(self, mixed: Float[Array, "B Q h d"], dropout_keys) -> Float[Array, "B Q D"]:
        return dropout(self.o(mixed.reshape(*mixed.shape[:2], -1)), self.rate, dropout_keys)


def weighted_mean(
    scores: Float[Array, "B h Q S"], v: Float[Array, "B S h d"], rate: float, dropout_keys: jax.Array | None
) -> Float[Array, "B Q h d"]:
    """Softmax of the scores over S (with dropout) times the values; the division comes last, on fewer numbers."""
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
    total = weights.sum(axis=-1, keepdims=True)
    mixed = jnp.einsum("bhqk,bkhd->bhqd", dropout(weights, rate, dropout_keys), v) / total
    return jnp.moveaxis(mixed, 1, 2)


def in_blocks(attend, q: Float[Array, "B Q h d"], dropout_keys: jax.Array | None) -> Float[Array, "B Q h d"]:
    """attend(q, dropout_keys) block by block of queries, so that the scores of a block stay in a processor's cache."""
    batch, queries, *rest = q.shape
    blocks = -(-queries // QUERY_BLOCK)
    if blocks == 1:
        return attend(q, dropout_keys)
    size = -(-queries // blocks)
    padded = jnp.pad(q, ((0, 0), (0, blocks * size - queries), (0, 0), (0, 0)))
    stacked = jnp.moveaxis(padded.reshape(batch, blocks, size, *rest), 1, 0)
    if dropout_keys is None:
        out = jax.lax.map(lambda q: attend(q, None), stacked)
    else:
        out = jax.lax.map(lambda block: attend(*block), (stacked, jax.random.split(dropout_keys[0], (blocks, 1))))
    return jnp.moveaxis(out, 0, 1).reshape(batch, blocks * size, *rest)[:, :queries]


class FeedForward(nnx.Module):
    """x + Linear(ReLU(Linear(x))), dropout after both."""

    def __init__(self, width: int, hidden: int, rate: float, rngs: Keys):
        self.rate = rate
        self.up = linear(width, hidden, rngs, xavier)
        self.down = linear(hidden, width, rngs, xavier)

    def __call__(self, x: Float[Array, "... D"], dropout_keys: jax.Array | None = None) -> Float[Array, "... D"]:
        keys_up, keys_down = split_dropout_keys(dropout_keys, 2)
        hidden = dropout(jax.nn.relu(self.up(x)), self.rate, keys_up)
        return x + dropout(self.down(hidden), self.rate, keys_down)


class AttentionBlock(nnx.Module):
    """VAD's interaction layer: attention, norm, feed-forward, norm; residuals without positions."""

    def __init__(self, width: int, hidden: int, heads: int, rate: float, rngs: Keys):
        self.attn = Attention(width, heads, rate, rngs)
        self.norm1 = layer_norm(width, rngs)
        self.ffn = FeedForward(width, hidden, rate, rngs)
        self.norm2 = layer_norm(width, rngs)

    def __call__(self, query, query_pos, key, key_pos, dropout_keys: jax.Array | None = None) -> Float[Array, "B Q D"]:
        """query, query_pos [B, Q, D] (or broadcastable); key, key_pos [B, S, D]; values are the keys unpositioned."""
        keys_attn, keys_ffn = split_dropout_keys(dropout_keys, 2)
        return self.add_and_norm(query, self.attn(query + query_pos, key + key_pos, key, keys_attn), keys_ffn)

    def add_and_norm(self, query, attended, dropout_keys) -> Float[Array, "B Q D"]:
        """Residual, norm, feed-forward, norm."""
        return self.norm2(self.ffn(self.norm1(query + attended), dropout_keys))


def direction_grid(heads: int, groups: int, points: int) -> np.ndarray:
    """Start of deformable offsets [heads, groups, points, 2]: one direction per head, 1, 2, ... cells away."""
    angle = np.arange(heads, dtype=np.float32) * np.float32(2.0 * math.pi / heads)
    unit = np.stack([np.cos(angle), np.sin(angle)], -1)
    unit = unit / np.abs(unit).max(-1, keepdims=True)
    steps = np.arange(1, points + 1, dtype=np.float32)
    return np.broadcast_to(unit[:, None, None] * steps[:, None], (heads, groups, points, 2)).astype(np.float32)


def allowed(scores: Array, mask: Bool[Array, "..."]) -> Array:
    """Scores with -inf where a key may not be attended to; at least one key of each row must be allowed."""
    return jnp.where(mask, scores, -jnp.inf)


def largest(x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Maximum along an axis, which stays with size 1; the gradient goes to the first of equals, as torch.max's.

    The gradient of jnp.max compares x with its maximum again: where a compiler rounds the second x otherwise (seen on
    several devices) nothing is equal, and 0 / 0 follows.
    """
    index = jnp.argmax(jax.lax.stop_gradient(x), axis=axis, keepdims=True)
    return jnp.take_along_axis(x, index, axis=axis)
