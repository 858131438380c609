"""Samples of an earlier run, taken over so that its student is put to posts of a new draw.

Notebook 01 names that run in ``kept_from``: distil, dev and cal are its own, byte for byte, and
``eval`` is drawn like none of its posts.

    kept, known = earlier.samples("reference", stage.parameters)
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from hsd_utils import paths, posts
from hsd_utils.paths import SPLITS, Run

ALIKE = ("label_mapping", "anonymise", "near_duplicate")  # or eval is another task than was learned


def samples(kept_from: str, asked: Mapping[str, Any]) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """distil, dev and cal of run ``kept_from``, and the ids of all posts that it drew or knew of.

    asked: the parameters of 01 now.  Raises FileNotFoundError where the samples are not here and
    ValueError for parameters under which the new posts would be others than those learned from,
    or could be like them.
    """
    run = Run(kept_from)
    files = [run.stage_manifest("01_sampling"), *map(run.sample, SPLITS)]
    if not all(file.exists() for file in files):
        raise FileNotFoundError(
            f"kept_from: run {run.name} has no samples here; make them, by --only 01 of its profile"
        )
    theirs = run.parameters("01_sampling")
    wrong = [f"{name} was {theirs[name]!r} there" for name in ALIKE if asked[name] != theirs[name]]
    if kept_from == asked["run"]:
        wrong.append("it is this run: give the new one another name")
    if missing := sorted(set(theirs["sources"]) - set(asked["sources"])):
        wrong.append(f"read {missing} too, or nothing tells what is like their posts")
    if not asked["read_before_anywhere"]:
        wrong.append("read_before_anywhere must be True")
    found = {split: posts.read_jsonl(run.sample(split)) for split in SPLITS}
    for split in SPLITS[:-1]:
        if len(found[split]) != asked[f"{split}_size"]:
            wrong.append(f"{split}_size is {len(found[split])} there")
    if wrong:
        raise ValueError(f"kept_from {kept_from}: {'; '.join(wrong)}")
    lists = (theirs[name] for name in ("read_before", "drawn_before"))
    drawn = [i for sample in found.values() for i in sample["id"]]
    del found["eval"]
    return found, [*drawn, *(i for name in lists for i in paths.ids(name))]


def known(run: Run) -> dict[str, pd.DataFrame]:
    """All samples of a run, and the ``eval`` of the one that its others were taken from."""
    found = {split: posts.read_jsonl(run.sample(split)) for split in SPLITS}
    if kept_from := run.parameters("01_sampling").get("kept_from"):
        found["kept"] = posts.read_jsonl(Run(kept_from).sample("eval"))
    return found
