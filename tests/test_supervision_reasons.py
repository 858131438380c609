"""Whose reasons a cell's student learns: the teacher's, narrowed, shuffled, or marked words."""

import numpy as np
import pandas as pd
import pytest
from fakes import Letters
from studied import RUN, SETTINGS

from hsd_utils import encoder, faithfulness, posts, provenance, rationales, supervision


def size(text: str) -> int:
    return len(text.split())


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
    lab.quoted = str  # whole posts
    kinds = ("teacher", "narrowed", "brief")
    more = {"objective": "weighted", "label_source": "teacher"}
    made = [taught(rationales=kind, **more).set_index("text") for kind in kinds]
    own, narrow, brief = (rows["explanations"].sort_index() for rows in made)
    assert own.index.equals(narrow.index) and own.index.equals(brief.index) and len(own) == 40
    hateful = made[2]["label"].sort_index() == 1
    assert 0 < hateful.sum() < 40 and not brief[~hateful].any()  # nothing to point at
    for kind, share in ((narrow, 2), (brief, 4)):
        for text, (quote,) in kind[hateful].items():
            assert quote["input"] in text and size(quote["input"]) == max(1, size(text) // share)
    assert narrow[~hateful].equals(own[~hateful])
    taught(rationales="narrowed", **more)
    # P(hate), what it says, narrower to a half and to a quarter; each kept since.
    assert lab.opened == ["teacher"] * 4


def test_the_run_s_student_may_narrow_them_by_its_own_p_hate(lab, taught):
    lab.quoted = str
    provenance.write_json(RUN.results("03_qlora_distillation"), {"student": {"folder": "run-0"}})
    weights = RUN.student("run-0") / "adapter_model.safetensors"
    (weights.parent / "adapter").mkdir(parents=True)
    more = {"objective": "weighted", "disagreement": "rationalise"}
    for training, kind in ((b"1", "student"), (b"1", "student"), (b"2", "student_all")):
        weights.write_bytes(training)
        for row in taught(rationales=kind, **more).itertuples():
            half = row.label == 1 or kind == "student_all"
            (quote,) = row.explanations
            assert size(quote["input"]) == max(1, size(row.text) // (1 + half))
    assert lab.opened == ["teacher", "run-0", "run-0"]  # what a training chose is kept


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
            many = size(quote["input"])
            assert quote["input"] in row.text and many == max(1, len(words) // 4)
            best = max(sum(scores(row.text)[n : n + many]) for n in range(len(words) - many + 1))
            at = size(row.text[: row.text.index(quote["input"])])
            assert sum(scores(row.text)[at : at + many]) == pytest.approx(best)
    assert not lab.opened


def test_marked_are_three_words_at_most_and_as_many_harmless_posts_of_those_sources():
    said = [("x", 1), ("x", 1), ("y", 0), ("x", 0), ("x", 0)]
    rows = [{"text": f"t{n}", "source": s, "label": y} for n, (s, y) in enumerate(said)]
    found = rationales.marked(posts.make(rows), [list("abcd"), [], ["e"], ["e"], ["e"]])
    assert found["text"].tolist() == ["t0", "t3"]
    assert [len(told) for told in found["explanations"]] == [3, 0]


def test_only_what_people_marked_and_the_teacher_quoted_is_compared(lab, taught):
    lab.quoted = lambda post: post if len(post) % 2 else "not in any post"
    more = {"objective": "weighted", "disagreement": "rationalise"}
    for whose in ("human", "quotes"):
        hateful = taught(rationales=whose, **more).query("label == 1")
        assert 0 < len(hateful) < 20 and (hateful["text"].str.len() % 2 == 1).all()


def test_without_marked_words_the_comparison_is_refused(lab):
    bare = lab.samples["distil"].assign(rationale=[[]] * 40)
    with pytest.raises(ValueError, match="no hateful post has marked words"):
        supervision.taught(RUN, bare, SETTINGS | {"rationales": "human"})
