"""P(hate) as a probability: what share of posts with such a score is hateful.

A model's share of "True" against "False" ranks posts; it is no frequency.  Platt's scaling (1999)
fits a logistic curve of its log-odds on posts set aside for it (``cal``).  It keeps the order of
posts, and with it every measure of ranking.  On few posts the curve is rough.

    python -c "from hsd_utils import calibration as c; print(c.fit([0, 1], [0.4, 0.6])([0.5]))"
"""

from collections.abc import Callable

import numpy as np
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from hsd_utils import metrics

EDGE = 1e-6  # log-odds of 0 and 1 are infinite


def fit(label, p_hate) -> Callable[[np.ndarray], np.ndarray]:
    """The curve P(hate) (n,) -> calibrated probability (n,), from labels 0/1 and scores.

    Raises ValueError without scores or when the posts are of one class.
    """
    label, p_hate = metrics.gold(label), metrics.scores(label, p_hate)
    if p_hate is None or len(set(label)) == 1:
        raise ValueError("calibration needs P(hate) of posts of both classes: see 'cal'")
    curve = LogisticRegression().fit(_odds(p_hate), label)
    return lambda p: curve.predict_proba(_odds(np.asarray(p, dtype=float)))[:, 1]


def _odds(p_hate: np.ndarray) -> np.ndarray:
    return logit(np.clip(p_hate, EDGE, 1 - EDGE))[:, None]
