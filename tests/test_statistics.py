"""The tests of significance against statsmodels and against what chance must give."""

import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats import contingency_tables
from statsmodels.stats.proportion import proportion_confint

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
def test_wilson_equals_statsmodels(successes, n):
    found = statistics.wilson(successes, n)
    low, high = proportion_confint(successes, n, method="wilson")
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    assert found["value"] == successes / n


def test_wilson_of_nothing_and_of_too_many():
    assert statistics.wilson(0, 0)["value"] is None
    for successes, n in ((3, 2), (1, 0), (-1, 4)):
        with pytest.raises(ValueError):
            statistics.wilson(successes, n)


def test_holm_by_hand_keeps_order_names_and_gaps():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    named = statistics.holm({"b": 0.02, "none": None, "a": 0.9})
    assert list(named) == ["b", "none", "a"]
    assert named["none"] is None and named["b"] == pytest.approx(0.04)
    assert statistics.holm([]) == []
