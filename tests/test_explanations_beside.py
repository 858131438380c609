"""Notebook 06's rows that stand beside others: models in an annotator's place, and unpointed."""

import json

import numpy as np
import pandas as pd
import pytest
from fakes import DONE
from test_explanations_notebook import MODELS, executed, prepared
from test_explanations_notebook import ask as ask  # a fixture
from test_explanations_notebook import table as table  # another

from hsd_utils import plausibility, posts, provenance, readers, spans


@pytest.fixture
def marked_by_two(monkeypatch):
    """Two annotators of every post with marked words: one of all words, one of the first."""

    def marks(texts):
        sizes = {post: len(spans.words(text)) for post, text in texts.items()}
        return {post: [np.ones(n), np.eye(n)[0]] for post, n in sizes.items()}

    monkeypatch.setattr(plausibility, "hatexplain_marks", marks)
    monkeypatch.setattr(readers, "inputs", lambda sources: [])


def read(run, name):
    return pd.DataFrame(json.loads(run.table(name, "json").read_text())).set_index("explainer")


def test_models_beside_annotators_and_all_that_rank(ask, table, marked_by_two):
    run = prepared(ask, table)
    drawn = {"parameters": DONE["parameters"] | {"sources": ["hatexplain"]}}
    provenance.write_json(run.stage_manifest("01_sampling"), DONE | drawn)
    executed(ranked_by=list(MODELS))
    found = read(run, "plausibility")
    sample = posts.read_jsonl(run.sample("eval"))
    of = sample[(sample["label"] == 1) & (sample["rationale"].str.len() > 0)]
    beside = [f"{name}, as an annotator" for name in (*MODELS, "whole post")]
    assert found.loc[["annotators", *beside], "posts"].tolist() == [len(of)] * 5
    # Who quotes all agrees with the one in full and marks too much for the other; as do they.
    first = np.mean([2 / (len(spans.words(text)) + 1) for text in of["text"]])
    value = found["token_f1"].dropna().map(lambda measure: measure["value"])
    assert value["whole post, as an annotator"] == pytest.approx((1 + first) / 2)
    assert value["annotators"] == pytest.approx(first)
    ranking = found.loc[[f"{name}, word by word" for name in MODELS]]
    assert ranking["posts"].nunique() == 1
    assert all(measure["value"] is not None for measure in ranking["auprc"])
    for name in ("quotes", "explanation_text"):
        counted = read(run, name)["posts"]
        assert counted["student, pointed"] == counted["student, unpointed"] < counted["student"]
