"""Whose labels and reasons a cell's student learns: each setting changes what it says it does."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
from fakes import Letters
from scipy.special import expit, logit
from studied import RUN, Lab

from hsd_utils import encoder, faithfulness, provenance, rationales, supervision

SETTINGS = {"objective": "label_only", "label_source": "gold", "rationales": "teacher"}
SETTINGS |= {"disagreement": "keep", "noise": 0.0, "temperature": 1.0, "confident": 1.0}
SETTINGS |= {"prompts": [{}], "tokens_as": "", "seed": 0, "size": 1.0}


@pytest.fixture
def lab(monkeypatch, tmp_path):
    return Lab(monkeypatch, tmp_path)


@pytest.fixture
def taught(lab):
    """Targets of the distil posts under some settings, a frame."""
    table = lab.samples["distil"]
    return lambda **more: pd.DataFrame(supervision.taught(RUN, table, SETTINGS | more))


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


def test_p_hate_is_a_mean_over_prompts_each_asked_for_itself(lab):
    table = lab.samples["distil"]
    mean = supervision.teacher_p(RUN, table, [{}, {"order": "hate_first"}])
    assert mean == pytest.approx(supervision.teacher_p(RUN, table))  # the fake one is indifferent
    assert len(list(RUN.study("x").parent.glob("teacher-p_hate-*.jsonl"))) == 2


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


def test_noise_turns_so_many_labels_over_and_soft_ones_with_them(lab, taught):
    clean, noisy = taught(), taught(noise=0.25)
    assert (clean["label"] != noisy["label"]).sum() == 10
    again, other = taught(noise=0.25), taught(noise=0.25, seed=1)
    assert noisy["label"].equals(again["label"]) and not noisy["label"].equals(other["label"])
    soft, turned = (taught(label_source="teacher_soft", noise=n)["p_hate"] for n in (0, 1.0))
    assert turned.tolist() == pytest.approx(1 - soft)


def test_shuffled_rationales_are_another_post_s_of_the_same_label():
    rows = pd.DataFrame({"label": [0, 1] * 10, "explanations": [[{"input": i}] for i in range(20)]})
    for seed in range(5):
        moved = rationales.shuffled(rows, seed)
        came = np.array([e[0]["input"] for e in moved["explanations"]])
        assert (came != np.arange(20)).all() and sorted(came) == list(range(20))
        assert (came % 2 == moved["label"]).all() and moved.index.equals(rows.index)
    with pytest.raises(ValueError, match="two posts of each label"):
        rationales.shuffled(rows.head(3), 0)


def test_a_cell_shuffles_the_teacher_s_own_rationales(lab, taught):
    own = taught(objective="weighted", label_source="teacher").set_index("text")["explanations"]
    mixed = taught(objective="weighted", label_source="teacher", rationales="shuffled")
    quotes = [
        (own[t][0]["input"], e[0]["input"])
        for t, e in zip(*map(mixed.get, ("text", "explanations")), strict=True)
    ]
    assert sum(a != b for a, b in quotes) > 20  # the fake one quotes first words, some are alike


def test_narrowed_quotes_are_parts_of_the_teacher_s(lab, taught):
    kinds = ("teacher", "narrowed", "brief")
    more = {"objective": "weighted", "label_source": "teacher"}
    made = [taught(rationales=kind, **more).set_index("text") for kind in kinds]
    own, narrow, brief = (rows["explanations"].sort_index() for rows in made)
    assert own.index.equals(narrow.index) and own.index.equals(brief.index) and len(own) == 40
    hateful = made[2]["label"].sort_index() == 1
    assert 0 < hateful.sum() < 40 and not brief[~hateful].any()  # nothing to point at
    for kind, share in ((narrow, 2), (brief, 4)):
        for text, (before,), (after,) in zip(
            own.index[hateful], own[hateful], kind[hateful], strict=True
        ):
            assert after["input"] in before["input"]
            assert len(after["input"].split()) <= max(1, len(text.split()) // share)
    assert narrow[~hateful].equals(own[~hateful])
    taught(rationales="narrowed", **more)
    # P(hate), what it says, narrower to a half and to a quarter; each kept since.
    assert lab.opened == ["teacher"] * 4


def test_the_run_s_student_may_narrow_them_by_its_own_p_hate(lab, taught):
    provenance.write_json(RUN.results("03_qlora_distillation"), {"student": {"folder": "run-0"}})
    weights = RUN.student("run-0") / "adapter_model.safetensors"
    (weights.parent / "adapter").mkdir(parents=True)
    more = {"objective": "weighted", "disagreement": "rationalise"}
    for training, kind in ((b"1", "student"), (b"1", "student"), (b"2", "student_all")):
        weights.write_bytes(training)
        rows = taught(rationales=kind, **more)
        rows = rows[(rows["label"] == 1) | (kind == "student_all")]
        for text, quotes in zip(rows["text"], rows["explanations"], strict=True):
            assert all(len(q["input"].split()) <= max(1, len(text.split()) // 2) for q in quotes)
    assert lab.opened == ["teacher", "run-0", "run-0"]  # what a training chose is kept


def test_smaller_sets_lie_within_larger_ones_and_are_balanced(lab):
    wanted = partial(supervision.posts_for, RUN, SETTINGS)
    small, half, whole = wanted(8), wanted(20), wanted(40)
    assert set(small["id"]) < set(half["id"]) < set(whole["id"])
    each = half.groupby(["source", "label"]).size()
    assert len(half) == 20 and each.max() - each.min() <= 1


def test_further_posts_are_in_no_sample_and_too_many_are_refused(lab):
    table = supervision.posts_for(RUN, SETTINGS, 50)
    known = pd.concat(lab.samples.values())
    assert len(table) == 50 and not set(table["id"][40:]) & set(known["id"])
    with pytest.raises(ValueError, match="lower `size`"):
        supervision.posts_for(RUN, SETTINGS, 5000)


def test_people_s_words_and_the_teacher_s_quotes_stand_in_the_same_form(lab, taught):
    more = {"objective": "weighted", "disagreement": "rationalise"}
    human, quotes = (taught(rationales=r, **more) for r in ("human", "quotes"))
    assert human["text"].tolist() == quotes["text"].tolist()
    assert human["label"].tolist() == quotes["label"].tolist() and human["label"].mean() == 0.5
    spans = lab.samples["distil"].set_index("text")["rationale"]
    for rows in (human, quotes):
        for row in rows.itertuples():
            assert bool(row.explanations) == bool(row.label) and len(row.explanations) <= 3
            assert {e["explanation"] for e in row.explanations} <= {rationales.MARKED}
            assert all(e["input"] in row.text for e in row.explanations)
    for row in human[human["label"] == 1].itertuples():
        marked = [row.text[a:b] for a, b in spans[row.text]][:3]
        assert [e["input"] for e in row.explanations] == marked


def test_a_classifier_s_words_are_a_quarter_of_each_hateful_post_and_need_no_teacher(
    lab, taught, monkeypatch
):
    monkeypatch.setattr(encoder, "load", Letters)
    made = taught(objective="weighted", rationales="classifier")
    table = lab.samples["distil"]
    assert made["text"].tolist() == table["text"].tolist() and made["label"].mean() == 0.5
    scores = faithfulness.occlusion(Letters(), table["text"], table["label"], 0)
    for row in made.itertuples():
        words, told = row.text.split(), row.explanations
        assert len(told) == row.label
        for quote in told:
            size = len(quote["input"].split())
            assert quote["input"] in row.text and size == max(1, len(words) // 4)
            best = max(sum(scores(row.text)[n : n + size]) for n in range(len(words) - size + 1))
            at = len(row.text[: row.text.index(quote["input"])].split())
            assert sum(scores(row.text)[at : at + size]) == pytest.approx(best)
    assert not lab.opened


def test_without_marked_words_the_comparison_is_refused(lab):
    bare = lab.samples["distil"].assign(rationale=[[]] * 40)
    with pytest.raises(ValueError, match="no hateful post has marked words"):
        supervision.taught(RUN, bare, SETTINGS | {"rationales": "human"})


def test_targets_can_be_sent_to_a_process(taught):
    for source in supervision.SOURCES:
        rows = taught(label_source=source, noise=0.1).to_dict("records")
        assert json.loads(json.dumps(rows))[0].keys() == {"text", "label", "explanations", "p_hate"}
