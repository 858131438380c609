"""How good are verdicts and P(hate)?  Classification measures with bootstrap intervals.

Always answering "hate" scores F1 0.667 on balanced posts, so macro-F1, F1 and ROC-AUC are
read together.  Measures are computed for all resamples (rows of weights) at once.

A missing answer (None, NaN: it could not be parsed) counts as the WRONG label: a missed post
if the post is hateful (a false negative), a false alarm if it is not (a false positive).  So
no model gains by staying silent, and accuracy is the share of posts answered and right.

    python -c "from hsd_utils import metrics; print(metrics.classification(
        [0, 1, 1, 0], [0.2, 0.9, 0.4, 0.1], [0, 1, 0, None], seed=1)['macro_f1'])"
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from hsd_utils import bootstrap

BINS = 10
OF_LABELS = ("macro_f1", "f1", "f1_micro", "f1_weighted", "precision", "recall", "accuracy")
OF_SCORES = ("roc_auc", "average_precision", "brier", "ece")
NEED_BOTH_CLASSES = {"macro_f1", "f1", "precision", "recall", "roc_auc", "average_precision"}
BLOCK = 4_000_000  # weights held at once: 32 MB, whatever the number of posts


def gold(label) -> np.ndarray:
    """Labels as a checked integer array (n,).  Raises ValueError unless all are 0 or 1."""
    values = pd.to_numeric(pd.Series(list(label), dtype=object), errors="coerce").to_numpy(float)
    bad = np.flatnonzero(~np.isin(values, (0, 1)))
    if not len(values):
        raise ValueError("no posts to measure: the list of labels is empty")
    if len(bad):
        raise ValueError(f"{len(bad)} labels are not 0 or 1, the first at position {bad[0]}")
    return values.astype(int)


def answers(label, predicted) -> np.ndarray:
    """Predictions (n,) with every missing one (None, NaN, NA) set to the wrong label.

    Raises ValueError for another length than the labels' or a value other than 0, 1, missing.
    """
    label, given = gold(label), pd.Series(list(predicted), dtype=object)
    if len(given) != len(label):
        raise ValueError(f"{len(given)} predictions for {len(label)} posts")
    return gold(given.where(given.notna(), 1 - label))


def scores(label, p_hate) -> np.ndarray | None:
    """P(hate) as a float array (n,), or None if there is none (None, or all missing).

    Raises ValueError if some are missing, lie outside 0..1, or are not one a post.
    """
    if p_hate is None:
        return None
    values = pd.Series(list(p_hate), dtype=object).astype(float).to_numpy()
    if len(values) != len(label):
        raise ValueError(f"{len(values)} values of P(hate) for {len(label)} posts")
    if np.isnan(values).all():
        return None
    if bad := int((~((values >= 0) & (values <= 1))).sum()):
        raise ValueError(f"{bad} of {len(values)} values of P(hate) are missing or outside 0..1")
    return values


def draws(label: np.ndarray, resamples: int, seed: int, group=None) -> Iterator[np.ndarray]:
    """The n posts, a row of ones, then bootstrap resamples: blocks of weights (rows, n), n a row.

    group (n,): its posts, say cases of one template, are drawn together (Davison and Hinkley 1997,
    section 3.8); the sum is n on average.  A resample that happens to hold one class only is
    skipped, unless the posts do: there are then fewer rows, and the caller counts them.
    """
    place = np.arange(len(label)) if group is None else np.unique(group, return_inverse=True)[1]
    size, generator = place.max() + 1, np.random.default_rng(seed)
    step = max(1, BLOCK // len(label))
    yield np.ones((1, len(label)))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        picked = generator.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
        weights = np.bincount(picked.ravel(), minlength=rows * size).reshape(rows, size)[:, place]
        hate, posts = weights @ label, weights.sum(axis=1)
        kept = (hate > 0) & (hate < posts) if 0 < label.sum() < len(label) else np.full(rows, True)
        yield weights[kept].astype(float)


def _ratio(above, below):
    """above / below, and 0 where nothing is to be divided (``zero_division=0``)."""
    return np.divide(above, below, out=np.zeros(np.shape(below)), where=below > 0)


def _rates(tn, fp, fn, tp) -> dict[str, np.ndarray]:
    f1, f1_other = _ratio(2 * tp, 2 * tp + fp + fn), _ratio(2 * tn, 2 * tn + fp + fn)
    posts = tn + fp + fn + tp
    accuracy = (tn + tp) / posts
    return {
        "macro_f1": (f1 + f1_other) / 2,
        "f1": f1,
        "f1_micro": accuracy,  # over both classes of a binary task they are the same number
        "f1_weighted": ((tp + fn) * f1 + (tn + fp) * f1_other) / posts,
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "accuracy": accuracy,
    }


def on_labels(label, predicted, weights) -> dict[str, np.ndarray]:
    """The measures OF_LABELS, each (rows,), of 0/1 arrays (n,) under weights (rows, n)."""
    cells = [(label == true) & (predicted == said) for true in (0, 1) for said in (0, 1)]
    return _rates(*(weights @ np.array(cells, float).T).T)


def bin_of(p_hate: np.ndarray) -> np.ndarray:
    """Bin of each score: BINS of equal width, closed below, 1.0 in the last."""
    return np.minimum((p_hate * BINS).astype(int), BINS - 1)


def on_scores(label, p_hate, weights) -> dict[str, np.ndarray]:
    """The measures OF_SCORES, each (rows,), of P(hate) (n,) under weights (rows, n).

    ROC-AUC is the chance that a hateful post outranks another, a tie counting half (Hanley and
    McNeil 1982); average precision is scikit-learn's step sum; Brier (1950) the mean squared
    error.  ECE, after Naeini et al. (2015) and Guo et al. (2017), but of P(hate) rather than
    of the winning label's probability: sum over BINS equal-width bins of (share of posts in
    the bin) * |share hateful - mean P(hate)|.
    """
    order = np.argsort(-p_hate, kind="stable")
    ties = np.flatnonzero(np.r_[True, np.diff(p_hate[order]) != 0])
    hate = np.add.reduceat(weights[:, order] * label[order], ties, axis=1)
    other = np.add.reduceat(weights[:, order] * (1 - label[order]), ties, axis=1)
    above, false = hate.cumsum(axis=1), other.cumsum(axis=1)
    precision, posts = _ratio(above, above + false), weights.sum(axis=1)
    gaps = np.eye(BINS)[bin_of(p_hate)] * (label - p_hate)[:, None]
    return {
        "roc_auc": _ratio((other * (above - hate / 2)).sum(axis=1), above[:, -1] * false[:, -1]),
        "average_precision": _ratio((hate * precision).sum(axis=1), above[:, -1]),
        "brier": weights @ (p_hate - label) ** 2 / posts,
        "ece": np.abs(weights @ gaps).sum(axis=1) / posts,
    }


def unmeasured(name: str, label: np.ndarray, p_hate) -> str | None:
    """Why a measure does not apply to these posts; None where it does."""
    if name in OF_SCORES and p_hate is None:
        return "no scores: P(hate) was not measured"
    if name in NEED_BOTH_CLASSES and len(set(label)) == 1:
        return f"only one class: every post has label {label[0]}"
    return None


def needed(what: str, label, p_hate, measure: str = "roc_auc") -> tuple[np.ndarray, np.ndarray]:
    """Checked labels and P(hate); ValueError where ``measure``, and so ``what``, does not apply."""
    label, p_hate = gold(label), scores(label, p_hate)
    if reason := unmeasured(measure, label, p_hate):
        raise ValueError(f"no {what}: {reason}")
    return label, p_hate


def classification(label, p_hate, predicted, *, resamples: int = 1000, seed: int, group=None):
    """Every measure as ``{"value", "low", "high"}``: 95% percentile bootstrap over posts, a dict.

    label (n,) 0/1; p_hate (n,) in 0..1 or None; predicted (n,) 0/1 or missing; group (n,): what
    ``draws`` keeps together.  F1, precision and recall are the hate class's, 0 where nothing was
    predicted as hate.  What does not apply has nulls and a ``reason``; where resamples of one class
    were left out, ``skipped`` says how many; ``resamples=0`` gives values without intervals.  ECE
    also has ``if_calibrated``, the mean ECE of such scores were they calibrated: few posts make it
    large by themselves (and its interval, resampling twice, lies high).  Raises ValueError for
    lengths that differ and values out of range.
    """
    label, predicted, p_hate = gold(label), answers(label, predicted), scores(label, p_hate)

    def measured(weights):
        scored = {} if p_hate is None else on_scores(label, p_hate, weights)
        return pd.DataFrame(on_labels(label, predicted, weights) | scored)

    measures = pd.concat(map(measured, draws(label, resamples, seed, group)))
    result, skipped = {}, resamples + 1 - len(measures)
    for name in OF_LABELS + OF_SCORES:
        if reason := unmeasured(name, label, p_hate):
            result[name] = bootstrap.absent(reason)
            continue
        result[name] = bootstrap.interval(measures[name].to_numpy())
        if skipped:
            result[name]["skipped"] = skipped
    if p_hate is not None:
        result["ece"]["if_calibrated"] = _calibrated_ece(p_hate, seed)
    return result


def _calibrated_ece(p_hate, seed):
    """Mean ECE of labels drawn from the scores themselves: the floor set by the sample size."""
    generator, where = np.random.default_rng(seed), bin_of(p_hate)
    gaps = ((generator.random(len(p_hate)) < p_hate) - p_hate for _ in range(200))
    return float(np.mean([np.abs(np.bincount(where, gap)).sum() for gap in gaps]) / len(p_hate))


def best_threshold(label, p_hate) -> float:
    """The threshold t with the highest macro-F1 of "hate if P(hate) >= t".

    Tried: the midpoints between neighbouring scores.  Among equals the one nearest 0.5 (then
    the lower) is taken; scores that are all the same give 0.5.  Set it on posts that are not
    evaluated: on 100 posts its standard deviation is about 0.1.
    Raises ValueError without scores or when the posts are of one class.
    """
    label, p_hate = needed("threshold can be set on these posts", label, p_hate)
    levels = np.unique(p_hate)
    if len(levels) == 1:
        return 0.5
    middle = (levels[:-1] + levels[1:]) / 2
    thresholds = np.where(middle > levels[:-1], middle, levels[1:])  # neighbours one ulp apart
    tn = np.searchsorted(np.sort(p_hate[label == 0]), thresholds)
    fn = np.searchsorted(np.sort(p_hate[label == 1]), thresholds)
    found = _rates(tn, (label == 0).sum() - tn, fn, (label == 1).sum() - fn)["macro_f1"]
    best = thresholds[found >= found.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def reliability(label, p_hate) -> pd.DataFrame:
    """Calibration, a row a bin: from, to, posts, mean_p, rate (share hateful), low, high.

    low and high are the rate's 95% Wilson interval; mean_p to high are NaN in an empty bin.
    """
    label, p_hate = needed("reliability", label, p_hate, "ece")
    rows = []
    for number in range(BINS):
        inside = bin_of(p_hate) == number
        row = {"from": number / BINS, "to": (number + 1) / BINS, "posts": int(inside.sum())}
        if inside.any():
            hate = binomtest(int(label[inside].sum()), row["posts"])
            low, high = hate.proportion_ci(method="wilson")
            rates = {"mean_p": p_hate[inside].mean(), "rate": hate.statistic}
            row |= rates | {"low": low, "high": high}
        rows.append(row)
    return pd.DataFrame(rows, columns=["from", "to", "posts", "mean_p", "rate", "low", "high"])


def roc(label, p_hate) -> dict:
    """ROC curve as lists ``fpr``, ``tpr`` and its ``auc``; ValueError on one class, no scores."""
    label, p_hate = needed("ROC curve", label, p_hate)
    fpr, tpr, _ = roc_curve(label, p_hate)
    return {"fpr": fpr.tolist(), "tpr": tpr.tolist(), "auc": float(roc_auc_score(label, p_hate))}


def confusion(label, predicted) -> list[list[int]]:
    """``[[tn, fp], [fn, tp]]``: rows gold, columns said; a missing answer is the wrong label."""
    return confusion_matrix(gold(label), answers(label, predicted), labels=(0, 1)).tolist()
