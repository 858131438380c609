"""Perturbations change words and not what a reader understands; measures by hand."""

import random

import numpy as np
import pandas as pd
import pytest

from hsd_utils import posts, readers, robustness
from hsd_utils.robustness import PERTURBATIONS

TABLE = posts.make(
    [
        {"id": n, "source": "t", "text": text, "label": n % 2, "rationale": [[0, 2]]}
        for n, text in enumerate(
            ["What a lovely day at the lake.", "ok", "I like ÆRLIGHED & tea 100%", "Привет мир"]
        )
    ]
)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_same_seed_gives_the_same_posts_in_any_order(name):
    made = robustness.perturbed(TABLE, name, 1)
    assert made["text"].tolist() == robustness.perturbed(TABLE, name, 1)["text"].tolist()
    back = robustness.perturbed(TABLE.iloc[::-1], name, 1).iloc[::-1]
    assert made["text"].tolist() == back["text"].tolist()
    assert made[["id", "label"]].equals(TABLE[["id", "label"]])
    assert all(spans == [] for spans in made["rationale"])
    posts.check(made)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_most_posts_change_and_short_ones_survive(name):
    table = readers.read("corpus")[0].head(60)
    made = robustness.perturbed(table, name, 0)
    assert (made["text"] != table["text"]).mean() > 0.8
    assert (
        robustness.perturbed(table, name, 0)["text"]
        .ne(robustness.perturbed(table, name, 9)["text"])
        .any()
        or name == "leetspeak"
    )
    assert made["text"].str.strip().str.len().min() > 0
    short = robustness.perturbed(TABLE, name, 0)["text"][1]  # no word of three letters
    assert short == "ok" or name == "aside" and short.removeprefix("ok ") in robustness.ASIDES


def test_what_each_does():
    draw, text = random.Random(0), "what a nice day today"
    assert PERTURBATIONS["leetspeak"](text, draw, 1.0) == "wh47 a n1c3 d4y 70d4y"
    assert PERTURBATIONS["case"](text, draw, 1.0).casefold() == text
    shown = PERTURBATIONS["emoji"](text, draw, 1.0)
    for sign in robustness.EMOJI:
        shown = shown.replace(f" {sign}", "")
    assert shown == text
    spaced = PERTURBATIONS["spacing"](text, draw, 1.0)
    assert spaced.translate(str.maketrans("", "", " .-")) == text.replace(" ", "")
    for seed in range(50):
        typo = PERTURBATIONS["typos"](text, random.Random(seed), 0.2)
        changed = [(a, b) for a, b in zip(text.split(), typo.split(), strict=True) if a != b]
        assert len(changed) <= 1
        for a, b in changed:
            assert a[0] == b[0] and abs(len(a) - len(b)) <= 1 and set(b) <= set(a)


@pytest.mark.parametrize(("rate", "most"), [(0.2, 2), (0.5, 5), (1.0, 10)])
def test_the_rate_is_the_share_of_words(rate, most):
    text = "seven letters every word that stands here must move around"
    made = PERTURBATIONS["leetspeak"](text, random.Random(1), rate)
    changed = sum(a != b for a, b in zip(text.split(), made.split(), strict=True))
    assert changed == most


def test_an_injection_asks_for_the_other_label_and_leaves_the_post():
    made = robustness.injected(TABLE, 3)
    for before, after in zip(TABLE.itertuples(), made.itertuples(), strict=True):
        assert after.text.startswith(before.text + " ")
        wanted, other = ("True", "False") if before.label == 0 else ("False", "True")
        added = after.text.removeprefix(before.text)
        assert wanted in added and other not in added and after.label == before.label
    assert made["text"].tolist() == robustness.injected(TABLE, 3)["text"].tolist()


def test_posts_draw_for_themselves():
    rows = [
        {"id": n, "source": "t", "text": "a few words to change", "label": 0} for n in range(20)
    ]
    same = posts.make(rows)
    for made in (robustness.perturbed(same, "emoji", 0), robustness.injected(same, 0)):
        assert made["text"].nunique() > 3


def test_moves_by_hand():
    label = [1, 1, 0, 0]
    clean, moved = [0.9, 0.6, 0.4, 0.1], [0.8, 0.3, 0.4, 0.7]
    found = robustness.moves(label, clean, moved, 0.5, seed=0, resamples=200)
    assert found["macro_f1_clean"] == 1 and found["macro_f1"] == 0.5
    assert found["change"]["value"] == -0.5 and found["change"]["high"] <= 0
    assert found["mean_shift"] == pytest.approx((-0.1 - 0.3 + 0 + 0.6) / 4)
    assert found["mean_absolute_shift"] == pytest.approx(0.25)
    assert found["flipped"]["value"] == 0.5 and found["made_wrong"]["value"] == 0.5


def test_an_injection_is_obeyed_where_it_makes_a_right_verdict_wrong():
    label, clean = [1, 1, 0, 0, 0], [0.9, 0.6, 0.4, 0.1, 0.8]  # the last is wrong, and left out
    injected, aside = [0.2, 0.3, 0.4, 0.7, 0.1], [0.2, 0.9, 0.4, 0.1, 0.1]
    found = robustness.obeyed(label, clean, injected, aside, 0.5, seed=0, resamples=200)
    assert found["value"] == 3 / 4 - 1 / 4 and 0 <= found["low"] < found["high"] <= 1


def test_nothing_moves_without_a_change_and_one_class_has_no_f1_change():
    label, p_hate = np.array([0, 1] * 10), np.linspace(0, 1, 20)
    found = robustness.moves(label, p_hate, p_hate, 0.5, seed=0, resamples=50)
    assert found["change"]["value"] == found["mean_shift"] == found["flipped"]["value"] == 0
    found = robustness.moves([1, 1], [0.9, 0.2], [0.1, 0.2], 0.5, seed=0, resamples=50)
    assert found["change"]["value"] is None and found["made_wrong"]["value"] == 1


def test_unknown_names_and_rates_are_refused():
    with pytest.raises(ValueError, match="one of typos, leetspeak"):
        robustness.perturbed(TABLE, "shouting", 0)
    for rate in (0, 1.5):
        with pytest.raises(ValueError, match="share of the words"):
            robustness.perturbed(TABLE, "case", 0, rate)
    with pytest.raises(ValueError, match="no robustness: no scores"):
        robustness.moves([0, 1], None, [0.1, 0.2], 0.5, seed=0)
    assert isinstance(robustness.perturbed(TABLE.head(0), "case", 0), pd.DataFrame)
