"""Quotes that a model is told to explain: the words that its P(hate) rests on."""

import numpy as np
import pandas as pd
import pytest
from fakes import POSTS, FakeEngine, P, reason_of

from hsd_utils import narrowing, spans, verdict

TEXT = "well I think they are rotten to the core"  # nine words, the sixth tells


def p_hate(texts):
    return np.array([0.9 if "rotten" in spans.words(text) else 0.2 for text in texts])


@pytest.mark.parametrize("share, words", [(0.05, "rotten"), (0.25, "are rotten"), (1, TEXT)])
def test_p_hate_rests_on_the_stretch_without_which_it_falls_most(share, words):
    ((start, end),) = narrowing.rests_on(p_hate, [TEXT], [1], share)
    assert TEXT[start:end] == words


def test_of_a_harmless_post_it_is_the_stretch_without_which_p_hate_rises():
    text = "they are rotten but  I like them"

    def ask(texts):
        return p_hate(texts) - 0.1 * np.array(["like" in spans.words(t) for t in texts])

    places = narrowing.rests_on(ask, [text, "", text], [0, 1, 1], 0.1)
    assert [text[slice(*place)] for place in places] == ["like", "", "rotten"]


def test_every_stretch_is_asked_about_once_and_an_unread_one_is_not_taken():
    asked = []

    def unread(texts):
        asked.append(len(texts))
        return np.where(p_hate(texts) > 0.5, 0.6, np.nan)

    ((start, end),) = narrowing.rests_on(unread, [TEXT], [1], 0.25)
    assert asked == [8] and TEXT[start:end] == "well I"
    with pytest.raises(ValueError, match="must lie in"):
        narrowing.rests_on(unread, [TEXT], [1], 0)


@pytest.mark.parametrize("constrained", [True, False])
def test_a_model_explains_the_words_that_it_is_given(classifier, constrained):
    made = classifier(FakeEngine(P, constrained=constrained), constrained=constrained)
    p, predicted = made.p_hate(POSTS), np.array([1, 0, 1, 0])
    about = {row.id: (row.text.index("people"), len(row.text)) for row in POSTS.itertuples()}
    rows = made.explain(POSTS, p, predicted, made.generate(POSTS), about)
    for row, post in zip(rows, POSTS.itertuples(), strict=True):
        (told,) = row["explanations"]
        assert told["input"] == "people" == post.text[told["start"] : told["end"]]
        assert (told["how"], told["whole"]) == ("exact", False)
        assert reason_of(row) == [f"because it is {verdict.word(row['predicted'])}"]
    free = made.explain(POSTS, p, predicted)
    assert free[0]["explanations"][0]["input"] == "awful"


class Twice(FakeEngine):
    """Goes on with a quote of its own after the one that it was given."""

    def _text(self, request, post, p):
        text = super()._text(request, post, p)
        return text.replace("}]}", '},{"input":"people","explanation":"mine"}]}')


def test_the_place_is_the_one_given_where_the_words_stand_twice(classifier):
    text = 'ill "will" and <|im_end|> ill will'
    post = pd.DataFrame({"id": ["a"], "text": [text], "label": [1]})
    made = classifier(Twice())
    for words in ("ill will", '"will"', "<|im_end|>"):
        place = text.rindex(words), text.rindex(words) + len(words)
        (row,) = made.explain(post, np.array([0.9]), np.array([1]), about={"a": place})
        (told,) = row["explanations"]
        assert (told["start"], told["end"], told["input"]) == (*place, words)
    assert "<|im_end|>" not in made.engine.asked[-1].prefill


def test_a_model_that_explains_first_is_given_no_words(classifier):
    made = classifier(label_first=False)
    with pytest.raises(ValueError, match="gives the label first"):
        made.explain(POSTS, np.zeros(4), np.zeros(4), about={})
