"""How far raters agree beyond chance: Krippendorff's alpha, Gwet's AC1, Cohen's kappa by pair.

Alpha and kappa collapse when nearly all answers are the same, however well raters agree; AC1
does not, so they are read together.  Values are codes (units, raters), NaN where missing.

    python -c "from hsd_utils.ratings import agreement; print(agreement.alpha([[1, 1], [2, 1]]))"
"""

from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score


def _counts(values) -> np.ndarray:
    """How many raters gave each unit each of the values in use, in order: (units, values)."""
    values = np.asarray(values, float)
    codes = np.unique(values[~np.isnan(values)])
    return (values[:, :, None] == codes).sum(axis=1).astype(float)


def alpha(values, ordinal: bool = False) -> float | None:
    """Krippendorff's alpha (2011, "Computing Krippendorff's Alpha-Reliability"), or None.

    Nominal, or ordinal in the order of the codes.  Units with one rating are left out, as there;
    None where nothing can be expected to disagree: fewer than two values in the others.
    """
    counts = _counts(values)
    counts = counts[counts.sum(axis=1) > 1]
    each = counts.sum(axis=1)[:, None, None]
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(counts.shape[1])
    observed = (pairs / (each - 1)).sum(axis=0)
    total = observed.sum(axis=1)
    expected = np.outer(total, total) - np.diag(total)
    distance = 1 - np.eye(len(total))
    if ordinal:
        middle = np.cumsum(total) - total / 2
        distance = (middle[:, None] - middle) ** 2
    chance = (expected * distance).sum()
    return float(1 - (total.sum() - 1) * (observed * distance).sum() / chance) if chance else None


def ac1(values, categories: int) -> float | None:
    """Gwet's AC1 (2008, Br J Math Stat Psychol 61:29-48), or None if no unit has two ratings.

    categories: how many answers were offered, those never given included.
    """
    counts = _counts(values)
    each = counts.sum(axis=1)
    counts, each = counts[each > 0], each[each > 0]
    several = each > 1
    if not several.any():
        return None
    ways = (each * (each - 1))[several]
    agreed = ((counts * (counts - 1)).sum(axis=1)[several] / ways).mean()
    share = (counts / each[:, None]).mean(axis=0)
    chance = (share * (1 - share)).sum() / (categories - 1)
    return float((agreed - chance) / (1 - chance))


def cohen(values: pd.DataFrame) -> dict[str, float | None]:
    """Cohen's kappa of each pair of columns (raters) on the units both rated; None if undefined."""
    found = {}
    for a, b in combinations(values, 2):
        both = values[[a, b]].dropna()
        varied = len(np.unique(both)) > 1  # else kappa is 0 / 0
        found[f"{a}, {b}"] = float(cohen_kappa_score(both[a], both[b])) if varied else None
    return found
