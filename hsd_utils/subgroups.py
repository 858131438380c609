"""Where does a model fail?  Test cases by functionality, and groups spoken of.

Cases of one template (a post's ``group``) mostly stand or fall together, and HateCheck's 3,728 come
from 845 templates.  So intervals are those of as many posts as there are groups.

python -c "import pandas as pd; from hsd_utils import subgroups; print(subgroups.cases(
    pd.DataFrame({'label': [1, 0], 'case': ['a', 'b'], 'group': ['t1', 't2']}),
    {'student': [1, 1]}, 'case'))"
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import confint_proportions_2indep

from hsd_utils import bootstrap, metrics, statistics

LEAST = 10  # posts of a label, to rank them against the others


def cases(posts: pd.DataFrame, models: Mapping[str, Sequence], column: str) -> pd.DataFrame:
    """Share of right verdicts for each value of ``column``, those weakest of the first model first.

    models: name -> verdicts (n,), 0/1 or missing (wrong).  Columns: the value, posts,
    always_hateful (the share of hateful posts: what always saying hate gets right), and ``share``
    of the right ones under each model's name.  A post of several groups ("a, b") counts
    in each; posts without a value are left out.  Meant for HateCheck's 29 functionalities and 7
    targets (Roettger et al. 2021).
    """
    label = posts["label"].to_numpy()
    table = pd.DataFrame({column: _split(posts[column]), "hate": label})
    table["group"] = posts["group"].to_numpy()
    for name, predicted in models.items():
        table[name] = metrics.answers(label, predicted) == label
    rows = []
    for value, part in table.explode(column).groupby(column):
        row = {column: value, "posts": len(part), "always_hateful": float(part["hate"].mean())}
        rows.append(row | {m: share(part[m], part["group"]) for m in models})
    first = next(iter(models))
    rows.sort(key=lambda row: (row[first]["value"], row[column]))
    return pd.DataFrame(rows, columns=[column, "posts", "always_hateful", *models])


def share(right, group) -> dict:
    """Share of right verdicts (n,); Wilson's interval of as many posts as there are groups (n,)."""
    return statistics.wilson(np.sum(right), len(right), pd.Series(list(group)).nunique())


def groups(posts: pd.DataFrame, p_hate, predicted, resamples: int, seed: int) -> pd.DataFrame:
    """A row for each value of ``target``: posts, hateful (how many), AUCs, false positives' gap.

    After Borkan et al. (2019): subgroup_auc is within the group; bpsn_auc ranks hateful posts of
    the background above harmless ones of the group (low where merely naming it raises P(hate));
    bnsp_auc ranks hateful posts of the group above harmless ones of the background.  Each is
    {value, low, high}, by the bootstrap over the groups of posts that it ranks, and null with a
    reason where either label has fewer than LEAST posts.  ``fpr`` is its false positive rate,
    a ``share``, ``fpr_gap`` that less the background's (Newcombe's interval, of as many posts as
    groups).  The background is all other posts.
    """
    label, scored = posts["label"].to_numpy(), metrics.scores(posts["label"], p_hate)
    said = metrics.answers(label, predicted)
    named, together = _split(posts["target"]), posts["group"].to_numpy()
    rows = []
    for group in sorted(set(named.explode().dropna())):
        inside = np.array([isinstance(v, list) and group in v for v in named])
        hate, row = label == 1, {"target": group, "posts": int(inside.sum())}
        row["hateful"] = int((inside & hate).sum())
        parts = {
            "subgroup_auc": inside,
            "bpsn_auc": (~inside & hate) | (inside & ~hate),
            "bnsp_auc": (~inside & ~hate) | (inside & hate),
        }
        for name, part in parts.items():
            ranked = None if scored is None else scored[part]
            row[name] = _auc(label[part], ranked, resamples, seed, together[part])
        sides = [(said[side], together[side]) for side in (inside & ~hate, ~inside & ~hate)]
        row["fpr"] = share(*sides[0])
        row["fpr_gap"] = _gap(*sides)
        rows.append(row)
    counted = ["target", "posts", "hateful"]
    return pd.DataFrame(rows, columns=[*counted, *parts, "fpr", "fpr_gap"] if rows else counted)


def _auc(label: np.ndarray, p_hate: np.ndarray | None, resamples: int, seed: int, group) -> dict:
    if p_hate is None:
        return bootstrap.absent("no scores: P(hate) was not measured")
    if min(label.sum(), (1 - label).sum()) < LEAST:
        return bootstrap.absent(f"fewer than {LEAST} posts of a label")
    drawn = metrics.draws(label, resamples, seed, group)
    found = [metrics.on_scores(label, p_hate, weights)["roc_auc"] for weights in drawn]
    return bootstrap.interval(np.concatenate(found))


def _gap(*sides) -> dict:
    """The first side's share less the second's, each of verdicts (n,) and groups (n,)."""
    if not all(len(said) for said, _ in sides):
        return bootstrap.absent("no harmless posts to compare")
    (own, of), (other, out_of) = ((said.mean(), pd.Series(g).nunique()) for said, g in sides)
    counts, how = (own * of, of, other * out_of, out_of), {"compare": "diff", "method": "newcomb"}
    low, high = confint_proportions_2indep(*counts, **how)
    return {"value": float(own - other), "low": float(low), "high": float(high)}


def _split(values: pd.Series) -> pd.Series:
    """ "a, b" as ["a", "b"]; what is missing stays missing."""
    return values.reset_index(drop=True).str.split(", ")
