"""Faithfulness, with P(hate) by rule and values worked by hand."""

import numpy as np
import pandas as pd
import pytest
from fakes import POSTS

from hsd_utils import bootstrap, faithfulness, spans

WEIGHT = {"rotten": 0.5, "all": 0.2, "kind": -0.1}


def p_hate(texts):
    """0.2, and what the words in WEIGHT add."""
    return np.array([0.2 + sum(WEIGHT.get(w, 0) for w in spans.words(t)) for t in texts])


def quote(text, phrase, explanation="It demeans women."):
    start = text.find(phrase)
    found = {"start": start, "end": start + len(phrase), "how": "exact"}
    found = found if start >= 0 else {"start": None, "end": None, "how": None}
    return {"input": phrase, "explanation": explanation, "whole": phrase == text} | found


def rows(*pairs):
    """Rows of predictions from (predicted, explanations)."""
    return pd.DataFrame({"predicted": [p for p, _ in pairs], "explanations": [e for _, e in pairs]})


TEXT = "they are all rotten to the core"


def measured(text, predicted, mask, tried=100):
    made = faithfulness.measure(p_hate, [text], [predicted], {"quotes": [mask]}, tried, seed=0)
    return made.set_index("method")


def test_by_hand_for_a_post_predicted_as_hate():
    found = measured(TEXT, 1, spans.marked(TEXT, [[13, 19]]))  # "rotten": P is 0.9
    assert found.at["quotes", "comprehensiveness"] == pytest.approx(0.9 - 0.4)
    assert found.at["quotes", "sufficiency"] == pytest.approx(0.9 - 0.7)
    # each of the seven words left out in turn: 0.5 and 0.2 once each
    assert found.at["random", "comprehensiveness"] == pytest.approx(0.7 / 7)
    assert found.at["leave-one-out", "comprehensiveness"] == pytest.approx(0.5)
    assert set(found["words"]) == {1} and set(found["predicted"]) == {1}
    assert set(found["share"]) == {1 / 7}


def test_for_a_post_predicted_as_not_hate_it_is_the_other_way_round():
    text = "they are kind people"  # P 0.1, of "not hate" 0.9
    found = measured(text, 0, spans.marked(text, [[9, 13]]))
    assert found.at["quotes", "comprehensiveness"] == pytest.approx(0.1)
    assert found.at["quotes", "sufficiency"] == pytest.approx(0.0)
    assert found.at["leave-one-out", "comprehensiveness"] == pytest.approx(0.1)


def test_without_quotes_nothing_is_removed_and_nothing_gained():
    found = measured(TEXT, 1, np.zeros(7, dtype=bool))
    for method in ("quotes", "random", "leave-one-out"):
        assert found.at[method, "comprehensiveness"] == 0
        assert np.isnan(found.at[method, "sufficiency"])  # that of an empty post tells nothing


def test_a_silent_model_has_no_sufficiency_and_posts_without_quotes_are_not_in_it():
    texts, nothing = [TEXT, "you are all rotten", "all is lost"], np.zeros(4, dtype=bool)
    mute = {"quotes": [np.zeros(len(spans.words(text)), dtype=bool) for text in texts]}
    made = faithfulness.measure(p_hate, texts, [1, 1, 1], mute, 3, seed=0)
    found = faithfulness.summary(made, 100, 0).set_index("method")
    for method in ("quotes", "random", "leave-one-out"):
        assert found.at[method, "sufficiency"] == bootstrap.absent(faithfulness.SILENT)
        assert found.at[method, "comprehensiveness"]["value"] == 0
    some = [spans.marked(TEXT, [[13, 19]]), nothing, spans.marked(texts[2], [[0, 3]])]
    made = faithfulness.measure(p_hate, texts, [1, 1, 1], {"quotes": some}, 3, seed=0)
    found = faithfulness.summary(made, 100, 0).set_index("method")
    # "rotten" of 0.9 alone has 0.7, "all" of 0.4 alone 0.4; the second post, 0.9, is left out.
    assert found.at["quotes", "sufficiency"]["value"] == pytest.approx((0.2 + 0) / 2)
    assert found.at["quotes", "comprehensiveness"]["value"] == pytest.approx((0.5 + 0 + 0.2) / 3)


def test_the_whole_post_is_no_better_than_chance():
    found = measured(TEXT, 1, np.ones(7, dtype=bool))
    assert found.at["quotes", "comprehensiveness"] == found.at["random", "comprehensiveness"] > 0


def test_stretches_are_drawn_by_seed_and_as_many_as_asked():
    texts, masks = [TEXT] * 3, [spans.marked(TEXT, [[13, 19]])] * 3
    asked = []

    def counting(texts):
        asked.append(len(texts))
        return p_hate(texts)

    runs = [
        faithfulness.measure(counting, texts, [1] * 3, {"quotes": masks}, 2, seed)
        for seed in (0, 0, 1)
    ]
    # posts; stretches by chance without, one alone; evenly spread without; quotes both ways
    assert asked[0] == 3 + 3 * (2 + 1 + 2 + 2)
    pd.testing.assert_frame_equal(runs[0], runs[1])
    assert not runs[0].equals(runs[2])


