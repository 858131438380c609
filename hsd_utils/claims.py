"""The claims page: what a run says about each claim of the paper, C1 to C13, and in which file.

Made from metrics.json (with the study's results).
``claim_tests`` has the experiment and the rule of each claim; a final pair of the study, over
seeds and posts, takes the place of a comparison of one training.

    rows = claims.collect(Run("demo"))
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pandas as pd

from hsd_utils import claim_ratings, claim_tests, paths, provenance, summary, tables
from hsd_utils.paths import Run

SAYS = {
    "C1": "the student's F1 is at the paper's level",
    "C2": "a student of its teacher's labels is better than the teacher",
    "C2b": "a student of gold labels is better than the teacher",
    "C3": "the student is better than its base and every baseline",
    "C4": "rationales help",
    "C4a": "rationales in training help a student that gives labels alone",
    "C4b": "reasoning before the label helps",
    "C5": "explanations are as good as the teacher's",
    "C6": "91% of explanations are correct, 100% complete",
    "C7": "the student is faster",
    "C8": "it needs less memory",
    "C9": "it is cheaper",
    "C10": "many sources generalise",
    "C11": "about 2,000 posts suffice",
    "C12": "few-shot prompting works: demonstrations make the teacher's labels better",
    "C13": "open: other languages, how many demonstrations, human or machine rationales",
}
TESTS = claim_tests.TESTS | {"C5": claim_ratings.equivalence, "C6": claim_ratings.shares}
ON_EVAL = ("C1", "C2", "C2b", "C3", "C4", "C4a", "C4b", "C12")  # 06 and 07 may run on fewer
FILE, PAGE = "claims.json", "claims.md"
PAPER = ["llama-3-70b-instruct", "llama-3-8b-instruct"]
PAPER_EVAL = 1900  # posts: so many of its 2,001 a balanced sample can have
RULE = """\
*Supported*: the whole interval (95%; of C7 and C9 from least to most over batch sizes), or a \
value without one, lies on the claimed side of no difference, of the paper's value or, of C11, of \
a gain of 0.02, and where the plan corrects for several tests Holm's p-value is below its level. \
*Not supported*: it lies on the other side. *Inconclusive*: neither; or, of C5 and C6, too few \
people rated, attention checks failed or a kind of post went unrated; or, of C10, students were \
trained once, or, without students, baselines disagree. *Not testable here*: nothing was measured \
that could decide; the note says why."""


def collect(run: Run) -> list[dict[str, Any]]:
    """A row a claim, in order: claim, says, scale, and what ``claim_tests`` gives.

    Raises FileNotFoundError for a run without metrics.json.
    """
    if not run.metrics.exists():
        raise FileNotFoundError(f"{run.metrics} is not there: execute the run's notebooks first")
    found = {"explanations": {}} | json.loads(run.metrics.read_text(encoding="utf-8"))
    study = {"finals": [], "finals_fresh": []} | found.get("study", {})
    fresh = {row["claim"]: row for row in study["finals_fresh"]}
    finals = {row["claim"]: _final(row, fresh.get(row["claim"])) for row in study["finals"]}
    if "C4a" in finals:  # the paper's way: rationales are for training
        finals = {"C4": finals["C4a"]} | finals
    rows = {claim: test(found) for claim, test in TESTS.items()} | finals
    scale, anew = scaled(found), _anew(run)
    about = {claim: claim.split()[0] for claim in rows}  # "C4a (tokens)" is another test of C4a
    order = sorted(rows, key=lambda claim: ([*SAYS, about[claim]].index(about[claim]), claim))
    return [
        {"claim": claim, "says": SAYS.get(about[claim], ""), **rows[claim]}
        | {"note": rows[claim]["note"] + anew.get(claim, ""), "scale": scale}
        for claim in order
    ]


def _anew(run: Run) -> dict[str, str]:
    """What runs that kept this one's samples (01.kept_from) found on posts of their own."""
    told: dict[str, str] = {}
    for page in sorted(paths.outputs().glob(f"*/{FILE}")):
        with suppress(OSError, ValueError, KeyError):  # another's folder, half of a run
            other = Run(page.parent.name)
            if other.parameters("01_sampling").get("kept_from") != run.name:
                continue
            for row in json.loads(page.read_text(encoding="utf-8")):
                if row["value"] is not None and row["claim"].split()[0] in ON_EVAL:
                    found = f"; on the new posts of run {other.name}: {tables.interval(row)}, "
                    told[row["claim"]] = told.get(row["claim"], "") + found + row["verdict"]
    return told


def _final(row: Mapping[str, Any], fresh: Mapping[str, Any] | None) -> dict[str, Any]:
    """A final pair of the study, as ``ablations.finals`` gives it; fresh: on new posts alone."""
    seeds = len(row["seeds"]) > 1
    experiment = f"macro-F1, {row['a']} - {row['b']}, over {'seeds and ' * seeds}posts"
    note = f"{row['learned']:,} posts learned from, " * (row["learned"] > 0)
    note += f"{len(row['seeds'])} seeds, " * seeds + f"{row['n']} posts compared on"
    if fresh and fresh["n"] < row["n"]:
        note += claim_tests.anew(fresh, fresh["n"])
    note += f"; {row['note']}" if "note" in row else ""
    return claim_tests.compared(row, experiment, row.get("supervision"), "metrics.json", note)


def scaled(found: Mapping[str, Any]) -> str:
    """What was run; "scaled down" unless models and posts are the paper's."""
    asked = (("teacher", "model"), ("student", "base"))
    teacher, student = (found.get(role, {}).get(key) or "none" for role, key in asked)
    drawn = found.get("sampling", {"sizes": {}, "read": {}})
    size, sources = drawn["sizes"].get("eval", 0), summary.evaluated_on(drawn)
    # Without owner and make: an endpoint and the hub have their own.
    plain = [re.sub(r"^(.*/)?(meta-)?|-bnb-4bit$", "", n.lower()) for n in (teacher, student)]
    same = plain == PAPER and sources == ["paper_eval"] and size >= PAPER_EVAL
    return (
        f"{'the paper' if same else 'scaled down'}: teacher {teacher}, student {student}, "
        f"{size} evaluation posts of {', '.join(sources) or 'none'}"
    )


def write(run: Run) -> str:
    """Write claims.json and claims.md of a run; returns the rule and a table without notes."""
    rows = collect(run)
    provenance.write_json(run.folder / FILE, rows)
    shown = pd.DataFrame(rows, dtype=object)
    shown["claim"] += ": " + shown["says"]
    shown["number"] = shown[["value", "low", "high"]].to_dict("records")
    columns = ["claim", "experiment", "number", "supervision", "verdict", "note", "file"]
    shown = shown[columns].rename(columns={"supervision": "labels from"})
    scale = rows[0]["scale"]
    told = f"{scale[0].upper()}{scale[1:]}. {RULE}\n\n"
    text = f"# Claims, run `{run.name}`\n\n{told}{tables.markdown(shown)}"
    (run.folder / PAGE).write_text(text, encoding="utf-8")
    return told + tables.markdown(shown.drop(columns=["note", "file"]))
