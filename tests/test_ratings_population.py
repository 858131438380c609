"""From the sheet back to the posts it was drawn from, whoever answered."""

import pandas as pd
import pytest
from rated import drawn
from test_ratings_results import rate

from hsd_utils import ratings
from hsd_utils.ratings import QUESTIONS, results


def test_who_skips_the_hateful_posts_moves_no_share_of_the_population():
    items, key = drawn(n=60, checks=0)

    def by_kind(rater, row, side, question):  # one answer a kind of post, so shares are known
        return "yes" if row["gold"] == 0 or row["right"][row[side]] else "no"

    table = rate(by_kind, sheet=(items, key))
    whole = results.measure(ratings.check(table, items), key, margin=0.3)
    hateful = [row["item"] for row in key if row["gold"]]
    kinds = pd.Series({row["item"]: row["stratum"] for row in key if row["gold"]})
    kept = kinds.drop_duplicates().index  # one of each kind is answered
    skipped = table["item"].isin(set(hateful) - set(kept))
    assert skipped.sum() > 20 * 6
    table.loc[skipped, list(QUESTIONS)] = "skip"
    few = results.measure(ratings.check(table, items), key, margin=0.3)
    for part in ("shares", "equivalence"):
        for a, b in zip(whole[part], few[part], strict=True):
            value, same = a["population"]["value"], b["population"]["value"]
            assert value == pytest.approx(same)
            assert b["covered"] == pytest.approx(1)
    assert whole["shares"][0]["share"]["value"] < few["shares"][0]["share"]["value"] - 0.1
    table.loc[table["item"].isin(hateful), list(QUESTIONS)] = "skip"
    none = results.measure(ratings.check(table, items), key, margin=0.3)["shares"][0]
    harmless = sum(row["weight"] for row in key if not row["gold"])
    assert none["covered"] == pytest.approx(harmless / 60) and none["population"]["value"] == 1


def test_the_interval_of_all_and_of_none_ends_there():
    items, key = drawn(count=40, n=8, checks=0)
    for weights, word, end in (([0.2, 0.7, 1.1, 2], "yes", "high"), ([1, 0.5, 0.25], "no", "low")):
        known = [row | {"weight": weight} for row, weight in zip(key, weights, strict=False)]
        table = rate(lambda *_, word=word: word, ["rater-aaaa"], (items, known))
        share = results.measure(table, known, margin=0.1)["shares"][0]["population"]
        assert share["value"] == share[end] == (word == "yes")
