"""Figures of notebook 06: measures of explanations beside each other, with their intervals.

They look and are saved like all others (see ``figures`` and ``look``):

    figures.save(explanation_figures.faithfulness(data), run, "faithfulness", data)
"""

from collections.abc import Mapping

from matplotlib.figure import Figure

from hsd_utils.look import PAGE, below, dots, looks, panels

TITLES = {
    "comprehensiveness": "comprehensiveness (higher is better)",
    "sufficiency": "sufficiency (lower is better)",
}


def faithfulness(models: Mapping[str, Mapping[str, dict]], width: float = PAGE) -> Figure:
    """What P(hate) loses without the words that each method marks, and with only those.

    models: name -> method -> {"comprehensiveness": {value, low, high}, "sufficiency": ...}.
    """
    methods = list(dict.fromkeys(method for found in models.values() for method in found))
    figure, parts = panels(2, width, 1.0 + 0.42 * len(methods), sharey=True)
    for axes, (measure, title) in zip(parts, TITLES.items(), strict=True):
        rows = {m: {n: f[m][measure] for n, f in models.items() if m in f} for m in methods}
        dots(axes, rows, looks(models))
        axes.grid(False, axis="y")
        axes.axvline(0, color="black", lw=0.6)
        axes.set_xlabel(title)
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
