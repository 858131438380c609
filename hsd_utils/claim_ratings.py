"""C5 and C6, the claims that people decide who rated explanations (06): a row a claim.

C5 asks that no question tells the student's explanations from its teacher's by the margin or
more.  Whether they support the gold label is judged where both labels are right: else the better
classifier explains better by definition.  Neither claim is supported by fewer than RATERS
attentive raters (``results.ATTENTIVE``), or while there are kinds of posts that nobody rated.

    row = claim_ratings.equivalence(found)
"""

from collections.abc import Iterable, Mapping
from typing import Any

from hsd_utils import summary, tables
from hsd_utils.claim_tests import as_row, untested, verdict

RATERS = 2
CORRECT = 0.91  # the paper's share of correct explanations
ASKED = (("complete", "all"), ("correct_own", "all"), ("correct_gold", "both right"))
NO_RATINGS = "no ratings by people are at hand; 06 makes the sheet, its measures cannot stand in"


def equivalence(found: Mapping[str, Any]) -> dict[str, Any]:
    """C5, by the weights that lead back to eval: the sheet takes as many of the rare kinds."""
    experiment = "blinded pairs, rated by people: shares differ by less than the margin"
    human = _human(found)
    given = {(r["question"], r["posts"]): r for r in human.get("equivalence", [])}
    rows = [given[one] for one in ASKED if one in given]
    tests = {(r["question"], r["posts"]): r["population"] for r in rows}
    rated = {one: test for one, test in tests.items() if test["value"] is not None}
    if not rated:
        beside = summary.explained(found["explanations"].get("measures", {}))
        return untested(experiment, NO_RATINGS + beside, "explanations.json" if beside else None)
    (question, posts), worst = max(rated.items(), key=lambda t: max(-t[1]["low"], t[1]["high"]))
    apart = any(t["low"] > t["margin"] or t["high"] < -t["margin"] for t in rated.values())
    alike = len(tests) == len(ASKED) and all(test["equivalent"] for test in tests.values())
    judged = "not supported" if apart else "supported" if alike else "inconclusive"
    note = f"{question}, {posts}, weighted to eval, margin {worst['margin']}, "
    note += f"{worst['level']:.0%} interval; {_who(human)}"
    return as_row(experiment, worst, _at_most(judged, human, rows), None, "explanations.json", note)


def shares(found: Mapping[str, Any]) -> dict[str, Any]:
    """C6: the student's explanations that are correct for its own label, and all complete."""
    experiment = f"share of its explanations rated correct, against {CORRECT:.0%}"
    human = _human(found)
    mine = [r for r in human.get("shares", []) if (r["posts"], r["model"]) == ("all", "student")]
    share = {row["question"]: row["population"] for row in mine}
    if not share or None in (share["correct_own"]["value"], share["complete"]["value"]):
        return untested(experiment, NO_RATINGS)
    whole = share["complete"]["high"] == 1
    judged = verdict(share["correct_own"], CORRECT) if whole else "not supported"
    note = f"weighted to eval; complete: {tables.interval(share['complete'])}; {_who(human)}"
    judged = _at_most(judged, human, [r for r in mine if r["question"] != "correct_gold"])
    return as_row(experiment, share["correct_own"], judged, None, "explanations.json", note)


def _human(found) -> dict:  # simulated ratings do not count
    rated = found["explanations"].get("human") or {}
    return rated if rated.get("kind") == "human" else {}


def _at_most(judged: str, human: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> str:
    """What is judged; inconclusive where it was supported by too little."""
    enough = human["attentive"] >= RATERS and all((row["covered"] or 0) > 0.999 for row in rows)
    return "inconclusive" if judged == "supported" and not enough else judged


def _who(human: Mapping[str, Any]) -> str:
    passed, of = human["attention"]["passed"], human["attention"]["of"]
    raters = f"{human['raters']} raters, {human['attentive']} attentive"
    return f"{raters} ({passed} of {of} attention checks passed)"
