"""Unused posts share nothing with a sample; the audit counts what is shared."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import real_posts
from fakes import FakeEngine

from hsd_utils import contamination, near_duplicates, posts, readers, sampling

SIZES = {"distil": 96, "dev": 24, "cal": 32, "eval": 64}


@pytest.fixture(scope="module")
def corpus():
    return readers.read("corpus")[0]


@pytest.fixture(scope="module")
def samples(corpus):
    unique, _ = sampling.deduplicate(sampling.clean(corpus)[0])
    return sampling.draw(unique, SIZES, seed=0)[0]


def test_unused_posts_share_nothing_with_the_samples(corpus, samples):
    fresh = contamination.unused(corpus, samples, 100, seed=1)
    assert len(fresh) == 100
    everything = {**samples, "fresh": fresh}
    assert not [p for p in sampling.overlap(everything) if p not in sampling.overlap(samples)]
    posts.check(fresh)


def test_the_draw_depends_on_the_seed_and_not_on_the_order(corpus, samples):
    one = contamination.unused(corpus, samples, 50, seed=1)
    again = contamination.unused(corpus.sample(frac=1, random_state=3), samples, 50, seed=1)
    assert one["id"].tolist() == again["id"].tolist()
    assert one["id"].tolist() != contamination.unused(corpus, samples, 50, seed=2)["id"].tolist()


def test_texts_in_other_letters_and_near_duplicates_are_known():
    texts = ["The weather by the lake is lovely today", "Trains were late again this morning"]
    known = posts.make([{"source": "a", "text": t, "label": 0} for t in texts])
    others = [texts[0].upper(), texts[1] + "!", "An entirely different sentence about tea"]
    table = posts.make([{"source": "b", "text": t, "label": 1} for t in others])
    fresh = contamination.unused(table, {"distil": known}, 5, seed=0)
    assert fresh["text"].tolist() == [others[2]]
    with pytest.raises(ValueError, match="no post is left"):
        contamination.unused(known, {"distil": known}, 5, seed=0)


def test_near_is_what_the_pairs_say():
    texts, others = ["one two three four", "rain", "five six seven"], ["One two three four!", "sun"]
    assert contamination.near(texts, others).tolist() == [True, False, False]
    assert near_duplicates.pairs(["one two three four", "one two three four!"], 0.8).tolist()
    assert contamination.near(["a b c"], []).tolist() == [False]
    assert contamination.near([], ["a"]).shape == (0,)


def test_the_audit_counts_posts_once():
    tested = {"new": ["same old text", "same old text", "other words here"], "none": []}
    taught = {"distil": ["same old text", "same old text!"], "prompt": ["unlike all"]}
    found = contamination.audit(tested, taught)
    assert found["near_duplicates"].tolist() == [2, 0, 0, 0]
    assert found["share"].iloc[0] == pytest.approx(2 / 3) and np.isnan(found["share"].iloc[2])
    assert list(zip(found["tested"], found["taught"], strict=True))[0] == ("new", "distil")


def test_spread_takes_evenly_and_in_order():
    table = pd.DataFrame({"case": list("aaaabbc"), "n": range(7)})
    found = contamination.spread(table, "case", 4)
    assert found["case"].tolist() == ["a", "a", "b", "c"] and found["n"].tolist() == [0, 1, 4, 6]
    assert contamination.spread(table, "case", 0) is table
    assert len(contamination.spread(table, "case", 100)) == 7


@real_posts
def test_hatecheck_is_spread_over_all_functionalities():
    table = readers.read("hatecheck")[0]
    assert table["functionality"].nunique() == 29
    found = contamination.spread(table, "functionality", 58)
    assert (found.groupby("functionality").size() == 2).all()


class Reciter(FakeEngine):
    """Knows one post by heart; of any other it says something else."""

    known = "this very post was seen before by the model many times"

    def answer(self, request):
        if self.post(request).endswith("word 200"):
            return replace(super().answer(request), text="word 201 word 202", finish="length")
        said = "seen nothing of that sort"
        if self.known.startswith(self.post(request)):
            said = self.known.removeprefix(self.post(request)) + " and it goes on for long"
        return replace(super().answer(request), text=said)


def test_a_post_known_by_heart_is_found_and_chance_stands_beside_it(classifier):
    other = "quite another post that nobody has ever shown to it"
    asked = classifier(Reciter())
    found = contamination.completed(asked, [Reciter.known, "too short", other])
    assert found["own"].tolist() == pytest.approx([1.0, 0.0])
    assert (found["other"] < 0.5).all() and len(found) == 2
    first = asked.engine.asked[0].messages[-1]["content"]
    assert "this very post was seen</post>" in first and "before" not in first
    long = " ".join(f"word {n}" for n in range(1, 401))  # known, and longer than may be written
    assert contamination.completed(asked, [long, other])["own"].tolist() == pytest.approx([1, 0])
    assert list(contamination.completed(asked, [])) == ["own", "other"]
