"""Is learning from many sources worth more than from one?  Baselines on a source left out.

For each source, its posts are judged by models that learned from others: all of them, as many
posts of all sources, and, at equal size, a mixture of the others against each of them alone.
ROC-AUC needs no threshold, which would have to come from somewhere.

    rows, overall = breadth.compare(distil, unused, "tfidf_lr", resamples=1000, seed=0)
"""

import numpy as np
import pandas as pd

from hsd_utils import baselines, bootstrap, contamination, metrics

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
    rows, differences = [], []
    enough = pd.crosstab(taught["source"], taught["label"]).reindex(columns=[0, 1], fill_value=0)
    able = taught[taught["source"].map((enough >= FEWEST).all(axis=1))]
    for source in sorted(taught["source"].unique()):
        target, others = tested[tested["source"] == source], able[able["source"] != source]
        least = min((target["label"] == label).sum() for label in (0, 1))
        if least < FEWEST or others["source"].nunique() < 2:
            continue
        label, size = target["label"].to_numpy(), int(others.groupby("source").size().min())
        weights = [np.ones((1, len(label))), *metrics.draws(label, resamples, seed)]
        weights = np.concatenate(weights)  # the posts themselves, then the resamples

        def auc(posts, target=target, label=label, weights=weights):
            p_hate = baselines.fit(name, posts, seed)(target["text"])
            return metrics.on_scores(label, p_hate, weights)["roc_auc"]

        single = {other: auc(even(part, size, seed)) for other, part in others.groupby("source")}
        found = {
            "with it": auc(even(taught, len(others), seed)),
            "without it": auc(others),
            "many": auc(even(others, size, seed)),
            "one": np.mean(list(single.values()), axis=0),
        }
        differences.append(found["many"] - found["one"])
        found["many - one"] = differences[-1]
        row = {"model": name, "source": source, "posts": len(target)}
        row |= {"learned_from": len(others), "equal_size": size}
        row |= {title: bootstrap.interval(v[0], v[1:]) for title, v in found.items()}
        rows.append(row | {"alone": {other: float(v[0]) for other, v in single.items()}})
    table = pd.DataFrame(rows, columns=COLUMNS)
    if not differences:
        return table, bootstrap.absent("fewer than three sources")
    fewest = min(map(len, differences))
    mean = np.mean([values[:fewest] for values in differences], axis=0)
    return table, bootstrap.interval(mean[0], mean[1:])


def even(posts: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """``size`` posts, drawn as evenly over sources and labels as there are posts of each."""
    mixed = posts.sample(frac=1, random_state=seed)
    return contamination.spread(mixed, ["source", "label"], size)
