"""C5 and C6: what people rated decides them, if enough of them rated enough."""

import pytest

from hsd_utils import claim_ratings


def measure(value, low, high):
    return {"value": value, "low": low, "high": high}


def judged(claim, found):
    test = {"C5": claim_ratings.equivalence, "C6": claim_ratings.shares}[claim]
    return test(found)["verdict"]


def rated(kind="human", low=-0.05, high=0.05, correct=0.95, complete=1.0, **told):
    test = measure(0.0, low, high) | {"margin": 0.1, "level": 0.9}
    test["equivalent"] = -0.1 < low and high < 0.1
    shares = {"correct_own": measure(correct, correct - 0.02, correct + 0.02)}
    shares["complete"] = measure(complete, complete - 0.02, complete)
    # On the sheet as it was drawn all is worse, and so is what is not asked of C5.
    sheet, few = measure(0.5, 0.4, 0.6), test | measure(-0.3, -0.4, -0.2) | {"equivalent": False}
    every = {"model": "student", "posts": "all", "covered": 1.0}
    human = {"kind": kind, "shares": [], "equivalence": [], "raters": 3, "attentive": 2}
    human |= {"attention": {"passed": 18, "of": 24}} | told
    for q, share in shares.items():
        asked = {"question": q, "share": sheet, "population": share}
        other = {"population": measure(0.5, 0.4, 0.6)}
        human["shares"] += [every | asked, every | asked | other | {"model": "teacher"}]
        human["shares"].append(every | asked | other | {"posts": "both right"})
    for q in ("complete", "correct_own", "correct_gold"):
        for posts in ("all", "both right"):
            counts = (q == "correct_gold") == (posts == "both right")
            row = {"question": q, "posts": posts, "difference": few, "covered": 1.0}
            human["equivalence"].append(row | {"population": test if counts else few})
    return {"explanations": {"human": human}}


def test_only_people_rate_explanations():
    assert judged("C5", rated()) == "supported" and judged("C6", rated()) == "supported"
    assert judged("C5", rated("simulated")) == judged("C6", rated("simulated"))
    assert judged("C5", rated("simulated")) == "not testable here"
    assert judged("C5", rated(high=0.15)) == "inconclusive"
    assert judged("C5", rated(low=0.11, high=0.15)) == "not supported"
    assert judged("C6", rated(complete=0.9)) == "not supported"
    assert judged("C6", rated(correct=0.91)) == "inconclusive"
    row = claim_ratings.equivalence(rated())
    assert (row["value"], row["low"]) == (0.0, -0.05)
    assert (
        "weighted" in row["note"]
        and "3 raters, 2 attentive (18 of 24 attention checks" in row["note"]
    )


def test_c5_is_told_of_the_question_nearest_to_the_margin_and_open_while_one_is_missing():
    found = rated()
    own = row_of(found, "correct_own", "all")
    own["population"] = own["population"] | measure(-0.02, -0.09, 0.05)
    row = claim_ratings.equivalence(found)
    assert row["low"] == -0.09 and row["note"].startswith("correct_own, all")
    nothing = dict.fromkeys(("value", "low", "high", "equivalent")) | {"reason": "no pair"}
    row_of(found, "correct_gold", "both right")["population"] = nothing
    assert judged("C5", found) == "inconclusive"


def row_of(found, question, posts):
    rows = found["explanations"]["human"]["equivalence"]
    return next(r for r in rows if (r["question"], r["posts"]) == (question, posts))


@pytest.mark.parametrize("too_little", [{"attentive": 1}, {"covered": 0.9}, {"covered": None}])
def test_little_rating_supports_neither_claim(too_little):
    found = rated(**{k: v for k, v in too_little.items() if k != "covered"})
    human = found["explanations"]["human"]
    for row in human["shares"] + human["equivalence"] if "covered" in too_little else ():
        row["covered"] = too_little["covered"]
    assert judged("C5", found) == judged("C6", found) == "inconclusive"
    wrong = rated(low=0.11, high=0.15, complete=0.9, attentive=1)  # against it one is enough
    assert judged("C5", wrong) == judged("C6", wrong) == "not supported"
