"""The ablation study: a grid of trainings, one factor at a time, most telling cells first.

The grid is data, ``notebooks/study.yaml`` or another beside it.  Each finished cell is at once a
line in the run's ``study/results.jsonl``, so that a killed study repeats none.  Cells are judged on
``dev``, with ``cal``'s best threshold; of ``eval`` final cells get the texts, 08 alone the labels.

    python -m hsd_utils.study reference --minutes 25
"""

import argparse
import difflib
import hashlib
import json
import math
import re
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from filelock import FileLock, Timeout

from hsd_utils import (
    contamination,
    faithfulness,
    metrics,
    objectives,
    paths,
    posts,
    predictions,
    provenance,
    rationales,
    scoring,
    supervision,
    trial,
)
from hsd_utils.machine import environment
from hsd_utils.paths import Run

FILE = paths.NOTEBOOKS / "study.yaml"
WORDS = {
    "model": ("student", "teacher"),
    "objective": objectives.OBJECTIVES,
    "label_source": supervision.SOURCES,
    "rationales": supervision.REASONS,
    "disagreement": (*rationales.DISAGREEMENT, "label_alone"),
    "loss_on": objectives.LOSS_ON,
    "tokens_as": ("", *objectives.OBJECTIVES),
}
OPTIONAL = ("definition", "smoothing", "averaged", "balanced", "sources")  # of a cell
JUDGED = ("macro_f1", "roc_auc")


def read(path: Path = FILE) -> dict[str, Any]:
    """The grid: posts, cells in the order of work, finals; beside: factor -> cells of other
    factors that its figure shows too.

    A cell, once a seed, has name, factor, seed, final, ``differs`` (from the baseline) and
    ``changes`` (what notebook 03's parameters do not give).  Raises ValueError, naming the
    nearest known word, for an unknown setting, value or cell, and for a name used twice.
    """
    grid = yaml.safe_load(path.read_text(encoding="utf-8"))
    rows = [row | {"factor": f["factor"]} for f in grid["factors"] for row in f.get("cells", [])]
    names = [row["name"] for row in rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{path.name}: two cells are called {twice[0]!r}: rename one")
    first, *others = grid["seeds"]
    made = {row["name"]: _cell(row, grid["baseline"], first) for row in rows}
    final = dict.fromkeys(pair[side] for pair in grid["finals"] for side in "ab")
    _known(final, [name for name in names if made[name]["final"]], "a final cell")
    beside: dict[str, list[str]] = {}
    # The teacher is not trained, so one seed is all there is of it.
    trained = [name for name in names if made[name]["changes"]["model"] != "teacher"]
    cells, waiting = [], [name for name in final if name in trained]
    for block in grid["factors"]:
        cells += [made[row["name"]] for row in block.get("cells", [])]
        if "cells" not in block:  # further seeds: of some cells, or of all final ones that wait
            open_ = waiting + [name for name in trained if name not in final]
            _known(block.get("of", []), open_, "a cell that waits for its seeds")
            now, seeds = block.get("of", waiting), block.get("seeds", others)
            cells += [made[name] | {"seed": seed} for name in now for seed in seeds]
            waiting = [name for name in waiting if name not in now]
        _known(block.get("beside", []), names, "a cell")
        beside.setdefault(block["factor"], []).extend(block.get("beside", []))
    return {"posts": grid["posts"], "cells": cells, "beside": beside, "finals": grid["finals"]}


def _cell(row: dict, baseline: dict, seed: int) -> dict[str, Any]:
    about = {"name": row.pop("name"), "factor": row.pop("factor"), "seed": seed}
    about["final"] = row.pop("final", False)
    _known(row, {*baseline, *OPTIONAL, *provenance.defaults(trial.NOTEBOOK)}, "a setting")
    changes = baseline | row
    for key, words in WORDS.items():
        _known([changes.get(key, words[0])], words, f"a {key}")
    try:
        supervision.check(changes)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{about['name']}: {error}") from None
    return about | {"differs": row, "changes": changes}


def _known(given, known, what: str) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.4)
            meant = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise ValueError(f"the grid: {name!r} is not {what}; {meant}")


