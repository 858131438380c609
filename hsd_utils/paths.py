"""Where everything lies: the run folder and one name for each artefact of the notebooks.

Three environment variables move the roots:
``HSD_OUTPUTS`` (runs; default ``outputs/`` of the repository), ``HSD_CACHE`` (weights and
answers already paid for; default the user's cache folder) and ``HSD_DATA_DIR`` (public data
sets already on disk; default: none, they are downloaded into the cache once).

    python -c "from hsd_utils.paths import Run; print(Run('demo').sample('eval'))"
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

REPOSITORY = Path(__file__).resolve().parent.parent
NOTEBOOKS = REPOSITORY / "notebooks"
PROFILES = NOTEBOOKS / "profiles"
SPLITS = ("distil", "dev", "cal", "eval")
ROOTS = ("HSD_OUTPUTS", "HSD_CACHE", "HSD_DATA_DIR")


def cache() -> Path:
    """Folder of weights, downloads and stored answers; ``make clean`` spares it."""
    return Path(os.environ.get("HSD_CACHE") or platformdirs.user_cache_dir("hsd_utils"))


def data_dir() -> Path | None:
    """Folder of public data sets already on disk, or None when none was named."""
    named = os.environ.get("HSD_DATA_DIR")
    return Path(named) if named else None


def public(relative: str) -> Path:
    """A file of a public data set: under ``HSD_DATA_DIR`` where it is there, else in the cache."""
    local = data_dir() and data_dir() / relative
    return local if local and local.is_file() else cache() / "data" / relative


def ids(name: str) -> list[str]:
    """A list of posts' ids beside the notebooks, one a line; empty where none is named."""
    return (NOTEBOOKS / name).read_text(encoding="utf-8").splitlines() if name else []


def offline() -> bool:
    """Whether ``HF_HUB_OFFLINE`` keeps everything off the network, as it does for the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in {"1", "true", "yes", "on"}


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def append(file: Path, row: Mapping[str, Any]) -> None:
    """A row more of JSON lines, on disk at once.

    A line that a kill cut off is ended first, so that it costs no other.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.read_bytes()[-1:] if file.exists() else b""
    with open(file, "a", encoding="utf-8", newline="\n") as lines:
        lines.write(("" if before in (b"", b"\n") else "\n") + json.dumps(row) + "\n")
        lines.flush()
        os.fsync(lines.fileno())


def lines(file: Path) -> list[Any]:
    """The rows that ``append`` wrote, None for each that was cut off; [] where there is no file."""
    rows = []
    for line in file.read_bytes().splitlines() if file.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            rows.append(None)
    return rows


def outputs() -> Path:
    return Path(os.environ.get("HSD_OUTPUTS") or REPOSITORY / "outputs")


@dataclass(frozen=True)
class Run:
    """One run of the pipeline: a folder under ``outputs/`` and the names of what is in it.

    Raises ValueError for a name that is not a plain folder name.
    """

    name: str

    def __post_init__(self):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise ValueError(
                f"run name {self.name!r}: use letters, digits, '.', '_' and '-' only, "
                "for example 'demo' or 'my-data_2'"
            )

    @property
    def folder(self) -> Path:
        return outputs() / self.name

    def sample(self, split: str) -> Path:
        """JSON Lines of one split; see ``posts`` for its columns."""
        if split not in SPLITS:
            raise ValueError(f"split {split!r}: one of {', '.join(SPLITS)}")
        return self.folder / "samples" / f"{split}.jsonl"

    def rationales(self, split: str) -> Path:
        """The teacher's parsed verdicts on the ``distil`` or ``dev`` posts."""
        return self.folder / "rationales" / f"{split}.jsonl"

    def student(self, folder: str) -> Path:
        """One trained student, named after recipe and seed: adapter, tokenizer, log, card."""
        return self.folder / "students" / folder

    def predictions(self, model: str, split: str) -> Path:
        return self.folder / "predictions" / f"{model}-{split}.jsonl"

    def ratings(self, name: str) -> Path:
        """Sheet and forms for raters; by_rater/ and returned/ are for who runs the study."""
        return self.folder / "ratings" / name

    @property
    def ratings_key(self) -> Path:
        """Which model wrote what; not in the folder that goes to raters."""
        return self.folder / "ratings-key.jsonl"

    def study(self, name: str) -> Path:
        """What ``make study`` keeps: finished cells, their P(hate), what the teacher said."""
        return self.folder / "study" / name

    def figure(self, name: str, suffix: str) -> Path:
        """``suffix`` is ``pdf``, ``png`` or ``json`` (the data behind the figure)."""
        return self.folder / "figures" / f"{name}.{suffix}"

    def table(self, name: str, suffix: str) -> Path:
        """``suffix`` is ``tex`` or ``json``."""
        return self.folder / "tables" / f"{name}.{suffix}"

    def figures(self, *names: str) -> list[Path]:
        """All files of some figures: what a stage lists as its outputs."""
        return [self.figure(name, suffix) for name in names for suffix in ("pdf", "png", "json")]

    def tables(self, *names: str) -> list[Path]:
        return [self.table(name, suffix) for name in names for suffix in ("tex", "json")]

    def executed(self, stage: str) -> Path:
        """The executed copy of a notebook (it may show posts; never committed)."""
        return self.folder / "notebooks" / f"{stage}.ipynb"

    def results(self, stage: str) -> Path:
        """What one stage measured; ``metrics`` is assembled from these."""
        return self.folder / "stages" / f"{stage}.results.json"

    def measured(self, stage: str) -> dict[str, Any]:
        return json.loads(self.results(stage).read_text(encoding="utf-8"))

    def stage_manifest(self, stage: str) -> Path:
        """Written last by a stage: what ran, on what, from what."""
        return self.folder / "stages" / f"{stage}.manifest.json"

    def parameters(self, stage: str) -> dict[str, Any]:
        return json.loads(self.stage_manifest(stage).read_text(encoding="utf-8"))["parameters"]

    @property
    def ledger(self) -> Path:
        """Every read of the labels of ``eval``, a line each; see ``ledger``."""
        return self.folder / "eval_reads.jsonl"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.json"

    @property
    def summary(self) -> Path:
        """results.md: the tables and figures of the run, for people."""
        return self.folder / "results.md"
