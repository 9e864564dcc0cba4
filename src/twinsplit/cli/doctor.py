"""What works on this machine, and what to install."""

import platform
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from typing import final

MODULES = {"pillow": "PIL", "PyWavelets": "pywt", "scikit-learn": "sklearn", "scikit-image": "skimage"}


@final
@dataclass(frozen=True)
class Finding:
    """One thing that is there or not: its name, what was found, and the remedy where it is missing ("" when all is well)."""

    name: str
    found: str
    remedy: str = ""


def doctor() -> None:
    """What works on this machine, and what to install."""
    print(render(examine()))


def examine() -> list[Finding]:
    """Every finding, in the order a newcomer needs them."""
    from twinsplit.execution.local import available_cores

    return [
        Finding("python", platform.python_version()),
        Finding("cores", str(available_cores())),
        *(
            _package(name, "")
            for name in ("numpy", "torch", "scipy", "safetensors", "pyarrow", "pandas", "pillow", "PyWavelets", "scikit-learn", "tyro")
        ),
        _accelerator(),
        _package("numba", "compiled kernels are off, torch serves instead: pip install 'twinsplit[fast]'"),
        _kernels(),
        _bfloat16(),
        _package("plotly", "no report.html: pip install 'twinsplit[report]'"),
        _package("matplotlib", "no printed figures: pip install 'twinsplit[report]'"),
        _package("datasets", "no `twinsplit data hub`: pip install 'twinsplit[hub]'"),
        _package("diffusers", "no U-Net for images: pip install 'twinsplit[images]'"),
        _package("torchmetrics", "no FID: pip install 'twinsplit[fid]'"),
        _package("scikit-image", "no SSIM in rp-lpips: pip install 'twinsplit[perceptual]'"),
        _package("lpips", "no LPIPS in rp-lpips: pip install 'twinsplit[lpips]', with a torchvision that fits your torch"),
        _disk(),
    ]


def render(findings: list[Finding]) -> str:
    """A line per finding; what needs a remedy says it."""
    width = max(len(f.name) for f in findings)
    return "\n".join(f"{'!' if f.remedy else 'ok':<3}{f.name:<{width}}  {f.found}{'; ' + f.remedy if f.remedy else ''}" for f in findings)


def _package(name: str, remedy: str) -> Finding:
    from twinsplit.runs.environment import installed

    if find_spec(MODULES.get(name, name)) is None:
        return Finding(name, "not installed", remedy or f"pip install {name}")
    return Finding(name, installed(name) or "present, version unknown")


def _accelerator() -> Finding:
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Finding("accelerator", ", ".join(names) or "none: training runs on the processor")


def _kernels() -> Finding:
    from twinsplit import kernels

    return Finding("kernels", kernels.backend())


def _bfloat16() -> Finding:
    from twinsplit.networks.arithmetic import fast_bfloat16

    slow = "slower than float32 on this processor, which is used in its place"
    return Finding("bfloat16", "faster than float32 on this processor" if fast_bfloat16() else slow)


def _disk() -> Finding:
    free = shutil.disk_usage(".").free >> 20
    return Finding("disk", f"{free} MiB free here", "" if free > 500 else "a laptop run needs about 300 MiB: free some")
