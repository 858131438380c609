"""A model as a classifier, when its answers explain before they judge."""

from functools import partial

import numpy as np
from fakes import POSTS, FakeEngine, P, Slipping, explained, reason_of

from hsd_utils import prompts, verdict

PHRASE = {"input": "people", "explanation": "my own words"}


def explanation_first(explanations, label=0):
    return verdict.write(label, explanations, label_first=False)


def test_explanation_first_reads_p_hate_after_the_model_s_own_explanation(classifier):
    free = {
        "awful people": explanation_first([PHRASE], 1),
        "doubtful people": explanation_first([PHRASE], 0),
        "kind people": "no idea",
        "dear people": explanation_first([]),  # as a student that learned labels only says
    }
    made = classifier(
        FakeEngine(P, free=free),
        converse=partial(prompts.teacher, shots=2, label_first=False),
        label_first=False,
    )
    p, predicted, rows = explained(made)
    begun = {r.key: r.prefill for r in made.engine.asked if r.choices}
    whole = explanation_first([PHRASE])
    assert begun == {
        "a": whole[: whole.rindex("False")],
        "b": whole[: whole.rindex("False")],
        "d": '{"explanations":[],"hate_speech":"',
    }
    assert np.isnan(p[2]) and p[[0, 1, 3]].tolist() == [0.9, 0.6, 0.1]
    # No beginning holds a label, so nothing is asked again: one answer a post.
    assert [r.key for r in made.engine.asked if not r.choices] == list("abcd")
    assert predicted.tolist() == [True, True, False, False]
    assert [reason_of(row) for row in rows] == [["my own words"]] * 2 + [[]] * 2
    assert rows[2]["reason"] == "not json"


def test_explanation_first_holds_an_answer_to_a_schema_in_that_order(classifier):
    made = classifier(
        FakeEngine(P, constrained=True),
        converse=partial(prompts.teacher, shots=2, label_first=False),
        label_first=False,
        constrained=True,
    )
    p, _, rows = explained(made)
    assert not np.isnan(p).any() and all(row["explanations"] for row in rows)
    schemas = [r.schema for r in made.engine.asked if not r.choices]
    assert all(list(s["properties"]) == ["explanations", "hate_speech"] for s in schemas)


def test_explanation_first_by_halves_has_p_hate_and_explanations_of_its_own(classifier):
    class Taught(FakeEngine):
        def _text(self, request, post, p):
            halves = {"[label]": [], "[rationale]": [PHRASE]}
            half = request.messages[0]["content"].split(" ")[0]
            return explanation_first(halves[half], int(p >= 0.5))

    made = classifier(
        Taught(P),
        converse=partial(prompts.student, task="label"),
        explain_with=partial(prompts.student, task="rationale"),
        label_first=False,
    )
    p, _, rows = explained(made)
    assert p.tolist() == list(P.values())
    assert [reason_of(row) for row in rows] == [["my own words"]] * 4


def test_a_quote_is_asked_for_again_in_the_way_of_rationales(classifier):
    tasks = {"converse": "label", "explain_with": "rationale"}
    made = classifier(
        Slipping(P), **{k: partial(prompts.student, task=t) for k, t in tasks.items()}
    )
    made.requoted(POSTS, explained(made)[2])
    (held,) = [r for r in made.engine.asked if isinstance(r.schema, str)]
    assert held.messages == prompts.student("awful people", "rationale")
