"""The figures of the notebooks, drawn for print; each comes as PDF, PNG and JSON of its data.

A plot function takes plain data (dicts, rows, frames) and returns a matplotlib Figure; what
could not be measured (None) is left out or said.  ``width`` is COLUMN or PAGE.  In a notebook
a figure shows itself at the end of its cell:

    figures.style()
    figures.save(figures.roc(curves), run, "roc", curves)
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from hsd_utils import tables
from hsd_utils.look import COLUMN, LABELS, LOOKS, PAGE, below, line, looks, panels
from hsd_utils.look import save as save  # offered here too, beside the figures
from hsd_utils.look import style as style


def sampling_counts(counts, dropped: dict | None = None, width: float = PAGE) -> Figure:
    """Posts per source, label (shade) and split (panels), and why others were dropped.

    counts: rows of source, label (0/1), split, posts; dropped: reason -> posts, the last panel.
    """
    counts, dropped = pd.DataFrame(counts), dropped or {}
    splits, sources = list(counts["split"].unique()), sorted(counts["source"].unique())
    height = 1.15 + 0.19 * max(len(sources), len(dropped))
    figure, parts = panels(len(splits) + bool(dropped), width, height)
    for axes, split in zip(parts, splits, strict=False):
        left = np.zeros(len(sources))
        for label, (name, look) in LABELS.items():
            mine = counts[(counts["split"] == split) & (counts["label"] == label)]
            posts = mine.groupby("source")["posts"].sum().reindex(sources, fill_value=0)
            axes.barh(sources, posts, left=left, label=name, **look)
            left = left + posts.to_numpy()
        axes.set(title=f"{split}\n{left.sum():,.0f}", xlabel="posts")
        axes.tick_params(labelleft=axes is parts[0])
    if dropped:
        axes = parts[-1]
        bars = axes.barh(list(dropped), list(dropped.values()), color="white", ec="black", lw=0.6)
        axes.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize=6)
        axes.set(title=f"dropped\n{sum(dropped.values()):,}", xlabel="posts")
        axes.set_xlim(0, 2.1 * max(*dropped.values(), 1))
    for axes in parts:
        axes.set_ylim(len(dropped if dropped and axes is parts[-1] else sources) - 0.4, -0.6)
        axes.grid(False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(2, integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
    below(figure, parts[0])
    return figure


def rationale_ledger(data: dict, width: float = PAGE) -> Figure:
    """Left: how often the teacher agrees with gold; right: how much it answers.

    data: ``agreement``, rows of source, label (0/1), value, low, high (shares, see
    ``statistics.wilson``); ``lengths``, the tokens answered about each post.
    """
    rows = pd.DataFrame(data["agreement"]).dropna(subset=["value"])
    sources = sorted(rows["source"].unique())
    figure, (left, right) = panels(2, width, max(2.0, 0.8 + 0.28 * len(sources)))
    for (label, (name, look)), marker in zip(LABELS.items(), "os", strict=True):
        mine = rows[rows["label"] == label]
        at = np.array([sources.index(source) for source in mine["source"]]) + 0.3 * label - 0.15
        reach = [mine["value"] - mine["low"], mine["high"] - mine["value"]]
        dot = {"fmt": marker, "color": "#333333", "markerfacecolor": look["color"]}
        left.errorbar(mine["value"], at, xerr=reach, label=name, capsize=2, **dot)
    left.set_yticks(range(len(sources)), sources)
    left.set(xlabel="agreement with gold (95% interval)", xlim=(-0.02, 1.02))
    left.set_ylim(len(sources) - 0.5, -0.5)
    left.xaxis.set_major_formatter(PercentFormatter(1))
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    sns.histplot(x=data["lengths"], ax=right, color=LOOKS["teacher"]["color"], bins=20)
    middle = np.median(data["lengths"])
    right.axvline(middle, color="black", linestyle="--", label=f"median {middle:.0f}")
    right.set(xlabel="tokens answered about a post", ylabel="posts")
    right.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)
    return figure


def training_log(log: list[dict], width: float = COLUMN) -> Figure:
    """Loss by step.  log: dicts of step and, where measured, loss and dev_loss."""
    log = pd.DataFrame(log).reindex(columns=["step", "loss", "dev_loss"])
    figure, axes = plt.subplots(figsize=(width, 2.2))
    train, dev = (log.dropna(subset=[name]) for name in ("loss", "dev_loss"))
    axes.plot(train["step"], train["loss"], color="#888888", label="training")
    if len(dev):
        axes.plot(dev["step"], dev["dev_loss"], label="dev", **line(LOOKS["student"]))
        best = dev.loc[dev["dev_loss"].idxmin(), "step"]
        axes.axvline(best, color="black", lw=0.9, ls=":", label=f"best: step {best:.0f}")
    axes.set(xlabel="optimiser step", ylabel="loss")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.legend()
    return figure


def f1_intervals(models: dict, width: float = COLUMN) -> Figure:
    """Macro-F1 (filled) and F1 of the hate class (hollow) with 95% intervals, a row a model.

    models: name -> {"macro_f1": {value, low, high}, "f1": ...}, as ``metrics.classification``.
    """
    figure, axes = plt.subplots(figsize=(width, 0.8 + 0.36 * len(models)))
    for row, (name, look) in enumerate(looks(models).items()):
        for measure, at, face in (("macro_f1", row - 0.18, look["color"]), ("f1", row + 0.18, "w")):
            found = models[name][measure]
            side = {"va": "center", "fontsize": 6, "transform": axes.get_yaxis_transform()}
            axes.text(1.02, at, tables.interval(found), **side)
            if found["value"] is None:
                continue
            axes.plot(found["value"], at, color=look["color"], marker=look["marker"], mfc=face)
            if found["low"] is not None:
                axes.plot([found["low"], found["high"]], [at, at], color=look["color"], zorder=1)
    for name, face in (("macro-F1", "#333333"), ("F1 (hate)", "w")):
        axes.plot([], [], "o", color="#333333", mfc=face, label=name)
    axes.set_yticks(range(len(models)), list(models))
    axes.set(xlabel="95% interval over posts", xlim=(0, 1), ylim=(len(models) - 0.5, -0.5))
    below(figure, axes)
    return figure


def confusion_matrices(models: dict, width: float = PAGE) -> Figure:
    """A panel a model: posts, and per cent of the gold label.  models: name -> 2x2 counts."""
    figure, parts = panels(len(models), min(width, 2.3 * len(models)), 1.95)
    for axes, (name, counts) in zip(parts, models.items(), strict=True):
        counts = np.array(counts)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        pairs = zip(counts.ravel(), share.ravel(), strict=True)
        text = np.array([f"{n:,}\n{part:.0%}" for n, part in pairs]).reshape(2, 2)
        ticks = [shown for shown, _ in LABELS.values()]
        options = {"vmin": 0, "vmax": 1, "cbar": False, "linewidths": 1}
        options |= {"xticklabels": ticks, "yticklabels": ticks if axes is parts[0] else False}
        sns.heatmap(share, annot=text, fmt="", cmap="Blues", ax=axes, **options)
        axes.set(title=name, xlabel="predicted")
    parts[0].set_ylabel("gold")
    return figure


def reliability(models: dict, width: float = PAGE) -> Figure:
    """A panel a model: share of hate against P(hate), and (bars) where the posts are.

    models: name -> the table of ``metrics.reliability`` (frame or rows).
    """
    figure, parts = panels(len(models), min(width, 2.3 * len(models)), 2.3, sharey=True)
    for axes, (name, look) in zip(parts, looks(models).items(), strict=True):
        rows = pd.DataFrame(models[name])
        share = rows["posts"] / rows["posts"].sum()
        at, wide = (rows["from"] + rows["to"]) / 2, rows["to"] - rows["from"]
        axes.bar(at, share, wide, color="#dddddd", ec="white", label="share of posts", zorder=1)
        axes.plot([0, 1], [0, 1], color="black", lw=0.8, ls=":", label="perfect", zorder=2)
        rows = rows[rows["posts"] > 0].astype(float)
        reach = [rows["rate"] - rows["low"], rows["high"] - rows["rate"]]
        axes.errorbar(rows["mean_p"], rows["rate"], yerr=reach, capsize=2, **line(look))
        ece = (share * (rows["rate"] - rows["mean_p"]).abs()).sum()
        axes.set(title=f"{name}: ECE {ece:.2f}", xlabel="mean P(hate)")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=(0, 0.5, 1))
    parts[0].set_ylabel("share hateful")
    below(figure, parts[0])
    return figure


def roc(models: dict, width: float = COLUMN) -> Figure:
    """ROC curves.  models: name -> {fpr, tpr, auc} of ``metrics.roc``, or None (left out)."""
    figure, axes = plt.subplots(figsize=(width, width * 0.95 + 0.08 * len(models)))
    axes.plot([0, 1], [0, 1], color="black", lw=0.8, ls=":")
    for name, look in looks(models).items():
        if curve := models[name]:
            shown = f"{name}: AUC {curve['auc']:.2f}"
            axes.plot(curve["fpr"], curve["tpr"], label=shown, markevery=0.15, **line(look))
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1.01))
    axes.set(ylim=(-0.01, 1.01), aspect="equal")
    below(figure, axes)
    return figure


def latency(rows, width: float = PAGE) -> Figure:
    """Seconds a post by batch size, a panel a mode, p95 as a whisker.

    rows: model, mode ("label only", "with explanation"), batch, p50 and perhaps p95 (seconds).
    """
    rows = pd.DataFrame(rows, columns=["model", "mode", "batch", "p50", "p95"])
    modes = list(rows["mode"].unique())
    named, wide = looks(rows["model"].unique()), rows["p50"].max() > 8 * rows["p50"].min()
    figure, parts = panels(len(modes), width, 2.4, sharey=True, sharex=True)
    for axes, mode in zip(parts, modes, strict=True):
        for place, (name, look) in enumerate(named.items()):
            mine = rows[(rows["mode"] == mode) & (rows["model"] == name)].sort_values("batch")
            late = (mine["p95"].astype(float) - mine["p50"]).clip(lower=0).fillna(0)
            beside = mine["batch"] * 1.08 ** (place - (len(named) - 1) / 2)  # equals stay visible
            axes.errorbar(
                beside, mine["p50"], [late * 0, late], label=name, capsize=2, **line(look)
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3) if wide else (1, 2, 3, 4, 5, 6, 8)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        batches = sorted(rows["batch"].unique())
        axes.set_xticks(batches, [f"{batch:g}" for batch in batches])
        axes.set(title=mode, xlabel="posts in a batch")
    parts[0].set_ylabel("seconds a post (median)")
    below(figure, parts[0])
    return figure


def memory(models: dict, width: float = PAGE) -> Figure:
    """Peak memory and size on disk.  models: name -> {"peak", "disk"}, bytes or None."""
    figure, parts = panels(2, width, 0.75 + 0.26 * len(models), sharey=True)
    titles = {"peak": "peak memory", "disk": "size on disk"}
    for axes, (key, title) in zip(parts, titles.items(), strict=True):
        for row, (name, look) in enumerate(looks(models).items()):
            size = models[name].get(key)
            fill = {"color": look["color"], "hatch": look["hatch"], "ec": "white"}
            bar = axes.barh(row, (size or 0) / 1e9, 0.7, **fill)
            text = tables.ABSENT if size is None else f"{size / 1e9:.3g}"
            axes.bar_label(bar, [text], padding=2, fontsize=6)
        axes.margins(x=0.18)
        axes.set(title=title, xlabel="GB (1e9 bytes)", xlim=(0, None))
        axes.grid(False, axis="y")
    parts[0].set_yticks(range(len(models)), list(models))
    parts[0].invert_yaxis()
    return figure


def cost(data: dict, width: float = COLUMN) -> Figure:
    """Money spent in all by the number of posts read, and where the student has paid off.

    data: ``models``, name -> {"fixed": labelling and training, "per_post"}; ``break_even`` in
    posts, or None if there is none; ``currency``.
    """
    even = data["break_even"]
    posts = np.logspace(2, max(6, np.ceil(np.log10(even or 1)) + 1), 200)
    figure, axes = plt.subplots(figsize=(width, 2.5))
    for index, (name, look) in enumerate(looks(data["models"]).items()):
        spent = data["models"][name]["fixed"] + data["models"][name]["per_post"] * posts
        axes.plot(posts, spent, label=name, markevery=(index * 8, 40), **line(look))
    axes.set_title(f"break-even at {even:,.0f} posts" if even else "no break-even")
    if even:
        axes.axvline(even, color="black", lw=0.9, ls=":")
    axes.set(xscale="log", yscale="log", xlabel="posts read (labelling included in the cost)")
    axes.set_ylabel(f"{data['currency']} in all")
    axes.yaxis.set_major_formatter("{x:g}")
    below(figure, axes)
    return figure
