"""Whose labels and reasons a cell's student learns: each setting changes what it says it does."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from studied import RUN, SETTINGS

from hsd_utils import provenance, supervision


def test_labels_are_gold_the_teacher_s_hard_ones_or_its_soft_ones(lab, taught):
    table = lab.samples["distil"]
    p = supervision.teacher_p(RUN, table)
    gold, hard, soft = (taught(label_source=s) for s in ("gold", "teacher", "teacher_soft"))
    assert gold["label"].tolist() == table["label"].tolist() and gold["p_hate"].isna().all()
    assert hard["label"].tolist() == (p >= 0.5).astype(int).tolist() != gold["label"].tolist()
    assert hard["p_hate"].isna().all() and soft["p_hate"].tolist() == pytest.approx(p)
    assert taught(label_source="teacher_median")["label"].mean() == pytest.approx(0.5, abs=0.05)
    assert lab.opened == ["teacher"]  # asked once, kept since


def test_a_temperature_divides_the_logit(lab, taught):
    p = supervision.teacher_p(RUN, lab.samples["distil"])
    soft = taught(label_source="teacher_soft", temperature=2.0)["p_hate"]
    assert soft.tolist() == pytest.approx(expit(logit(p) / 2))


def test_smoothing_gives_the_other_label_its_share_of_a_hard_label(taught):
    plain, smooth = taught(), taught(smoothing=0.1)
    assert smooth["label"].tolist() == plain["label"].tolist()
    assert smooth["p_hate"].tolist() == [0.9 if label else 0.1 for label in plain["label"]]
    with pytest.raises(ValueError, match="smoothing goes with hard labels"):
        supervision.check(SETTINGS | {"label_source": "teacher_soft", "smoothing": 0.1})
    with pytest.raises(ValueError, match="confident and temperature go with the teacher's"):
        supervision.check(SETTINGS | {"confident": 0.5})
    with pytest.raises(ValueError, match="definition 'u': one of metahate, un"):
        supervision.check(SETTINGS | {"definition": "u"})


def test_p_hate_is_a_mean_over_prompts_each_asked_for_itself(lab, monkeypatch):
    def read(asked, rows):
        return rows[["id"]].assign(p_hate=0.9 if asked["prompt"]["order"] == "hate_first" else 0.2)

    monkeypatch.setattr(supervision, "_read_p", read)
    mean = supervision.teacher_p(RUN, lab.samples["distil"], [{}, {"order": "hate_first"}])
    assert mean == pytest.approx(np.full(40, 0.55))
    assert len(list(RUN.study("x").parent.glob("teacher-p_hate-*.jsonl"))) == 2


def test_posts_without_p_hate_are_not_taught(lab, taught, monkeypatch):
    p = np.r_[np.full(3, np.nan), np.full(37, 0.9)]
    monkeypatch.setattr(supervision, "teacher_p", lambda *_: p)
    texts = lab.samples["distil"]["text"].tolist()
    assert taught(label_source="teacher")["text"].tolist() == texts[3:]


def test_with_gold_labels_no_rationale_of_another_label_is_taught(lab, taught):
    gold = lab.samples["distil"].set_index("text")["label"]
    rows = taught(objective="weighted")  # the teacher's answers are kept as they come
    assert 0 < len(rows) < 40 and (rows["label"].to_numpy() == gold[rows["text"]]).all()


def test_only_posts_not_asked_about_before_are_asked_about(lab, monkeypatch):
    table = lab.samples["distil"]
    supervision.teacher_p(RUN, table.head(10))
    read, seen = supervision._read_p, []
    monkeypatch.setattr(
        supervision, "_read_p", lambda asked, rows: seen.append(len(rows)) or read(asked, rows)
    )
    assert len(supervision.teacher_p(RUN, table.head(25))) == 25 and seen == [15]


def test_other_posts_under_known_ids_and_those_without_an_answer_are_asked_about(lab, monkeypatch):
    table, failing = lab.samples["distil"].head(8), True

    def read(asked, rows):
        found = rows["text"].str.len() / 1000
        return rows[["id"]].assign(p_hate=found.where(~(rows["id"].index < 2) | (not failing)))

    monkeypatch.setattr(supervision, "_read_p", read)
    assert np.isnan(supervision.teacher_p(RUN, table)).tolist() == [True] * 2 + [False] * 6
    failing = False
    assert not np.isnan(supervision.teacher_p(RUN, table)).any()
    other = table.assign(text=table["text"] + "!")
    assert supervision.teacher_p(RUN, other) == pytest.approx(other["text"].str.len() / 1000)


def test_no_posts_and_p_hate_beside_another_s_reason_are_refused(lab):
    with pytest.raises(ValueError, match="no post is left to learn from"):
        supervision.posts_for(RUN, SETTINGS, 0)
    mixed = {"label_source": "teacher_soft", "objective": "weighted"}
    with pytest.raises(ValueError, match="rationalise goes with hard labels"):
        supervision.check(SETTINGS | mixed | {"disagreement": "rationalise"})


def test_the_surest_are_those_farthest_from_the_median_at_both_ends(lab, taught):
    table = lab.samples["distil"]
    rank = pd.Series(supervision.teacher_p(RUN, table), table["text"]).rank(pct=True)
    kept = taught(label_source="teacher_soft", confident=0.5)
    assert len(kept) == 20
    far = (rank - 0.5).abs()
    assert far[kept["text"]].min() >= far.drop(kept["text"]).max() - 1e-9
    assert rank[kept["text"]].min() < 0.1 and rank[kept["text"]].max() > 0.9


def test_what_the_teacher_gets_wrong_is_kept_dropped_or_rationalised(lab, taught):
    gold = lab.samples["distil"].set_index("text")["label"]
    more = {"objective": "weighted", "label_source": "teacher"}
    keep, drop, told = (taught(disagreement=d, **more) for d in ("keep", "drop", "rationalise"))
    right = keep["label"].to_numpy() == gold[keep["text"]].to_numpy()
    assert 0.5 < right.mean() < 1 and len(drop) == right.sum()
    for rows in (drop, told):
        assert (rows["label"].to_numpy() == gold[rows["text"]].to_numpy()).all()
    assert len(told) == len(keep) == 40
    for rows in (keep, told):  # the fake one says which label it explains
        said = [e[0]["explanation"] for e in rows["explanations"]]
        assert said == [f"because it is {bool(label)}" for label in rows["label"]]


def test_where_the_teacher_is_wrong_the_label_may_be_taught_alone(lab, taught):
    more = {"objective": "weighted", "label_source": "gold"}
    drop, alone = (taught(disagreement=d, **more) for d in ("drop", "label_alone"))
    gold = lab.samples["distil"].set_index("text")["label"]
    assert len(alone) == 40 and (alone["label"].to_numpy() == gold[alone["text"]]).all()
    reasons = alone.set_index("text")["explanations"].dropna()
    assert reasons.to_dict() == drop.set_index("text")["explanations"].to_dict()
    with pytest.raises(ValueError, match="label_alone goes with objective: weighted"):
        supervision.check(SETTINGS | {"disagreement": "label_alone", "label_source": "gold"})


def test_noise_turns_so_many_labels_over_and_soft_ones_with_them(lab, taught):
    clean, noisy = taught(), taught(noise=0.25)
    assert (clean["label"] != noisy["label"]).sum() == 10
    again, other = taught(noise=0.25), taught(noise=0.25, seed=1)
    assert noisy["label"].equals(again["label"]) and not noisy["label"].equals(other["label"])
    soft, turned = (taught(label_source="teacher_soft", noise=n)["p_hate"] for n in (0, 1.0))
    assert turned.tolist() == pytest.approx(1 - soft)


def test_smaller_sets_lie_within_larger_ones_and_are_balanced(lab):
    wanted = partial(supervision.posts_for, RUN, SETTINGS)
    small, half, whole = wanted(8), wanted(20), wanted(40)
    assert set(small["id"]) < set(half["id"]) < set(whole["id"])
    each = half.groupby(["source", "label"]).size()
    assert len(half) == 20 and each.max() - each.min() <= 1


def test_a_cell_may_learn_from_some_sources_and_then_from_no_others(lab):
    wanted = partial(supervision.posts_for, RUN, SETTINGS | {"sources": ["corpus/chat"]})
    sources = lab.samples["distil"]["source"]
    assert set(wanted(4)["source"]) == {"corpus/chat"} < set(sources)
    with pytest.raises(ValueError, match=r"40 posts are wanted and distil has \d+ of `sources`"):
        wanted(40)


def test_further_posts_are_in_no_sample_and_too_many_are_refused(lab):
    table = supervision.posts_for(RUN, SETTINGS, 50)
    known = pd.concat(lab.samples.values())
    assert len(table) == 50 and not set(table["id"][40:]) & set(known["id"])
    with pytest.raises(ValueError, match="lower `size`"):
        supervision.posts_for(RUN, SETTINGS, 5000)


def test_targets_can_be_sent_to_a_process(taught):
    for source in supervision.SOURCES:
        rows = taught(label_source=source, noise=0.1).to_dict("records")
        assert json.loads(json.dumps(rows))[0].keys() == {"text", "label", "explanations", "p_hate"}


def test_further_posts_are_drawn_as_the_samples_were(lab, monkeypatch):
    asked = {"seed": 7, "near_duplicate": 0.7, "anonymise": False, "sources": ["corpus"]}
    monkeypatch.setattr(
        type(RUN), "parameters", lambda *_: provenance.defaults("01_sampling") | asked
    )
    unused = supervision.contamination.unused
    seen = []
    monkeypatch.setattr(
        supervision.contamination, "unused", lambda *a: seen.append(a[2:]) or unused(*a)
    )
    supervision._further.cache_clear()
    supervision.posts_for(RUN, SETTINGS, 43)
    assert seen == [(3, 7, 0.7, False)]
    supervision._further.cache_clear()
