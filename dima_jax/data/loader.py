"""Where batches come from: `spec` (shapes), `example` (a random batch without data)."""

from dima_jax.data.example import example, spec

__all__ = ["example", "spec"]