@pytest.mark.parametrize("seed", range(5))
def test_the_upper_reference_tries_stretches_evenly_spread(seed):
    def best(text, mask, tried):
        made = faithfulness.measure(p_hate, [text], [1], {"quotes": [mask]}, tried, seed)
        found = made.set_index("method").at["leave-one-out", "comprehensiveness"]
        return found, made.set_index("method").at["random", "comprehensiveness"]

    last = spans.marked(TEXT, [[27, 31]])  # "core", which says nothing
    # One of seven words is the fourth, "rotten"; three are the second, fourth and sixth.
    assert best(TEXT, last, 1)[0] == best(TEXT, last, 3)[0] == pytest.approx(0.5)
    other = "you are rotten, all of you"
    # Two of six words are the second and fifth, "are" and "of"; chance may find "all" (0.2).
    found, chance = best(other, spans.marked(other, [[0, 3]]), 2)
    assert found == pytest.approx(2 * chance) and chance in (0, pytest.approx(0.1))


def test_nothing_measured_is_above_the_upper_reference():
    text = "all of it is rotten"
    # Of two words in a row none has both; the quotes do: 0.2 + 0.5.
    both = spans.marked(text, [[0, 3], [13, 19]])
    found = measured(text, 1, both)["comprehensiveness"]
    assert found["quotes"] == found["leave-one-out"] == pytest.approx(0.7)
    assert found["random"] == pytest.approx((0.2 + 0 + 0 + 0.5) / 4)
    texts, masks = [text, TEXT, "rotten all"], [both, spans.marked(TEXT, [[27, 31]])]
    masks.append(spans.marked(texts[2], [[0, 6]]))
    made = faithfulness.measure(p_hate, texts, [1, 1, 1], {"quotes": masks}, 1, seed=0)
    above = faithfulness.summary(made, 100, 0).set_index("method")["quotes_above"]
    # The second post's quote does nothing, its fourth word 0.5: (0 - 0.5 + 0) / 3.
    assert above["leave-one-out"]["value"] == pytest.approx(-0.5 / 3)
    assert above["leave-one-out"]["high"] <= 0


def test_the_summary_compares_on_the_same_posts():
    texts = [TEXT, "you are all rotten", "all of it is fine"]
    masks = {
        "quotes": [spans.marked(t, [[t.find("all"), t.find("all") + 3]]) for t in texts],
        "lexicon": [spans.marked(t, [[0, 3]]) for t in texts],
    }
    made = faithfulness.measure(p_hate, texts, [1, 1, 1], masks, 3, seed=0)
    made = made[(made["method"] != "lexicon") | (made["post"] < 2)]
    found = faithfulness.summary(made, resamples=100, seed=0).set_index("method")
    assert list(found.index)[0] == "quotes" and found.at["lexicon", "posts"] == 2
    assert found.at["quotes", "comprehensiveness"]["value"] == pytest.approx(0.2)
    assert found.at["lexicon", "quotes_above"]["value"] == pytest.approx(0.2)
    assert found.at["quotes", "quotes_above"]["value"] is None
    unasked = bootstrap.absent(faithfulness.UNASKED)
    assert found.at["leave-one-out", "sufficiency"] == unasked


def test_what_a_model_cannot_say_is_missing_and_not_zero():
    found = faithfulness.measure(
        lambda texts: np.full(len(texts), np.nan), [TEXT], [1], {"quotes": [np.ones(7, bool)]}, 2, 0
    )
    assert found["comprehensiveness"].isna().all()


def test_the_lexicon_is_learned_from_labels():
    scores = faithfulness.lexicon(["Rotten people", "rotten!", "kind people", "kind"], [1, 1, 0, 0])
    rotten, kind, people, never = scores("ROTTEN, kind people never")
    assert rotten > people == pytest.approx(0) == never > kind and rotten == pytest.approx(-kind)
    given = rows((1, [quote("kind rotten people", "kind")]), (0, [quote("kind x", "x")]), (1, []))
    texts = ["kind rotten people", "kind x", "kind"]
    made = faithfulness.marks(texts, given, {"lexicon": scores})
    assert [m.tolist() for m in made["lexicon"]] == [[0, 1, 0], [1, 0], [0]]
    assert [m.tolist() for m in made["quotes"]] == [[1, 0, 0], [0, 1], [0]]


def test_occlusion_finds_the_word_that_a_classifier_rests_on():
    def encode(texts):
        return np.array([[("rotten" in t), ("kind" in t), 1.0] for t in texts], dtype=float)

    scores = faithfulness.occlusion(encode, ["rotten", "kind", "rotten x", "kind x"], [1, 0] * 2, 0)
    found = scores("all rotten kind")
    assert found[1] > 0 > found[2] and found[0] == pytest.approx(0)


def test_a_classifier_is_asked_each_text_once(classifier):
    made = classifier()
    ask = faithfulness.asking(made)
    texts = [*POSTS["text"], POSTS["text"][0], ""]
    assert ask(texts).tolist() == [0.9, 0.6, 0.3, 0.1, 0.9, 0.2]
    assert len(made.engine.asked) == 5 and len(ask([])) == 0


def test_each_word_left_out_by_hand_and_an_unread_one_counts_nothing():
    known = {"bad kind": 0.9, "kind": 0.2, "bad": 0.8, "one": 0.6, "": np.nan}
    found = faithfulness.without_each(lambda texts: np.array([known[t] for t in texts]), known)
    assert [each.tolist() for each in found[:1]] == [pytest.approx([0.7, 0.1])]
    assert [each.tolist() for each in found[1:]] == [[0.0], [0.0], [0.0], []]
    assert faithfulness.without_each(None, []) == []
