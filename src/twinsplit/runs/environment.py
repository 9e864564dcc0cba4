"""What a run ran on: versions, processor, kernels. Written beside every run, because equal bits are promised per machine only."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("twinsplit", "torch", "numpy", "scipy", "safetensors", "pyarrow", "tyro", "numba", "plotly", "matplotlib")


def installed(package: str) -> str | None:
    """The version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """The processor's name."""
    return _told("model name") or platform.processor()


def vendor() -> str:
    """Who made the processor, as it says itself (GenuineIntel, AuthenticAMD); "" where it does not."""
    return _told("vendor_id")


def _told(key: str) -> str:
    """What Linux knows of the first core, or ""."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith(key)), "")
    except OSError:
        return ""


def describe() -> dict[str, Any]:
    """environment.json."""
    from twinsplit import kernels

    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "processor": processor(),
        "vendor": vendor(),
        "cores": os.cpu_count(),
        "packages": {name: installed(name) for name in PACKAGES},
        "kernels": kernels.backend(),
        "threads_per_task": 1,
    }
