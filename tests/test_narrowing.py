"""Narrower quotes: halved by a P(hate) that is known by rule, to places found by hand."""

import numpy as np
import pandas as pd
import pytest

from hsd_utils import narrowing, spans, verdict

TEXT = "well I think they are rotten to the core"  # nine words, the sixth tells


def p_hate(texts):
    return np.array([0.9 if "rotten" in spans.words(text) else 0.2 for text in texts])


def told(*phrases, text=TEXT):
    given = [{"input": phrase, "explanation": f"about {phrase}"} for phrase in phrases]
    return verdict.quotes(verdict.Parsed(1, given), text)


def narrowed(ask, texts, quotes, share):
    rows = pd.DataFrame({"label": [1] * len(texts), "explanations": quotes})
    return narrowing.narrowed(ask, rows, texts, share)["explanations"].tolist()


def narrow(quotes, share=0.5, ask=p_hate, text=TEXT):
    (made,) = narrowed(ask, [text], [quotes], share)
    return made


@pytest.mark.parametrize("share", [0.5, 0.25, 0.05])
def test_a_whole_post_becomes_the_words_that_p_hate_rests_on(share):
    (quote,) = narrow(told(TEXT), share=share)
    words = spans.words(quote["input"])
    assert "rotten" in words and len(words) == max(1, int(9 * share))
    assert TEXT[quote["start"] : quote["end"]] == quote["input"]
    assert not quote["whole"] and quote["how"] == "exact"
    assert quote["explanation"] == f"about {TEXT}"
    assert set(quote) == set(told(TEXT)[0])


def test_it_stays_within_the_quote_and_leaves_short_ones_alone():
    (quote,) = narrow(told("well I think they"), share=0.25)  # all halves fall alike: the first
    assert quote["input"] == "well I"
    short = told("rotten to", "nowhere in it")
    assert narrow(short) == short and short[1]["how"] is None


def test_quotes_that_end_as_the_same_words_are_given_once():
    first, _ = twice = told(TEXT, "they are rotten to the core")
    made = narrow(twice, share=0.12)
    assert [quote["input"] for quote in made] == ["rotten"]
    assert made[0]["explanation"] == first["explanation"]


def test_a_word_alone_is_quoted_and_a_post_may_say_nothing():
    made = narrowed(p_hate, ["rotten", TEXT], [told("rotten", text="rotten"), []], 0.5)
    assert [quote["input"] for quote in made[0]] == ["rotten"] and made[1] == []


def test_posts_are_asked_about_together_round_by_round():
    asked = []

    def counting(texts):
        asked.append(len(texts))
        return p_hate(texts)

    narrowed(counting, [TEXT] * 3, [told(TEXT), told("rotten"), told(TEXT)], 0.2)
    # Of two posts, from 9 words to 5, 3, 2, 1; of three words there are but two halves.
    assert asked == [6, 6, 4, 4]


def test_what_cannot_be_read_counts_as_no_fall():
    (quote,) = narrow(told(TEXT), share=0.12, ask=lambda texts: np.full(len(texts), np.nan))
    assert quote["input"] == "well"


@pytest.mark.parametrize("share", [0, -1, 1.1])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="must lie in"):
        narrow(told(TEXT), share=share)


def test_of_rationales_only_hateful_ones_change():
    rows = pd.DataFrame({"label": [1, 0, None], "explanations": [told(TEXT), told(TEXT), []]})
    rows = rows.astype({"label": "Int64"}).set_index(pd.Index([4, 7, 9]))
    made = narrowing.narrowed(p_hate, rows, [TEXT] * 3, 0.12)
    assert [[q["input"] for q in told] for told in made["explanations"]] == [["rotten"], [TEXT], []]
    assert made.index.equals(rows.index) and made["label"].equals(rows["label"])


def test_of_harmless_posts_the_words_stay_without_which_p_hate_rises():
    text = "they are rotten but I like them all the same"  # "like" tells here
    rows = pd.DataFrame({"label": [0, 1], "explanations": [told(text, text=text), told(TEXT)]})

    def ask(texts):
        return p_hate(texts) - 0.1 * np.array(["like" in spans.words(t) for t in texts])

    for labels, kept in (((0, 1), ["like", "rotten"]), ((0,), ["like", TEXT])):
        made = narrowing.narrowed(ask, rows, [text, TEXT], 0.12, labels)
        assert [quote["input"] for (quote,) in made["explanations"]] == kept

    def unread(texts):
        return np.full(len(texts), np.nan)

    made = narrowing.narrowed(unread, rows, [text, TEXT], 0.12, [0])
    assert made["explanations"][0][0]["input"] == "they"  # unread: nothing rose
