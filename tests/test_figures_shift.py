"""The figures of shift: whole, saved with their data, and true to it."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hsd_utils import calibration, figures, figures_shift, prevalence
from hsd_utils.paths import Run

GENERATOR = np.random.default_rng(0)
LABEL = np.array([0, 1] * 30)
P_HATE = np.clip(LABEL * 0.3 + GENERATOR.random(60) * 0.7, 0, 1)
NULL = {"value": None, "low": None, "high": None}
SHARE = {"value": 0.7, "low": 0.5, "high": 0.9}
SHARES = [0.01, 0.05, 0.1, 0.2]
MODELS = ["student", "majority", "tfidf_lr"]
SETTINGS = {"prevalence": 0.05, "volume": 100_000, "cost_missed": 5, "cost_alarm": 1}
CASES = [
    {"functionality": f"case_{n}", "always_hateful": n % 2} | dict.fromkeys(MODELS, SHARE)
    for n in range(12)
]
RATES = [
    {"model": model, **row}
    for model in MODELS
    for row in prevalence.table(LABEL, P_HATE, P_HATE >= 0.5, SHARES).to_dict("records")
] + [
    {"model": "silent", **row}
    for row in prevalence.table(LABEL, P_HATE, [0] * 60, SHARES).to_dict("records")
]
MOVED = [
    {"model": model, "change_of_text": kind, "made_wrong": SHARE, "change": change}
    for model in MODELS
    for kind, change in (("typos", SHARE), ("injection", NULL))
]
SOURCES = ("davidson", "ethos", "corpus/forum")
BROAD = [
    {"model": model, "source": source, "alone": {o: 0.6 for o in SOURCES if o != source}}
    | dict.fromkeys(("many", "without it", "with it"), SHARE)
    for model in ("tfidf_lr", "minilm_head")
    for source in SOURCES
]
CURVES = {m: prevalence.simulate(LABEL, P_HATE, **SETTINGS) for m in MODELS}
CHOSEN = [prevalence.at(curve, 0.5) for curve in CURVES.values()]
DRAWN = {
    "risk": (
        figures_shift.risk_coverage,
        {m: calibration.risk_coverage(LABEL, P_HATE, 0.5) for m in MODELS},
    ),
    "cases": (lambda rows: figures_shift.cases(rows, "functionality", MODELS), CASES),
    "prevalence": (figures_shift.prevalence, RATES),
    "simulator": (
        lambda drawn: figures_shift.simulator(**drawn),
        {"curves": CURVES, "chosen": CHOSEN},
    ),
    "robustness": (figures_shift.robustness, MOVED),
    "breadth": (figures_shift.breadth, BROAD),
}


@pytest.fixture(autouse=True)
def print_look():
    plt.switch_backend("agg")
    with plt.rc_context():
        figures.style()
        plt.rcParams["savefig.dpi"] = 60
        yield
    plt.close("all")


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.filterwarnings("error")
def test_each_figure_is_whole_and_saved(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path))
    draw, data = DRAWN[name]
    figure = draw(data)
    figures.save(figure, Run("test"), name, data)
    assert json.loads(Run("test").figure(name, "json").read_text())
    assert b"/FontFile2" in Run("test").figure(name, "pdf").read_bytes()
    shown, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(shown.x0, shown.y0) > -0.02, "cut off to the left or below"
    assert shown.x1 < width + 0.02 and shown.y1 < height + 0.02, "cut off to the right or above"


def test_the_chosen_threshold_is_marked():
    figure, best = figures_shift.simulator(CURVES, CHOSEN), CHOSEN[0]
    marked = [
        tuple(np.ravel(dot.get_data())) for dot in figure.axes[1].lines if dot.get_ls() == "None"
    ]
    assert (best["alerts"], best["cost"]) in marked


def test_a_thinned_curve_keeps_its_ends_and_the_cheapest_threshold():
    curve = prevalence.simulate(np.tile(LABEL, 50), GENERATOR.random(3000), **SETTINGS)
    few = figures_shift.thin(curve, 50)
    assert len(few) <= 51 and len(curve) == 3001
    assert prevalence.cheapest(few) == prevalence.cheapest(curve)
    assert few.iloc[[0, -1]].to_numpy().tolist() == curve.iloc[[0, -1]].to_numpy().tolist()
    risks = calibration.risk_coverage(LABEL, P_HATE, 0.5)
    assert figures_shift.thin(risks).equals(risks)


def test_a_model_looks_the_same_whether_or_not_all_are_shown():
    def colours(models):
        figure = figures_shift.cases(CASES, "functionality", models)
        return {c.get_label(): c.lines[0].get_color() for c in figure.axes[0].containers}

    assert colours(["student", "tfidf_lr"]).items() <= colours(MODELS).items()


def test_what_could_not_be_measured_is_left_out():
    figure = DRAWN["robustness"][0](MOVED)
    dots = [len(c.lines[0].get_xdata()) for axes in figure.axes for c in axes.containers]
    assert dots == [1, 1, 1, 2, 2, 2]


def test_each_source_is_tested_on_what_others_taught_and_none_may_be_left():
    mixed = [row | {"many": SHARE | {"value": 0.65}} for row in BROAD]
    for rows, many in ((mixed, 3), (BROAD, 0)):  # where it is all others it is shown once
        for axes in figures_shift.breadth(rows).axes:
            said = [text.get_text() for text in axes.texts]
            assert said.count("0.60") == 6 and said.count("0.70") == 6  # none alone on itself
            assert said.count("0.65") == many
    (empty,) = figures_shift.breadth(pd.DataFrame(BROAD).head(0)).axes
    assert "enough posts" in empty.texts[0].get_text()
