"""Is P(hate) to be taken at its word?  Scaling, debiased calibration error, abstention.

The plain ECE of ``metrics`` grows with few posts even for perfect scores; the error here is
debiased.  Everything is fitted on ``cal`` and measured on other posts.

    python -c "from hsd_utils import calibration; print(calibration.report(
        [0, 1, 0, 1], [.4, .6, .6, .7], [0, 1, 1, 0], [.3, .9, .6, .2], 0.5))"
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from hsd_utils import metrics

EDGE = 1e-6  # scores of exactly 0 and 1 have no logit
TEMPERATURES = (0.02, 50.0)


def temperature(label, p_hate) -> float:
    """The T that minimises the log loss of sigmoid(logit(p) / T) (Guo et al. 2017, section 4.2).

    T above 1 makes scores milder.  It lies within TEMPERATURES: scores that rank at random or
    backwards end at the upper bound; of those that separate all posts any low T is as good.
    """
    label, p_hate = metrics.needed("calibration", label, p_hate, "brier")

    def loss(log_t):
        return log_loss(label, scaled(p_hate, np.exp(log_t)), labels=(0, 1))

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(found.x))


def scaled(p_hate, t: float) -> np.ndarray:
    """P(hate) (n,) at temperature ``t``: no two change places, the surest may become equal."""
    return expit(_odds(p_hate)[:, 0] / t)


def averaged(p_hates) -> np.ndarray:
    """One P(hate) (n,) of several models' (m, n): the sigmoid of their mean log-odds."""
    return expit(np.mean([_odds(p)[:, 0] for p in p_hates], axis=0))


def platt(label, p_hate) -> Callable[[np.ndarray], np.ndarray]:
    """The logistic curve P(hate) (n,) -> calibrated probability (n,), after Platt (1999).

    A small penalty on the slope (scikit-learn's, C = 1) stands for Platt's smoothed targets, so
    that few posts which a score separates do not make it certain.  Unlike a temperature it also
    moves scores that are all on one side.  Their order is never turned round: scores that rank
    these posts worse than chance all become the share of hate.
    Raises ValueError without scores or when the posts are of one class.
    """
    label, p_hate = metrics.needed("calibration", label, p_hate)
    curve = LogisticRegression().fit(_odds(p_hate), label)
    if curve.coef_[0, 0] < 0:
        return lambda p: np.full(np.shape(p), np.mean(label))
    return lambda p: curve.predict_proba(_odds(p))[:, 1]


def _odds(p_hate) -> np.ndarray:
    return logit(np.clip(np.asarray(p_hate, float), EDGE, 1 - EDGE))[:, None]


def error(label, p_hate, bins: int = metrics.BINS) -> dict[str, float]:
    """Root mean squared calibration error, as measured (``plugin``) and ``debiased``.

    Bins hold equally many posts, ties staying together.  With share w, mean score s and hateful
    share y of a bin of n posts, the debiased square is sum w [(s - y)^2 - y (1 - y) / (n - 1)]
    (Broecker 2012; Kumar, Liang and Ma 2019, section 5), unbiased and so at times negative:
    ``squared`` keeps it, ``debiased`` is its root, 0 where it is negative.  A bin of one post
    cannot be debiased: there are at most half as many bins as posts, and one that ties leave
    alone joins its neighbour.
    """
    label, p_hate = metrics.needed("calibration error", label, p_hate, "ece")
    bins = max(1, min(bins, len(label) // 2))
    edges = np.unique(np.quantile(p_hate, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.unique(np.searchsorted(edges, p_hate, "right"), return_inverse=True)[1]
    while len(n := np.bincount(place)) > 1 == n.min():
        alone = n.argmin()
        place[place == alone] = alone - 1 if alone else 1
        place = np.unique(place, return_inverse=True)[1]
    by_bin = pd.DataFrame({"y": label, "s": p_hate}).groupby(place)
    mean, n = by_bin.mean(), by_bin.size()
    squares = (mean["s"] - mean["y"]) ** 2
    noise = mean["y"] * (1 - mean["y"]) / (n - 1).clip(lower=1)
    plugin, squared = (float((n * part).sum() / n.sum()) for part in (squares, squares - noise))
    return {"plugin": plugin**0.5, "debiased": max(squared, 0.0) ** 0.5, "squared": squared}


def risk_coverage(label, p_hate, threshold: float) -> pd.DataFrame:
    """Share of wrong verdicts among the surest posts: columns coverage and risk, a row a post.

    How sure a verdict is: the way from the threshold, as a share of the way there is on its
    side.  Posts that are equally sure share their errors (El-Yaniv and Wiener 2010).
    """
    label, p_hate = metrics.needed("risk", label, p_hate, "brier")
    hate = p_hate >= threshold
    room = np.where(hate, 1 - threshold, threshold)
    sure = np.divide(np.abs(p_hate - threshold), room, out=np.ones_like(p_hate), where=room > 0)
    wrong = pd.Series((hate != label).astype(float))
    sure = sure.round(12)  # as sure but for rounding
    wrong = wrong.groupby(sure).transform("mean").to_numpy()[np.argsort(-sure, kind="stable")]
    kept = np.arange(1, len(label) + 1)
    return pd.DataFrame({"coverage": kept / len(label), "risk": wrong.cumsum() / kept})


def report(cal_label, cal_p, label, p_hate, threshold: float) -> dict[str, float]:
    """Temperature from ``cal``; calibration error before and after it, and AURC, on other posts.

    AURC is the area under the risk-coverage curve: the mean risk (Geifman and El-Yaniv 2017).
    """
    t = temperature(cal_label, cal_p)
    before, after = error(label, p_hate), error(label, scaled(p_hate, t))
    curve = risk_coverage(label, p_hate, threshold)
    half = curve.iloc[(len(curve) - 1) // 2]  # the surer half of the posts, rounded up
    return {
        "temperature": t,
        "error_before": before["plugin"],
        "debiased_before": before["debiased"],
        "error_after": after["plugin"],
        "debiased_after": after["debiased"],
        "aurc": float(curve["risk"].mean()),
        "risk_all": float(curve["risk"].iloc[-1]),
        "risk_surer_half": float(half["risk"]),
    }
