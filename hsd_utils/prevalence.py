"""From a balanced sample to the wild: where hate is rare, alarms are mostly false.

Rates of a model on either label do not depend on how common hate is; precision and the number of
alerts do, and follow from the rates.  P(hate) learned where half of the posts are hateful has to
be shifted to another prior.

    python -c "from hsd_utils import prevalence; print(prevalence.table(
        [0] * 400 + [1] * 100, None, [0] * 400 + [1] * 100, [0.01])['precision'][0])"
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from hsd_utils import metrics, statistics

ALERTS_PER = 10_000  # posts


def shifted(p_hate, prior: float, other: float) -> np.ndarray:
    """P(hate) (n,) learned where a share ``prior`` is hateful, where it is ``other`` instead.

    Bayes' rule with new priors (Saerens, Latinne and Decaestecker 2002, equation 4); right only
    where the scores are calibrated and posts of a label look the same in both places.
    """
    _shares(prior, other)
    p_hate = np.asarray(p_hate, float)
    hate, not_hate = p_hate * other / prior, (1 - p_hate) * (1 - other) / (1 - prior)
    return hate / (hate + not_hate)


def table(
    label, p_hate, predicted, prevalences: Iterable[float], prior: float | None = None
) -> pd.DataFrame:
    """FPR, recall, precision and alerts per 10,000 posts, a row a prevalence.

    label and predicted (n,).  With ``prior`` the verdict is instead made anew for each
    prevalence, shifted P(hate) >= 0.5, but where it is missing.  fpr and recall have Wilson
    intervals; the bounds of precision and alerts are those of their two corners.
    Raises ValueError unless both labels are there and prevalences lie between 0 and 1.
    """
    label = metrics.gold(label)
    said, missing = metrics.answers(label, predicted), pd.isna(pd.Series(list(predicted)))
    if len(set(label)) == 1:
        raise ValueError("rates need posts of both labels")
    rows = []
    for share in prevalences:
        _shares(share)
        if prior is not None:
            new = pd.Series(shifted(metrics.scores(label, p_hate), prior, share) >= 0.5)
            said = metrics.answers(label, new.astype(object).mask(missing, None))
        fpr, recall = (
            statistics.wilson(int(said[label == side].sum()), int((label == side).sum()))
            for side in (0, 1)
        )
        rows.append({"prevalence": share, "fpr": fpr, "recall": recall} | _flow(share, fpr, recall))
    return pd.DataFrame(rows)


def _flow(share: float, fpr: dict, recall: dict) -> dict[str, dict]:
    """Precision and alerts at a prevalence, from the two rates."""
    precision, alerts = {}, {}
    # Precision is least where recall is least and false alarms are most frequent.
    for end, opposite in {"value": "value", "low": "high", "high": "low"}.items():
        right, wrong = share * recall[end], (1 - share) * fpr[opposite]
        precision[end] = right / (right + wrong) if right + wrong else None
        alerts[end] = (right + (1 - share) * fpr[end]) * ALERTS_PER
    return {"precision": precision, "alerts": alerts}


def simulate(
    label,
    p_hate,
    *,
    prevalence: float,
    volume: int,
    cost_missed: float,
    cost_alarm: float,
    review_minutes: float = 1.0,
) -> pd.DataFrame:
    """What each threshold would mean for ``volume`` posts of which ``prevalence`` are hateful.

    Columns threshold, alerts, hours (all alerts are reviewed, ``review_minutes`` each), missed
    (hateful posts not flagged), false_alarms and cost = missed * cost_missed + false_alarms *
    cost_alarm, in whatever unit the two costs have.  One row a distinct score, and one above all
    (nothing is flagged; threshold infinite), from strict to lax.  ``cheapest`` picks a row.
    """
    _shares(prevalence)
    label, p_hate = metrics.needed("simulation", label, p_hate)
    thresholds = np.r_[np.inf, np.unique(p_hate)[::-1]]
    tpr, fpr = (
        1 - np.searchsorted(np.sort(p_hate[label == side]), thresholds) / (label == side).sum()
        for side in (1, 0)
    )
    hateful, harmless = volume * prevalence, volume * (1 - prevalence)
    made = pd.DataFrame({"threshold": thresholds, "alerts": hateful * tpr + harmless * fpr})
    made["hours"] = made["alerts"] * review_minutes / 60
    made["missed"], made["false_alarms"] = hateful * (1 - tpr), harmless * fpr
    made["cost"] = made["missed"] * cost_missed + made["false_alarms"] * cost_alarm
    return made


def cheapest(simulated: pd.DataFrame) -> dict[str, float]:
    """The row of ``simulate`` that costs least, the one with fewest alerts among equals."""
    cost = simulated["cost"]  # the row of fewest alerts is the first; rounding makes no winner
    return simulated[cost <= cost.min() * (1 + 1e-9)].iloc[0].to_dict()


def at(simulated: pd.DataFrame, threshold: float) -> dict[str, float]:
    """The row of ``simulate`` for a threshold chosen on other posts: what it flags here."""
    return simulated[simulated["threshold"] >= threshold].iloc[-1].to_dict()


def _shares(*values: float) -> None:
    if not all(0 < value < 1 for value in values):
        raise ValueError(f"a share of hate lies between 0 and 1, not {values}")
