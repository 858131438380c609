"""The human ceiling: each annotator judged by the others, models beside them."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from hsd_utils import annotators


def test_an_annotator_is_judged_by_the_majority_of_the_others():
    pairs = annotators.left_out({"a": [1, 1, 0], "b": [0, 0, 0], "c": [1], "d": []})
    # Of a, only the one who differs has others who agree: 1 and 1; the rest see one of each.
    assert pairs[pairs["id"] == "a"].to_dict("list") == {"id": ["a"], "said": [0], "others": [1]}
    assert pairs[pairs["id"] == "b"][["said", "others"]].to_numpy().tolist() == [[0, 0]] * 3
    assert set(pairs["id"]) == {"a", "b"}


@pytest.fixture
def votes():
    draw = np.random.default_rng(0)
    return {f"p{n}": draw.integers(0, 2, 5).tolist() for n in range(40)}


def test_the_ceiling_is_scikit_learns_and_has_an_interval_over_posts(votes):
    pairs = annotators.left_out(votes)
    verdicts = pd.Series({post: n % 2 for n, post in enumerate(votes)})
    table = annotators.ceiling(pairs, {"student": verdicts}, 200, seed=0)
    assert table["model"].tolist() == ["annotator", "student"] and set(table["posts"]) == {40}
    said = {"annotator": pairs["said"], "student": verdicts.loc[pairs["id"]]}
    for row in table.itertuples():
        right = f1_score(pairs["others"], said[row.model], average="macro")
        assert row.macro_f1["value"] == pytest.approx(right)
        assert row.accuracy["value"] == pytest.approx(
            accuracy_score(pairs["others"], said[row.model])
        )
        assert row.macro_f1["low"] < row.macro_f1["value"] < row.macro_f1["high"]
    again = annotators.ceiling(pairs, {"student": verdicts}, 200, seed=0)
    assert again.equals(table)


def test_rows_of_a_post_are_resampled_together(votes):
    """Many equal rows a post are no more posts: the interval stays as wide."""
    once = pd.DataFrame({"id": list(votes), "said": [n % 2 for n in range(40)], "others": 1})
    once.loc[:19, "others"] = 0
    wide = [annotators.ceiling(t, {}, 400, 0) for t in (once, pd.concat([once] * 6))]
    low, high = (table["accuracy"][0]["high"] - table["accuracy"][0]["low"] for table in wide)
    assert low == pytest.approx(high, rel=0.2) and low > 0.15


def test_nobody_to_compare_gives_an_empty_table():
    table = annotators.ceiling(annotators.left_out({}), {}, 10, 0)
    assert table.empty and list(table) == ["model", "posts", "macro_f1", "accuracy"]
    assert annotators.hatexplain_votes(["ethos-1"], "strict") == {}


def test_votes_follow_the_mapping(tmp_path, monkeypatch):
    labels = ("hatespeech", "offensive", "normal")
    record = {"annotators": [{"label": label} for label in labels]}
    (tmp_path / "hatexplain").mkdir()
    (tmp_path / "hatexplain" / "dataset.json").write_text(json.dumps({"k": record, "l": record}))
    monkeypatch.setenv("HSD_DATA_DIR", str(tmp_path))
    ids = ["hatexplain-k", "ethos-l", "hatexplain-absent"]
    found = {m: annotators.hatexplain_votes(ids, m) for m in ("strict", "toxic", "clear")}
    assert found["strict"] == {"hatexplain-k": [1, 0, 0]}
    assert found["toxic"] == {"hatexplain-k": [1, 1, 0]}
    assert found["clear"] == {"hatexplain-k": [1, 0]}
