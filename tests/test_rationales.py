"""Rationales and predictions: compared with gold, resolved, counted, and kept on disk."""

import json

import numpy as np
import pandas as pd
import pytest

from hsd_utils import metrics, predictions, rationales, verdict
from hsd_utils.engines import Answer

# Line ends to str.splitlines, but not to JSON Lines.
ODD = "so\u2028 many\x85 line\x0c ends\u2029 \U0001f600"
SAMPLE = pd.DataFrame(
    {
        "id": list("abcdef"),
        "source": ["x", "x", "x", "y", "y", "y"],
        "text": ["you people", "they rot", "dear all", "<b>bold</b>", ODD, "last one"],
        "label": [1, 1, 0, 0, 0, 1],
    }
)


def told(key, label, quote, finish="stop", tokens=10):
    text = verdict.write(label, [{"input": quote, "explanation": f"why {quote}"}])
    text = text[:-6] if finish == "length" else text
    return Answer(key, text, 100, tokens, 2.0, finish)


ANSWERS = {
    "a": told("a", 1, "people"),
    "b": told("b", 0, "they rot"),  # differs, and quotes the whole post
    "c": told("c", 0, "nowhere in it"),
    "d": told("d", 1, "bold"),  # differs
    "e": told("e", 0, ODD[:12]),
    "f": Answer("f", "no idea", 100, 4, 1.0, "stop"),
}
P = np.array([0.9, 0.4, 0.1, 0.7, 0.123456789, np.nan])


def rows():
    return rationales.read(SAMPLE, P, ANSWERS)


def test_rows_say_what_the_teacher_said_and_why_not():
    table = rows().set_index("id")
    assert table["label"].tolist()[:5] == [1, 0, 0, 1, 0] and table["label"].isna()["f"]
    assert table["gold"].tolist() == SAMPLE["label"].tolist()
    assert table["reason"].dropna().to_dict() == {"f": "not json"}
    assert np.isnan(table["p_hate"]["f"]) and table["p_hate"]["a"] == 0.9
    quote = table["explanations"]["a"][0]
    assert (quote["start"], quote["end"], quote["how"]) == (4, 10, "exact")
    assert table["explanations"]["c"][0]["how"] is None
    assert rationales.differing(rows())["id"].tolist() == ["b", "d", "f"]


def test_an_answer_that_was_cut_off_says_so():
    cut = ANSWERS | {"a": told("a", 1, "people", finish="length")}
    row = rationales.read(SAMPLE, P, cut).iloc[0]
    assert row["label"] == 1 and row["repaired"] and row["reason"] is not None
    whole = ANSWERS["a"]
    cut["a"] = Answer("a", whole.text, 100, 10, 2.0, "length")
    assert rationales.read(SAMPLE, P, cut).iloc[0]["reason"] == "cut off"


@pytest.mark.parametrize(
    "disagreement, kept", [("keep", "abcde"), ("drop", "ace"), ("rationalise", "ace")]
)
def test_resolve_keeps_what_can_be_learned(disagreement, kept):
    resolved = rationales.resolve(rows(), disagreement)
    assert resolved["id"].tolist() == list(kept) and resolved.index.tolist() == list(
        range(len(kept))
    )


def test_the_surest_are_at_both_ends_and_what_was_not_read_goes_first():
    rows = pd.DataFrame({"p_hate": [0.9, 0.6, np.nan, 0.55, 0.1, 0.7, 0.8, 0.95]})
    assert rationales.surest(rows, 1.0).equals(rows)
    assert rationales.surest(rows, 2 / 8).index.tolist() == [4, 7]  # one at each end
    assert rationales.surest(rows, 5 / 8).index.tolist() == [0, 3, 4, 6, 7]
    assert rationales.surest(rows, 7 / 8).index.tolist() == [0, 1, 3, 4, 5, 6, 7]
    for share in (0, 1.5):
        with pytest.raises(ValueError, match="a share in"):
            rationales.surest(rows, share)


def test_resolve_refuses_what_it_does_not_know_and_an_empty_rest():
    with pytest.raises(ValueError, match="'ignore': one of keep, drop, rationalise"):
        rationales.resolve(rows(), "ignore")
    with pytest.raises(ValueError, match="no rationale can be used"):
        rationales.resolve(rows().iloc[5:], "keep")
    with pytest.raises(ValueError, match="no rationale can be used"):
        rationales.resolve(rows().iloc[[1]], "drop")


def test_label_alone_keeps_all_posts_and_only_the_reasons_that_were_the_teacher_s_own():
    alone = rationales.label_alone(rows())
    assert alone["label"].tolist() == SAMPLE["label"].tolist()
    told = alone.set_index("id")["explanations"]
    assert told.notna().to_dict() == {key: key in "ace" for key in "abcdef"}
    assert told["a"] == rows()["explanations"][0]


def test_rationalised_rows_replace_those_that_differed():
    differing = SAMPLE[SAMPLE["id"].isin(rationales.differing(rows())["id"])]
    again = {
        "b": told("b", 1, "rot", tokens=30),
        "d": told("d", 1, "bold"),
        "f": told("f", 1, "one"),
    }
    table = rationales.rationalised(rows(), differing, again)
    assert table["id"].tolist() == SAMPLE["id"].tolist()
    assert table["rationalised"].tolist() == [False, True, False, False, False, True]
    b, d, f = (table[table["id"] == key].iloc[0] for key in "bdf")
    assert (b["label"], b["explanations"][0]["input"], b["seconds"]) == (1, "rot", 4.0)
    assert d["label"] == 1 and d["gold"] == 0  # it insists: as it was, though asked twice
    # Why its own answer could not be used is not forgotten.
    assert (f["reason"], f["repaired"]) == ("not json", rows().iloc[-1]["repaired"])
    first = rows().set_index("id")
    for key, row in zip("bdf", (b, d, f), strict=True):
        for name in rationales.PAID:
            assert row[name] == first.at[key, name] + getattr(again[key], name)
    assert f["label"] == 1 and b["p_hate"] == 0.4
    assert rationales.resolve(table, "rationalise")["id"].tolist() == list("abcef")
    # Agreement is that of the teacher left to itself.
    assert rationales.ledger(table, SAMPLE)["agrees_with_gold"] == pytest.approx(3 / 6)


