"""Test machine: CPU with 8 fake devices and quick compilation; set before JAX starts."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# The same train step is compiled by several tests: once is enough.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_DEFAULT_PRNG_IMPL", "rbg")  # compiles several times faster than threefry
QUICK_COMPILE = "--xla_backend_optimization_level=1 --xla_llvm_disable_expensive_passes=true"
flags = os.environ.get("XLA_FLAGS", "")
if "host_platform_device_count" not in flags:
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8 {QUICK_COMPILE}".strip()
