"""Predictions on disk, and what is measured of them beyond the label.

A row is what ``scoring.Classifier.explain`` gives: id, p_hate, predicted, explanations (with the
offsets of their quotes), reason, generated, generated_reason, repaired, tokens, seconds.

    rows = predictions.load(run.predictions("student", "eval"))
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hsd_utils import metrics, posts


def write(rows: pd.DataFrame, path: Path) -> None:
    """JSON Lines, one prediction a line; missing values are null."""
    posts.write_rows(json.loads(rows.to_json(orient="records")), path)


def load(path: Path) -> pd.DataFrame:
    return pd.DataFrame(posts.read_rows(path))


def as_generated(label: np.ndarray, rows: pd.DataFrame, resamples: int, seed: int) -> dict:
    """Measures of the free-running answers: a parse failure counts as the wrong label."""
    measured = metrics.classification(
        label, None, rows["generated"].tolist(), resamples=resamples, seed=seed
    )
    reasons = rows["generated_reason"].dropna().value_counts()
    kept = ("macro_f1", "f1", "precision", "recall", "accuracy")
    failures = {reason: int(count) for reason, count in reasons.items()}
    return {name: measured[name] for name in kept} | {"failures": failures}


def per_source(sample: pd.DataFrame, models: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Macro-F1 of each model within each source: columns source, posts and one a model."""
    rows: list[dict[str, Any]] = []
    for source, part in sample.groupby("source"):
        row: dict[str, Any] = {"source": source, "posts": len(part)}
        for name, predicted in models.items():
            here = predicted.set_index("id").loc[part["id"]]
            measured = metrics.classification(
                part["label"], None, here["predicted"], resamples=0, seed=0
            )
            row[name] = measured["macro_f1"]["value"]
        rows.append(row)
    return pd.DataFrame(rows)
