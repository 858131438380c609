"""Explanations rated by people: one format of ratings, whichever way they were given.

``sheet`` draws blinded items from a run; people rate them in JupyterLab (``form``), in a
spreadsheet (``spreadsheet``) or in Label Studio (``label_studio``); ``results`` reads them back
against the key.  A rating is one row a rater, item and side (A or B, one model's answer each):

kind (human, or simulated: only human ones count as evidence), sheet (the id of the sheet rated),
rater (a random pseudonym), item, side, and an answer (yes, partly, no, skip, or none given) to
each of QUESTIONS.  What raters are told is in ``rubric.yaml``.

    items, key = sheet.draw(held_out, {"teacher": rows, "student": others}, seed=0)
    rated = results.collect(run, items)
"""

import re
from functools import lru_cache
from importlib.resources import files

import numpy as np
import pandas as pd
import yaml

KINDS = ("human", "simulated")
SIDES = ("A", "B")
QUESTIONS = ("complete", "correct_own", "correct_gold")
SCALE = ("no", "partly", "yes")  # from worst to best
ANSWERS = (*SCALE[::-1], "skip")
COLUMNS = ("kind", "sheet", "rater", "item", "side", *QUESTIONS)
RATER = re.compile(r"rater-[a-z0-9]{4,12}")
CAP, REST = 40, 12  # posts of a session at most, and hours before the next
PACE = f"at most {CAP} posts in a session and then {REST} hours of rest"
_NAMED = 10  # faults named in one error


@lru_cache
def rubric() -> dict:
    """What raters are told: warning, consent, support, questions, answers, examples, checks."""
    return yaml.safe_load((files(__name__) / "rubric.yaml").read_text(encoding="utf-8"))


def sessions(items: list[dict]) -> dict[str, int]:
    """Item -> its session, from 1: CAP of them each, in the order of the sheet."""
    return {item["item"]: place // CAP + 1 for place, item in enumerate(items)}


def kind(ratings: pd.DataFrame) -> str:
    """Their one kind, human or simulated.  Raises ValueError for none or a mixture."""
    found = sorted(map(str, ratings["kind"].unique()))
    if len(found) != 1 or found[0] not in KINDS:
        raise ValueError(f"ratings of kind {', '.join(found) or 'none'}: one of {KINDS}, not mixed")
    return found[0]


def check(ratings: pd.DataFrame, items: list[dict], file: str = "") -> pd.DataFrame:
    """The ratings with COLUMNS, answers in lower case or None, rows without an answer left out.

    Raises ValueError that names rater, item and side of what is malformed or there twice, or the
    ``file`` without any answer.  What is partial or missing passes: a rater may stop at any time.
    """
    absent = [name for name in COLUMNS if name not in ratings]
    if absent:
        raise ValueError(f"ratings lack the columns {', '.join(absent)}")
    known = {(item["item"], side) for item in items for side in SIDES}
    faults, kept, seen = [], [], set()
    for given in ratings[list(COLUMNS)].to_dict("records"):
        row = {name: _text(value, name in QUESTIONS) for name, value in given.items()}
        place = (row["item"], row["side"])
        wrong = [f"{q} is {row[q]!r}" for q in QUESTIONS if row[q] not in (*ANSWERS, None)]
        if row["kind"] not in KINDS:
            wrong.append(f"kind is {row['kind']!r}, not one of {', '.join(KINDS)}")
        if not RATER.fullmatch(row["rater"] or ""):
            wrong.append("the rater is no pseudonym such as rater-0a1b2c")
        if row["sheet"] != items[0]["sheet"]:
            wrong.append(f"rates sheet {row['sheet']}, not {items[0]['sheet']}")
        if place not in known:
            wrong.append("is not on the sheet")
        if (row["rater"], *place) in seen:
            wrong.append("is rated twice")
        seen.add((row["rater"], *place))
        kept += [row] if any(row[q] for q in QUESTIONS) else []
        faults += [f"{row['rater']}, {row['item']} {row['side']}: {what}" for what in wrong]
    if faults:
        more = f"\n... and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise ValueError("ratings cannot be used:\n" + "\n".join(faults[:_NAMED]) + more)
    if not kept:
        raters = ", ".join(sorted({name for name in map(_text, ratings["rater"]) if name}))
        raise ValueError(
            f"{file or 'ratings'}: no rating was given{f' by {raters}' if raters else ''}, every "
            "answer is empty: have the file filled in, or take it out of ratings/returned"
        )
    checked = pd.DataFrame(kept, columns=COLUMNS, dtype=object)
    kind(checked)
    return checked


def _text(value, lower: bool = False) -> str | None:
    text = "" if value is None or value != value else str(value).strip()
    return (text.lower() if lower else text) or None


def simulate(items: list[dict], raters: int = 3, seed: int = 0) -> pd.DataFrame:
    """Random answers marked ``"kind": "simulated"``, to try the kit.  They say nothing.

    Raters share a random opinion of each answer and follow it seven times in eight.  The key is
    not used: teacher and student differ by chance only, and attention checks fail.
    """
    generator = np.random.default_rng(seed)
    draw = [0.1, 0.15, 0.75]
    places = [(item["item"], side) for item in items for side in SIDES]
    shape = (len(places), len(QUESTIONS))
    shared, rows = generator.choice(SCALE, shape, p=draw), []
    for number in range(1, raters + 1):
        own = generator.choice(SCALE, shape, p=draw)
        said = np.where(generator.random(shape) < 7 / 8, shared, own)
        head = {"kind": "simulated", "sheet": items[0]["sheet"], "rater": f"rater-sim{number}"}
        for (item, side), answers in zip(places, said.tolist(), strict=True):
            row = head | {"item": item, "side": side}
            rows.append(row | dict(zip(QUESTIONS, answers, strict=True)))
    return pd.DataFrame(rows, dtype=object)
