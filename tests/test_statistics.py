"""The tests of significance against statsmodels and against what chance must give."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score
from statsmodels.stats import contingency_tables

from hsd_utils import metrics, statistics


def said(label, right, generator):
    return np.where(generator.random(len(label)) < right, label, 1 - label)


def test_a_clear_difference_is_found_and_signed():
    generator = np.random.default_rng(0)
    label = generator.integers(0, 2, 300)
    a, b = said(label, 0.9, generator), said(label, 0.7, generator)
    found = statistics.paired(label, a, b, seed=1)
    other = statistics.paired(label, b, a, seed=1)
    assert 0 < found["low"] < found["difference"] < found["high"]
    assert found["p_value"] < 0.01
    assert other["difference"] == -found["difference"]
    assert (other["low"], other["high"]) == pytest.approx((-found["high"], -found["low"]))
    assert other["p_value"] == found["p_value"]
    both = [metrics.classification(label, None, x, resamples=0, seed=0) for x in (a, b)]
    by_hand = both[0]["macro_f1"]["value"] - both[1]["macro_f1"]["value"]
    assert found["difference"] == pytest.approx(by_hand)


def test_without_a_difference_few_p_values_are_small():
    generator, small = np.random.default_rng(3), 0
    for seed in range(200):
        label = generator.integers(0, 2, 100)
        a, b = said(label, 0.75, generator), said(label, 0.75, generator)
        small += statistics.paired(label, a, b, resamples=200, seed=seed)["p_value"] < 0.05
    assert 1 <= small <= 22  # 10 expected


def test_the_same_answers_differ_by_nothing():
    found = statistics.paired([0, 1, 0, 1], [0, 1, 1, None], [0, 1, 1, 0], seed=0)
    assert found["difference"] == 0 and found["p_value"] == 1


def test_pairing_is_what_makes_the_interval_narrow():
    generator = np.random.default_rng(5)
    label = generator.integers(0, 2, 200)
    a = said(label, 0.7, generator)
    b = a.copy()
    wrong = np.flatnonzero(a != label)[:4]
    b[wrong] = label[wrong]
    found = statistics.paired(label, b, a, metric="accuracy", seed=0)
    alone = metrics.classification(label, None, a, seed=0)["accuracy"]
    assert found["difference"] == pytest.approx(0.02)
    assert found["high"] - found["low"] < (alone["high"] - alone["low"]) / 2


def test_scores_are_compared_by_measures_of_scores():
    generator = np.random.default_rng(6)
    label = generator.integers(0, 2, 200)
    good, poor = (np.clip(label * gain + generator.random(200) / 2, 0, 1) for gain in (0.4, 0.05))
    found = statistics.paired(label, good, poor, metric="roc_auc", seed=0)
    aucs = [metrics.roc(label, p)["auc"] for p in (good, poor)]
    assert found["difference"] == pytest.approx(aucs[0] - aucs[1])
    assert found["p_value"] < 0.05


def test_what_cannot_be_compared_has_a_reason():
    assert "one class" in statistics.paired([1, 1], [1, 0], [1, 1], seed=0)["reason"]
    none = statistics.paired([0, 1], None, [0.2, 0.3], metric="brier", seed=0)
    assert none["difference"] is None and "no scores" in none["reason"]
    assert statistics.paired([1, 1], [1, 0], [1, 1], metric="accuracy", seed=0)["low"] == -1
    with pytest.raises(ValueError, match="macro_f1, f1"):
        statistics.paired([0, 1], [0, 1], [0, 1], metric="f2", seed=0)
    with pytest.raises(ValueError, match="resamples"):
        statistics.paired([0, 1], [0, 1], [0, 1], resamples=0, seed=0)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (3, 9), (20, 4), (5, 20), (40, 15)])
def test_mcnemar_is_exact_below_25_discordant_posts(only_a, only_b):
    label = np.ones(only_a + only_b + 30, int)
    a, b = label.copy(), label.copy().astype(object)
    b[:only_a] = None  # a failure counts as wrong
    a[only_a : only_a + only_b] = 0
    found = statistics.mcnemar(label, a, b)
    assert (found["only_a"], found["only_b"]) == (only_a, only_b)
    assert found["exact"] == (only_a + only_b < 25)
    table = [[30, only_a], [only_b, 0]]
    expected = contingency_tables.mcnemar(table, exact=only_a + only_b < 25).pvalue
    assert found["p_value"] == pytest.approx(expected)
    if 0 < only_a + only_b < 25:
        exact = binomtest(only_a, only_a + only_b).pvalue
        assert found["p_value"] == pytest.approx(exact)


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (91, 100), (7, 7)])
def test_wilson_equals_scipy_s_also_of_fewer_that_count(successes, n):
    found = statistics.wilson(successes, n)
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected))
    assert found["value"] == successes / n
    assert statistics.wilson(3 * successes, 3 * n, n) == pytest.approx(found)
    for many in range(1, 200):  # ends that are whole, whatever rounding does
        assert statistics.wilson(0, many)["low"] == 0 and statistics.wilson(many, many)["high"] == 1


def test_wilson_of_nothing_and_of_too_many():
    assert statistics.wilson(0, 0)["value"] is None
    for successes, n in ((3, 2), (1, 0), (-1, 4)):
        with pytest.raises(ValueError):
            statistics.wilson(successes, n)


def test_holm_by_hand_keeps_order_and_names():
    adjusted = statistics.holm({"b": 0.01, "c": 0.04, "a": 0.03})
    assert list(adjusted.items()) == [("b", 0.03), ("c", 0.06), ("a", 0.06)]


def trainings(seeds, n=200, spread=0.0, seed=0):
    """Labels and predictions (seeds, n) of a model right on about 80% of them."""
    generator = np.random.default_rng(seed)
    label = generator.integers(0, 2, n)
    rights = 0.8 + spread * generator.standard_normal(seeds)
    return label, np.array([said(label, right, generator) for right in rights])


def test_one_training_a_side_is_the_paired_bootstrap():
    label, rows = trainings(2)
    found = statistics.hierarchical(label, rows[:1], rows[1:], resamples=200, seed=3)
    _, weights = metrics.draws(label, 200, 3)

    def f1(row):
        return [f1_score(label, row, average="macro", sample_weight=each) for each in weights]

    ends = np.quantile(np.subtract(*map(f1, rows)), (0.025, 0.975))
    assert found.pop("seeds") == [1, 1]
    assert [found["low"], found["high"]] == pytest.approx(ends)
    plain = statistics.paired(label, rows[0], rows[1], resamples=200, seed=3)
    assert found == plain


def test_trainings_that_differ_widen_the_interval_and_their_mean_is_compared():
    label, same = trainings(1)
    _, differing = trainings(4, spread=0.1)
    teacher = trainings(1, seed=9)[1]
    narrow, wide = (
        statistics.hierarchical(label, rows, teacher, seed=0)
        for rows in (np.repeat(same, 4, axis=0), differing)
    )
    assert wide["high"] - wide["low"] > 1.2 * (narrow["high"] - narrow["low"])
    values = [metrics.classification(label, None, r, resamples=0, seed=0) for r in differing]
    other = metrics.classification(label, None, teacher[0], resamples=0, seed=0)
    mean = np.mean([v["macro_f1"]["value"] for v in values])
    assert wide["difference"] == pytest.approx(mean - other["macro_f1"]["value"])
    assert wide["seeds"] == [4, 1]


def test_the_hierarchical_bootstrap_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="at least one training"):
        statistics.hierarchical([0, 1], [], [[0, 1]], seed=0)
    with pytest.raises(ValueError, match="at least one training"):
        statistics.hierarchical([0, 1], [[None] * 2], [[0.1, 1]], metric="brier", seed=0)
    with pytest.raises(ValueError, match="macro_f1, f1"):
        statistics.hierarchical([0, 1], [[0, 1]], [[0, 1]], metric="f2", seed=0)


@pytest.mark.parametrize("n, discordant, gap", [(800, 0.2, 0.044), (800, 0.1, 0.031)])
def test_the_detectable_difference_solves_connors_formula(n, discordant, gap):
    d = statistics.detectable(n, discordant)
    assert d == pytest.approx(gap, abs=5e-4)  # 4.4 points: facts
    needed = (1.959964 * discordant**0.5 + 0.841621 * (discordant - d**2) ** 0.5) ** 2 / d**2
    assert needed == pytest.approx(n, rel=1e-4)


def test_the_detectable_difference_is_found_with_the_power_it_says():
    generator, n, discordant = np.random.default_rng(0), 800, 0.2
    d, label = statistics.detectable(n, discordant), np.ones(n, int)
    shares, found = [(discordant + d) / 2, (discordant - d) / 2, 1 - discordant], 0
    for _ in range(300):
        only_a, only_b, _ = generator.multinomial(n, shares)
        z = abs(only_a - only_b) / np.sqrt(only_a + only_b)  # without continuity correction
        found += z > 1.96
    assert 0.74 < found / 300 < 0.86
    # with the correction statsmodels applies, the same counts are found somewhat more rarely
    a, b = label.copy(), label.copy()
    b[:98], a[98:160] = 0, 0
    assert statistics.mcnemar(label, a, b)["p_value"] < 0.05


def test_too_few_posts_detect_nothing():
    assert statistics.detectable(10, 0.1) is None
    assert statistics.detectable(40, 0.2) < 0.2
    with pytest.raises(ValueError, match="above 0"):
        statistics.detectable(0, 0.1)


def test_posts_of_one_label_compare_nothing_that_needs_both():
    a, b = [[0.1, 0.9, 0.2, 0.3]], [[0.9, 0.8, 0.9, 0.9]]
    with pytest.raises(ValueError, match="no roc_auc to compare: only one class"):
        statistics.hierarchical([1] * 4, a, b, metric="roc_auc", seed=0)
