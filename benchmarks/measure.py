"""What every benchmark needs: repeated timing, peak memory, the machine."""

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from dima_jax.output_files import json_text

# For GLIBC_TUNABLES: freed memory is kept, in huge pages. One arena, since XLA allocates on threads of its own, and glibc gives
# large blocks of other arenas back to the system as soon as they are freed.
ALLOCATOR = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=8589934592:glibc.malloc.arena_max=1"
)


def seconds(function: Callable[[], object], runs: int) -> dict:
    """Median, least and most seconds of `runs` calls, and the cores that they kept busy on average; the caller warms up and
    blocks on results.
    """
    times, cpu = [], time.process_time()
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    cores = (time.process_time() - cpu) / sum(times)
    return {
        "median_s": statistics.median(times),
        "min_s": min(times),
        "max_s": max(times),
        "runs": runs,
        "cores_used": cores,
    }


def cpu_seconds() -> float:
    """CPU time so far of this process and of its finished child processes."""
    used = [resource.getrusage(owner) for owner in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def peak_memory_gib() -> float:
    """Largest resident set of this process so far, in GiB."""
    try:
        return peak_of("self")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def peak_of(process: int | str) -> float:
    """Largest resident set of a process so far, in GiB; rusage would count that of the process that started it, too.

    OSError where there is no such process, or no /proc.
    """
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**20


def device() -> dict:
    """JAX's first device, and the most of its memory that this process has used, in GiB; None where it does not tell."""
    import jax

    first = jax.devices()[0]
    stats = first.memory_stats() or {}
    peak = stats.get("peak_bytes_in_use")
    return {"device": first.device_kind, "device_memory_gib": None if peak is None else peak / 2**30}


def compiled_memory_gib(compiled) -> float:
    """The peak of a plan of a run, in GiB."""
    from dima_jax.plan_run import plan

    return plan.peak_bytes(compiled) / 2**30


def machine() -> dict:
    packages = {name: version(name) for name in ("jax", "jaxlib", "flax", "numpy")}
    return {"platform": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version(), **packages}


def print_json(**result) -> None:
    print(json_text({**result, "machine": machine()}, indent=2))
