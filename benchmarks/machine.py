"""The machine that figures were taken on: what it can do, not whose it is."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

# What decides how fast a network runs, of all that /proc/cpuinfo lists
INSTRUCTION_SETS = (
    ("avx2", "AVX2"),
    ("avx512f", "AVX-512"),
    ("avx512_vnni", "AVX-512 VNNI"),
    ("avx512_bf16", "AVX-512 BF16"),
    ("amx_bf16", "AMX BF16"),
    ("amx_int8", "AMX INT8"),
)
LIBRARIES = ("torch", "openvino", "monai", "openslide-bin", "tifffile", "numpy")


def describe_machine() -> str:
    """Processor, cores, memory, instruction sets, versions of what computes; one line."""
    facts = _cpu_facts()
    flags = facts.get("flags", "").split()
    sets = ", ".join(name for flag, name in INSTRUCTION_SETS if flag in flags) or "none noted"
    model = f"family {facts['cpu family']} model {facts['model']}" if "model" in facts else ""
    gigabytes = round(psutil.virtual_memory().total / 2**30)
    return (
        f"{facts.get('model name', platform.machine())} ({model or 'unknown family'}), "
        f"{len(os.sched_getaffinity(0))} cores, {gigabytes} GB, {sets}; "
        f"{platform.system()}, Python {platform.python_version()}, {_versions()}"
    )


def _cpu_facts() -> dict[str, str]:
    """The first processor's entries in /proc/cpuinfo."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _versions() -> str:
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
