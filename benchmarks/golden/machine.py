"""What equal bits depend on besides the code: the processor and the libraries."""

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("torch", "numpy", "scipy", "numba", "llvmlite", "pyarrow", "pandas", "scikit-learn", "scikit-image", "pillow", "PyWavelets")
PACKAGES_THAT_DRAW = ("matplotlib", "plotly")
TOLD = ("vendor_id", "model name", "cpu family", "model", "stepping", "flags")


def machine() -> dict[str, str]:
    """The kind of machine: equal for two machines on which equal code makes equal bits."""
    own = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    return own | _processor() | {name: _version(name) for name in (*PACKAGES, *PACKAGES_THAT_DRAW)}


def fingerprint(value: object) -> str:
    """A short name for plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _processor() -> dict[str, str]:
    """What Linux knows of the first core; elsewhere, what Python knows."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = file.read().split("\n\n")[0].splitlines()
    except OSError:
        return {"processor": platform.processor()}
    told = dict(line.split(":", 1) for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, value in told.items() if key.strip() in TOLD}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"
