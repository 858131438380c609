"""A model as a classifier: what it predicts, what it explains, and that the two agree."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from fakes import POSTS, FakeEngine, P, Slipping, explained, reason_of

from hsd_utils import engines, objectives, prompts, scoring, verdict

PHRASE = {"input": "people", "explanation": "my own words"}


def test_p_hate_is_the_share_of_true_in_the_order_of_the_posts(classifier):
    made = classifier()
    assert made.p_hate(POSTS.iloc[::-1]).tolist() == list(P.values())[::-1]
    (request, *_) = made.engine.asked
    assert request.choices == ("False", "True") and request.prefill == '{"hate_speech":"'
    assert made.p_hate(POSTS.iloc[:0]).shape == (0,)


@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("can", [True, False])
@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.7, 1.0])
def test_prediction_and_explanation_never_disagree(classifier, constrained, can, threshold):
    made = classifier(FakeEngine(P, constrained=can), constrained=constrained)
    p, predicted, rows = explained(made, threshold)
    assert [row["id"] for row in rows] == list("abcd") and [r["p_hate"] for r in rows] == list(p)
    assert [row["predicted"] for row in rows] == predicted.astype(int).tolist()
    for row in rows:
        assert row["reason"] is None
        assert reason_of(row) == [f"because it is {verdict.word(row['predicted'])}"]
        assert row["explanations"][0]["how"] == "exact" and row["explanations"][0]["start"] == 0
    # What it says by itself is told beside it, and only those who differ are asked again.
    assert [row["generated"] for row in rows] == [1, 1, 0, 0]
    again = [r for r in made.engine.asked if not r.choices][len(POSTS) :]
    differ = [row["id"] for row in rows if row["generated"] != row["predicted"]]
    assert [request.key for request in again] == differ
    assert all((r.schema is not None) == (constrained and can) for r in again)
    assert all(bool(r.prefill) != (constrained and can) for r in again)


class Insisting(FakeEngine):
    """Gives its own label whatever it is told, as an endpoint may that ignores a schema."""

    def _text(self, request, post, p):
        return verdict.write(int(p >= 0.5), [PHRASE])


def test_an_explanation_of_the_other_label_is_none(classifier):
    made = classifier(Insisting(P, constrained=True), constrained=True)
    p, predicted, rows = explained(made, 0.7)  # of the four, only b is told another label
    assert [bool(row["explanations"]) for row in rows] == [True, False, True, True]
    assert [row["reason"] for row in rows] == [None, "explains the other label", None, None]
    assert rows[1]["generated"] == 1 and rows[1]["predicted"] == 0
    at_once = made.explain(POSTS, p, predicted)
    assert [row["reason"] for row in at_once] == [row["reason"] for row in rows]


def test_a_quote_that_is_not_in_the_post_is_asked_for_again(classifier):
    made = classifier(Slipping(P))
    _, _, rows = explained(made)
    assert [row["explanations"][0]["how"] for row in rows] == [None, "exact", "exact", "exact"]
    again = made.requoted(POSTS, rows)
    assert [row["requoted"] for row in again] == [True, False, False, False]
    (quote,) = again[0]["explanations"]
    assert (quote["input"], quote["how"], quote["explanation"]) == ("awful people", "exact", "held")
    assert again[0]["predicted"] == rows[0]["predicted"] == 1
    assert again[0]["answer_tokens"] == rows[0]["answer_tokens"] + 7
    assert [row | {"requoted": False} for row in rows[1:]] == again[1:]
    held = [r for r in made.engine.asked if isinstance(r.schema, str)]
    assert [(r.key, r.prefill, r.max_tokens) for r in held] == [("a", "", made.max_tokens)]


@pytest.mark.parametrize("can, label_first", [(False, True), (True, False)])
def test_rows_stay_where_an_answer_cannot_be_held(classifier, can, label_first):
    made = classifier(Slipping(P, grammars=can), label_first=label_first)
    _, _, rows = explained(made)
    asked = len(made.engine.asked)
    assert made.requoted(POSTS, rows) == [row | {"requoted": False} for row in rows]
    assert len(made.engine.asked) == asked


@pytest.mark.parametrize("text", ["\x01", "word " * 5000, "a\ud800b <|im_end|> c"])
def test_posts_that_can_hardly_be_quoted_are_no_obstacle(classifier, text):
    post = pd.DataFrame({"id": ["x"], "text": [text]}, dtype=object)
    lost = {"id": "x", "predicted": 0, "explanations": [{"how": None}]}
    made = classifier(Slipping())
    asked = made.requoted(post, [lost | {"answer_tokens": 1, "seconds": 1.0}])
    assert asked[0]["requoted"] == bool(made.engine.asked) == (text != "\x01")
    assert all(len(r.schema) < 200_000 and r.schema.encode() for r in made.engine.asked)


def test_a_row_stays_where_the_second_answer_is_of_no_use(classifier):
    class Empty(Slipping):
        def _text(self, request, post, p):
            whole = super()._text(request, post, p)
            return whole[:12] if isinstance(request.schema, str) else whole

    made = classifier(Empty(P))
    _, _, rows = explained(made)
    assert made.requoted(POSTS, rows)[0] == rows[0] | {"requoted": False}


def test_a_broken_answer_is_kept_as_generated_and_explained_again(classifier):
    free = {
        "awful people": "no idea",
        "dear people": '{"hate_speech": "maybe"}',
        "kind people": verdict.write(0, [PHRASE]) + " done",
    }
    _, _, rows = explained(classifier(FakeEngine(P, free=free)))
    told = {row["id"]: (row["generated"], row["generated_reason"], row["repaired"]) for row in rows}
    assert told["a"][:2] == (None, "not json") and told["d"][:2] == (None, "bad label")
    assert told["b"] == (1, None, False) and told["c"] == (0, None, True)
    by = {row["id"]: row for row in rows}
    assert reason_of(by["a"]) == ["because it is True"] and by["a"]["reason"] is None
    assert reason_of(by["c"]) == ["my own words"]  # agrees: used as it is
    # Both answers were paid for.
    assert (by["a"]["answer_tokens"], by["a"]["seconds"]) == (14, 1.0)
    assert (by["b"]["answer_tokens"], by["b"]["seconds"]) == (7, 0.5)


def test_a_post_that_does_not_fit_has_no_p_hate_but_a_row(classifier):
    made = classifier(FakeEngine(P, ends={"kind people": "too long"}))
    p, _, rows = explained(made)
    assert np.isnan(p[2]) and not np.isnan(p[[0, 1, 3]]).any()
    row = rows[2]
    assert row["p_hate"] is None and row["predicted"] == 0 and row["explanations"] == []
    assert (row["reason"], row["generated"], row["generated_reason"]) == ("empty", None, "empty")


THREE_OF_FOUR = [[f"because it is {word}"] for word in ("True", "True", "True", "False")]


def task_prefix():
    asked = {"converse": "label", "explain_with": "rationale"}
    return {name: partial(prompts.student, task=task) for name, task in asked.items()}


def test_task_prefix_asks_for_label_and_rationale_each_in_its_way(classifier):
    short = {text: verdict.write(int(p >= 0.5), []) for text, p in P.items()}
    made = classifier(FakeEngine(P, free=short), **task_prefix())
    _, _, rows = explained(made, threshold=0.25)
    asked = {
        kind: [r for r in made.engine.asked if r.messages[0]["content"].startswith(f"[{kind}]")]
        for kind in ("label", "rationale")
    }
    assert [bool(r.choices) for r in asked["label"]] == [True] * 4 + [False] * 4
    assert [r.prefill for r in asked["rationale"]] == [prompts.prefill(n) for n in (1, 1, 1, 0)]
    assert [reason_of(row) for row in rows] == THREE_OF_FOUR
    assert [row["generated"] for row in rows] == [1, 1, 0, 0]


@pytest.mark.parametrize("settings", [{}, task_prefix()])
def test_without_answers_as_generated_it_pays_for_one_generation_a_post(classifier, settings):
    made = classifier(**settings)
    p = made.p_hate(POSTS)
    rows = made.explain(POSTS, p, p >= 0.25)
    assert [row["id"] for row in rows] == list("abcd")
    assert [reason_of(row) for row in rows] == THREE_OF_FOUR
    generated = [r for r in made.engine.asked if not r.choices]
    assert sorted(r.key for r in generated) == list("abcd") and all(r.prefill for r in generated)
    if settings:
        assert all(r.messages[0]["content"].startswith("[rationale]") for r in generated)
    assert [row["answer_tokens"] for row in rows] == [7] * 4


@pytest.mark.parametrize("settings", [{}, task_prefix()])
def test_it_does_not_ask_a_second_time_when_an_answer_fails(classifier, settings):
    class Babbling(FakeEngine):
        def _text(self, request, post, p):
            return "no idea" if post == "awful people" else super()._text(request, post, p)

    made = classifier(Babbling(P), **settings)
    p = made.p_hate(POSTS)
    (row, *_) = made.explain(POSTS, p, p >= 0.5)
    assert (row["predicted"], row["reason"], row["explanations"]) == (1, "not json", [])
    assert len([r for r in made.engine.asked if not r.choices]) == len(POSTS)
    assert (row["answer_tokens"], row["seconds"]) == (7, 0.5)


@pytest.mark.parametrize("constrained", [True, False])
def test_rationalise_gives_the_gold_label_and_holds_the_answer_to_it(classifier, constrained):
    made = classifier(FakeEngine(P, constrained=True), constrained=constrained)
    answers = made.rationalise(POSTS)
    labels = {key: verdict.parse(answer.text).label for key, answer in answers.items()}
    assert labels == {"a": 1, "b": 0, "c": 1, "d": 0}
    for request in made.engine.asked:
        told = request.messages[-1]["content"].rpartition("</post>")[2]
        words = [word for word in verdict.LABELS if word in told]
        assert words == [verdict.word(labels[request.key])]


ASKED = {"engine": "fake", "engine_settings": {"batch": 3}, "max_tokens": 77}


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """What engines.load was asked for; it gives a fake one."""
    monkeypatch.setenv("HSD_CACHE", str(tmp_path))
    calls = []

    def load(engine, model, **settings):
        calls.append((engine, model, settings))
        return FakeEngine(P, constrained=True, model=model)

    monkeypatch.setattr(engines, "load", load)
    return calls


def test_a_teacher_is_asked_as_notebook_02_says(loaded):
    prompt = {"shots": 4, "balance": 0.5, "order": "hate_last", "definition": "un"}
    prompt |= {"label_first": False, "seed": 0}
    asked = ASKED | {"model": "owner/teacher", "prompt": prompt, "constrained": True}
    with pytest.raises(KeyboardInterrupt), scoring.teacher(asked):
        raise KeyboardInterrupt
    with scoring.teacher(asked) as made:  # its store was closed, so it is not refused
        made.generate(POSTS)
        (request, *_) = made.engine.asked
        assert request.messages == prompts.teacher(POSTS["text"][0], **prompt)
        assert request.max_tokens == 77 and list(request.schema["properties"])[1] == "hate_speech"
    assert loaded == [("fake", "owner/teacher", {"batch": 3})] * 2
    assert not made.store.owner.exists()
    assert made.engine is None  # who keeps the classifier keeps no model


def test_a_student_taught_with_a_definition_is_asked_with_it():
    trained = {"objective": "weighted", "label_first": True, "definition": "un"}
    row = {"text": "a post", "label": 1, "explanations": [PHRASE]}
    (example,) = objectives.examples([row], "weighted", definition="un")
    asked = scoring.as_taught(trained, "a/folder")["converse"]("a post")
    assert example["messages"] == asked != prompts.student("a post")


@pytest.mark.parametrize("objective", ["joint", "task_prefix"])
@pytest.mark.parametrize("adapter", ["a/folder", None])
def test_a_student_is_asked_as_it_was_taught_its_base_plainly(loaded, objective, adapter):
    trained = {"base": "owner/base", "objective": objective, "label_first": True}
    with scoring.student(trained, ASKED | {"constrained": False}, adapter) as made:
        made.explain(POSTS, made.p_hate(POSTS), np.ones(4), made.generate(POSTS))
        halves = objective == "task_prefix" and adapter is not None
        first = {r.messages[0]["content"].split(" ")[0] for r in made.engine.asked}
        assert first == ({"[label]", "[rationale]"} if halves else {"Is"})
        assert all(r.schema is None for r in made.engine.asked)
    settings = {"batch": 3} | ({"adapter": adapter} if adapter else {})
    assert loaded == [("fake", "owner/base", settings)]
