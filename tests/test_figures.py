"""Figures: every one draws, embeds its fonts, repeats byte for byte and keeps its data."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hsd_utils import figures, look, metrics
from hsd_utils.paths import Run

LABEL = np.array([0, 1] * 20)
P_HATE = np.clip(LABEL * 0.4 + np.linspace(0, 0.6, 40), 0, 1)
NULL = {"value": None, "low": None, "high": None, "reason": "one class"}
SHARE = {"value": 0.7, "low": 0.5, "high": 0.9}
MODELS = ("teacher", "base", "student", "tfidf")
COUNTS = [
    {"source": source, "label": label, "split": split, "posts": 5 + label}
    for source in ("blog", "forum")
    for label in (0, 1)
    for split in ("distil", "eval")
]
LATENCY = [
    {"model": model, "mode": mode, "batch": batch, "p50": 0.5 / batch, "p95": None}
    for model in ("teacher", "student")
    for mode in ("label only", "with explanation")
    for batch in (1, 8)
]
AGREEMENT = [{"source": "blog", "label": 0, **SHARE}, {"source": "forum", "label": 1, **NULL}]
LOG = [{"step": 1, "loss": 2.0}, {"step": 2, "dev_loss": 1.0}, {"step": 3, "dev_loss": 1.5}]
SPENT = {
    "teacher": {"fixed": 0, "per_post": 4e-5},
    "student": {"fixed": 0.4, "per_post": 5e-6},
}
DRAWN = {
    "sampling_counts": (figures.sampling_counts, COUNTS),
    "rationale_ledger": (figures.rationale_ledger, {"agreement": AGREEMENT, "lengths": [5, 9, 7]}),
    "training_log": (figures.training_log, LOG),
    "f1_intervals": (figures.f1_intervals, {"base": {"macro_f1": SHARE, "f1": NULL}}),
    "confusion_matrices": (figures.confusion_matrices, dict.fromkeys(MODELS, [[9, 1], [0, 0]])),
    "reliability": (figures.reliability, {"base": metrics.reliability(LABEL, P_HATE)}),
    "roc": (figures.roc, {"student": metrics.roc(LABEL, P_HATE), "broken": None}),
    "latency": (figures.latency, LATENCY),
    "memory": (figures.memory, {"base": {"peak": None, "disk": 98_362_432}}),
    "cost": (figures.cost, {"models": SPENT, "break_even": 11_429, "currency": "USD"}),
}


@pytest.fixture(autouse=True)
def print_look():
    plt.switch_backend("agg")
    with plt.rc_context():
        figures.style()
        plt.rcParams["savefig.dpi"] = 60  # a test has no use for print resolution
        yield
    plt.close("all")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path))
    return Run("test")


def shown(figure):
    """All text a figure shows."""
    return " ".join(text.get_text() for text in figure.findobj(plt.Text))


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.filterwarnings("error")
def test_each_figure_is_whole_and_saved_with_fonts_embedded_and_its_data(name, run):
    draw, data = DRAWN[name]
    figure = draw(data)
    figures.save(figure, run, name, data)
    pdf = run.figure(name, "pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/CIDFontType2" in pdf  # TrueType, embedded (Type 42)
    assert b"/Type3" not in pdf and b"/CreationDate" not in pdf
    assert run.figure(name, "png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(run.figure(name, "json").read_text())
    assert plt.fignum_exists(figure.number)  # a notebook shows it after the cell
    shown, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(shown.x0, shown.y0) > -0.02, "cut off to the left or below"
    assert shown.x1 < width + 0.02 and shown.y1 < height + 0.02, "cut off to the right or above"


@pytest.mark.parametrize("name", ["f1_intervals", "latency"])
def test_drawing_again_gives_the_same_bytes(name, run):
    draw, data = DRAWN[name]
    files = []
    for _ in range(2):
        figures.save(draw(data), run, name, data)
        files.append([run.figure(name, suffix).read_bytes() for suffix in ("pdf", "png", "json")])
    assert files[0] == files[1]


def test_fonts_are_embedded_even_if_the_defaults_say_otherwise(run):
    plt.rcParams["pdf.fonttype"] = 3
    figures.save(figures.training_log(LOG), run, "log", LOG)
    assert b"/Type3" not in run.figure("log", "pdf").read_bytes()


def test_a_model_looks_the_same_everywhere_and_unlike_the_others():
    alone, all_of_them = look.looks(["student"]), look.looks([*MODELS, "minilm", "hatesonar"])
    assert alone["student"] == all_of_them["student"] == look.LOOKS["student"]
    assert look.looks(["tfidf"])["tfidf"] == look.looks(["base", "tfidf"])["tfidf"]
    for part in ("color", "marker", "hatch"):
        assert len({each[part] for each in all_of_them.values()}) == 6
    assert len(look.looks([f"model{number}" for number in range(20)])) == 20


def test_the_figures_say_what_was_measured():
    assert "0.70 (0.50–0.90)" in shown(DRAWN["f1_intervals"][0](DRAWN["f1_intervals"][1]))
    assert "n/a" in shown(figures.memory({"base": {"peak": None, "disk": 2e9}}))
    curves = DRAWN["roc"][1]
    assert f"student: AUC {curves['student']['auc']:.2f}" in shown(figures.roc(curves))
    assert "11,429" in shown(DRAWN["cost"][0](DRAWN["cost"][1]))
    assert "no break-even" in shown(figures.cost(DRAWN["cost"][1] | {"break_even": None}))
    assert "best: step 2" in shown(figures.training_log(LOG))


def test_the_bars_of_a_split_add_up_and_drops_have_their_panel():
    figure = figures.sampling_counts(pd.DataFrame(COUNTS), {"empty": 3, "exact duplicate": 12})
    distil, _, dropped = figure.axes
    assert sum(bar.get_width() for bar in distil.patches) == 22
    assert distil.get_title() == "distil\n22" and dropped.get_title() == "dropped\n15"


def test_the_title_of_a_reliability_panel_is_the_measured_ece():
    ece = metrics.classification(LABEL, P_HATE, LABEL, resamples=0, seed=0)["ece"]["value"]
    figure = figures.reliability({"student": metrics.reliability(LABEL, P_HATE)})
    assert figure.axes[0].get_title() == f"student: ECE {ece:.2f}"
