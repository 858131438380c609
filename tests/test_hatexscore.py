"""HateXScore: the adapted and the corrected form against cases worked by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hsd_utils import hatexscore

TEXT = "those old women are a burden to all of us"


def row(explanation, *phrases, predicted=1, text=TEXT):
    given = []
    for number, phrase in enumerate(phrases):
        start = text.find(phrase)
        how, end = ("exact", start + len(phrase)) if start >= 0 else (None, None)
        reason = explanation if number == 0 else ""
        whole = phrase == text
        given.append({"input": phrase, "explanation": reason, "how": how, "whole": whole})
        given[-1] |= {"start": start if how else None, "end": end}
    return SimpleNamespace(predicted=predicted, explanations=given)


def test_the_published_form_quotes_single_shared_words_stop_words_included():
    said = row("It says that women are a burden.", "burden to all")
    assert hatexscore.masked(TEXT, said, "adapted") == (
        "those old [mask] [mask] [mask] [mask] [mask] [mask] of us"
    )
    assert hatexscore.masked(TEXT, said, "corrected") == (
        "those old women are a [mask] [mask] [mask] of us"
    )


@pytest.mark.parametrize("form", hatexscore.FORMS)
def test_nothing_or_all_of_the_post_quoted_gives_no_faithfulness(form):
    for said in (row("It demeans x.", "nowhere"), row("It demeans x.", TEXT)):
        assert hatexscore.masked(TEXT, said, form) is None
    found = hatexscore.score(row("A hateful word about women.", TEXT), 0.9, None, form)
    assert (found["qf"], found["cc"]) == (0, 0) and found["tgi"] == found["htc"] == 1
    assert found["score"] == 0.5


@pytest.mark.parametrize(
    "text", ["they're scum", "you are scum !", "you are scum 😀", "... they lie"]
)
@pytest.mark.parametrize("form", hatexscore.FORMS)
def test_a_whole_post_is_quoted_whatever_stands_in_and_between_its_words(text, form):
    assert hatexscore.masked(text, row("It demeans x.", text, text=text), form) is None
    words = " ".join(word for word in text.split() if any(letter.isalpha() for letter in word))
    assert hatexscore.masked(text, row("It demeans x.", words, text=text), form) is None


def test_a_word_with_an_apostrophe_is_masked_and_a_mark_is_a_post_of_marks():
    said = row("It demeans x.", "they're", text="they're scum !")
    for form in hatexscore.FORMS:
        assert hatexscore.masked("they're scum !", said, form) == "[mask] scum !"
    assert hatexscore.masked("🐒 🍌", row("", "🍌", text="🐒 🍌"), "corrected") == "🐒 [mask]"


def parts(found):
    return [found[part] for part in hatexscore.PARTS]


@pytest.mark.parametrize(
    "predicted, p, p_masked, names, adapted, corrected",
    [
        # hateful, quotes matter, group named: all is well in both
        (1, 0.9, 0.3, True, [1, 0.6, 1, 1], [1, 0.6, 1, 1]),
        # below the limit of 0.45
        (1, 0.9, 0.5, True, [1, 0.4, 1, 0], [1, 0.4, 1, 0]),
        # hateful, no group named
        (1, 0.9, 0.3, False, [1, 0.6, 0, 0], [1, 0.6, 0, 0]),
        # P(hate) rises without the quotes: the published form takes that for faithful
        (1, 0.3, 0.9, True, [1, 0.6, 1, 1], [1, 0.0, 1, 0]),
        # not hateful, a group named: the published form counts it as inconsistent
        (0, 0.1, 0.2, True, [1, 0.9, 1, 0], [1, 0.9, math.nan, 1]),
        (0, 0.1, 0.2, False, [1, 0.9, 0, 1], [1, 0.9, math.nan, 1]),
        (0, 0.1, 0.8, False, [1, 0.3, 0, 0], [1, 0.3, math.nan, 0]),
    ],
)
def test_components_by_hand(predicted, p, p_masked, names, adapted, corrected):
    for is_corrected, expected in ((False, adapted), (True, corrected)):
        found = hatexscore.components(predicted, p, p_masked, True, names, is_corrected)
        assert parts(found) == pytest.approx(expected, nan_ok=True)
        assert found["score"] == pytest.approx(np.nanmean(expected))


def test_first_words_of_a_name_count_in_the_published_form_only():
    said = row("It repeats old lies about a burden.", "burden")  # "old people" is a group
    assert hatexscore.score(said, 0.9, 0.1, "adapted")["tgi"] == 1
    assert hatexscore.score(said, 0.9, 0.1, "corrected")["tgi"] == 0
    said = row("It demeans non-binary people.", "burden")
    assert hatexscore.score(said, 0.9, 0.1, "adapted")["tgi"] == 1
    assert hatexscore.score(row("It is non-hateful."), 0.9, 0.1, "adapted")["tgi"] == 0


def test_words_that_conclude_the_other_label_are_no_conclusion_in_the_corrected_form():
    said = row("No group is attacked; women are named.", "women")
    assert hatexscore.score(said, 0.9, 0.1, "adapted")["htc"] == 1  # "no" is a conclusion
    assert hatexscore.score(said, 0.9, 0.1, "corrected")["htc"] == 0
    assert hatexscore.score(row(""), 0.9, None, "corrected")["htc"] == 0


@pytest.mark.parametrize(
    "reason, published",
    [("It is Hateful.", 1), ("Non-hateful: a recipe.", 1), ("Yes, an insult.", 1), ("", 0)]
    + [("Hate speech.", 1), ("It shows hatefulness.", 0), ("It demeans women.", 0)],
)
def test_only_a_few_words_are_a_conclusion_in_the_published_form(reason, published):
    assert hatexscore.score(row(reason, "burden"), 0.9, 0.1, "adapted")["htc"] == published
    stated = hatexscore.score(row(reason, "burden"), 0.9, 0.1, "corrected")["htc"]
    assert stated == float(bool(reason) and not reason.startswith("Non"))


def test_the_published_form_reads_quotes_and_reasons_as_one_text():
    said = row("It demeans them.", "old women", "no use")
    found = hatexscore.score(said, 0.9, 0.1, "adapted")
    assert (found["htc"], found["tgi"]) == (1, 1)  # both from what is quoted
    assert hatexscore.score(said, 0.9, 0.1, "corrected")["tgi"] == 0


def test_a_missing_probability_is_missing():
    for masked in (0.3, None):
        found = hatexscore.components(1, float("nan"), masked, True, True, corrected=True)
        assert all(math.isnan(value) for value in found.values())
    assert math.isnan(hatexscore.components(0, 0.2, float("nan"), True, True, False)["score"])


def test_each_post_is_measured_on_its_own():
    rows = pd.DataFrame(
        [vars(row("It demeans women.", p)) for p in ("women are a burden", "nowhere", "burden")]
    )

    def p_hate(texts):
        return np.array([0.9 if "burden" in text else 0.2 for text in texts])

    found = hatexscore.measure(p_hate, [TEXT] * 3, rows, "corrected")
    assert found["qf"].tolist() == pytest.approx([0.7, 0, 0.7])
    assert found["score"].tolist() == pytest.approx([3.7 / 4, 0.5, 3.7 / 4])
    assert list(found) == [*hatexscore.PARTS, "score"]
