"""Notebook 08 on fakes: what it says of cells and final pairs is measured again by hand."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from cells import execute
from sklearn.metrics import f1_score, roc_auc_score
from studied import GRID, RUN

from hsd_utils import ablations, figures_study, ledger, predictions, statistics, study


@pytest.fixture
def lab(lab, monkeypatch, tmp_path):
    (tmp_path / "study.yaml").write_text(GRID)
    grid = study.read(tmp_path / "study.yaml")
    monkeypatch.setattr(study, "read", lambda *_: grid)
    return lab


def executed(trained_here):
    """The notebook's names and the run's metrics."""
    chosen = {"posts_of_a_cell": 16, "trained_here": trained_here, "resamples": 200}
    names, _ = execute("08_ablations", run=RUN.name, **chosen)
    return names, json.loads(RUN.metrics.read_text(), parse_constant=pytest.fail)["study"]


def test_cells_trained_in_the_notebook_are_shown_and_the_rest_is_left(lab):
    names, found = executed(["soft"])
    (row,) = found["cells"]
    assert row["name"] == "soft" and row["seeds"] == [0] and row["difference"] == {}
    assert row["supervision"] == "teacher" and row["n"] == 16 and row["split"] == "dev"
    assert len(found["left"]) == 7 and found["finals"] == []
    assert ledger.entries(RUN) == [] and lab.fitted == ["soft-0"]
    executed(["soft"])
    assert lab.fitted == ["soft-0"]  # finished cells are not trained again


def test_without_any_cell_it_shows_the_grid(lab):
    names, found = executed([])
    assert found["cells"] == found["breadth"]["rows"] == [] and names["shown"] == {}
    assert len(names["listed"]) == 5 and len(found["left"]) == 8


def test_an_unknown_cell_is_refused(lab):
    with pytest.raises(AssertionError, match="no cell of the grid is called {'sfot'}"):
        executed(["sfot"])


def test_a_whole_study_is_summed_up_and_its_final_pairs_are_tested(lab):
    for line in study.execute(RUN, study.read(), 16):
        assert "failed" not in line
    _, found = executed([])
    assert found["left"] == [] and [r["claim"] for r in found["finals"]] == ["C2", "C4a"]
    (read,) = ledger.entries(RUN, "eval")
    assert read["notebook"] == "08_ablations" and read["n"] == 32

    dev, held_out = lab.samples["dev"], lab.samples["eval"]
    done, _ = study.finished(RUN, study.read(), 16)
    by = {row["name"]: row for row in found["cells"]}
    for name, row in by.items():
        runs = ablations.trainings(RUN, done, name, dev, "dev")
        f1 = [f1_score(dev["label"], r["predicted"], average="macro") for r in runs]
        auc = [roc_auc_score(dev["label"], r["p_hate"]) for r in runs]
        assert row["metrics"]["macro_f1"]["value"] == pytest.approx(np.mean(f1))
        assert row["metrics"]["roc_auc"]["value"] == pytest.approx(np.mean(auc))
        for measured in row["metrics"].values():
            assert 0 <= measured["low"] <= measured["value"] <= measured["high"] <= 1
    base = by["label_only"]["metrics"]["roc_auc"]["value"]
    soft = by["soft"]["metrics"]["roc_auc"]["value"]
    assert by["soft"]["difference"]["roc_auc"]["value"] == pytest.approx(soft - base)
    assert by["label_only"]["difference"] == {} and by["soft"]["seeds"] == [0, 1]

    quotes = json.loads(RUN.table("study_quotes", "json").read_text())
    assert [(row["cell"], row["seed"]) for row in quotes] == [("weighted", 0), ("weighted", 1)]
    assert {row["quotes"] for row in quotes} == {dev["label"].sum()}
    assert {(row["found"], row["whole"]) for row in quotes} == {(1.0, 0.0)}

    together = {r["cell"]: r for r in json.loads(RUN.table("study_together", "json").read_text())}
    assert list(together) == ["label_only", "soft", "weighted"]  # the teacher has one seed
    each = [r["p_hate"] for r in ablations.trainings(RUN, done, "soft", dev, "dev")]
    mean = roc_auc_score(dev["label"], np.mean([np.log(p / (1 - p)) for p in each], axis=0))
    told = by["the teacher"]["metrics"]["roc_auc"]["value"]
    expected = {"alone": soft, "together": mean, "gain": mean - soft}
    for title, value in (expected | {"ahead of the teacher": mean - told}).items():
        assert together["soft"][title]["value"] == pytest.approx(value), title
    assert together["soft"]["seeds"] == 2 and together["soft"]["labels from"] == "teacher"

    c2, c4 = found["finals"]
    taught = ablations.trainings(RUN, done, "soft", held_out, "eval")
    (teacher,) = ablations.trainings(RUN, done, "the teacher", held_out, "eval")
    expected = statistics.hierarchical(
        held_out["label"],
        [rows["predicted"] for rows in taught],
        [teacher["predicted"]],
        metric="macro_f1",
        resamples=2000,
        seed=0,
    )
    for name in ("difference", "low", "high", "p_value"):
        assert c2[name] == pytest.approx(expected[name])
    assert c2["seeds"] == [0, 1] and c2["n"] == 32 and c2["supervision"] == "teacher"
    assert c2["learned"] == 16
    rest = held_out["label"][5:], [rows["predicted"][5:] for rows in taught]
    fresh = statistics.hierarchical(
        *rest, [teacher["predicted"][5:]], metric="macro_f1", resamples=2000, seed=0
    )
    without = found["finals_fresh"][0]
    assert without["n"] == 27 and without["p_holm"] is None
    assert without["difference"] == pytest.approx(fresh["difference"])
    # C3 lacks pairs, so it counts as 1: of three claims the smaller of two p-values counts thrice.
    small, large = sorted((c2, c4), key=lambda row: row["p_value"])
    assert small["p_holm"] == pytest.approx(min(1, 3 * small["p_value"]))
    assert found["p_holm"] == {"C2": c2["p_holm"], "C4": c4["p_holm"], "C3": None}
    assert large["p_holm"] == pytest.approx(min(1, max(3 * small["p_value"], 2 * large["p_value"])))


def test_a_verdict_that_could_not_be_read_counts_as_wrong(lab):
    grid, dev = study.read(), lab.samples["dev"]
    list(study.execute(RUN, grid | {"cells": grid["cells"][:1]}, 16))
    (row,) = done = study.finished(RUN, grid, 16)[0]
    file = RUN.study(f"{row['key']}.jsonl")
    rows = predictions.load(file)
    predictions.write(rows.assign(unread=rows["id"].isin(dev["id"][:5])), file)
    (told,) = ablations.summary(done, ablations.all_trainings(RUN, done, dev), dev, 10, seed=0)
    said = rows.set_index("id").loc[dev["id"], "predicted"].to_numpy(copy=True)
    said[:5] = 1 - dev["label"][:5]
    expected = f1_score(dev["label"], said, average="macro")
    assert told["metrics"]["macro_f1"]["value"] == pytest.approx(expected)


def test_what_averaging_gains_is_over_posts_the_trainings_held():
    label, p = np.array([0, 1] * 20), np.random.default_rng(0).random((2, 40))
    same = ablations._gain(label, p[0], [p[0], p[0]], 50, seed=0)
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)
    found = ablations._gain(label, p[0], p, 2000, seed=0)
    each = [roc_auc_score(label, one) for one in p]
    assert found["value"] == pytest.approx(each[0] - np.mean(each))
    assert found["low"] < found["value"] < found["high"]


def test_a_pair_waits_for_all_its_seeds(lab):
    grid = study.read()
    for _ in study.execute(RUN, grid | {"cells": grid["cells"][:5]}, 16):
        pass  # label_only and weighted lack a seed
    done, _ = study.finished(RUN, grid, 16)
    assert [pair["claim"] for pair in ablations.complete(grid, done)] == ["C2"]


def test_files_are_those_listed_and_hold_no_post(lab):
    executed(["soft", "label_only"])
    manifest = json.loads(RUN.stage_manifest("08_ablations").read_text())
    for name in manifest["outputs"]:
        assert (RUN.folder / name).stat().st_size, name
    figures = {file.stem for file in RUN.figure("x", "png").parent.glob("*.png")}
    assert figures == {"study_label_source", "study_learning_curve"}
    texts = [text for text in lab.table["text"] if len(text) > 30]
    files = [RUN.metrics, RUN.study("results.jsonl"), *RUN.table("x", "json").parent.iterdir()]
    for file in [*files, *RUN.figure("x", "json").parent.glob("*.json")]:
        content = file.read_text()
        assert not [text for text in texts if text[:30] in content], file.name
    rows = pd.DataFrame(json.loads(RUN.table("study", "json").read_text()))
    assert list(rows["cell"]) == ["label_only", "soft"]


def drawn(name, value, **more):
    measure = {"value": value, "low": value - 0.1, "high": value + 0.1}
    return {"name": name, "metrics": dict.fromkeys(("macro_f1", "roc_auc"), measure)} | more


def sized(**cells):
    return [
        {"name": name, "n": n, "label_source": source, "supervision": source[:7], "seeds": [0]}
        for name, (n, source) in cells.items()
    ]


def test_more_posts_are_paired_by_post():
    draw = np.random.default_rng(0)
    dev = pd.DataFrame({"id": range(60), "label": [0, 1] * 30})
    p = {
        name: np.clip(dev["label"] * 0.3 + draw.random(60) * w, 0, 1)
        for name, w in {"large": 0.6, "enough": 0.9}.items()
    }
    said = {
        name: [pd.DataFrame({"p_hate": v, "predicted": (v > 0.5) * 1})] for name, v in p.items()
    }
    soft = "teacher_soft"
    rows = sized(large=(400, soft), small=(50, soft), enough=(100, soft), gold=(200, "gold"))
    found = ablations.more_posts([*rows, *sized(teacher=(0, ""))], said, dev, 100, 200, 0)
    assert found["posts"] == [400, 100] and found["supervision"] == "teacher"
    assert found["seeds"] == [1, 1]
    f1 = {name: f1_score(dev["label"], v > 0.5, average="macro") for name, v in p.items()}
    auc = {name: roc_auc_score(dev["label"], v) for name, v in p.items()}
    for measure, by in (("macro_f1", f1), ("roc_auc", auc)):
        gain = found[measure]
        assert gain["value"] == pytest.approx(by["large"] - by["enough"])
        assert gain["low"] < gain["value"] < gain["high"]


@pytest.mark.parametrize(
    "cells",
    [
        {},
        {"a": (100, "gold"), "b": (199, "gold")},  # not twice as many
        {"a": (50, "gold"), "b": (400, "gold")},  # none between
        {"a": (100, "gold"), "b": (400, "teacher_soft")},  # other labels
    ],
)
def test_nothing_is_said_of_more_posts_without_a_sample_twice_as_large(cells):
    assert ablations.more_posts(sized(**cells), {}, pd.DataFrame(), 100, 10, 0) is None


def test_the_learning_curve_goes_by_size_and_the_teacher_is_a_line():
    sizes = {"a": (500, 0.7), "b": (125, 0.6), "the teacher": (0, 0.65)}
    rows = [drawn(k, v, n=n, label_source="gold") for k, (n, v) in sizes.items()]
    (axes,) = figures_study.learning_curve(rows).axes
    (curve,) = (line for line in axes.lines if line.get_marker() == "o")
    (level,) = (line for line in axes.lines if line.get_linestyle() == ":")
    assert list(curve.get_xdata()) == [125, 500] and list(curve.get_ydata()) == [0.6, 0.7]
    assert set(level.get_ydata()) == {0.65} and level.get_label() == "the teacher"
    plt.close("all")


def test_a_factor_s_figure_has_a_row_a_cell_and_the_baseline_s_value():
    rows = [drawn("base", 0.5, n=0, seeds=[0]), drawn("other", 0.6, n=1500, seeds=[0, 1])]
    figure = figures_study.factor(rows, "base")
    told = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert told == ["base", "other, 1,500 posts, 2 seeds"]
    for axes in figure.axes:
        dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
        assert [list(line.get_xdata()) for line in dotted] == [[0.5, 0.5]]
    plt.close("all")


def test_a_pair_of_models_is_a_row_with_its_intervals_and_a_line_at_none():
    row = {"value": 0.09, "low": 0.05, "high": 0.13}
    table = pd.DataFrame({"pair": ["a - b", "a - c"], "macro-F1 difference": [row, row]})
    table["ROC-AUC difference"] = [row, row | {"low": -0.02}]
    left, right = figures_study.forest(table).axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["a - b", "a - c"]
    for axes in (left, right):
        assert list(axes.lines[0].get_xdata()) == [0, 0]
    _, ends = right.collections[0].get_segments()
    assert ends[:, 0].tolist() == pytest.approx([-0.02, 0.13]) and set(ends[:, 1]) == {1}
