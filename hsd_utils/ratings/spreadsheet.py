"""The sheet as CSV, for a spreadsheet: written, filled in by a rater, read back.

A spreadsheet runs a cell that begins with = + - @, a tab or a carriage return as a formula, and
one whose separator is another than ours begins cells in the middle of a text.  So at the
beginning, and after every comma, semicolon, tab and line break, an apostrophe goes before what
would be a formula there, and before an apostrophe: ``restore`` takes exactly one away.

    spreadsheet.write(items, run.ratings("rater-0a1b2c.csv"), "rater-0a1b2c")
    rated = spreadsheet.read(run.ratings("returned/rater-0a1b2c.csv"), items)
"""

import csv
import re
from pathlib import Path

import pandas as pd

from hsd_utils import ratings
from hsd_utils.ratings import COLUMNS, QUESTIONS, SIDES
from hsd_utils.ratings.sheet import WORDS
from hsd_utils.readers import tables

SHOWN = ("text", "reference_label", "answer_label", "explanation")
SESSION = f"session ({ratings.PACE})"  # a header that says what to do, and is not read back
_BREAKS = r"\t\r\n\v\f\x85\u2028\u2029"
_BEGINS = rf"(?:\A|(?<=[;,{_BREAKS}]))"  # where one of the usual separators has a cell begin
# Spaces and quotation marks may be dropped from a cell's beginning; breaks begin one themselves.
_FORMULA = re.compile(rf"\A(?=[\t\r])|{_BEGINS}(?='|(?:\"|[^\S{_BREAKS}])*[=+\-@＝＋－＠])")
# A number, time or date: of its one word (a month in any language, e, pm) only letters are known.
_NUMBER = re.compile(r"(?=\D*\d)[\d\s.,:/+-]*+(?:[^\W\d_]++[\d\s.,:/+-]*+)?")
_ADDED = re.compile(rf"{_BEGINS}'")


def neutralise(text: str) -> str:
    return _FORMULA.sub("'", text)


def restore(cell: str) -> str:
    return _ADDED.sub("", cell)


def write(items: list[dict], path: Path, rater: str, given: pd.DataFrame | None = None) -> None:
    """A CSV of one rater, a row an item and side, with answers already ``given`` filled in.

    Empty, it is marked human.  The rater writes yes under ``consent`` in any row (see
    ``sheet.instructions``) and an answer under each question, or leaves a row empty.  Whether
    the sessions were kept a CSV cannot tell: ``lists.exposure`` counts what was answered.
    """
    done, head = {}, {"kind": "human", "sheet": items[0]["sheet"], "rater": rater, "consent": ""}
    if given is not None:
        mine = given[given["rater"] == rater]
        head |= {"kind": ratings.kind(mine), "consent": "yes"}
        done = {(row["item"], row["side"]): row for row in mine.to_dict("records")}
    session = ratings.sessions(items)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the mark at the beginning Excel takes UTF-8 for its own code page.
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, [*head, SESSION, "item", "side", *SHOWN, *QUESTIONS])
        writer.writeheader()
        for item in items:
            for side in SIDES:
                row = head | {"item": item["item"], "side": side} | _shown(item, side)
                row[SESSION] = str(session[item["item"]])
                answers = done.get((item["item"], side), {})
                row |= {question: answers.get(question) or "" for question in QUESTIONS}
                row = {name: neutralise(cell) for name, cell in row.items()}
                # A spreadsheet makes a date or a number of 9/11 and May 5, and saves that.
                dated = {name: f"'{row[name]}" for name in SHOWN if _NUMBER.fullmatch(row[name])}
                writer.writerow(row | dated)


def read(path: Path, items: list[dict]) -> pd.DataFrame:
    """The ratings of a filled-in CSV, checked; a rater may have stopped.

    Rows without anything in them are left out.  Raises ValueError where a rater did not consent,
    for a row that lost cells, where what is SHOWN beside an answer is not that item's (a column
    was sorted by itself), and as ``ratings.check`` does.
    """
    rows, counts = tables.load(path, [*COLUMNS, "consent", *SHOWN])
    if lost := sorted({*range(counts["read"])} - {*rows.index}):
        which = ", ".join(str(place + 2) for place in lost)  # row 1 is the header
        raise ValueError(
            f"{path.name}, row {which}: more or fewer cells than columns; save it anew"
        )
    if counts["undecodable"]:
        raise ValueError(f"{path.name} is not UTF-8: save it once more, as CSV UTF-8")
    rows = rows.fillna("").map(restore)
    rows = rows[rows.map(str.strip).ne("").any(axis=1)]
    rated = ratings.check(rows, items, file=path.name)
    agreed = rows.loc[rows["consent"].str.strip().str.lower() == "yes", "rater"].str.strip()
    if silent := sorted(set(rated["rater"]) - set(agreed)):
        raise ValueError(f"{path.name}: {', '.join(silent)} has not written yes under consent")
    known = {(item["item"], side): _shown(item, side) for item in items for side in SIDES}
    for row in rows.to_dict("records"):
        place = row["item"].strip(), row["side"].strip()
        for name, cell in known[place].items():
            if _letters(row[name]) != _letters(cell):
                where = f"{row['rater']}, {' '.join(place)}"
                raise ValueError(f"{where}: beside another item's {name}")
    return rated


def _shown(item: dict, side: str) -> dict[str, str]:
    told = " | ".join(f"“{e['input']}”: {e['explanation']}" for e in item[side]["explanations"])
    labels = WORDS[item["gold"]], WORDS[item[side]["label"]]
    return dict(zip(SHOWN, (item["text"], *labels, told), strict=True))


def _letters(text: str) -> str:
    """Of a text what every spreadsheet leaves as it is."""
    return re.sub(r"\W", "", text)
