"""The measures against scikit-learn, by hand, and on what they must refuse."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from hsd_utils import metrics


def posts(n=120, seed=0, levels=None):
    """Labels and informative scores; ``levels`` rounds the scores, so that many are tied."""
    generator = np.random.default_rng(seed)
    label = generator.integers(0, 2, n)
    p_hate = 1 / (1 + np.exp(-(2 * label - 1 + generator.normal(0, 1.5, n))))
    return label, p_hate if levels is None else np.round(p_hate * levels) / levels


@pytest.mark.parametrize("levels", [None, 7])
def test_every_measure_equals_scikit_learns(levels):
    label, p_hate = posts(levels=levels)
    said = (p_hate >= 0.4).astype(int)
    found = metrics.classification(label, p_hate, said, resamples=0, seed=0)
    expected = {
        "macro_f1": sk.f1_score(label, said, average="macro"),
        "f1": sk.f1_score(label, said),
        "f1_micro": sk.f1_score(label, said, average="micro"),
        "f1_weighted": sk.f1_score(label, said, average="weighted"),
        "precision": sk.precision_score(label, said),
        "recall": sk.recall_score(label, said),
        "accuracy": sk.accuracy_score(label, said),
        "roc_auc": sk.roc_auc_score(label, p_hate),
        "average_precision": sk.average_precision_score(label, p_hate),
        "brier": sk.brier_score_loss(label, p_hate),
    }
    assert set(found) == set(expected) | {"ece"}
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value), name


def test_the_weighted_form_equals_repeating_the_posts():
    label, p_hate = posts(60, levels=9)
    said = (p_hate >= 0.5).astype(int)
    _, weights = metrics.draws(label, 5, seed=3)
    both = metrics.on_labels(label, said, weights) | metrics.on_scores(label, p_hate, weights)
    for row, drawn in enumerate(weights.astype(int)):
        at = np.repeat(np.arange(60), drawn)
        again = metrics.classification(label[at], p_hate[at], said[at], resamples=0, seed=0)
        for name, values in both.items():
            assert values[row] == pytest.approx(again[name]["value"]), name


def test_posts_of_one_group_are_drawn_together():
    label, p_hate = posts(60, levels=9)
    group = np.arange(60) // 4
    _, weights = metrics.draws(label, 400, seed=3, group=group)
    assert (weights == weights[:, 4 * group]).all() and weights.mean() == pytest.approx(1, abs=0.05)
    shares = [
        metrics.classification(
            np.repeat(label, 5), np.repeat(p_hate, 5), np.repeat(p_hate, 5) > 0.5, seed=0, group=g
        )["accuracy"]
        for g in (None, np.repeat(range(60), 5))
    ]
    widths = [share["high"] - share["low"] for share in shares]
    assert widths[1] / widths[0] == pytest.approx(5**0.5, rel=0.15)


def test_ece_by_hand_with_a_bin_closed_below_and_one_at_the_end():
    label, p_hate = [0, 1, 1, 1, 0], [0.05, 0.1, 0.15, 1.0, 0.95]
    # bins: [.05] gap .05; [.1, .15] rate 1, mean .125; [1, .95] rate .5, mean .975
    by_hand = (1 * 0.05 + 2 * 0.875 + 2 * 0.475) / 5
    found = metrics.classification(label, p_hate, label, resamples=0, seed=0)["ece"]
    assert found["value"] == pytest.approx(by_hand)


def test_calibrated_scores_sit_at_the_floor_the_sample_size_sets():
    generator = np.random.default_rng(1)
    p_hate = generator.random(800)
    label = generator.random(800) < p_hate
    found = metrics.classification(label, p_hate, label, resamples=0, seed=0)["ece"]
    assert 0.025 < found["if_calibrated"] < 0.045
    assert found["value"] < 0.06


def test_a_missing_answer_is_the_wrong_label():
    label = [0, 0, 1, 1]
    assert metrics.confusion(label, [None, 0, float("nan"), pd.NA]) == [[1, 1], [2, 0]]
    found = metrics.classification(label, None, [0, None, 1, None], resamples=0, seed=0)
    assert found["accuracy"]["value"] == 0.5
    assert found["precision"]["value"] == found["recall"]["value"] == 0.5


def test_the_same_seed_gives_the_same_intervals_and_blocks_do_not_change_the_form(monkeypatch):
    label, p_hate = posts()
    first = metrics.classification(label, p_hate, p_hate > 0.5, seed=4)
    assert first == metrics.classification(label, p_hate, p_hate > 0.5, seed=4)
    assert first != metrics.classification(label, p_hate, p_hate > 0.5, seed=5)
    monkeypatch.setattr(metrics, "BLOCK", 1000)
    blocks = list(metrics.draws(label, 50, seed=4))
    assert len(blocks) > 2 and sum(map(len, blocks)) == 51
    assert all((rows.sum(axis=1) == len(label)).all() for rows in blocks)


def test_intervals_cover_the_truth_about_95_times_in_100():
    generator, covered = np.random.default_rng(7), 0
    for seed in range(150):
        label = generator.integers(0, 2, 150)
        said = np.where(generator.random(150) < 0.75, label, 1 - label)
        found = metrics.classification(label, None, said, resamples=200, seed=seed)["accuracy"]
        covered += found["low"] <= 0.75 <= found["high"]
    assert 0.88 <= covered / 150 <= 0.99


def test_one_class_only_gives_nulls_with_a_reason():
    found = metrics.classification([1, 1, 1], [0.9, 0.2, 0.7], [1, 0, 1], seed=0)
    for name in ("macro_f1", "f1", "precision", "recall", "roc_auc", "average_precision"):
        assert found[name]["value"] is None and "one class" in found[name]["reason"]
    assert found["accuracy"]["value"] == pytest.approx(2 / 3)
    assert found["ece"]["low"] is not None


@pytest.mark.parametrize("p_hate", [None, [None] * 4, [np.nan] * 4])
def test_no_scores_give_nulls_with_a_reason(p_hate):
    found = metrics.classification([0, 1, 0, 1], p_hate, [0, 1, 1, 1], resamples=20, seed=0)
    assert found["macro_f1"]["value"] is not None
    for name in metrics.OF_SCORES:
        assert found[name]["value"] is None and "no scores" in found[name]["reason"]


def test_resamples_of_one_class_are_skipped_and_counted():
    found = metrics.classification([0, 0, 0, 1], None, [0, 0, 0, 1], resamples=400, seed=0)
    assert 80 < found["f1"]["skipped"] < 180  # 0.75**4 of them miss the only hateful post
    assert found["f1"]["low"] == found["f1"]["high"] == 1


@pytest.mark.parametrize(
    ("label", "p_hate", "predicted", "said"),
    [
        ([], None, [], "empty"),
        ([0, 2], None, [0, 1], "not 0 or 1, the first at position 1"),
        ([0, None], None, [0, 1], "not 0 or 1"),
        ([0, 1], None, [0], "1 predictions for 2 posts"),
        ([0, 1], None, [0, "hate"], "not 0 or 1"),
        ([0, 1], [0.5], [0, 1], "1 values"),
        ([0, 1], [0.5, None], [0, 1], "1 of 2 values"),
        ([0, 1], [0.5, 1.2], [0, 1], "outside 0..1"),
    ],
)
def test_bad_input_is_refused_with_a_reason(label, p_hate, predicted, said):
    with pytest.raises(ValueError, match=said):
        metrics.classification(label, p_hate, predicted, seed=0)


@pytest.mark.parametrize("seed", range(15))
def test_the_threshold_is_the_best_of_all_midpoints_and_the_nearest_to_a_half(seed):
    label, p_hate = posts(25, seed, levels=None if seed % 2 else 12)
    levels = np.unique(p_hate)
    tried = (levels[:-1] + levels[1:]) / 2
    scored = [sk.f1_score(label, p_hate >= at, average="macro") for at in tried]
    equals = tried[np.isclose(scored, max(scored))]
    threshold = metrics.best_threshold(label, p_hate)
    assert threshold == pytest.approx(equals[np.argmin(abs(equals - 0.5))])


def test_the_threshold_separates_neighbouring_floats_and_survives_equal_scores():
    close = [0.7, np.nextafter(0.7, 1)]
    assert list(close >= np.float64(metrics.best_threshold([0, 1], close))) == [False, True]
    assert metrics.best_threshold([0, 1], [0.2, 0.2]) == 0.5


@pytest.mark.parametrize(("label", "p_hate"), [([1, 1], [0.1, 0.9]), ([0, 1], None)])
def test_no_threshold_or_curve_without_both_classes_and_scores(label, p_hate):
    for wanted in (metrics.best_threshold, metrics.roc):
        with pytest.raises(ValueError, match="only one class|P\\(hate\\)"):
            wanted(label, p_hate)


def test_reliability_counts_every_post_and_agrees_with_ece():
    label, p_hate = posts(90)
    table = metrics.reliability(label, p_hate)
    ece = metrics.classification(label, p_hate, label, resamples=0, seed=0)["ece"]["value"]
    assert len(table) == 10 and table["posts"].sum() == 90
    gaps = table["posts"] * (table["rate"] - table["mean_p"]).abs()
    assert gaps.sum() / 90 == pytest.approx(ece)
    full = table.dropna()
    assert ((full["low"] <= full["rate"]) & (full["rate"] <= full["high"])).all()
    assert metrics.reliability([0, 1], [0.1, 0.1])["rate"].notna().sum() == 1


def test_the_roc_curve_runs_from_corner_to_corner():
    label, p_hate = posts()
    curve = metrics.roc(label, p_hate)
    assert (curve["fpr"][0], curve["tpr"][0], curve["fpr"][-1], curve["tpr"][-1]) == (0, 0, 1, 1)
    assert np.trapezoid(curve["tpr"], curve["fpr"]) == pytest.approx(curve["auc"])
