"""What ran, on what, from what: stage manifests, and what is assembled from them.

A stage writes its outputs, then its results, and last its manifest: hashes of the notebook, of
the modules it imports, of its inputs and outputs, and its parameters.  A stage is done when all
of them still match.  ``metrics.json`` and ``manifest.json`` are put together from the stages'
files, here and nowhere else.

    stage = Stage("04_evaluation", globals())
    ...
    stage.finish(inputs=[run.sample("eval")], outputs=[...], results={"models": ...})
"""

import ast
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import papermill
import psutil

from hsd_utils import paths
from hsd_utils.paths import Run

STAGES = tuple(sorted(p.stem for p in paths.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")))
PACKAGES = (
    "torch transformers trl peft unsloth bitsandbytes datasets openvino-genai papermill "
    "numpy pandas scikit-learn"
).split()


class Stage:
    """One execution of one notebook.

    ``namespace`` is the notebook's ``globals()``: the values of the names in its parameters
    cell are recorded.  ``run`` is among them.  Raises ValueError for an unknown stage.
    """

    def __init__(self, name: str, namespace: Mapping[str, Any]):
        self.name = name
        self.parameters = {p: namespace[p] for p in defaults(name)}
        self.run = Run(self.parameters["run"])
        self.started = time.perf_counter()
        # The manifest of an earlier execution no longer holds once its outputs are rewritten.
        self.run.stage_manifest(name).unlink(missing_ok=True)

    def describe(self) -> dict[str, Any]:
        """Commit, packages and hardware: the line every notebook shows first."""
        return {"run": str(self.run.name), **environment()}

    def finish(
        self, inputs: Iterable[Path], outputs: Iterable[Path], results: Mapping[str, Any]
    ) -> None:
        """Write the results and, last, the manifest; then assemble the run's two summaries.

        Raises FileNotFoundError when an output that should be there is not.
        """
        write_json(self.run.results(self.name), results)
        manifest = {
            "stage": self.name,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self.started, 1),
            **environment(),
            "parameters": self.parameters,
            "notebook": file_hash(_notebook(self.name)),
            "modules": modules(self.name),
            "inputs": self._hashes(inputs),
            "outputs": self._hashes([*outputs, self.run.results(self.name)]),
        }
        write_json(self.run.stage_manifest(self.name), manifest)
        assemble(self.run)

    def _hashes(self, files: Iterable[Path]) -> dict[str, str]:
        return {_relative(Path(f), self.run): file_hash(Path(f)) for f in files}


def stale(run: Run, stage: str, parameters: Mapping[str, Any]) -> str | None:
    """Why a stage has to run (again) with these parameters; None when it is done."""
    path = run.stage_manifest(stage)
    if not path.exists():
        return "not run yet"
    try:
        manifest = json.loads(path.read_text())
        recorded = {key: manifest[key] for key in ("parameters", "notebook", "modules")}
        files = manifest["inputs"] | manifest["outputs"]
    except (ValueError, KeyError, TypeError):
        return "its manifest is damaged"
    changed = [k for k, v in parameters.items() if recorded["parameters"].get(k, v) != v]
    changed += [k for k in parameters if k not in recorded["parameters"]]
    if changed:
        return f"parameter {', '.join(changed)} changed"
    if recorded["notebook"] != file_hash(_notebook(stage)):
        return "the notebook changed"
    if recorded["modules"] != modules(stage):
        return "the code it imports changed"
    for name, digest in files.items():
        file = run.folder / name
        if not file.exists():
            return f"{name} is missing"
        if file_hash(file) != digest:
            return f"{name} changed"
    return None


def assemble(run: Run) -> dict[str, Any]:
    """metrics.json and manifest.json from the stages' files; returns the metrics."""
    metrics: dict[str, Any] = {}
    stages = {}
    for stage in STAGES:
        if run.stage_manifest(stage).exists() and run.results(stage).exists():
            merge(metrics, json.loads(run.results(stage).read_text()))
            stages[stage] = json.loads(run.stage_manifest(stage).read_text())
    write_json(run.metrics, metrics)
    latest = max(stages.values(), key=lambda s: s["finished"], default={})
    summary = {key: latest.get(key) for key in ("commit", "packages", "hardware")}
    summary["seconds"] = {name: stage["seconds"] for name, stage in stages.items()}
    summary["seeds"] = {n: s["parameters"].get("seed") for n, s in stages.items()}
    summary["stages"] = {
        name: {k: s[k] for k in ("finished", "commit", "parameters", "inputs", "outputs")}
        for name, s in stages.items()
    }
    write_json(run.manifest, summary)
    return metrics


def merge(into: dict, other: Mapping) -> dict:
    """Put ``other`` into ``into``, dicts merged key by key, anything else replaced."""
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value
    return into


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: a reader sees the old file or the new one, never a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, path)


def defaults(stage: str) -> dict[str, Any]:
    """Names and default values of a notebook's parameters cell."""
    if stage not in STAGES:
        raise ValueError(f"unknown notebook {stage!r}: one of {', '.join(STAGES)}")
    found = papermill.inspect_notebook(str(_notebook(stage)))
    return {name: ast.literal_eval(about["default"]) for name, about in found.items()}


@lru_cache
def environment() -> dict[str, Any]:
    """Commit (with "+" for uncommitted changes), package versions and hardware."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
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


def modules(stage: str) -> dict[str, str]:
    """Hash of every module of hsd_utils that a notebook imports, directly or through others.

    A package counts with all its files, since it may load them by name.
    """
    notebook = json.loads(_notebook(stage).read_text(encoding="utf-8"))
    code = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    waiting = _imported("\n".join(line for line in "\n".join(code).split("\n") if line[:1] != "%"))
    seen: dict[str, str] = {}
    package = paths.REPOSITORY / "hsd_utils"
    while waiting:
        name = waiting.pop()
        folder, file = package / name, package / f"{name}.py"
        files = sorted(f for f in folder.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
        files = files if folder.is_dir() else [file]
        if name in seen or not files[0].exists():
            continue
        seen[name] = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()
        for source in (f for f in files if f.suffix == ".py"):
            waiting |= _imported(source.read_text(encoding="utf-8"))
    return dict(sorted(seen.items()))


def _imported(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "hsd_utils":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hsd_utils."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("hsd_utils.")}
    return names


def file_hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _notebook(stage: str) -> Path:
    return paths.NOTEBOOKS / f"{stage}.ipynb"


def _relative(path: Path, run: Run) -> str:
    """Relative to the run where possible, so that a run can be moved and checked elsewhere."""
    return os.path.relpath(path.resolve(), run.folder.resolve())


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
