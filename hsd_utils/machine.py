"""What a number was measured on (commit, versions, hardware), and processes to measure it in.

python -c "from hsd_utils.machine import environment; print(environment())"
"""

import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from hsd_utils import paths

PACKAGES = (
    "torch transformers trl peft unsloth bitsandbytes datasets openvino-genai papermill "
    "numpy pandas scikit-learn"
).split()


@cache
def environment() -> dict[str, Any]:
    """Commit (with "+" for uncommitted changes), package versions and hardware."""
    versions = dict.fromkeys(PACKAGES)
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    hardware = {
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": _output_of("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"),
        "python": platform.python_version(),
        "system": platform.system(),
    }
    commit = _output_of("git", "rev-parse", "--short=12", "HEAD")
    if commit and _output_of("git", "status", "--porcelain", "--untracked-files=no"):
        commit += "+"
    return {"commit": commit, "packages": versions, "hardware": hardware}


@cache
def in_float32() -> bool:
    """Whether torch multiplies faster in float32 than in bfloat16 on this CPU, found by trying.

    An Intel without AMX took 1.8 times as long in bfloat16, held to AVX-512 without its BF16 five
    times.  False where there is a GPU.
    """
    import torch
    from torch.utils.benchmark import Timer

    if torch.cuda.is_available():
        return False
    both = [torch.ones(512, 512, dtype=kind) for kind in (torch.bfloat16, torch.float32)]
    half, full = (Timer("a @ a", globals={"a": a}).blocked_autorange().median for a in both)
    return half > full


def apart(module: str, *options: str, request: Any, failed: str, env: Mapping | None = None) -> Any:
    """What a module of hsd_utils, run in a process of its own, prints last, as JSON.

    request: its standard input, as JSON; env: its environment, by default ours.  Raises
    RuntimeError, which says what ``failed`` in the process's own last words.
    """
    command = [sys.executable, "-m", f"hsd_utils.{module}", *options]
    told = {"input": json.dumps(request), "env": env}
    done = subprocess.run(command, capture_output=True, text=True, **told)
    if done.returncode:
        raise RuntimeError(f"{failed}:\n{done.stderr[-2500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _output_of(*command: str) -> str | None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=paths.REPOSITORY, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")
