"""Rows of the LLM's batch: edited samples go through the same call as the samples they were made from.

The samples of a batch and their edited copies (scene editing, docs/decisions.md#d10) are concatenated along the batch
axis: B samples and n edited ones give B + n rows. A batch is split over the devices of a mesh along that axis, so the
edited copies are spread evenly: after each group of B / n samples comes the edited copy of the group's first sample
(`types.edited_samples`). So a device edits samples of its own, and no row moves to another device.

Pytrees: every array has the batch axis first, and every array of one argument has the same length there.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree, Shaped

from dima_jax.types import EditText, Text, edited_samples


def num_edited(batch_size: int, share: float) -> int:
    """How many samples of a batch are edited: the largest divisor of `batch_size` up to ceil(share * batch_size).

    0 if `share` is 0.
    """
    return next((n for n in range(math.ceil(share * batch_size), 0, -1) if batch_size % n == 0), 0)


def insert(samples: PyTree[Shaped[Array, "B ..."]], edited: PyTree[Shaped[Array, "n ..."]]) -> PyTree:
    """Arrays [B, ...] and [n, ...] to arrays [B + n, ...] of a pytree of the same structure; n divides B or is 0."""

    def insert_one(samples, edited):
        if not len(edited):
            return samples
        groups = samples.reshape(len(edited), -1, *samples.shape[1:])
        return jnp.concatenate([groups, edited[:, None]], axis=1).reshape(-1, *samples.shape[1:])

    return jax.tree.map(insert_one, samples, edited)


def split(rows: PyTree[Shaped[Array, "rows ..."]], count: int) -> tuple[PyTree, PyTree]:
    """The inverse of `insert`: (arrays [B, ...] of the samples, arrays [n, ...] of the `count` = n edited ones)."""

    def samples(x):
        return x.reshape(count, -1, *x.shape[1:])[:, :-1].reshape(-1, *x.shape[1:]) if count else x

    def edited(x):
        return x.reshape(count, -1, *x.shape[1:])[:, -1] if count else x[:0]

    return jax.tree.map(samples, rows), jax.tree.map(edited, rows)


def select_text(texts: EditText, text_row: Int[Array, " n"]) -> Text:
    """Question and answer [n, S] of each edited sample: row `text_row` of the sample's possible texts [B, Q, S]."""

    def select(x):
        x = edited_samples(x, len(text_row))
        return jnp.take_along_axis(x, text_row[:, None, None], axis=1)[:, 0]

    return Text(tokens=select(texts.tokens), mask=select(texts.mask), answer_mask=select(texts.answer_mask))