def settings(run: Run, cell: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a cell: the parameters of the run's notebook 03, and what differs."""
    needed = [run.stage_manifest(trial.NOTEBOOK), run.results("04_evaluation")]
    if not all(file.exists() for file in [*needed, *map(run.sample, paths.SPLITS)]):
        raise FileNotFoundError(f"run {run.name} is not evaluated here yet: execute 01 to 04 first")
    left = ("run", "recipe", "further_seeds", "reveal")
    known = {k: v for k, v in run.parameters(trial.NOTEBOOK).items() if k not in left}
    steps = {"max_steps": -1} if "epochs" in cell["differs"] else {}  # they would override epochs
    return known | steps | cell["changes"] | {"seed": cell["seed"]}


def key(run: Run, cell: Mapping[str, Any], size: int) -> str:
    """What a finished cell is known by: its settings, the samples, how the teacher is asked, by
    which engine the student.  Not the student's instruction: who changes it removes the study."""
    samples = [paths.sha256(run.sample(split)) for split in paths.SPLITS]
    asked = supervision.known_as(supervision.teacher(run)), run.measured("04_evaluation")["asked"]
    whole = json.dumps([settings(run, cell), cell["final"], size, samples, asked], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def finished(run: Run, grid: Mapping[str, Any], size: int) -> tuple[list[dict], list[dict]]:
    """Results of the grid's cells, in its order, and the cells that are left."""
    rows = paths.lines(run.study("results.jsonl"))
    known = {row["key"]: row for row in rows if row}  # a cell cut off by a kill is worked on again
    known = {k: row for k, row in known.items() if run.study(f"{k}.jsonl").exists()}
    keyed = [(known.get(key(run, cell, size)), cell) for cell in grid["cells"]]
    # Name and factor may be changed without a new training.
    done = [row | {k: cell[k] for k in ("name", "factor")} for row, cell in keyed if row]
    return done, [cell for row, cell in keyed if not row]


def execute(run: Run, grid: Mapping[str, Any], size: int, minutes: float = math.inf):
    """Work through the cells that are left; yields a line for each done, and for one that failed.

    No cell is begun once ``minutes`` have passed; one that failed is left for the next call.
    """
    started = time.perf_counter()
    for cell in finished(run, grid, size)[1]:
        clock = time.perf_counter()
        if clock - started >= 60 * minutes:
            return
        shown = f"{cell['name']}, seed {cell['seed']}"
        try:
            row = _worked(run, cell, size)
        except (RuntimeError, ValueError, FileNotFoundError, ConnectionError) as error:
            yield f"{shown}: failed: {error}"
            continue
        paths.append(run.study("results.jsonl"), row)
        found = ", ".join(f"{name} {row['metrics'][name]['value']:.3f}" for name in JUDGED)
        yield f"{shown}: {found}; {time.perf_counter() - clock:.0f} s"


def _worked(run: Run, cell: Mapping[str, Any], size: int) -> dict[str, Any]:
    """The result of one cell; its P(hate) is kept, its weights are not."""
    used, digest = settings(run, cell), key(run, cell, size)
    splits = ["dev", "cal", *(["eval"] if cell["final"] else [])]
    samples = {split: posts.read_jsonl(run.sample(split)) for split in splits}
    table = pd.concat([s[["id", "text"]] for s in samples.values()], ignore_index=True)
    about = {"n": 0, "tokens": 0, "seconds": 0.0, "objective": None, "label_source": None}
    if used["model"] == "teacher":
        p = supervision.teacher_p(run, table, used["prompts"])
    else:
        folder = run.study(re.sub(r"\W+", "-", f"{cell['name']}-{cell['seed']}"))
        about |= _trained(run, used, round(used["size"] * size), samples["dev"], folder)
        asked = run.measured("04_evaluation")["asked"]
        with scoring.student(used | {"base": used["student"]}, asked, adapter=folder) as classifier:
            p = classifier.p_hate(table)
            if used["objective"] != "label_only":
                hateful = samples["dev"][samples["dev"]["label"] == 1]
                about["quoting"] = faithfulness.quoting(classifier, hateful, used["seed"])
        shutil.rmtree(folder, ignore_errors=True)
    split = np.repeat(splits, [len(samples[s]) for s in splits])
    rows = table[["id"]].assign(split=split, p_hate=predictions.ranked(p), unread=np.isnan(p))
    on = {s: rows[rows["split"] == s]["p_hate"] for s in splits}
    threshold = metrics.best_threshold(samples["cal"]["label"], on["cal"])
    rows["predicted"] = (rows["p_hate"] >= threshold).astype(int)
    predictions.write(rows, run.study(f"{digest}.jsonl"))
    label, said = samples["dev"]["label"], predictions.verdicts(p, threshold)[split == "dev"]
    judged = metrics.classification(label, on["dev"], said, seed=used["seed"])
    learned = objectives.taught_by(used["label_source"], used["disagreement"])
    about |= {"key": digest, "seed": cell["seed"], "posts": size, "changes": cell["changes"]}
    return about | {
        "supervision": "none" if used["model"] == "teacher" else learned,
        "threshold": threshold,
        "unread": int(rows["unread"].sum()),
        "commit": environment()["commit"],
        "metrics": {name: judged[name] for name in JUDGED},
    }


def _trained(run: Run, used: Mapping, wanted: int, dev: pd.DataFrame, folder: Path) -> dict:
    """Trains the student of a cell into ``folder``; what is known of that."""
    dev = posts.of_sources(dev, used.get("sources"))
    judges = contamination.spread(dev, ["source", "label"], min(100, max(4, wanted // 5)))
    chosen = {"distil": supervision.posts_for(run, used, wanted), "dev": judges}
    targets = {s: supervision.taught(run, rows, used) for s, rows in chosen.items()}
    about = trial.fit(targets, used, folder) | {"n": len(targets["distil"])}
    return about | {key: used[key] for key in ("objective", "label_source")}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hsd_utils.study", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("run", help="a run of which 01 to 04 are done")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no cell after these")
    parser.add_argument("--grid", default=FILE.name, help="beside the notebooks (%(default)s)")
    parser.add_argument("--posts", type=int, help="of a cell of size 1 (default: the grid's)")
    options = parser.parse_args(arguments)
    try:
        run, grid = Run(options.run), read(paths.NOTEBOOKS / options.grid)
        size = options.posts or grid["posts"]
        finished(run, grid, size)  # what is wrong with the run is said before anything is locked
        with FileLock(run.folder / ".lock", timeout=0):
            for line in execute(run, grid, size, options.minutes):
                print(line, flush=True)
        done, left = finished(run, grid, size)
    except Timeout:
        print(f"study: run {options.run} is being executed by another process", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"study: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("study: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(f"{len(done)} cells done, {len(left)} left" + (": the same command goes on" * bool(left)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
