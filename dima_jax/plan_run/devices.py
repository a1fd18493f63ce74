"""Devices that need not be there: descriptions that JAX compiles for, and what their data sheets say.

`cpu:N` always works. TPUs need the compiler in `libtpu`, NVIDIA cards the CUDA plugin; neither needs the hardware or a
driver. Both are extras: without them the error says which pip line enables the target.
"""

import math
import os
from typing import NamedTuple

from dima_jax.errors import UserError

TPU_EXTRA = 'pip install "libtpu==0.0.42.*"'
CUDA_EXTRA = 'pip install "jax-cuda12-plugin[with-cuda]==0.10.2"'


class DeviceSpec(NamedTuple):
    """One device. memory: bytes; peaks: FLOP/s by number format (`products.number_format`); bandwidth: bytes/s of its
    memory; link: bytes/s it can send to the others; clock: Hz of the cycles that the compiler estimates (TPU), 0 where it
    estimates none.
    """

    memory: float
    peaks: dict[str, float]
    bandwidth: float
    link: float
    clock: float = 0.0


def _tpu_peaks(bfloat16: float) -> dict[str, float]:
    """A product of float32 numbers is one, three or six of bfloat16 (jax.lax.Precision)."""
    return {"bf16": bfloat16, "bf16x3": bfloat16 / 3, "bf16x6": bfloat16 / 6}


SPECS = {  # by the makers' data sheets
    "a100": DeviceSpec(80 * 2**30, {"bf16": 312e12, "tf32": 156e12, "f32": 19.5e12}, 2.039e12, 300e9),
    "h100": DeviceSpec(80 * 2**30, {"bf16": 989e12, "tf32": 494e12, "f32": 67e12}, 3.35e12, 450e9),
    "h200": DeviceSpec(141e9, {"bf16": 989e12, "tf32": 494e12, "f32": 67e12}, 4.8e12, 450e9),
    "v4": DeviceSpec(32 * 2**30, _tpu_peaks(275e12), 1.2e12, 300e9, 1.05e9),
    "v5e": DeviceSpec(16 * 2**30, _tpu_peaks(197e12), 0.819e12, 200e9, 1.5e9),
    "v5p": DeviceSpec(95 * 2**30, _tpu_peaks(459e12), 2.765e12, 600e9, 1.75e9),
    "v6e": DeviceSpec(32 * 2**30, _tpu_peaks(918e12), 1.64e12, 448e9, 1.75e9),
}
GRIDS = {  # chips of a slice
    2: {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"},
    3: {4: "2x2x1", 8: "2x2x2", 16: "2x2x4", 32: "2x4x4", 64: "4x4x4", 128: "4x4x8", 256: "4x8x8", 512: "8x8x8"},
}
DIMENSIONS = {"v4": 3, "v5p": 3, "v5e": 2, "v6e": 2}
CUDA_SPECS = {  # what XLA's CUDA compiler needs to know beyond that
    "a100": dict(
        name="A100-SXM4-80GB", major=8, cores=108, fpus=64, clock=1.41, l2=41943040, shared=167936, shared_optin=166912
    ),
    "h100": dict(
        name="H100-SXM5-80GB", major=9, cores=132, fpus=128, clock=1.98, l2=52428800, shared=233472, shared_optin=232448
    ),
}
CUDA_SPECS["h200"] = CUDA_SPECS["h100"] | {"name": "H200"}
TARGETS = ("cpu", *SPECS)
CUDA_OPTIONS = {
    "xla_gpu_enable_triton_gemm": False,  # Triton's tiles are tuned by running them on a GPU; cuBLAS needs no tuning
    "xla_disable_hlo_passes": "triton-softmax-rewriter",  # likewise; estimating its tiles takes half a minute
    "xla_backend_optimization_level": 0,  # of the kernels' machine code, which is not run
}


def parse(target: str) -> tuple[str, int]:
    """("a100", 8) of "a100:8". Raises UserError for another form or an unknown device."""
    kind, _, number = target.partition(":")
    if kind not in TARGETS or not number.isdigit() or int(number) < 1:
        raise UserError(f"--target={target}: write DEVICE:NUMBER with one of {', '.join(TARGETS)}, e.g. a100:8")
    return kind, int(number)


def make_devices(kind: str, number: int) -> list:
    """`number` devices of a kind to compile for; CPU devices can also run.

    Raises UserError for a TPU slice that does not exist, or naming the package that is missing.
    """
    if kind == "cpu":
        import jax

        jax.config.update("jax_num_cpu_devices", number)
        return jax.devices("cpu")[:number]
    return _cuda_devices(kind, number) if kind in CUDA_SPECS else _tpu_devices(kind, number)


def platform(kind: str) -> str:
    """ "cpu", "cuda" or "tpu"."""
    return "cpu" if kind == "cpu" else "cuda" if kind in CUDA_SPECS else "tpu"


def compiler_options(kind: str) -> dict:
    """Options that XLA needs to compile without the device."""
    return CUDA_OPTIONS if kind in CUDA_SPECS else {}


def _tpu_devices(kind: str, number: int) -> list:
    from jax.experimental import topologies

    chips = number // 2 if kind == "v4" else number  # a v4 chip is listed as two cores
    grids = GRIDS[DIMENSIONS[kind]]
    if chips not in grids:
        raise UserError(f"--target={kind}:{number}: no such slice; there are {kind} slices of {sorted(grids)} chips")
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    try:
        import libtpu  # noqa: F401 (JAX loads it; this only checks that it is installed)
    except ImportError:
        raise UserError(f"--target={kind} needs the TPU compiler: {TPU_EXTRA}") from None
    options = {"chips_per_host_bounds": [1, 1, 1]} if chips == 1 else {}  # else a host has four
    return topologies.get_topology_desc(platform="tpu", topology_name=f"{kind}:{grids[chips]}", **options).devices


def _cuda_devices(kind: str, number: int) -> list:
    from jax.experimental import topologies

    os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")
    try:
        import jax_cuda12_plugin  # noqa: F401 (JAX loads it; this only checks that it is installed)
    except ImportError:
        raise UserError(f"--target={kind} needs XLA's CUDA compiler: {CUDA_EXTRA}") from None
    per_host = math.gcd(number, 8)
    return topologies.get_topology_desc(
        platform="cuda",
        topology_name=kind,
        target_config=_target_config(kind),
        topology=f"1x{number // per_host}x{per_host}",  # slices x hosts x GPUs of a host
    ).devices


def _target_config(kind: str) -> str:
    """The GPU as XLA's text proto."""
    spec, bandwidth = CUDA_SPECS[kind], int(SPECS[kind].bandwidth)
    return f"""
gpu_device_info {{
  threads_per_block_limit: 1024  threads_per_warp: 32
  shared_memory_per_block: 49152  shared_memory_per_core: {spec["shared"]}
  shared_memory_per_block_optin: {spec["shared_optin"]}
  threads_per_core_limit: 2048  core_count: {spec["cores"]}  fpus_per_core: {spec["fpus"]}
  block_dim_limit_x: 2147483647  block_dim_limit_y: 65535  block_dim_limit_z: 65535
  memory_bandwidth: {bandwidth}  l2_cache_size: {spec["l2"]}  clock_rate_ghz: {spec["clock"]}
  device_memory_size: 84978434048
  cuda_compute_capability {{ major: {spec["major"]} }}
  registers_per_core_limit: 65536  registers_per_block_limit: 65536
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 8 }}
runtime_version {{ major: 12 minor: 9 }}
device_description_str: "{spec["name"]}"
"""
