"""Explanations as text: groups, what the words conclude, generic, copied, diverse, people's own."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from hsd_utils import bootstrap, corpus, explanations, posts, prompts
from hsd_utils.explanations import GROUPS

STANCES = {
    "It demeans women.": 1,
    "Calls for migrants as a group to be driven out.": 1,
    "It spreads a conspiracy theory about them.": 1,
    "No group is attacked.": 0,
    "It is not hateful.": 0,
    "It rejects a hateful claim and so defends them.": 0,
    "The hateful words are quoted only to condemn them.": 0,
    "The insult is aimed at a machine, not at people.": 0,
    "Slugs, which are not people, are insulted.": 0,
    "It claims that women are not people.": 1,
    "It praises migrants.": 0,
    "It praises the use of violence.": 1,
    "The post does not contain any offensive language or attacks on a group.": 0,
    "There is no derogatory language here.": 0,
    "It not only insults immigrants but calls for violence.": 1,
    "It denies women the same rights as men.": 1,
    "It condemns all Muslims as terrorists.": None,  # who are condemned: not a denial
    "It opposes immigrants and wants them gone.": None,
    "It condemns attacks on Muslims.": 0,
    "It condemns men who beat women.": 0,
    "It praises the genocide of Jews.": 1,
    "It says that women are not equal to men.": 1,
    "The phrase attacks any woman who speaks.": 1,
    "It opposes equal rights for gay people.": None,  # denies them, in no word of _HATE
    "It rejects the idea that women are human.": None,
    "It defends the rights of women.": 0,
    "It condemns attacks on human rights.": 0,
    "It condemns racism against all humans.": 0,
    "It opposes discrimination and demands equal rights.": 0,
    "It rejects racism and insists on equality.": 0,
    "It defends the mass murder of Jews.": None,
    "It defends victims of violence.": 0,
    "It is neither neutral nor positive: it mocks Jews.": 1,
    "It defends violence against women.": 1,
    "It defends women against violence.": 0,
    "It is a positive stereotype used to demean Asians.": 1,
    "It is not neutral: it mocks Jews.": 1,
    "No one is spared, and Jews are insulted.": 1,
    "It says 'we attack and insult' to somebody.": None,  # quoted words are not its own
    "The phrase is about the weather.": None,
    "": None,
}


@pytest.mark.parametrize("text, expected", STANCES.items())
def test_what_the_words_conclude(text, expected):
    assert explanations.stance(text) == expected


def test_the_rule_fits_the_explanations_it_was_made_on():
    table = corpus.build()
    given = [(e, label) for e, label in zip(table["explanation"], table["label"], strict=True)]
    for shot in prompts.demonstrations():
        given += [(e["explanation"], shot["label"]) for e in shot["explanations"]]
    said = [(explanations.stance(text), label) for text, label in given]
    wrong = sum(s is not None and s != label for s, label in said)
    silent = sum(s is None for s, _ in said)
    assert wrong / len(said) < 0.02 and silent / len(said) < 0.1


def test_groups_are_whole_names_and_the_longer_one_counts():
    assert explanations.named("Black women and a refugee") == {"Black people", "immigrants"}
    assert explanations.named("the black coat of a gentleman; Romania; humans") == set()
    assert explanations.named("It demeans MUSLIMS.") == {"Muslims"}
    assert explanations.named("Attacks black folk.") == {"Black people"}
    text = "Women, and the women's choir"
    assert [text[a:b] for a, b in explanations.mentions(text, {"women"})] == ["Women", "women"]
    assert explanations.mentions(text, {"Muslims"}) == []
    for text in ("İslam", "ıslamic", "girlſ"):  # letters that re.I takes for those of a name
        assert explanations.named(text) == set() and explanations.mentions(text, GROUPS) == []


def test_every_target_of_the_corpus_is_a_group_that_its_posts_name():
    table = corpus.build()
    spoken = table.dropna(subset=["target"])
    assert set(spoken["target"]) <= set(explanations.GROUPS)
    pairs = zip(spoken["text"], spoken["target"], strict=True)
    assert np.mean([target in explanations.named(text) for text, target in pairs]) > 0.95


def quote(phrase, explanation, start=0, how="exact", whole=False):
    place = {"start": start, "end": start + len(phrase)} if how else {"start": None, "end": None}
    return {"input": phrase, "explanation": explanation, "how": how, "whole": whole} | place


SHOWN = prompts.demonstrations()[0]["explanations"][0]["explanation"]
SAMPLE = posts.make(
    {"source": "toy"} | row
    for row in [
        {"text": "people like that are a burden", "label": 1, "rationale": [[0, 6], [23, 29]]},
        {"text": "what a lovely burden this is", "label": 0, "target": "women"},
        {"text": "nothing to see", "label": 1},
        {"text": "they are such a burden", "label": 1},
    ]
)
ROWS = pd.DataFrame(
    {
        "id": SAMPLE["id"],
        "predicted": [1, 1, 1, 0],
        "explanations": [
            [quote("people", "It demeans women."), quote("elsewhere", "Too.", how=None)],
            [quote("what a lovely burden this is", "No group is attacked.", whole=True)],
            [],
            [quote("burden", SHOWN, 16, how="fuzzy")],
        ],
    }
)


def test_features_by_hand():
    found = explanations.features(SAMPLE, ROWS)
    assert found["quotes"].tolist() == [2, 1, 0, 1] and found["found"].tolist() == [1, 1, 0, 1]
    assert found["hallucinated"].tolist() == [1, 0, 0, 0]
    assert found["whole"].tolist() == [0, 1, 0, 0] and found["fuzzy"].tolist() == [0, 0, 0, 1]
    assert found["missed"][0] == 0.5 and found["missed"][1:].isna().all()
    assert found["explained"].tolist() == [1, 1, 0, 1]
    assert found["contradicts"][:2].tolist() == [0, 1] and found["contradicts"][3] == 1
    assert found["names_group"].tolist()[:2] == [1, 0]
    assert found["generic"].tolist()[:2] == [0, 1]  # the second says nothing of its post
    assert found["copied"].tolist()[:2] == [0, 0] and found["copied"][3] == 1
    assert found.loc[2, ["length", "names_group", "contradicts", "generic"]].isna().all()


def test_an_explanation_that_serves_two_posts_is_generic():
    rows = ROWS.assign(explanations=[[quote("x", "It demeans women.", how=None)]] * 4)
    assert explanations.features(SAMPLE, rows)["generic"].tolist() == [1, 1, 1, 1]


def test_the_post_over_again_is_copied():
    rows = ROWS.head(1).assign(explanations=[[quote("people", "People like that are a burden.")]])
    assert explanations.features(SAMPLE.head(1), rows)["copied"].tolist() == [1]


def test_a_reason_that_was_learned_is_copied():
    taught, other = ["It demeans Women"], ["It says where the library is."]
    found = [
        explanations.features(SAMPLE, ROWS, each)["copied"].tolist() for each in (taught, other)
    ]
    assert found[0][0] == 1 and found[1][0] == 0


def test_diversity_by_hand():
    found = explanations.diversity(["a b c", "", "a b c"])
    assert found == {"distinct_1": 0.5, "distinct_2": 0.5, "self_similarity": 1.0}
    found = explanations.diversity(["one two", "three four"])
    assert found["distinct_1"] == found["distinct_2"] == 1 and found["self_similarity"] < 0.5
    assert explanations.diversity(["alone"])["distinct_1"] is None


def test_people_are_rows_like_a_models():
    table = SAMPLE.assign(explanation=["Because of the words.", None, None, "A sentence."])
    found = explanations.annotators(table)
    assert found["id"].tolist() == [table["id"][0], table["id"][3]]
    first = found["explanations"][0]
    assert [e["input"] for e in first] == ["people", "burden"]
    assert explanations.sentence(first) == "Because of the words."
    marked = explanations.annotators(table.assign(explanation=None))["explanations"]
    assert [explanations.sentence(given) for given in marked] == [""]  # words and no reason
    assert found["predicted"].tolist() == [1, 1]
    assert explanations.sentence(found["explanations"][1]) == "A sentence."  # about no words
    counted = explanations.features(table.iloc[[0, 3]], found)
    assert counted["quotes"].tolist() == [2, 0] and counted["hallucinated"].tolist() == [0, 0]
    assert counted["explained"].tolist() == [1, 1]
    assert explanations.annotators(SAMPLE.assign(rationale=[[]] * 4)).empty


def test_means_apart_by_source_target_and_correctness():
    scored = ROWS[["id", "predicted"]].assign(measure=[1.0, 0.0, None, 0.5], measured=True)
    scored = scored.assign(
        other=[1.0, 0.0, 0.5, 0.5], found=[1, 0, None, 3], quotes=[2, 1, None, 3]
    )
    joint = {"quotes_found": (bootstrap.ratio, ["found", "quotes"])}
    split = partial(explanations.split, SAMPLE, joint=joint, resamples=200, seed=0)
    found = split({"student": scored}, least=2)
    by = found.set_index(["by", "value"])
    assert by.at[("source", "toy"), "posts"] == 4 and "target" not in set(found["by"])
    assert by.at[("source", "toy"), "measure"]["value"] == pytest.approx(0.5)
    # Of six quotes on three posts four are found; the mean of the posts' shares is a half.
    quotes = by.at[("source", "toy"), "quotes_found"]
    assert quotes["value"] == pytest.approx(4 / 6) and quotes["low"] < 4 / 6 < quotes["high"]
    assert not {"found", "quotes", "predicted"} & set(found)
    hits = by.loc[("outcome", "hit")]
    assert hits["posts"] == 2 and hits["other"]["value"] == 0.75
    assert (hits["other"]["low"], hits["other"]["high"]) == (0.5, 1.0)
    for alone in (hits["measure"], by.at[("outcome", "missed"), "measure"]):
        assert alone["value"] is None and alone["reason"] == "fewer than 2 posts to measure"
    assert ("target", "women") in split({"a": scored}, least=1).set_index(["by", "value"]).index


def test_a_measure_of_few_of_the_posts_is_null_and_what_was_measured_is_counted():
    part = [True, True, False, False]  # P(hate) was asked again of these
    scored = ROWS[["id", "predicted"]].assign(measured=part, measure=[1.0, 0.0, None, None])
    scored = scored.assign(other=0.5, found=[1, 0, 1, 3], quotes=[2, 1, None, 3])
    joint = {"quotes_found": (bootstrap.ratio, ["found", "quotes"])}
    split = partial(explanations.split, SAMPLE, {"a": scored}, joint=joint, resamples=50, seed=0)
    three = split(least=3).set_index(["by", "value"]).loc[("source", "toy")]
    assert (three["posts"], three["measured"]) == (4, 2)
    assert three["measure"] == bootstrap.absent("fewer than 3 posts to measure")
    assert three["other"]["value"] == 0.5 and three["quotes_found"]["value"] == 4 / 6
    four = split(least=4).set_index(["by", "value"]).loc[("source", "toy")]
    assert four["quotes_found"]["reason"] == "fewer than 4 posts to measure"  # three have both
    two = split(least=2).set_index(["by", "value"])
    assert two.at[("source", "toy"), "measure"]["value"] == 0.5
    # A kind of outcome keeps its row, whatever it has.
    assert two.loc["outcome"]["posts"].to_dict() == {"false alarm": 1, "hit": 2, "missed": 1}
    assert two.loc["outcome"]["measured"].to_dict() == {"false alarm": 1, "hit": 1, "missed": 0}
    assert two.at[("outcome", "missed"), "other"]["value"] is None


def test_a_post_of_several_groups_counts_in_each_and_once_elsewhere():
    table = SAMPLE.assign(target=["women, men", "women", None, "men"])
    rows = ROWS[["id", "predicted"]].assign(measured=False, measure=[1.0, 0.0, 0.5, 0.5])
    scored = {"a": rows}
    found = explanations.split(table, scored, 2, {}, resamples=50, seed=0)
    by = found.set_index(["by", "value"])
    assert by.loc["target", "posts"].to_dict() == {"men": 2, "women": 2}
    assert by.at[("target", "men"), "measure"]["value"] == 0.75
    assert by.at[("source", "toy"), "posts"] == 4 == by.loc["outcome", "posts"].sum()
