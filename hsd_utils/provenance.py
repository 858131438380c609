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
import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import papermill
from IPython.core.inputtransformer2 import TransformerManager

from hsd_utils import paths, tables
from hsd_utils.machine import environment
from hsd_utils.paths import Run

PUBLIC = "data:"  # a file under HSD_DATA_DIR, or in the cache where it is not there
STAGES = tuple(sorted(p.stem for p in paths.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")))


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
        return {"run": self.run.name, **environment()}

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
            "notebook": _code(self.name),
            "modules": modules(self.name),
            "inputs": self._hashes(inputs),
            "outputs": self._hashes([*outputs, self.run.results(self.name)]),
        }
        write_json(self.run.stage_manifest(self.name), manifest)
        assemble(self.run)

    def _hashes(self, files: Iterable[Path]) -> dict[str, str]:
        return {_name(self.run, Path(f).resolve()): paths.sha256(f) for f in files}


def stale(run: Run, stage: str, parameters: Mapping[str, Any]) -> str | None:
    """Why a stage has to run (again) with these parameters; None when it is done."""
    path = run.stage_manifest(stage)
    if not path.exists():
        return "not run yet"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        recorded = {key: manifest[key] for key in ("parameters", "notebook", "modules")}
        known, files = recorded["parameters"], manifest["inputs"] | manifest["outputs"]
        changed = [k for k, v in parameters.items() if k not in known or known[k] != v]
    except (ValueError, KeyError, TypeError):
        return "its manifest is damaged"
    if changed:
        return f"parameter {', '.join(changed)} changed"
    if recorded["notebook"] != _code(stage):
        return "the notebook changed"
    if recorded["modules"] != modules(stage):
        return "the code it imports changed"
    for name in files:
        if not name.startswith(PUBLIC) and not (run.folder / name).exists():
            return f"{name} is missing"
    return f"{changed[0]} changed" if (changed := _changed(run, files)) else None


def _changed(run: Run, files: Mapping[str, str]) -> list[str]:
    """Those of ``files`` (name -> SHA-256) that are there with another content."""
    return [
        name
        for name, digest in files.items()
        if (file := _file(run, name)).exists() and paths.sha256(file) != digest
    ]


def _name(run: Run, file: Path) -> str:
    """Relative to the run or, of public data, to theirs: it can be moved and checked elsewhere."""
    folder, roots = run.folder.resolve(), [paths.cache() / "data", paths.data_dir()]
    for root in [] if file.is_relative_to(folder) else filter(None, roots):
        if file.is_relative_to(root.resolve()):
            return PUBLIC + file.relative_to(root.resolve()).as_posix()
    return os.path.relpath(file, folder)


def _file(run: Run, name: str) -> Path:
    public = name.startswith(PUBLIC)
    return paths.public(name.removeprefix(PUBLIC)) if public else run.folder / name


def assemble(run: Run) -> dict[str, Any]:
    """metrics.json and manifest.json from the stages' files; returns the metrics.

    Each stage has names of its own in metrics.json.
    """
    metrics, stages = {}, {}
    for stage in STAGES:
        # Left out: a stage that has not run, is under way, or whose files are damaged, and one
        # whose inputs were made anew since: its numbers are about something else.
        with suppress(OSError, ValueError):
            manifest = json.loads(run.stage_manifest(stage).read_text(encoding="utf-8"))
            if _changed(run, manifest["inputs"]):
                continue
            metrics |= json.loads(run.results(stage).read_text(encoding="utf-8"))
            stages[stage] = manifest
    write_json(run.metrics, metrics)
    latest = max(stages.values(), key=lambda s: s["finished"], default={})
    summary = {key: latest.get(key) for key in ("commit", "packages", "hardware")}
    summary["seconds"] = {name: stage["seconds"] for name, stage in stages.items()}
    summary["seeds"] = {n: s["parameters"].get("seed") for n, s in stages.items()}
    told = ("finished", "commit", "hardware", "parameters", "inputs", "outputs")
    summary["stages"] = {name: {k: s[k] for k in told} for name, s in stages.items()}
    write_json(run.manifest, summary)
    return metrics


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON atomically: a reader sees the old file or the new one, never a half.

    What is not a finite number becomes null, as in ``tables.to_json``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(tables.to_json(value), encoding="utf-8")
    os.replace(part, path)


def defaults(stage: str) -> dict[str, Any]:
    """Names and default values of a notebook's parameters cell."""
    if stage not in STAGES:
        raise ValueError(f"unknown notebook {stage!r}: one of {', '.join(STAGES)}")
    found = papermill.inspect_notebook(str(paths.NOTEBOOKS / f"{stage}.ipynb"))
    return {name: ast.literal_eval(about["default"]) for name, about in found.items()}


def modules(stage: str) -> dict[str, str]:
    """Hash of every module of hsd_utils that a notebook imports, directly or through others.

    A package counts with all its files, since it may load them by name.
    """
    plain = TransformerManager().transform_cell  # magics, shell lines and x? as Python
    waiting = set().union(*(_imported(plain(cell)) for cell in _cells(stage)))
    seen: dict[str, str] = {}
    package = paths.REPOSITORY / "hsd_utils"
    while waiting:
        name = waiting.pop()
        folder, file = package / name, package / f"{name}.py"
        files = sorted(f for f in folder.rglob("*") if f.is_file() and not _left(f, folder))
        files = files if folder.is_dir() else [file]
        if name in seen or not files[0].exists():
            continue
        seen[name] = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()
        for source in (f for f in files if f.suffix == ".py"):
            waiting |= _imported(source.read_text(encoding="utf-8"))
    return dict(sorted(seen.items()))


def _left(file: Path, folder: Path) -> bool:
    """Whether the file is a page for people, or Python or JupyterLab left it beside ours."""
    parts = file.relative_to(folder).parts
    return file.suffix == ".md" or any(p[0] == "." or p == "__pycache__" for p in parts)


def _imported(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            begun = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            whole = [begun + alias.name for alias in node.names]
            names |= {name.split(".")[1] for name in whole if name.startswith("hsd_utils.")}
    return names


def _cells(stage: str) -> list[str]:
    """A notebook's code, cell by cell, without its prose and what Run All leaves in it."""
    file = paths.NOTEBOOKS / f"{stage}.ipynb"
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]


def _code(stage: str) -> str:
    return hashlib.sha256("\n".join(_cells(stage)).encode()).hexdigest()
