"""Runs the commands of one job, each in a process of its own that begins with the libraries already read.

python -P driver.py JOB.json, in the job's folder, with PYTHONPATH at the code that is asked. JOB.json: {"steps": [{"words", "says"}],
"entry", "log", "results"}. entry: "module:function" that the command `twinsplit` is, as pyproject.toml names it; a command that begins with
"props" runs props.py instead. What it prints goes to the file `says`, or to the log. Nothing of twinsplit is named here.
"""

import importlib
import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

PRELOAD = (
    "torch", "numpy", "pandas", "pyarrow.parquet", "safetensors.torch", "scipy.stats", "scipy.optimize", "numba", "tyro",
    "matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf", "plotly.graph_objects",
)  # fmt: skip
PROPS = Path(__file__).with_name("props.py")


def main(path: Path) -> None:
    """Run the steps in order, up to the first that fails."""
    job = json.loads(path.read_text(encoding="utf-8"))
    _preload()
    results: list[dict[str, Any]] = []
    for step in job["steps"]:
        results.append(_run(step, job["entry"], Path(job["log"])))
        Path(job["results"]).write_text(json.dumps(results), encoding="utf-8")
        if results[-1]["status"]:
            break


def _preload() -> None:
    for name in PRELOAD:
        try:
            importlib.import_module(name)
        except ImportError:
            continue


def _run(step: dict[str, Any], entry: str, log: Path) -> dict[str, Any]:
    """Its exit status, and its seconds on the clock and of the processor."""
    start = time.monotonic()
    child = os.fork()
    if not child:
        _become(step, entry, log)
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return {"words": step["words"], "status": code, "wall_s": time.monotonic() - start, "cpu_s": used.ru_utime + used.ru_stime}


def _become(step: dict[str, Any], entry: str, log: Path) -> None:
    """In the child: never returns."""
    code = 1
    try:
        _redirect(log, step["says"])
        code = _status(step["words"], entry)
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _redirect(log: Path, says: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    noise = os.open(log, flags)
    os.write(noise, b"\n")
    os.dup2(os.open(says, flags) if says else noise, 1)
    os.dup2(noise, 2)


def _status(words: list[str], entry: str) -> int:
    try:
        sys.argv = list(words)
        if words[0] == "props":
            runpy.run_path(str(PROPS), run_name="__main__")
        else:
            module, function = entry.split(":")
            getattr(importlib.import_module(module), function)()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else bool(left.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
