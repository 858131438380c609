"""The claims page: every verdict by its rule, from files and from nowhere else."""

import pytest

from hsd_utils import analysis_plan, bootstrap, claim_tests, claims

EMPTY = {"explanations": {}}


def measure(value, low, high):
    return {"value": value, "low": low, "high": high}


def model(supervision, f1=(0.7, 0.6, 0.8), roc_auc=(0.8, 0.7, 0.9)):
    found = {"f1": measure(*f1), "roc_auc": measure(*roc_auc)}
    return found | {"supervision": supervision, "parse_rate": 0.95}


def pair(other, difference, low, high, p_holm=None):
    found = {"a": "student", "b": other, "metric": "macro_f1", "p_value": 0.01, "p_holm": p_holm}
    return found | {"difference": difference, "low": low, "high": high, "seeds": [3, 1]}


def evaluated(supervision="teacher", *pairs, **student):
    models = {"teacher": model("none"), "student": model(supervision, **student)}
    return EMPTY | {"models": models, "comparisons": list(pairs)}


def judged(claim, found):
    return claim_tests.TESTS[claim](found)["verdict"]


@pytest.mark.parametrize(
    "found, null, said",
    [
        (measure(0.1, 0.01, 0.2), 0, "supported"),
        (measure(0.1, -0.01, 0.2), 0, "inconclusive"),
        (measure(-0.1, -0.2, -0.01), 0, "not supported"),
        (measure(0.9, None, None), 0.5, "supported"),
        (measure(0.4, None, None), 0.5, "not supported"),
        (measure(None, None, None), 0, "not testable here"),
        (measure(0.1, 0.01, 0.2) | {"p_holm": 0.2}, 0, "inconclusive"),
        (measure(0.1, 0.01, 0.2) | {"p_holm": 0.04}, 0, "supported"),
        (measure(-0.1, -0.2, -0.01) | {"p_holm": 0.2}, 0, "not supported"),
    ],
)
def test_the_rule(found, null, said):
    assert claim_tests.verdict(found, null) == said


def test_nothing_measured_is_not_testable_with_a_reason():
    assert set(claims.TESTS) >= {f"C{n}" for n in range(1, 14)}
    for claim, test in claims.TESTS.items():
        row = test(EMPTY)
        assert row["verdict"] == "not testable here" and row["note"] and row["file"] is None, claim
    assert "at most four sources" in claim_tests.TESTS["C10"](EMPTY)["note"]


def test_the_level_is_the_papers():
    assert judged("C1", evaluated(f1=(0.7, 0.6, 0.8))) == "not supported"
    assert judged("C1", evaluated(f1=(0.84, 0.8, 0.88))) == "inconclusive"
    assert judged("C1", evaluated(f1=(0.9, 0.86, 0.93))) == "supported"


def test_whose_labels_the_student_learned_decides_between_c2_and_c2b():
    better = pair("teacher", 0.1, 0.05, 0.15, p_holm=0.03)
    ranks = pair("teacher", -0.7, -1.0, -0.5) | {"metric": "roc_auc"}  # not the plan's measure
    assert judged("C2", evaluated("teacher", better, ranks)) == "supported"
    assert judged("C2b", evaluated("teacher", better)) == "not testable here"
    gold = evaluated("gold", better | {"p_holm": 0.9})
    row = claim_tests.TESTS["C2"](gold)
    assert row["verdict"] == "not testable here" and "learned gold labels" in row["note"]
    assert judged("C2b", gold) == "supported"  # exploratory, so without Holm's correction
    gold["student"] = {"examples": 4000, "objective": "task_prefix"}  # two a post
    assert claim_tests.TESTS["C2b"](gold)["note"].startswith("2,000 posts learned from, 3 seeds;")


def test_what_the_pairs_of_04_come_to_on_new_posts_stands_beside_them():
    names = [b for _, b in analysis_plan.read()["confirmatory"]["C3"]["pairs"]]
    found = evaluated("gold", *(pair(b, 0.1, 0.05, 0.15) for b in {"teacher", *names}))
    again = [pair(b, 0.2, 0.1, 0.3) for b in ("teacher", *names)]
    found["fresh"] = {"posts": 499, "comparisons": again}
    said = "; 0.20 (0.10–0.30) on the 499 that no earlier work had drawn; p 0.010"
    for claim in ("C2b", "C3"):
        assert said not in claim_tests.TESTS[claim](found)["note"]  # all are new
    found["sampling"] = {"draw": {"eval_drawn_before": 301}}
    for claim in ("C2b", "C3"):
        assert claim_tests.TESTS[claim](found)["note"].endswith(said)


def test_c3_is_as_weak_as_its_weakest_pair_and_open_while_one_is_missing():
    names = [b for _, b in analysis_plan.read()["confirmatory"]["C3"]["pairs"]]
    above = [pair(name, 0.1, 0.05, 0.15, p_holm=0.01) for name in names]
    assert judged("C3", evaluated("gold", *above)) == "supported"
    row = claim_tests.TESTS["C3"](evaluated("gold", *above[:-1]))
    assert row["verdict"] == "inconclusive" and f"not compared: {names[-1]}" in row["note"]
    below = pair(names[-1], -0.1, -0.2, -0.05, p_holm=0.01)
    row = claim_tests.TESTS["C3"](evaluated("gold", *above[:-1], below))
    assert row["verdict"] == "not supported" and row["value"] == -0.1


