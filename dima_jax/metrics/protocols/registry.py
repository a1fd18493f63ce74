"""The planning protocols by name. A protocol's module is imported when it is asked for."""

import importlib

from dima_jax.errors import UserError
from dima_jax.metrics.protocols.base import Protocol

PROTOCOLS: dict[str, str] = {  # {name: "module:attribute"}
    name: f"dima_jax.metrics.protocols.{name}:PROTOCOL"
    for name in ("stp3_vad", "uniad", "bevplanner", "paradrive_std", "sparsedrive", "nu_pdms", "nu_epdms")
}


def get(name: str) -> Protocol:
    """The protocol of a name. UserError for a name that is not one."""
    if name not in PROTOCOLS:
        raise UserError(f"no protocol {name!r:.60}; say one of {', '.join(PROTOCOLS) or '(none)'}")
    module, _, attribute = PROTOCOLS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
