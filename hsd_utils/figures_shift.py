"""Figures of calibration, posts unlike those learned from, and explanations (04, 06, 07).

Like those of ``figures``, each takes plain data and returns a matplotlib Figure:

    figures.save(figures_shift.prevalence(rows), run, "prevalence", rows)
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter

from hsd_utils.look import COLUMN, PAGE, below, dots, line, looks, panels


def thin(curve: pd.DataFrame, most: int = 200) -> pd.DataFrame:
    """About ``most`` rows of a curve, evenly, with its ends and the row of the lowest ``cost``."""
    rows = np.linspace(0, len(curve) - 1, min(most, len(curve))).round().astype(int)
    if "cost" in curve:
        rows = np.append(rows, int(curve["cost"].to_numpy().argmin()))
    return curve.iloc[np.unique(rows)].reset_index(drop=True)


def risk_coverage(models: dict, width: float = COLUMN) -> Figure:
    """Wrong verdicts among the surest posts.  models: name -> ``calibration.risk_coverage``."""
    figure, axes = plt.subplots(figsize=(width, 2.4))
    for name, look in looks(models).items():
        curve = pd.DataFrame(models[name])
        axes.plot(curve["coverage"], curve["risk"], label=name, markevery=0.15, **line(look))
    axes.set(xlabel="share of posts decided, the surest first", ylabel="wrong among them")
    axes.set(xlim=(0, 1.01), ylim=(0, None))
    below(figure, axes)
    return figure


def cases(rows, column: str, models: list[str], width: float = PAGE) -> Figure:
    """Share of right verdicts for each case, a dot a model, weakest of the first model on top.

    rows: those of ``subgroups.cases``; models: which of their models are shown.
    """
    rows = pd.DataFrame(rows)
    # A model looks the same whether or not all are shown.
    named = looks([name for name in rows if isinstance(rows[name].iloc[0], dict)])
    figure, axes = plt.subplots(figsize=(width, 0.9 + 0.2 * len(rows)))
    titles = rows[column].str.replace("_", " ")
    right = dict(zip(titles, rows[models].to_dict("records"), strict=True))
    small = {"capsize": 1.5, "markersize": 3, "elinewidth": 0.7}
    dots(axes, right, {name: named[name] for name in models}, **small)
    always = {"marker": "|", "color": "black", "s": 60, "label": "always hateful", "zorder": 1}
    axes.scatter(rows["always_hateful"], range(len(rows)), **always)
    axes.set(xlabel="right verdicts (95% interval)", xlim=(-0.02, 1.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    below(figure, axes)
    return figure


def prevalence(rows, width: float = PAGE) -> Figure:
    """Precision and alerts by how common hate is, a line a model, intervals as bands.

    rows: model, prevalence, and precision and alerts as {value, low, high}.
    """
    rows = pd.DataFrame(rows)
    figure, parts = panels(2, width, 2.5)
    named = looks(rows["model"].unique())
    titles = {"precision": "precision of an alert", "alerts": "alerts per 10,000 posts"}
    for axes, (measure, title) in zip(parts, titles.items(), strict=True):
        for name, look in named.items():
            mine = rows[rows["model"] == name]
            found = pd.DataFrame(list(mine[measure])).astype(float)
            axes.plot(mine["prevalence"], found["value"], label=name, **line(look))
            band = (mine["prevalence"], found["low"], found["high"])
            axes.fill_between(*band, color=look["color"], alpha=0.15, lw=0)
        axes.set(title=title, xlabel="share of hateful posts", xscale="log", ylim=(0, None))
        shares = sorted(rows["prevalence"].unique())
        axes.set_xticks(shares, [f"{100 * share:g}%" for share in shares])
        axes.xaxis.set_minor_formatter(NullFormatter())
    below(figure, parts[0])
    return figure


def simulator(curves: dict, chosen, width: float = PAGE) -> Figure:
    """Reviewer hours against what is missed, and cost, over all thresholds; the chosen one marked.

    curves: name -> rows of ``prevalence.simulate``; chosen: the row of each, in their order.
    """
    figure, (left, right) = panels(2, width, 2.5)
    for (name, look), best in zip(looks(curves).items(), chosen, strict=True):
        rows = pd.DataFrame(curves[name])
        style = {"label": name, "markevery": 0.2} | line(look)
        left.plot(rows["hours"], rows["missed"], **style)
        right.plot(rows["alerts"], rows["cost"], **style)
        for axes, x, y in ((left, "hours", "missed"), (right, "alerts", "cost")):
            axes.plot(best[x], best[y], marker="o", ms=9, mfc="none", mec=look["color"], ls="")
    left.set(xlabel="reviewer hours", ylabel="hateful posts missed")
    right.set(xlabel="alerts", ylabel="cost of errors")
    for axes in (left, right):
        axes.set(xlim=(0, None), ylim=(0, None))
        axes.ticklabel_format(style="sci", scilimits=(-3, 4), useMathText=True)
    below(figure, left)
    return figure


def robustness(rows, width: float = PAGE) -> Figure:
    """What a change of the texts does: macro-F1 lost or won, and right verdicts lost.

    rows: model, change_of_text, and change and made_wrong as {value, low, high} (null: left out).
    """
    rows = pd.DataFrame(rows)
    named = looks(rows["model"].unique())
    figure, parts = panels(2, width, 0.9 + 0.3 * rows["change_of_text"].nunique(), sharey=True)
    titles = {"change": "change of macro-F1", "made_wrong": "right verdicts made wrong"}
    for axes, (measure, title) in zip(parts, titles.items(), strict=True):
        by_kind = rows.groupby("change_of_text", sort=False)
        found = {
            kind: dict(zip(part["model"], part[measure], strict=True)) for kind, part in by_kind
        }
        dots(axes, found, named, capsize=1.5)
        axes.axvline(0, color="black", lw=0.8, ls=":")
        axes.set(xlabel=title)
    below(figure, parts[0])
    return figure


def breadth(rows, width: float = PAGE) -> Figure:
    """ROC-AUC on a source left out, by what was learned from: a panel a model, darker is better.

    rows: those of ``breadth.compare`` or ``of_students``.  Left: one other source, then, unless it
    is all others, a mixture, of equal size; right of the line: all others, as many posts of all.
    """
    rows = pd.DataFrame(rows)
    names = rows["model"].unique()
    figure, parts = panels(max(len(names), 1), width, 1.2 + 0.3 * rows["source"].nunique())
    if not len(rows):  # a figure must not look like a result that was lost
        parts[0].text(0.5, 0.5, "no source has enough posts of both labels", ha="center")
        parts[0].set_axis_off()
    for axes, name in zip(parts, names, strict=False):
        mine = rows[rows["model"] == name].set_index("source")
        values = pd.DataFrame(list(mine["alone"]), index=mine.index)
        values = values[sorted(values)]
        alike = mine["many"].tolist() == mine["without it"].tolist()
        for title in ("many", "without it", "with it")[alike:]:
            values[title] = [measure["value"] for measure in mine[title]]
        look = {"cmap": "Greys", "cbar": False, "vmin": 0.4, "vmax": 1.0}
        sns.heatmap(values, annot=True, fmt=".2f", ax=axes, **look)
        axes.axvline(len(values.columns) - 2, color="black", lw=2)
        axes.tick_params(axis="y", rotation=0)
        axes.grid(False)
        axes.set(title=name, xlabel="learned from", ylabel="tested on")
    return figure


def faithfulness(models: Mapping[str, Mapping[str, dict]], width: float = PAGE) -> Figure:
    """What P(hate) loses without the words that each method marks, and with only those.

    models: name -> method -> {"comprehensiveness": {value, low, high}, "sufficiency": ...}.
    """
    methods = list(dict.fromkeys(method for found in models.values() for method in found))
    figure, parts = panels(2, width, 1.0 + 0.42 * len(methods), sharey=True)
    better = {"comprehensiveness": "higher", "sufficiency": "lower"}
    for axes, measure in zip(parts, better, strict=True):
        rows = {m: {n: f[m][measure] for n, f in models.items() if m in f} for m in methods}
        dots(axes, rows, looks(models))
        axes.grid(False, axis="y")
        axes.axvline(0, color="black", lw=0.6)
        axes.set_xlabel(f"{measure} ({better[measure]} is better)")
    below(figure, parts[0])
    return figure


def measures(data: Mapping[str, Mapping[str, dict]], width: float = PAGE) -> Figure:
    """Shares and scores from 0 to 1.  data: measure -> model -> {value, low, high}."""
    names = dict.fromkeys(name for found in data.values() for name in found)
    figure, (axes,) = panels(1, width, 1.0 + 0.42 * len(data))
    dots(axes, data, looks(names))
    axes.grid(False, axis="y")
    axes.set(xlabel="95% interval over posts", xlim=(-0.02, 1.02))
    below(figure, axes)
    return figure