def test_the_ledger_by_hand():
    found = rationales.ledger(rows(), SAMPLE)
    assert found["answers"] == 6 and found["parse_rate"] == pytest.approx(5 / 6)
    assert found["failures"] == {"not json": 1} and found["repaired"] == 1
    assert found["agrees_with_gold"] == pytest.approx(3 / 6)
    assert found["says_hate"] == pytest.approx(2 / 5)
    assert (found["quotes"], found["quotes_found"]) == (5, pytest.approx(4 / 5))
    assert found["whole_post_quotes"] == 1
    assert found["seconds"] == 11.0 and found["answer_tokens"] == pytest.approx(54 / 6)
    cells = {(r["source"], r["label"]): (r["value"], r["posts"]) for r in found["agreement"]}
    assert cells == {("x", 0): (1, 1), ("x", 1): (0.5, 2), ("y", 0): (0.5, 2), ("y", 1): (0, 1)}
    json.dumps(found, allow_nan=False)


def test_the_ledger_of_answers_that_all_failed():
    failed = rows().assign(said=pd.array([pd.NA] * 6, dtype="Int64"))
    found = rationales.ledger(failed, SAMPLE)
    assert found["parse_rate"] == found["agrees_with_gold"] == 0 and found["says_hate"] is None


def test_rationales_on_disk_come_back_as_they_were(tmp_path):
    path = tmp_path / "new" / "distil.jsonl"
    kept = rationales.resolve(rows(), "keep")
    with pytest.raises(ValueError, match="no rationale for .*raise max_tokens"):
        rationales.write(kept.head(0), path)
    rationales.write(kept, path)
    assert len(path.read_bytes().splitlines()) == len(kept)
    back = rationales.load(path, SAMPLE)
    assert back["text"].tolist() == SAMPLE["text"].tolist()[:5]
    filled = {"reason": "none"}  # missing is None in one, NaN in the other
    pd.testing.assert_frame_equal(back[kept.columns].fillna(filled), kept.fillna(filled))
    rationales.write(kept, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == path.read_bytes()
    with pytest.raises(ValueError, match="distil.jsonl has rationales without a post: run 01"):
        rationales.load(path, SAMPLE.iloc[1:])


def judged():
    quotes = [{"input": ODD, "how": "exact"}, {"input": "z", "how": None}]
    predicted = [1, 0, 0, 1, 0, 1]
    return pd.DataFrame(
        {
            "id": SAMPLE["id"],
            "p_hate": P,
            "predicted": predicted,
            "explanations": [quotes, quotes[:1], [], [], [], quotes[:1]],
            "reason": [None] * 6,
            "generated": [1, 1, 0, None, 1, None],
            "generated_reason": [None, None, None, "not json", None, "empty"],
        }
    )


def test_predictions_on_disk_come_back_as_they_were(tmp_path):
    path = tmp_path / "new" / "student-eval.jsonl"
    predictions.write(judged(), path)
    back = predictions.load(path)
    assert back["explanations"].tolist() == judged()["explanations"].tolist()
    assert back["id"].tolist() == list("abcdef") and np.isnan(back["p_hate"][5])
    assert back["predicted"].tolist() == judged()["predicted"].tolist()
    assert back["generated"].isna().tolist() == [False] * 3 + [True, False, True]


def test_quotes_found_counts_quotes_and_not_posts():
    assert rationales.quotes_found(judged()) == pytest.approx(3 / 4)
    assert rationales.quotes_found(judged().iloc[2:5]) is None


def test_a_failed_answer_is_a_wrong_one():
    found = predictions.as_generated(SAMPLE["label"].to_numpy(), judged(), resamples=20, seed=0)
    # right: a, b, c; wrong: e, and d and f, which failed
    assert found["accuracy"]["value"] == pytest.approx(3 / 6)
    assert found["failures"] == {"not json": 1, "empty": 1}


def test_measures_within_each_source():
    rows = judged().assign(p_hate=[0.9, 0.4, 0.1, 0.7, 0.2, 0.1])
    other = rows.iloc[::-1]  # another order of the rows means nothing
    table = predictions.within(SAMPLE, "source", {"m": rows, "n": other.assign(predicted=0)}, 0, 0)
    assert table["source"].tolist() == ["x", "x", "y", "y"] and set(table["posts"]) == {3}
    assert [found["value"] for found in table["roc_auc"]] == [1, 1, 0, 0]
    both = table.pivot(index="source", columns="model", values="macro_f1")
    for source, value, never in zip(both.index, both["m"], both["n"], strict=True):
        part = (SAMPLE["source"] == source).to_numpy()
        gold, guess = SAMPLE["label"][part], rows["predicted"][part]
        measured = metrics.classification(gold, None, guess, resamples=0, seed=0)
        assert value == measured["macro_f1"] and value["value"] == pytest.approx(2 / 3)
        assert never["value"] < value["value"]
