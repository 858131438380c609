"""Is one model better than another on the same posts?  Paired tests and intervals.

As in ``metrics``, a missing answer counts as the wrong label.

    python -c "from hsd_utils.statistics import wilson; print(wilson(91, 100))"
"""

from collections.abc import Mapping

import numpy as np
from scipy.stats import norm
from sklearn.metrics import confusion_matrix
from statsmodels.stats import contingency_tables
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from hsd_utils import bootstrap, metrics


def paired(label, a, b, *, metric: str = "macro_f1", resamples: int = 2000, seed: int) -> dict:
    """Paired bootstrap of ``metric(a) - metric(b)``, both on the same resampled posts.

    a and b (n,) are predictions if metric is one of ``metrics.OF_LABELS`` (0/1 or missing) and
    P(hate) if it is one of ``metrics.OF_SCORES``.  low and high are the 2.5th and 97.5th
    percentile of the resampled differences d*.  The p-value is two-sided, from d* shifted to
    the null hypothesis of no difference: the share of resamples with |d* - d| >= |d|
    (Berg-Kirkpatrick et al. 2012, there one-sided: d* > 2d), with one added above and below so
    that it is never 0 (Davison and Hinkley 1997, section 4.2).  Resamples of one class are
    left out and counted in ``skipped``; what cannot be measured is null with a ``reason``.
    Raises ValueError for an unknown metric, resamples below 1, lengths that differ.
    """
    label = metrics.gold(label)
    for side in (a, b):
        p_hate = metrics.scores(label, side) if metric in metrics.OF_SCORES else None
        if reason := metrics.unmeasured(metric, label, p_hate):
            return dict.fromkeys(("difference", "low", "high", "p_value")) | {"reason": reason}
    found = hierarchical(label, [a], [b], metric=metric, resamples=resamples, seed=seed)
    del found["seeds"]
    return found


def mcnemar(label, a, b) -> dict:
    """McNemar's test (1947) that predictions a and b are equally often right.

    only_a and only_b count the posts that one alone got right.  Below 25 of these discordant
    posts, and where both are equal, the exact binomial test is used, else the chi-square with
    continuity correction.
    """
    label = metrics.gold(label)
    right_a, right_b = (metrics.answers(label, said) == label for said in (a, b))
    table = confusion_matrix(right_a, right_b, labels=(False, True))
    (_, only_b), (only_a, _) = table.tolist()
    exact = only_a + only_b < 25 or only_a == only_b
    test = contingency_tables.mcnemar(table, exact=exact, correction=True)
    return {"only_a": only_a, "only_b": only_b, "p_value": float(test.pvalue), "exact": exact}


def wilson(successes: float, n: float, independent: float | None = None) -> dict:
    """A share and its 95% interval (Wilson 1927): ``{"value", "low", "high"}``.

    independent: as how many the n count for the interval, where some repeat others or have weights
    (an effective sample size, Kish 1965).  With n = 0 all are null with a ``reason``.  Raises
    ValueError unless 0 <= successes <= n.
    """
    if n == 0 and successes == 0:
        return bootstrap.absent("nothing was counted")
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} counted: a share lies between none and all")
    value, size = float(successes / n), independent or n
    low, high = proportion_confint(value * size, size, method="wilson")
    # Rounding keeps these two ends from being whole.
    low, high = 0.0 if value == 0 else float(low), 1.0 if value == 1 else float(high)
    return {"value": value, "low": low, "high": high}


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values by name, adjusted for their number (Holm 1979)."""
    adjusted = multipletests(list(p_values.values()), method="holm")[1].tolist()
    return dict(zip(p_values, adjusted, strict=True))


def hierarchical(label, a, b, *, metric="macro_f1", resamples: int = 2000, seed: int) -> dict:
    """``paired`` over seeds and posts: the mean over trainings of a less that over those of b.

    a (seeds, n) and b (seeds, n) hold a row for each training; one row is a model that is not
    trained.  Each resample draws trainings of a, trainings of b (each with replacement, and
    independently) and posts (the same for all), as Davison and Hinkley (1997, section 3.8) resample
    levels that are crossed.  With few seeds the interval is too narrow: m rows show only
    (m - 1) / m of the variance between trainings.  Also gives ``seeds``, the rows of a and b.
    Raises ValueError as ``paired`` does, and for rows whose scores are missing.
    """
    if metric not in metrics.OF_LABELS + metrics.OF_SCORES:
        known = ", ".join(metrics.OF_LABELS + metrics.OF_SCORES)
        raise ValueError(f"metric {metric!r}: one of {known}")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}: a bootstrap needs at least 1, better 1000")
    scored = metric in metrics.OF_SCORES
    measure = metrics.on_scores if scored else metrics.on_labels
    checked = metrics.scores if scored else metrics.answers
    label = metrics.gold(label)
    sides = [[checked(label, row) for row in side] for side in (a, b)]
    if not all(sides) or any(row is None for side in sides for row in side):
        raise ValueError("each side needs at least one training, with scores where they are used")
    if reason := metrics.unmeasured(metric, label, sides[0][0]):
        raise ValueError(f"no {metric} to compare: {reason}")
    generator, drawn = np.random.default_rng((seed, 1)), []

    def measured(weights):  # (rows, trainings) of each side
        return [np.stack([measure(label, r, weights)[metric] for r in s], axis=1) for s in sides]

    blocks = metrics.draws(label, resamples, seed)
    whole = [values.mean() for values in measured(next(blocks))]
    for weights in blocks:
        means = []
        for values in measured(weights):
            picked = generator.integers(values.shape[1], size=values.shape)
            means.append(np.take_along_axis(values, picked, axis=1).mean(axis=1))
        drawn.append(means[0] - means[1])
    drawn, seen = np.concatenate(drawn), whole[0] - whole[1]
    if not len(drawn):  # two posts, one a class, and unlucky draws
        raise ValueError(f"none of {resamples} resamples held both classes: too few posts")
    low, high = np.quantile(drawn, (0.025, 0.975))
    # Rounding errors of equal differences must not decide whether they count as extreme.
    extreme = np.abs(drawn - seen) >= abs(seen) - 1e-12
    return {
        "difference": float(seen),
        "low": float(low),
        "high": float(high),
        "p_value": float((1 + extreme.sum()) / (1 + len(drawn))),
        "resamples": len(drawn),
        "skipped": resamples - len(drawn),
        "seeds": [len(side) for side in sides],
    }


def detectable(
    n: int, discordant: float, *, power: float = 0.8, alpha: float = 0.05
) -> float | None:
    """The smallest difference in accuracy that McNemar's test finds on n pairs with that power.

    discordant: share of posts on which exactly one of the two models is right.  Solves
    Connor's (1987) sample size, n d^2 = (z_{alpha/2} sqrt(p) + z_power sqrt(p - d^2))^2, for d.
    On balanced posts with errors on both sides macro-F1 moves nearly as accuracy does, so it
    serves for macro-F1 as an approximation.  None where not even d = p would be found.
    """
    if not (n > 0 and 0 < discordant <= 1):
        raise ValueError(f"n {n} and discordant {discordant}: a count above 0, a share above 0")
    z_alpha, z_power = norm.isf(alpha / 2), norm.ppf(power)
    # (n + zp^2) d^2 - 2 za sqrt(n p) d + (za^2 - zp^2) p = 0, its larger root
    half = z_alpha * np.sqrt(n * discordant)
    rest = half**2 - (n + z_power**2) * (z_alpha**2 - z_power**2) * discordant
    found = (half + np.sqrt(rest)) / (n + z_power**2) if rest >= 0 else np.inf
    return float(found) if found <= discordant else None
