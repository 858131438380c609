"""Intervals of means over posts: the percentile bootstrap, for measures other than the label's.

Every result is ``{"value", "low", "high"}``, with nulls and a ``reason`` where it does not
apply, as everywhere in this project.

    python -c "from hsd_utils import bootstrap; print(bootstrap.mean([0.1, 0.4, 0.2], 1000, 0))"
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

FEW = "fewer than two posts to measure"


def absent(reason: str) -> dict:
    return dict.fromkeys(("value", "low", "high")) | {"reason": reason}


def interval(values: np.ndarray) -> dict:
    """The first value, and the 95% percentile interval (Efron 1979) of its resamples, the rest."""
    low, high = np.quantile(values[1:], (0.025, 0.975)).tolist() if len(values) > 1 else [None] * 2
    return {"value": float(values[0]), "low": low, "high": high}


def mean(values, resamples: int, seed: int) -> dict:
    """The mean of one value a post and its 95% interval over posts; missing values left out."""
    return over(np.mean, [values], resamples, seed)


def ratio(part, whole, axis=-1):
    """Share of all that was counted over posts, a statistic for ``over``; no whole may be 0."""
    return np.sum(part, axis=axis) / np.sum(whole, axis=axis)


def over(statistic: Callable, samples: list, resamples: int, seed: int) -> dict:
    """A statistic of columns (n,), one value a post in each, resampled together.

    ``statistic`` takes the columns and ``axis``, as ``np.mean`` does.  Posts with a missing
    value (None, NaN) in any column are left out.  95% percentile intervals (Efron 1979).
    """
    frame = pd.DataFrame([pd.Series(list(s), dtype=object) for s in samples]).T
    kept = frame.astype(float).dropna().to_numpy().T
    if kept.shape[1] < 2:
        return absent(FEW)
    value = float(statistic(*kept, axis=-1))
    drawn = stats.bootstrap(
        tuple(kept), statistic, paired=True, n_resamples=resamples, method="percentile", rng=seed
    )
    low, high = drawn.confidence_interval
    return {"value": value, "low": float(low), "high": float(high)}
