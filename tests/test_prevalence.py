"""Rates carried over to other shares of hate: worked examples, Bayes, and direct counting."""

import numpy as np
import pytest

from hsd_utils import prevalence


def scored(n, share, seed):
    """Posts with calibrated scores for their share: two Gaussians of unit variance, 1.5 apart."""
    generator = np.random.default_rng(seed)
    label = (generator.random(n) < share).astype(int)
    seen = generator.normal(1.5 * label, 1)
    ratio = np.exp(1.5 * seen - 1.5**2 / 2) * share / (1 - share)
    return label, ratio / (1 + ratio)


def test_the_precision_of_four_hundred_clean_negatives_is_bounded_at_a_half():
    label = np.r_[np.zeros(400, int), np.ones(10**6, int)]
    row = prevalence.table(label, None, label, [0.01]).iloc[0]
    assert row["fpr"]["value"] == 0 and row["precision"]["value"] == 1
    assert row["precision"]["low"] == pytest.approx(0.515, abs=0.002)  # facts: about 52%


def test_rates_by_hand():
    # recall 8 of 10, false positive rate 1 of 10
    label = [1] * 10 + [0] * 10
    said = [1] * 8 + [0] * 2 + [1] + [0] * 9
    table = prevalence.table(label, None, said, [0.1, 0.5])
    first, second = table.iloc[0], table.iloc[1]
    assert first["precision"]["value"] == pytest.approx(0.08 / 0.17)
    assert first["alerts"]["value"] == pytest.approx(1700)
    assert second["precision"]["value"] == pytest.approx(8 / 9)
    for row in (first, second):
        for name in ("precision", "alerts", "fpr", "recall"):
            assert row[name]["low"] < row[name]["value"] < row[name]["high"]


def test_precision_is_what_counting_in_such_posts_gives():
    label, p_hate = scored(60_000, 0.5, 0)
    said = p_hate >= 0.5
    foretold = prevalence.table(label, None, said, [0.05])["precision"][0]["value"]
    hate, other = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    wild = np.r_[hate[:1500], other[:28500]]
    assert foretold == pytest.approx(label[wild][said[wild]].mean(), abs=0.02)


def test_what_could_not_be_read_is_wrong_under_every_rule():
    label, unread = [1, 0] * 20, [None] * 40
    for rule in ({}, {"prior": 0.5}):
        row = prevalence.table(label, [0.5] * 40, unread, [0.05], **rule).iloc[0]
        assert row["fpr"]["value"] == 1 and row["recall"]["value"] == 0


def test_nothing_flagged_has_no_precision():
    row = prevalence.table([0, 1, 0, 1], None, [0, 0, 0, 0], [0.1]).iloc[0]
    assert row["precision"]["value"] is None and row["alerts"]["value"] == 0


def test_shifting_the_prior_is_bayes_and_goes_back():
    assert prevalence.shifted([0.5], 0.5, 0.1)[0] == pytest.approx(0.1)
    # odds 3:1 at even priors, times 1:9
    assert prevalence.shifted([0.75], 0.5, 0.1)[0] == pytest.approx(0.25)
    p_hate = np.array([0.0, 0.2, 0.9, 1.0])
    there = prevalence.shifted(p_hate, 0.5, 0.03)
    assert prevalence.shifted(there, 0.03, 0.5) == pytest.approx(p_hate)
    assert there[0] == 0 and there[-1] == 1


def test_shifted_scores_are_calibrated_where_they_go():
    label, p_hate = scored(100_000, 0.1, 1)
    ratio = p_hate / (1 - p_hate) * 0.9 / 0.1  # as a model would say that learned at one half
    found = prevalence.shifted(ratio / (1 + ratio), 0.5, 0.1)
    assert found == pytest.approx(p_hate)
    sure = found > 0.5
    assert label[sure].mean() == pytest.approx(found[sure].mean(), abs=0.02)


def test_shifted_verdicts_flag_less_where_hate_is_rare():
    label, p_hate = scored(4000, 0.5, 3)
    given = (label, p_hate, p_hate >= 0.5, [0.01, 0.05, 0.1, 0.2])
    as_is, shifted = prevalence.table(*given), prevalence.table(*given, prior=0.5)
    assert as_is["fpr"].map(lambda v: v["value"]).nunique() == 1
    rates = shifted["fpr"].map(lambda v: v["value"])
    assert rates.is_monotonic_increasing and rates.iloc[0] < 0.01
    for before, after in zip(as_is["precision"], shifted["precision"], strict=True):
        assert after["value"] > before["value"]


def test_the_simulator_by_hand():
    settings = {"prevalence": 0.1, "volume": 1000, "cost_missed": 5, "cost_alarm": 1}
    made = prevalence.simulate([1, 1, 0, 0], [0.9, 0.4, 0.4, 0.1], **settings, review_minutes=3)
    assert made["threshold"].tolist() == [np.inf, 0.9, 0.4, 0.1]
    assert made["alerts"].tolist() == pytest.approx([0, 50, 100 + 450, 1000])
    assert made["hours"].tolist() == pytest.approx([0, 2.5, 27.5, 50])
    assert made["missed"].tolist() == pytest.approx([100, 50, 0, 0])
    assert made["cost"].tolist() == pytest.approx([500, 250, 450, 900])
    assert prevalence.cheapest(made)["threshold"] == 0.9
    # A threshold from elsewhere flags what scores at least as much.
    chosen = {t: prevalence.at(made, t)["threshold"] for t in (np.inf, 0.95, 0.9, 0.5, 0.1)}
    assert chosen == {np.inf: np.inf, 0.95: np.inf, 0.9: 0.9, 0.5: 0.9, 0.1: 0.1}
    assert prevalence.at(made, 0)["alerts"] == 1000


def test_dear_misses_lower_the_threshold():
    label, p_hate = scored(1000, 0.5, 4)
    settings = {"prevalence": 0.05, "volume": 10_000, "cost_alarm": 1}
    chosen = [
        prevalence.cheapest(prevalence.simulate(label, p_hate, cost_missed=c, **settings))
        for c in (0.01, 5, 1000)
    ]
    alerts = [row["alerts"] for row in chosen]
    assert alerts == sorted(alerts) and alerts[0] < 100 < 5000 < alerts[2]


def test_what_cannot_be_is_refused():
    for wrong in (0, 1, -0.1, 1.2):
        with pytest.raises(ValueError, match="between 0 and 1"):
            prevalence.shifted([0.5], 0.5, wrong)
    with pytest.raises(ValueError, match="both labels"):
        prevalence.table([1, 1], None, [1, 1], [0.1])
    with pytest.raises(ValueError, match="no simulation: no scores"):
        prevalence.simulate([0, 1], None, prevalence=0.1, volume=1, cost_missed=1, cost_alarm=1)


def test_rounding_makes_none_of_equals_the_cheapest():
    label = [0, 0, 1, 0, 1, 0, 1, 1, 0, 1]
    p_hate = [0.86, 0.47, 0.83, 0.52, 0.96, 0.72, 0.91, 0.94, 0.8, 0.12]
    asked = {"prevalence": 0.5, "volume": 1e5, "cost_missed": 1, "cost_alarm": 1}
    found = prevalence.cheapest(prevalence.simulate(label, p_hate, **asked, review_minutes=1))
    assert found["threshold"] == 0.91 and found["alerts"] == pytest.approx(30_000)
