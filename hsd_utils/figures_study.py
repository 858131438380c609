"""Figures of pairs of models and of the ablation study; like those of ``figures``, of plain data.

figures.save(figures_study.factor(rows), run, "study_objective", rows)
"""

from collections.abc import Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from hsd_utils.look import BLIND, COLUMN, PAGE, below, dots, panels

TITLES = {"macro_f1": "macro-F1", "roc_auc": "ROC-AUC"}
CELL, BASELINE = {"color": BLIND[3], "marker": "D"}, {"color": "black", "marker": "s"}


def factor(rows: Sequence[dict], baseline: str = "", width: float = PAGE) -> Figure:
    """A row a cell, macro-F1 and ROC-AUC with 95% intervals; the baseline's value as a line.

    rows: those of ``ablations.summary``.
    """
    figure, parts = panels(2, width, 0.7 + 0.26 * len(rows), sharey=True)
    for axes, (measure, title) in zip(parts, TITLES.items(), strict=True):
        found = {_named(row): {row["name"]: row["metrics"][measure]} for row in rows}
        for row in rows:
            mine = row["name"] == baseline
            dots(axes, found, {row["name"]: BASELINE if mine else CELL}, capsize=2)
            if mine:
                level = row["metrics"][measure]["value"]
                axes.axvline(level, color="black", lw=0.8, ls=":", zorder=0)
        axes.set_xlabel(f"{title} (95% interval)")
    return figure


def _named(row: dict) -> str:
    """A cell, the posts that it learned from, if any, and its trainings, if several."""
    posts = f", {row['n']:,} posts" * bool(row["n"])
    return row["name"] + posts + f", {len(row['seeds'])} seeds" * (len(row["seeds"]) > 1)


def forest(table: pd.DataFrame, width: float = PAGE) -> Figure:
    """A row a pair of models: what the first has more, with 95% intervals and a line at none.

    table: of ``summary.paired`` or ``ablations.final_table``.
    """
    figure, parts = panels(2, width, 0.7 + 0.26 * len(table), sharey=True)
    for axes, title in zip(parts, TITLES.values(), strict=True):
        axes.axvline(0, color="black", lw=1, zorder=1)
        measures = table.set_index("pair")[f"{title} difference"]
        dots(axes, {pair: {"": found} for pair, found in measures.items()}, {"": CELL}, capsize=2)
        axes.set_xlabel(f"{title} difference (95% interval)")
        axes.locator_params(axis="x", nbins=5)
    return figure


def learning_curve(rows: Sequence[dict], width: float = COLUMN) -> Figure:
    """ROC-AUC by the number of posts learned from, a line for each kind of label.

    rows: those of ``ablations.summary`` that differ in nothing else; one that learned from no
    post, the teacher, is a horizontal line.
    """
    rows = pd.DataFrame(rows)
    untaught, rows = rows[rows["n"] == 0], rows[rows["n"] > 0]
    figure, axes = plt.subplots(figsize=(width, 2.4))
    looks = zip(rows.groupby("label_source"), cycle("oDs^"), strict=False)
    middle = (rows["label_source"].nunique() - 1) / 2
    for place, ((source, mine), marker) in enumerate(looks):
        mine = mine.sort_values("n")
        found = pd.DataFrame([metrics["roc_auc"] for metrics in mine["metrics"]])
        reach = [found["value"] - found["low"], found["high"] - found["value"]]
        style = {"marker": marker, "color": BLIND[place], "capsize": 2}
        style["label"] = f"labels: {source.replace('_', ', ')}"
        axes.errorbar(
            mine["n"] * 1.04 ** (place - middle), found["value"], np.clip(reach, 0, None), **style
        )
    for name, metrics in zip(untaught["name"], untaught["metrics"], strict=True):
        axes.axhline(metrics["roc_auc"]["value"], color="black", lw=0.9, ls=":", label=name)
    axes.set(xscale="log", xlabel="posts learned from", ylabel="ROC-AUC on dev")
    sizes = sorted(rows["n"].unique())
    axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    below(figure, axes)
    return figure
