"""Are two shares on the same posts as good as equal?  The paired score test, and its planning.

Failing to find a difference shows nothing.  Equivalence is shown when two one-sided tests (TOST,
Schuirmann 1987) reject that the shares differ by the margin or more, either way; the margin is
set before anyone rates.  The test of each side is the score test for paired proportions (Tango
1998, Statistics in Medicine 17:891-908), which stands small samples and zero cells.

    python -c "from hsd_utils.ratings import equivalence
    print(equivalence.tost(5, 7, 100, margin=0.1), equivalence.pairs_needed(0.1, 0.12))"
"""

from bisect import bisect_left

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, norm

ALPHA = 0.05  # of each of the two tests


def score(only_a, only_b, n, difference):
    """Tango's z of the hypothesis that share a - share b is ``difference`` (-1 < it < 1).

    only_a, only_b: pairs in which one alone succeeded, of n in all; numbers or arrays.
    """
    linear = (2 * n - only_a + only_b) * difference - only_a - only_b
    constant = -only_b * difference * (1 - difference)
    root = np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0))
    only_b_share = (root - linear) / (4 * n)
    variance = n * (2 * only_b_share + difference * (1 - difference))
    # Without variance (nothing discordant, no difference) nothing speaks against it.
    return (only_a - only_b - n * difference) / np.sqrt(np.where(variance > 0, variance, np.inf))


def interval(only_a: float, only_b: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Tango's score interval of share a - share b: what ``score`` does not reject."""
    seen, z, edge = (only_a - only_b) / n, norm.ppf((1 + level) / 2), 1 - 1e-9

    def bound(start, end, sign):
        reach = [score(only_a, only_b, n, at) - sign * z for at in (start, end)]
        if reach[0] * reach[1] > 0:  # nothing lies beyond a difference of all pairs
            return float(-sign)
        return brentq(lambda at: score(only_a, only_b, n, at) - sign * z, start, end)

    inner = float(np.clip(seen, -edge, edge))
    return bound(-edge, inner, 1), bound(inner, edge, -1)


def tost(only_a: float, only_b: float, n: float, margin: float) -> dict:
    """Whether |share a - share b| is shown to be below ``margin`` (0 to 1).

    Returns the difference as value, low and high (the interval of level 1 - 2 ALPHA, which lies
    inside the margin when the test rejects), level, margin, p_value (the larger of the two) and
    equivalent.  Counts may be fractions (weights).  With n = 0 the values are null with a
    ``reason``.  Raises ValueError for a margin outside 0 to 1 or counts that exceed n.
    """
    if not 0 < margin < 1:
        raise ValueError(f"margin is {margin}: a difference of shares between 0 and 1")
    if min(only_a, only_b) < 0 or only_a + only_b > n * (1 + 1e-12):
        raise ValueError(f"{only_a} and {only_b} of {n} pairs: counts from 0 to all pairs")
    asked = {"level": 1 - 2 * ALPHA, "margin": margin}
    if n == 0:
        empty = dict.fromkeys(("value", "low", "high", "p_value", "equivalent"))
        return empty | asked | {"reason": "no pair was rated"}
    sides = norm.sf(score(only_a, only_b, n, -margin)), norm.cdf(score(only_a, only_b, n, margin))
    low, high = interval(only_a, only_b, n, 1 - 2 * ALPHA)
    found = {"value": (only_a - only_b) / n, "low": low, "high": high} | asked
    return found | {"p_value": float(max(sides)), "equivalent": bool(max(sides) < ALPHA)}


def power(n: int, margin: float, discordant: float, difference: float = 0.0) -> float:
    """Chance that n pairs show equivalence, summed over all tables there can be.

    discordant: share of pairs in which one alone succeeds; difference: the true one.
    """
    apart = np.arange(binom.ppf(1e-9, n, discordant), binom.isf(1e-9, n, discordant) + 1)[:, None]
    only_a = np.arange(apart.max() + 1)
    chance = binom.pmf(apart, n, discordant)
    chance = chance * binom.pmf(only_a, apart, (1 + difference / discordant) / 2)
    only_b, reach = np.maximum(apart - only_a, 0), norm.isf(ALPHA)
    above = score(only_a, only_b, n, -margin) > reach
    return float((chance * (above & (score(only_a, only_b, n, margin) < -reach))).sum())


def pairs_needed(
    margin: float, discordant: float, difference: float = 0.0, target: float = 0.8
) -> int:
    """Pairs for a ``power`` of ``target``: plan with it before anyone rates.

    Counts are whole, so power falls a little here and there as pairs are added: n is one of the
    first that reach the target.  Raises ValueError if the true difference is not inside the
    margin, or a share is impossible.
    """
    if not abs(difference) < margin < 1 or not abs(difference) <= discordant <= 1:
        raise ValueError("needed: |difference| < margin < 1 and |difference| <= discordant <= 1")
    if not 0 < discordant or not 0 < target < 1:
        raise ValueError("discordant and target must be above 0, target below 1")

    def reached(n):
        return power(n, margin, discordant, difference)

    enough = 1
    while reached(enough) < target:
        enough *= 2
    return bisect_left(range(enough), target, enough // 2 + 1, key=reached)
