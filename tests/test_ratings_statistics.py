"""Agreement and equivalence against worked examples of the literature and exact sums."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multinomial, norm
from sklearn.metrics import cohen_kappa_score

from hsd_utils.ratings import agreement, equivalence, results

# Krippendorff (2011), example C: four observers, twelve units, some not rated.  The same data
# are cac.raw4raters of Gwet's irrCAC.
N = np.nan
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
        [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
    ]
).T
# Two raters, 125 subjects: 118 both positive, none both negative (Gwet 2008, high agreement).
SKEWED = np.array([[1, 1]] * 118 + [[1, 0]] * 5 + [[0, 1]] * 2)


def test_alpha_of_krippendorffs_example():
    assert agreement.alpha(KRIPPENDORFF) == pytest.approx(0.743, abs=5e-4)
    assert agreement.alpha(KRIPPENDORFF, ordinal=True) == pytest.approx(0.815, abs=5e-4)


def test_ac1_of_gwets_example():
    assert agreement.ac1(KRIPPENDORFF, 5) == pytest.approx(0.77544, abs=5e-6)


def test_alpha_and_kappa_collapse_where_ac1_does_not():
    p = (118 * 2 + 7) / 250  # share of positives; by hand: chance is 2 p (1 - p)
    chance = 2 * p * (1 - p)
    assert agreement.ac1(SKEWED, 2) == pytest.approx((118 / 125 - chance) / (1 - chance))
    assert agreement.ac1(SKEWED, 2) > 0.94
    assert agreement.alpha(SKEWED) < 0
    kappa = agreement.cohen(pd.DataFrame(SKEWED, columns=["a", "b"]))["a, b"]
    assert kappa == pytest.approx(cohen_kappa_score(*SKEWED.T)) and kappa < 0


def test_agreement_at_its_ends():
    same = np.array([[0, 0, 0], [2, 2, 2], [1, 1, 1]])
    assert agreement.alpha(same) == agreement.alpha(same, ordinal=True) == 1
    assert agreement.ac1(same, 3) == 1
    generator = np.random.default_rng(0)
    chance = generator.integers(0, 3, (4000, 3))
    for found in (agreement.alpha(chance), agreement.ac1(chance, 3)):
        assert abs(found) < 0.03
    # An order makes near misses count less than far ones.
    near, far = np.array([[0, 1], [2, 2], [0, 0]]), np.array([[0, 2], [2, 2], [0, 0]])
    assert agreement.alpha(near, ordinal=True) > agreement.alpha(far, ordinal=True)


def test_agreement_that_is_not_defined_is_none():
    assert agreement.alpha([[1, 1], [1, 1]]) is None
    assert agreement.alpha([[1, N], [N, 2]]) is None
    assert agreement.ac1([[1, N], [N, 2]], 3) is None
    frame = pd.DataFrame({"a": [1, 1, N], "b": [1, 1, 2], "c": [N, N, 0]})
    assert agreement.cohen(frame) == {"a, b": None, "a, c": None, "b, c": 0.0}


def test_tangos_interval_of_published_tables():
    # Complete response before and after consolidation (Cavo 2012; in Fagerland, Lydersen and
    # Laake, Statistical Analysis of Contingency Tables, ch. 8): 59, 6, 16, 80.
    low, high = equivalence.interval(6, 16, 161)
    assert (low, high) == pytest.approx((-0.1240, -0.0054), abs=5e-5)
    # No difference: the score is McNemar's.
    assert equivalence.score(6, 16, 161, 0) == pytest.approx(-2.132, abs=5e-4)


@pytest.mark.parametrize("counts", [(0, 0, 20), (0, 1, 44), (7, 3, 50), (10, 0, 10), (0, 10, 10)])
def test_an_interval_holds_what_the_score_does_not_reject(counts):
    low, high = equivalence.interval(*counts, level=0.9)
    assert -1 <= low <= (counts[0] - counts[1]) / counts[2] <= high <= 1
    for end in (low, high):
        if abs(end) < 1:
            assert abs(equivalence.score(*counts, end)) == pytest.approx(1.6449, abs=1e-3)
    turned = equivalence.interval(counts[1], counts[0], counts[2], level=0.9)
    assert turned == pytest.approx((-high, -low))


def test_equivalence_is_shown_only_when_the_interval_lies_within_the_margin():
    for counts in [(5, 7, 100), (0, 0, 20), (0, 0, 60), (1, 12, 100), (30, 30, 100)]:
        found = equivalence.tost(*counts, margin=0.1)
        inside = -0.1 < found["low"] and found["high"] < 0.1
        assert found["equivalent"] == inside == (found["p_value"] < 0.05)
    assert equivalence.tost(5, 7, 100, margin=0.1)["equivalent"]
    assert not equivalence.tost(0, 0, 20, margin=0.1)["equivalent"]  # too few to show anything
    assert not equivalence.tost(30, 30, 100, margin=0.1)["equivalent"]
    assert not equivalence.tost(1, 12, 100, margin=0.1)["equivalent"]


def test_power_is_the_chance_of_showing_equivalence():
    n, discordant, difference, total = 30, 0.3, 0.05, 0.0
    chances = multinomial(n, [0.175, 0.125, 0.7])
    for a in range(n + 1):
        for b in range(n + 1 - a):
            shown = equivalence.tost(a, b, n, margin=0.25)["equivalent"]
            total += chances.pmf([a, b, n - a - b]) * shown
    assert 0.3 < total < 0.9
    assert equivalence.power(n, 0.25, discordant, difference) == pytest.approx(total, abs=1e-7)


def test_planned_pairs_have_the_power_and_at_the_margin_the_test_errs_rarely():
    for margin, discordant, target in ((0.1, 0.12, 0.8), (0.1, 0.12, 0.9), (0.2, 0.3, 0.8)):
        n = equivalence.pairs_needed(margin, discordant, target=target)
        assert target <= equivalence.power(n, margin, discordant) < target + 0.03
        # Near the normal approximation, n = discordant (z_alpha + z_beta / 2)^2 / margin^2.
        z = norm.isf(0.05) + norm.isf((1 - target) / 2)
        assert 0.95 < n / (discordant * z**2 / margin**2) < 1.25
        assert equivalence.power(n, margin, discordant, difference=margin) < 0.06
    assert equivalence.pairs_needed(0.1, 0.12) == 116
    assert equivalence.pairs_needed(0.1, 0.12, difference=0.03) > 150
    assert equivalence.pairs_needed(0.05, 0.12) > 400


def test_what_makes_no_sense_is_refused():
    for margin in (0, 1, -0.1):
        with pytest.raises(ValueError, match="margin"):
            equivalence.tost(1, 1, 10, margin)
    for counts in ((6, 5, 10), (-1, 2, 10)):
        with pytest.raises(ValueError, match="pairs"):
            equivalence.tost(*counts, 0.1)
    assert equivalence.tost(0, 0, 0, 0.1)["reason"] == "no pair was rated"
    for plan in ((0.1, 0.12, 0.1), (0.1, 0.0), (0.1, 0.01, 0.05), (0.1, 1.2)):
        with pytest.raises(ValueError):
            equivalence.pairs_needed(*plan)


def test_all_of_fewer_posts_by_weight_is_all_and_none_is_none():
    weights = pd.Series([0.6] * 40 + [1.7] * 30 + [1.2] * 5 + [0.9] * 25)
    for answer in (0, 1):
        found = results._weighted(pd.Series([answer] * 100), weights)
        assert found["value"] == found["high" if answer else "low"] == answer


def test_as_how_many_weighted_posts_count():
    assert results.effective(pd.Series([1, 1, 2])) == pytest.approx(16 / 6)  # Kish
    assert results.effective(pd.Series([0.5] * 7)) == pytest.approx(7)
