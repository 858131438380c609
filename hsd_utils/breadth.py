"""Is learning from many sources worth more than from one?  Judged on a source left out.

For each source, its posts are judged by models that learned from others: all of them, as many
posts of all sources, and, at equal size, a mixture of the others against each of them alone.
Baselines are trained here; students are cells of the study.  ROC-AUC needs no threshold, which
would have to come from somewhere.

    rows, overall = breadth.compare(distil, unused, "tfidf_lr", resamples=1000, seed=0)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hsd_utils import ablations, baselines, bootstrap, contamination, metrics
from hsd_utils.paths import Run

FEWEST = 5  # posts of a label: fewer teach nothing, and no ROC-AUC rests on them
COLUMNS = ["model", "source", "posts", "learned_from", "with it", "without it"]
COLUMNS += ["equal_size", "many", "one", "many - one", "alone"]


def compare(
    taught: pd.DataFrame, tested: pd.DataFrame, name: str, *, resamples: int, seed: int
) -> tuple[pd.DataFrame, dict]:
    """A row a source with COLUMNS, and the mean of ``many - one`` over the sources.

    taught and tested: posts with source, text and label; name: of ``baselines.BASELINES``.
    ``with it`` and ``without it`` learned from ``learned_from`` posts, ``many`` and ``one`` (the
    mean over single sources) from ``equal_size``.  Measures are ROC-AUC as {value, low, high},
    95% percentile intervals over the tested posts; ``alone`` has each single source's value.
    A source is left out where it has fewer than FEWEST posts of a label, or fewer than two others
    can teach, which takes as many.
    """
    found = []
    able = taught.groupby("source").filter(_enough)
    for source in sorted(taught["source"].unique()):
        target, others = tested[tested["source"] == source], able[able["source"] != source]
        if not _enough(target) or others["source"].nunique() < 2:
            continue
        size = int(others.groupby("source").size().min())
        row = {"model": name, "source": source, "learned_from": len(others), "equal_size": size}

        def said(posts, target=target):
            return [baselines.fit(name, posts, seed)(target["text"])]

        alone = {other: said(even(part, size, seed)) for other, part in others.groupby("source")}
        learned = {
            "with it": said(even(taught, len(others), seed)),
            "without it": said(others),
            "many": said(even(others, size, seed)),
        }
        found.append((row, target["label"].to_numpy(), learned, alone))
    return _measured(found, resamples, seed)


def of_students(
    run: Run, done: Sequence[Mapping], judged: Mapping[str, pd.DataFrame], resamples: int, seed: int
) -> tuple[pd.DataFrame, dict]:
    """The same of the study's students: cells that differ in the ``sources`` they learn from.

    done: of ``study.finished``; judged: split -> posts that the cells were asked about.  All cells
    learned from as many posts, so that ``many`` is ``without it``.  A source waits until all its
    cells are done, the mean until all sources are.  Of several trainings the measure is the mean.
    Raises ValueError where cells differ in more than their sources.
    """
    apart = [_plain(row) for row in done if row["changes"].get("sources")]
    if any(settings != apart[0] for settings in apart):
        raise ValueError("cells of the study that name sources differ in more than these")
    cells = {frozenset(r["changes"].get("sources", ())): r for r in done if _plain(r) in apart}
    said = {named: _p_hate(run, done, row["name"], judged) for named, row in cells.items()}
    posts, found, left = pd.concat(judged.values()), [], False
    known = frozenset(posts["source"])
    for source in sorted(known):
        others, target = known - {source}, posts[posts["source"] == source]
        learned = {"with it": frozenset(), "without it": others, "many": others}
        alone = {other: frozenset([other]) for other in sorted(others)}
        if len(others) < 2 or not _enough(target):
            continue
        if {*learned.values(), *alone.values()} - cells.keys():
            left = True
            continue
        p_hate = {k: [p[target["id"]].to_numpy() for p in each] for k, each in said.items()}
        learned = {title: p_hate[named] for title, named in learned.items()}
        alone = {other: p_hate[named] for other, named in alone.items()}
        size = cells[others]["n"]
        row = {"model": "student", "source": source, "learned_from": size, "equal_size": size}
        found.append((row, target["label"].to_numpy(), learned, alone))
    rows, overall = _measured(found, resamples, seed)
    if left:
        return rows, bootstrap.absent("cells of the study that name sources are left to train")
    return rows, overall | ({"trainings": min(map(len, said.values()))} if found else {})


def _measured(found: Sequence[tuple], resamples: int, seed: int) -> tuple[pd.DataFrame, dict]:
    """Of each source its row, its posts' labels, and what was said of them, by what was learned
    and by single source: P(hate) of each training."""
    rows, differences = [], []
    for row, label, learned, single in found:
        weights = np.concatenate(list(metrics.draws(label, resamples, seed)))

        def auc(trainings, label=label, weights=weights):
            each = [metrics.on_scores(label, p, weights)["roc_auc"] for p in trainings]
            return np.mean(each, axis=0)

        alone = {other: auc(said) for other, said in single.items()}
        values = {title: auc(said) for title, said in learned.items()}
        values["one"] = np.mean(list(alone.values()), axis=0)
        values["many - one"] = values["many"] - values["one"]
        differences.append(values["many - one"])
        shown = {title: bootstrap.interval(v) for title, v in values.items()}
        firsts = {other: float(v[0]) for other, v in alone.items()}
        rows.append(row | {"posts": len(label), "alone": firsts} | shown)
    table = pd.DataFrame(rows, columns=COLUMNS)
    if not differences:
        return table, bootstrap.absent("fewer than three sources with enough posts of each label")
    fewest = min(map(len, differences))
    return table, bootstrap.interval(np.mean([v[:fewest] for v in differences], axis=0))


def _plain(row: Mapping) -> dict[str, Any]:
    return {key: value for key, value in row["changes"].items() if key != "sources"}


def _p_hate(run: Run, done: Sequence[Mapping], name: str, judged: Mapping) -> list[pd.Series]:
    """P(hate) of each training of a cell, by post."""
    each = (ablations.trainings(run, done, name, rows, split) for split, rows in judged.items())
    return [pd.concat(splits)["p_hate"] for splits in zip(*each, strict=True)]


def _enough(posts: pd.DataFrame) -> bool:
    return min((posts["label"] == label).sum() for label in (0, 1)) >= FEWEST


def even(posts: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """``size`` posts, drawn as evenly over sources and labels as there are posts of each."""
    mixed = posts.sample(frac=1, random_state=seed)
    return contamination.spread(mixed, ["source", "label"], size)
