"""Changed reasons and changed labels, with P(hate) by rule and values worked by hand."""

import numpy as np
import pandas as pd
import pytest
from test_faithfulness import TEXT, p_hate, quote, rows

from hsd_utils import explanations, reasons, spans

GROUP = "Women are rotten and all women lie"
WAYS = {"group": reasons.without_group, "act": reasons.without_act}


def stated(text, *given):
    """Ways of changing the stated reason: way -> (places, words no control may change)."""
    (row,) = rows((1, list(given))).itertuples()
    return reasons.stated(text, row)


def changed(way, text, *given):
    return WAYS[way](text, stated(text, *given)[way][0])


def test_the_group_that_the_explanation_names_becomes_a_thing():
    said = quote(GROUP, "rotten")
    assert changed("group", GROUP, said) == "umbrellas are rotten and all umbrellas lie"
    other = quote(GROUP, "rotten", "It demeans Muslims.")
    assert stated(GROUP, other)["group"][0] == [] == stated(GROUP)["group"][0]
    text = "the women's choir; (women!)"
    assert changed("group", text, quote(text, "choir")) == "the umbrellas's choir; (umbrellas!)"


def test_what_is_said_of_the_group_becomes_harmless():
    both = [quote(GROUP, "Women are rotten"), quote(GROUP, "lie")]
    assert changed("act", GROUP, *both) == "Women live here and all women live here"
    assert stated(GROUP, quote(GROUP, "not there"))["act"][0] == []


def test_a_control_is_outside_the_reason_and_as_long():
    text = "Black people are all rotten, they say ... to women"
    said = quote(text, "all rotten", "It demeans Black people.")
    places, taken = stated(text, said)["group"]
    # neither groups (the other one too) nor quoted words nor marks: "are", "they say", "to"
    assert spans.keep(text, ~taken) == "are they say to"
    for seed in range(5):  # two words in a row
        other = reasons.elsewhere(text, places, taken, np.random.default_rng(seed))
        assert [text[a:b] for a, b in other] == ["they say"]
    assert reasons.without_group(text, other) == text.replace("they say", "umbrellas")
    places, taken = stated(text, said)["act"]
    draws = [np.random.default_rng(seed) for seed in range(30)]
    found = {reasons.without_act(text, reasons.elsewhere(text, places, taken, g)) for g in draws}
    # any two words in a row but those quoted, of which groups stay: six
    assert all("all rotten," in made and "Black people" in made for made in found)
    assert "Black people live here all rotten, they say ... to women" in found
    assert "Black people are all rotten, live here ... to women" in found and len(found) == 6


def test_stretches_of_a_control_share_no_word_and_need_room():
    text, nothing = "a b c d", np.zeros(4, dtype=bool)
    for seed in range(5):
        generator = np.random.default_rng(seed)
        found = reasons.elsewhere(text, [(0, 1), (2, 5), (6, 7)], nothing, generator)
        masks = [spans.marked(text, [place]) for place in found]
        assert np.sum(masks, axis=0).tolist() == [1, 1, 1, 1] and found == sorted(found)
    assert reasons.elsewhere(text, [(0, 5)], np.array([0, 1, 0, 1], bool), generator) == []


def test_falls_are_asked_only_where_hate_was_predicted():
    given = rows(
        (1, [quote(GROUP, "rotten")]), (0, [quote(GROUP, "rotten")]), (1, [quote(GROUP, "x")])
    )
    found = reasons.falls(p_hate, [GROUP] * 3, given, seed=0)
    assert found[["post", "changed", "fall"]].values.tolist() == [
        [0, "group", pytest.approx(0)],
        [0, "act", pytest.approx(0.5)],
        [2, "group", pytest.approx(0)],
    ]
    # one of the words beside "rotten", of which "all" alone counts
    assert found["control"][1] in (0, pytest.approx(0.2))
    assert reasons.falls(p_hate, [GROUP], rows((0, [])), seed=0).empty


def test_the_lead_is_over_the_control_of_the_same_posts():
    group = "women rotten"  # P(hate) 0.7 whatever stands for "women"; without "rotten" 0.2
    texts = [group, group, TEXT, TEXT]
    given = rows(
        (1, [quote(group, "not there")]),
        (1, [quote(group, "rotten")]),  # there is no other word to change
        (1, [quote(TEXT, "they are all rotten to", "Bad.")]),  # five of seven words
        (1, [quote(TEXT, "they are", "Bad.")]),
    )
    found = reasons.falls(p_hate, texts, given, seed=0)
    assert found["changed"].tolist() == ["group", "group", "act", "act", "act"]
    assert found["control"][0] == pytest.approx(0.5)  # "rotten" it must be
    by = reasons.summary(found, 1, 100, 0)
    assert (by["group posts"], by["group lead posts"]) == (2, 1)
    assert by["group lead"]["value"] is None  # one post
    again = reasons.falls(p_hate, texts, given, seed=0)
    pd.testing.assert_frame_equal(found, again)
    made = pd.DataFrame(
        {"post": range(3), "changed": "act", "fall": [0.5, 0.4, 0.9], "control": [0.1, 0.2, None]}
    )
    by = reasons.summary(made, 2, 100, 0)
    assert by["act"]["value"] == pytest.approx(0.6) and by["act posts"] == 3
    assert by["act lead"]["value"] == pytest.approx(0.3) and by["act lead posts"] == 2
    assert by["act lead"]["low"] == pytest.approx(0.2)
    few = reasons.summary(made, 3, 100, 0)  # three posts have a fall, two of them a lead
    assert few["act"] == by["act"] and few["act lead posts"] == 2
    assert few["act lead"]["value"] is None and "fewer than 3 posts" in few["act lead"]["reason"]


def test_an_explanation_that_follows_any_label():
    own = rows((1, [quote(TEXT, "rotten")]), (1, [quote(TEXT, "rotten")]), (0, []), (1, []))
    other = rows(
        (0, [quote(TEXT, "rotten", "No group is attacked.")]),
        (0, [quote(TEXT, "the core", "It demeans women.")]),
        (1, [quote(TEXT, "all", "Words.")]),
        (0, []),
    )
    found = reasons.followed([TEXT] * 4, own, other)
    assert found["given"].tolist() == [1, 1, 1, 0]
    assert found["follows"].tolist()[:2] == [1, 0] and found["follows"][2:].isna().all()
    assert found["same_quotes"].tolist()[:2] == [1, 0]
    assert found["same_words"][1] == 1 and found["same_words"][0] < 0.5
    assert found[["same_quotes", "same_words"]][2:].isna().all(axis=None)
    assert explanations.stance("Words.") is None
