"""Predictions on disk, and what is measured of them beyond the label.

A row is what ``scoring.Classifier.explain`` gives: id, p_hate, predicted, explanations (with the
offsets of their quotes), reason, generated, generated_reason, repaired, tokens, seconds; of models
whose quotes are asked for again, requoted.

Where P(hate) could not be read p_hate is null, and predicted is what the threshold makes of 0.5:
the explanation is of that.  What is measured is ``verdicts``.

    rows = predictions.load(run.predictions("student", "eval"))
"""

import json
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from hsd_utils import metrics, posts


def write(rows: pd.DataFrame, path: Path) -> None:
    """JSON Lines, one prediction a line; missing values are null."""
    posts.write_rows(json.loads(rows.to_json(orient="records", double_precision=15)), path)


def load(path: Path) -> pd.DataFrame:
    return pd.DataFrame(posts.read_rows(path))


def ranked(p_hate) -> np.ndarray:
    """P(hate) (n,) to rank posts by, or to set a threshold: 0.5 where none was read (None, NaN)."""
    return np.nan_to_num(np.asarray(p_hate, float), nan=0.5)


def verdicts(p_hate, threshold: float) -> np.ndarray:
    """Verdicts (n,) to measure: 0 or 1, NaN where no P(hate) was read (None, NaN).

    As in ``metrics`` a missing one counts as the wrong label, so that no model gains by silence.
    """
    p_hate = np.asarray(p_hate, float)
    said = pd.Series((p_hate >= threshold).astype(int))
    return said.where(~np.isnan(p_hate)).to_numpy()


def as_generated(label: np.ndarray, rows: pd.DataFrame, resamples: int, seed: int) -> dict:
    """Measures of the free-running answers: a parse failure counts as the wrong label."""
    said = rows["generated"].tolist()
    measured = metrics.classification(label, None, said, resamples=resamples, seed=seed)
    kept = ("macro_f1", "f1", "precision", "recall", "accuracy")
    failures = rows["generated_reason"].value_counts().to_dict()
    return {name: measured[name] for name in kept} | {"failures": failures}


def within(
    sample: pd.DataFrame, column: str, models: Mapping[str, pd.DataFrame], resamples: int, seed: int
) -> pd.DataFrame:
    """Macro-F1 and ROC-AUC within each value of ``column``, a row a value and model, with posts.

    models: name -> rows with id, p_hate and predicted, of all posts of ``sample``.
    """
    rows = []
    for value, (name, found) in product(sample[column].unique(), models.items()):
        part = sample[sample[column] == value]
        here = found.set_index("id").loc[part["id"]]
        given = part["label"], here["p_hate"], here["predicted"]
        measured = metrics.classification(*given, resamples=resamples, seed=seed)
        row = {column: value, "model": name, "posts": len(part)}
        rows.append(row | {m: measured[m] for m in ("macro_f1", "roc_auc")})
    return pd.DataFrame(rows)
