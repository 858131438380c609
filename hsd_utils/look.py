"""One look for all figures: sizes, fonts, a colour and marker a model, and how they are saved.

A model has the same colour, marker, line and hatch in every figure, so that a figure also
reads in grey; colours are seaborn's colour-blind palette.  Sizes are the print size.

    python -c "from hsd_utils.look import looks; print(looks(['teacher', 'student', 'tfidf']))"
"""

import zlib
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from hsd_utils import tables
from hsd_utils.paths import Run

COLUMN, PAGE = 3.35, 6.9  # inches: one column of a two-column paper, its full width
BLIND = sns.color_palette("colorblind").as_hex()
LOOKS = {
    "teacher": {"color": BLIND[0], "marker": "o", "linestyle": "-", "hatch": ""},
    "base": {"color": BLIND[7], "marker": "s", "linestyle": ":", "hatch": "...."},
    "student": {"color": BLIND[3], "marker": "D", "linestyle": "--", "hatch": "////"},
}
FURTHER = [
    {"color": BLIND[2], "marker": "^", "linestyle": "-.", "hatch": "\\\\\\\\"},
    {"color": BLIND[4], "marker": "v", "linestyle": (0, (1, 1)), "hatch": "xxxx"},
    {"color": BLIND[9], "marker": "P", "linestyle": (0, (5, 1)), "hatch": "++++"},
    {"color": BLIND[5], "marker": "X", "linestyle": (0, (3, 1, 1, 1)), "hatch": "oooo"},
    {"color": "#444444", "marker": "*", "linestyle": (0, (8, 3)), "hatch": "----"},
    {"color": BLIND[6], "marker": "<", "linestyle": (0, (4, 1, 1, 1)), "hatch": "||||"},
    {"color": BLIND[8], "marker": ">", "linestyle": (0, (2, 2)), "hatch": "**"},
]
LABELS = {
    0: ("not hate", {"color": "#d0d0d0", "ec": "black", "lw": 0.4}),
    1: ("hate", {"color": "#606060", "ec": "black", "lw": 0.4}),
}


def style() -> None:
    """Set matplotlib's defaults for all that follows: print sizes, embedded TrueType fonts."""
    sizes = {"font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 7}
    sizes |= {"xtick.labelsize": 7, "ytick.labelsize": 7, "legend.title_fontsize": 7}
    lines = {"lines.linewidth": 1.3, "lines.markersize": 4, "hatch.linewidth": 0.5}
    files = {"figure.constrained_layout.use": True, "figure.dpi": 120, "savefig.dpi": 300}
    grid = {"grid.linewidth": 0.5, "axes.linewidth": 0.6, "axes.edgecolor": "#666666"}
    embed = {"pdf.fonttype": 42, "ps.fonttype": 42, "font.family": "DejaVu Sans"}
    sns.set_theme(style="whitegrid", palette="colorblind", rc=sizes | lines | files | grid | embed)


def save(figure: Figure, run: Run, name: str, data) -> None:
    """Write ``figures/<name>.pdf``, ``.png`` and ``.json`` (the data); the figure stays open.

    The same data give the same bytes: no date, no program version.
    """
    blank = {"pdf": ("CreationDate", "Producer", "Creator"), "png": ("Software",)}
    for suffix, names in blank.items():
        path = run.figure(name, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        with plt.rc_context({"pdf.fonttype": 42}):
            figure.savefig(path, metadata=dict.fromkeys(names))
    run.figure(name, "json").write_text(tables.to_json(data), encoding="utf-8")


def looks(names) -> dict[str, dict]:
    """Colour, marker, linestyle and hatch of each model.

    A name other than teacher, base and student has a place of its own among FURTHER, found
    from its letters; if it is taken in this figure, the next free one.
    """
    found, free = {}, list(range(len(FURTHER)))
    for name in names:
        if name in LOOKS:
            found[name] = LOOKS[name]
            continue
        wanted = zlib.crc32(name.encode()) % len(FURTHER)
        place = min(free, key=lambda at: (at - wanted) % len(FURTHER), default=wanted)
        free = [at for at in free if at != place]
        found[name] = FURTHER[place]
    return found


def line(look: dict) -> dict:
    """What of a look a line takes."""
    return {key: value for key, value in look.items() if key != "hatch"}


def panels(count: int, width: float, height: float, **shared):
    """A figure of panels in a row: the figure and its axes (count,)."""
    figure, axes = plt.subplots(1, count, figsize=(width, height), squeeze=False, **shared)
    return figure, axes[0]


def dots(axes, rows: Mapping[str, Mapping[str, dict]], named: Mapping[str, dict], **style) -> None:
    """A row for each title, the first on top; in it a dot and interval a model, nulls left out.

    rows: title -> model -> {value, low, high}; named: the ``looks`` of the models shown.
    """
    for place, (name, look) in enumerate(named.items()):
        found = {n: row[name] for n, row in enumerate(rows.values()) if name in row}
        found = {n: measure for n, measure in found.items() if measure["value"] is not None}
        ends = ["value", "low", "high"]
        measured = pd.DataFrame(list(found.values()), columns=ends).astype(float)
        reach = [measured["value"] - measured["low"], measured["high"] - measured["value"]]
        at = np.array(list(found)) + 0.7 * ((place + 0.5) / len(named) - 0.5)
        dot = {"color": look["color"], "fmt": look["marker"], "label": name} | style
        # An end may lie a last bit on the wrong side of its value.
        axes.errorbar(measured["value"], at, xerr=np.clip(reach, 0, None), **dot)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)


def below(figure: Figure, axes) -> None:
    """One legend for the whole figure, under it, so that it hides nothing."""
    handles, names = axes.get_legend_handles_labels()
    columns = min(4 if figure.get_figwidth() > COLUMN else 2, len(names))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)
