"""Temperature, debiased error and abstention against scikit-learn, by hand, and by simulation."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from hsd_utils import calibration


def simulated(n, seed, t=1.0):
    """Labels drawn from calibrated scores, which are then made ``t`` times as extreme."""
    generator = np.random.default_rng(seed)
    p = expit(generator.normal(0, 1.5, n))
    return (generator.random(n) < p).astype(int), expit(t * logit(p))


def test_temperature_is_a_logistic_regression_without_intercept():
    label, p_hate = simulated(500, 0, t=3)
    slope = LogisticRegression(fit_intercept=False, C=np.inf).fit(logit(p_hate)[:, None], label)
    assert calibration.temperature(label, p_hate) == pytest.approx(1 / slope.coef_[0, 0], rel=1e-3)


@pytest.mark.parametrize("t", [0.4, 1, 4])
def test_the_temperature_that_was_put_in_is_found_and_only_helps(t):
    label, p_hate = simulated(20_000, 1, t)
    found = calibration.temperature(label, p_hate)
    assert found == pytest.approx(t, rel=0.06)
    after = calibration.scaled(p_hate, found)
    assert log_loss(label, after) <= log_loss(label, p_hate) + 1e-9
    assert (np.diff(after[np.argsort(p_hate)]) >= 0).all()


def test_scores_that_rank_backwards_or_perfectly_end_at_the_bounds():
    label = np.array([0, 1] * 20)
    low, high = calibration.TEMPERATURES
    assert calibration.temperature(label, 0.7 - 0.4 * label) > 0.9 * high
    assert calibration.temperature(label, 0.3 + 0.4 * label) < 1.2 * low
    assert np.isfinite(calibration.scaled([0.0, 1.0], 0.1)).all()


def test_several_scores_are_averaged_as_log_odds_and_a_certain_one_stays_finite():
    # Odds of 4 and 1/9 have the geometric mean 2/3, a probability of 0.4.
    assert calibration.averaged([[0.8, 0.5], [0.1, 0.5]]) == pytest.approx([0.4, 0.5])
    assert calibration.averaged([[1.0], [0.0]]) == pytest.approx([0.5])


def test_the_error_by_hand():
    # two bins of four: scores .2 and .7, hateful shares 1/4 and 3/4
    label, p_hate = [0, 0, 0, 1, 1, 1, 1, 0], [0.2] * 4 + [0.7] * 4
    squares, noise = [0.05**2, 0.05**2], [0.1875 / 3, 0.1875 / 3]
    found = calibration.error(label, p_hate, bins=2)
    assert found["plugin"] == pytest.approx(np.sqrt(np.mean(squares)))
    assert found["squared"] == pytest.approx(np.mean(squares) - np.mean(noise))
    assert found["squared"] < 0 == found["debiased"]
    assert calibration.error(label, [0.5] * 8)["plugin"] == 0  # all tied: one bin


def test_calibrated_scores_have_no_error_once_debiased():
    found = [calibration.error(*simulated(400, seed)) for seed in range(300)]
    squared = np.array([f["squared"] for f in found])
    assert abs(squared.mean()) < 3 * squared.std() / np.sqrt(len(found)) + 1e-4
    plugin = np.mean([f["plugin"] ** 2 for f in found])
    assert plugin > 20 * abs(squared.mean())  # what the number of bins and posts alone makes


def test_a_known_error_is_measured_without_bias():
    # every score is 0.1 too high: the squared error is 0.01
    generator = np.random.default_rng(2)
    squared = []
    for _ in range(200):
        p = generator.choice([0.2, 0.4, 0.6, 0.8], 300)
        label = (generator.random(300) < p).astype(int)
        squared.append(calibration.error(label, p + 0.1)["squared"])
    assert np.mean(squared) == pytest.approx(0.01, abs=0.0012)


def test_the_risk_by_hand_and_whole_coverage_is_the_error_rate():
    # threshold .5: the surest are .0 (right), 1. (wrong), then .9 (right), .6 (wrong)
    curve = calibration.risk_coverage([0, 0, 1, 0], [0.0, 1.0, 0.9, 0.6], 0.5)
    assert curve["coverage"].tolist() == [0.25, 0.5, 0.75, 1.0]
    # .0 and 1. are equally sure and share their one error
    assert curve["risk"].tolist() == pytest.approx([0.5, 0.5, 1 / 3, 0.5])
    label, p_hate = simulated(200, 3)
    risk = calibration.risk_coverage(label, p_hate, 0.3)["risk"].iloc[-1]
    assert risk == pytest.approx(((p_hate >= 0.3) != label).mean())


def test_how_sure_is_the_way_from_the_threshold_on_its_side():
    # threshold .2: .05 is three quarters of the way to 0; .4 is a quarter of that to 1, .6 half
    curve = calibration.risk_coverage([1, 1, 0], [0.05, 0.4, 0.6], 0.2)
    assert curve["risk"].tolist() == pytest.approx([1, 1, 2 / 3])
    curve = calibration.risk_coverage([0, 1, 0], [0.05, 0.4, 0.6], 0.2)
    assert curve["risk"].tolist() == pytest.approx([0, 1 / 2, 1 / 3])


def test_equal_scores_make_a_flat_curve_and_good_ones_a_falling_one():
    flat = calibration.risk_coverage([0, 1, 1, 0], [0.7] * 4, 0.5)["risk"]
    assert flat.tolist() == [0.5] * 4
    label, p_hate = simulated(2000, 4)
    curve = calibration.risk_coverage(label, p_hate, 0.5)
    assert curve["risk"].iloc[999] < curve["risk"].iloc[-1] - 0.05
    assert calibration.risk_coverage([0, 1], [0.0, 1.0], 1.0)["risk"].tolist() == [0, 0]


def test_the_report_fits_on_cal_only():
    cal, other = simulated(2000, 5, t=3), simulated(2000, 6, t=3)
    found = calibration.report(*cal, *other, 0.5)
    assert found["temperature"] == calibration.temperature(*cal)
    assert found["debiased_after"] < 0.04 < found["debiased_before"]
    assert found["risk_surer_half"] < found["risk_all"]
    assert found == calibration.report(*cal, *other, 0.5)


def test_without_scores_it_says_so():
    with pytest.raises(ValueError, match="no calibration error: no scores"):
        calibration.error([0, 1], None)


def test_posts_that_are_equally_sure_share_their_errors_whatever_rounding_does():
    for label in ([1, 1], [0, 0]):
        curve = calibration.risk_coverage(label, [0.3, 0.7], 0.5)
        assert curve["risk"].tolist() == [0.5, 0.5]


def test_few_posts_have_no_bins_of_one():
    generator, squares = np.random.default_rng(0), []
    for _ in range(300):
        p = generator.uniform(size=14)
        squares.append(calibration.error(generator.uniform(size=14) < p, p)["squared"])
    assert abs(np.mean(squares)) < 0.02  # with ten bins 0.06


def test_a_post_that_ties_leave_alone_has_no_bin_of_its_own():
    generator, squares = np.random.default_rng(0), []
    for low, rest in ((0.3, 0.4), (0.9, 0.4)):  # below all others, and above
        p = np.r_[low, np.full(99, rest)]
        for _ in range(200):
            squares.append(calibration.error(generator.uniform(size=100) < p, p)["squared"])
    assert abs(np.mean(squares)) < 3 * np.std(squares) / len(squares) ** 0.5
    found = calibration.report([0, 1], [0.3, 0.7], [0, 0, 1, 0], [0.0, 1.0, 0.9, 0.6], 0.5)
    assert found["aurc"] == pytest.approx((0.5 + 0.5 + 1 / 3 + 0.5) / 4)
    assert found["risk_surer_half"] == 0.5