def test_gold_labels_are_weighed_against_a_teacher_that_is_shown_them():
    found = evaluated("gold", pair("teacher", 0.1, 0.05, 0.15))
    assert "nearest" not in claim_tests.TESTS["C2b"](found)["note"]
    beside = {"difference": 0.01, "low": -0.07, "high": 0.08}
    found["supervised_alike"] = {"retrieved": {"posts": 120, "student_beside": beside}}
    note = claim_tests.TESTS["C2b"](found)["note"]
    assert "shown the nearest gold posts: 0.01 (-0.07–0.08), 120 posts" in note


def test_the_baselines_are_corrected_with_the_whole_family_where_it_is_known():
    wanted = [b for _, b in analysis_plan.read()["confirmatory"]["C3"]["pairs"]]
    found = evaluated("gold", *(pair(b, 0.1, 0.02, 0.2, p_holm=0.06) for b in wanted))
    assert judged("C3", found) == "inconclusive"
    found["study"] = {"p_holm": {"C2": 0.003, "C3": 0.02}}
    row = claim_tests.TESTS["C3"](found)
    assert row["verdict"] == "supported" and "Holm 0.020" in row["note"]


def test_time_memory_and_cost():
    rows = [
        {"model": m, "batch": b, "posts_per_second": 1 / s, "mode": "with explanation"}
        for m, b, s in (
            ("teacher", 1, 2.0),
            ("teacher", 8, 1.0),
            ("student", 1, 1.0),
            ("student", 8, 0.8),
        )
    ]
    savings = {"time": {"here": 0.3}, "memory": {"here": -0.1}}
    costs = {"break_even_posts": 5000.0}
    found = EMPTY | {"efficiency": {"rows": rows, "savings": savings, "costs": costs}}
    row = claim_tests.TESTS["C7"](found)
    assert [row[k] for k in ("value", "low", "high")] == pytest.approx([0.3, 0.2, 0.5])
    assert row["verdict"] == "supported" and judged("C8", found) == "not supported"
    assert "5,000 posts" in claim_tests.TESTS["C9"](found)["note"]


def test_without_a_teacher_to_time_nothing_is_said_of_savings():
    nothing = {"time": {"here": None}, "memory": {"here": None}}
    found = EMPTY | {"efficiency": {"rows": [], "savings": nothing}}
    assert {judged(claim, found) for claim in ("C7", "C8", "C9")} == {"not testable here"}
    note = claim_tests.TESTS["C9"](found)["note"]
    assert note == "notebook 05, with a teacher to time, was not run"


def test_the_memory_of_an_endpoint_is_not_known():
    savings = {"time": {"here": 0.3}, "memory": {"here": None}}
    row = claim_tests.TESTS["C8"](EMPTY | {"efficiency": {"rows": [], "savings": savings}})
    assert row["verdict"] == "not testable here" and "endpoint" in row["note"]


def test_breadth_says_over_how_many_sources():
    rows = [{"model": "tfidf_lr"}] * 4 + [{"model": "minilm_head"}] * 4
    overall = {"tfidf_lr": measure(0.05, 0.01, 0.09), "minilm_head": measure(-0.1, -0.2, 0.0)}
    found = EMPTY | {"generalisation": {"breadth": {"rows": rows, "overall": overall}}}
    row = claim_tests.TESTS["C10"](found)
    assert row["value"] == 0.05 and row["verdict"] == "inconclusive"  # the learners disagree
    assert "mean over 4 sources; at most four are at hand" in row["note"]
    assert "minilm_head: -0.10 (-0.20" in row["note"]
    del overall["minilm_head"]
    assert claim_tests.TESTS["C10"](found)["verdict"] == "supported"


def test_breadth_is_judged_on_the_student_where_all_its_cells_are_trained():
    baselines = {
        "rows": [{"model": "tfidf_lr"}] * 4,
        "overall": {"tfidf_lr": measure(0.05, 0.01, 0.1)},
    }
    overall = {"student": measure(-0.1, -0.2, -0.01) | {"trainings": 1}}
    student = {"rows": [{"model": "student"}] * 3, "overall": overall}
    found = EMPTY | {"generalisation": {"breadth": baselines}, "study": {"breadth": student}}
    row = claim_tests.TESTS["C10"](found)
    assert (row["verdict"], row["file"]) == ("inconclusive", "tables/study_breadth.json")
    assert "student, 1 training(s) a cell, mean over 3 sources" in row["note"]
    overall["student"]["trainings"] = 2
    assert claim_tests.TESTS["C10"](found)["verdict"] == "not supported"
    assert "tfidf_lr: 0.05 (0.01" in row["note"]
    overall["student"] = bootstrap.absent("cells are left")
    row = claim_tests.TESTS["C10"](found)
    assert (row["value"], row["file"]) == (0.05, "tables/breadth.json")


def more_posts(low, high):
    gain = measure((low + high) / 2, low, high)
    more = {"posts": [8000, 2000], "seeds": [1, 1], "supervision": "teacher"}
    more |= {"macro_f1": gain, "roc_auc": gain}
    return EMPTY | {"study": {"cells": [{"n": 8000}], "more_posts": more}}


@pytest.mark.parametrize(
    "gain, said",
    [
        ((-0.01, 0.019), "supported"),
        ((-0.03, -0.01), "supported"),
        ((0.001, 0.015), "supported"),
        ((0.001, 0.05), "inconclusive"),
        ((0.021, 0.05), "not supported"),
    ],
)
def test_posts_suffice_where_more_add_little(gain, said):
    assert judged("C11", more_posts(*gain)) == said


def test_posts_suffice_is_not_testable_without_a_larger_sample():
    row = claim_tests.TESTS["C11"](EMPTY | {"study": {"cells": [{"n": 2000}, {"n": 500}]}})
    assert row["verdict"] == "not testable here" and "has 2000 posts" in row["note"]
