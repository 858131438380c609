"""Ratings against the key: completeness, correctness, agreement, equivalence, attention checks.

The raters' answers to one question become one by their lower median on the scale no, partly,
yes: what most of them say, and of two that differ the worse.  Only yes counts as complete or
correct.  A share is given on the sheet as it was rated and for the population it was drawn from:
each stratum (kind of post) weighs there what it weighs in the key, however many of its posts were
skipped.  Of strata without an answer nothing is known; ``covered`` is the weight of the others.  A
weighted count stands for (sum w)^2 / sum w^2 posts (Kish 1965), which takes answers to vary alike
in all strata: where they do not, its intervals are somewhat too narrow or too wide.

    rated = results.collect(stage.run, items)
    found = results.measure(rated, key, margin=0.1)
"""

import logging
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd

from hsd_utils import ratings, statistics
from hsd_utils.paths import Run
from hsd_utils.ratings import (
    QUESTIONS,
    SCALE,
    SIDES,
    agreement,
    equivalence,
    form,
    label_studio,
    spreadsheet,
)

log = logging.getLogger(__name__)
SUBSETS = ("all", "both right")
ATTENTIVE = 0.75  # of a rater's attention checks: always the same answer passes half


def measure(rated: pd.DataFrame, key: list[dict], margin: float) -> dict:
    """Everything measured of checked ratings, as plain data, over all raters: none is named.

    Returns kind, raters and posts (how many), shares, agreement, equivalence (rows each), and
    attention: of the attention checks answered, how many as expected (passed, of), and attentive:
    how many raters passed ATTENTIVE of theirs.  margin: the
    difference in shares still as good as equal, fixed beforehand.  Raises ValueError for ratings
    of another sheet than the key's.
    """
    if set(rated["sheet"]) != {key[0]["sheet"]}:
        raise ValueError(f"the key is of sheet {key[0]['sheet']}, the ratings of another")
    kind, every = ratings.kind(rated), by_answer(rated, key)
    posts, judged = every[every["check"].isna()], joined(rated, key)
    checked = attention(every)
    drawn = [row for row in key if row["check"] is None]
    pair = sorted(drawn[0]["right"])  # student first
    sheet = {"all": drawn, "both right": [row for row in drawn if all(row["right"].values())]}
    sheet = {subset: sum(row["weight"] for row in rows) for subset, rows in sheet.items()}
    return {
        "kind": kind,
        "raters": int(rated["rater"].nunique()),
        "posts": int(posts["item"].nunique()),
        "shares": [{"ratings": kind} | row for row in _shares(judged, pair, sheet)],
        "agreement": [{"ratings": kind} | row for row in _agreement(posts)],
        "equivalence": [
            {"ratings": kind} | row for row in _equivalence(judged, pair, sheet, margin)
        ],
        "attention": checked.sum().to_dict(),
        "attentive": int((checked["passed"] >= ATTENTIVE * checked["of"]).sum()),
    }


def collect(run: Run, items: list[dict]) -> pd.DataFrame | None:
    """All ratings marked human in ratings/returned, checked, or None if there is none.

    CSV are spreadsheets, JSON Lines are forms, JSON are exports of Label Studio.  Raters may
    have stopped: ``lists.left_out``; a form stopped before its first answer is left out and named.
    Raises ValueError for a file of another ending, for a rater of two exports of Label Studio,
    and as the three readers do.
    """
    readers = {".csv": spreadsheet.read, ".jsonl": form.read, ".json": label_studio.read}
    files = [p for p in run.ratings("returned").glob("[!.]*") if p.is_file()]
    if other := sorted(p.name for p in files if p.suffix.lower() not in readers):
        raise ValueError(
            f"ratings/returned: {', '.join(other)} cannot be read: save a spreadsheet as .csv, "
            "leave a form's .jsonl as it is, export Label Studio's as .json, or take it out"
        )
    parts = {path.name: readers[path.suffix.lower()](path, items) for path in sorted(files)}
    if silent := [name for name, part in parts.items() if part.empty]:
        log.warning("agreed to and without an answer, left out: %s", ", ".join(silent))
    for a, b in combinations([n for n in parts if n.lower().endswith(".json")], 2):
        if twice := sorted(set(parts[a]["rater"]) & set(parts[b]["rater"])):
            raise ValueError(
                f"ratings/returned: {', '.join(twice)} stands in {a} and in {b}: each Label Studio "
                "counts its users from 1. One person: export once, without the older file. Two: "
                "give one of them another number, under completed_by in one of the files. One "
                "person in two projects: join the two lists of tasks in one file"
            )
    human = [p for p in parts.values() if not p.empty and ratings.kind(p) == "human"]
    return ratings.check(pd.concat(human), items) if human else None


def joined(rated: pd.DataFrame, key: list[dict]) -> pd.DataFrame:
    """One row an item, model and question; rank is the raters' lower median on SCALE, or NaN."""
    long = by_answer(rated, key)
    by = long[long["check"].isna()].groupby(["item", "model", "question"])
    lower = by["rank"].agg(lambda ranks: ranks.quantile(0.5, interpolation="lower"))
    return by[["stratum", "stratum_weight", "both_right"]].first().join(lower).reset_index()


def by_answer(rated: pd.DataFrame, key: list[dict]) -> pd.DataFrame:
    """A row a rater, item, side and question, with what the key knows; rank is 0 to 2 or NaN."""
    known = pd.DataFrame(key)
    known["both_right"] = [bool(right) and all(right.values()) for right in known["right"]]
    known["stratum_weight"] = known.groupby("stratum")["weight"].transform("sum")
    known = known.drop(columns=["sheet", "right", "gold"])
    long = rated.melt(["rater", "item", "side"], list(QUESTIONS), "question", "answer")
    long = long.merge(known, on="item", how="left")
    long["model"] = np.where(long["side"] == SIDES[0], long[SIDES[0]], long[SIDES[1]])
    long["rank"] = long["answer"].map({word: rank for rank, word in enumerate(SCALE)})
    return long.drop(columns=list(SIDES))


def _subsets(judged: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    for question in QUESTIONS:
        for subset in SUBSETS:
            kept = judged["both_right"] | (subset == "all")
            yield question, subset, judged[kept & (judged["question"] == question)]


def effective(weights: pd.Series) -> float:
    """As how many posts (n,) weighted ones count."""
    return float(weights.sum() ** 2 / (weights**2).sum()) if len(weights) else 0.0


def _weights(answered: pd.DataFrame) -> pd.Series:
    """Of each post its share of what its stratum weighs on the sheet, whoever was skipped."""
    size = answered.groupby("stratum")["stratum_weight"].transform("size")
    return answered["stratum_weight"] / size


def _shares(judged: pd.DataFrame, pair: list, sheet: dict[str, float]) -> Iterator[dict]:
    for question, subset, rows in _subsets(judged):
        for model in pair:
            mine = rows[rows["model"] == model]
            given = mine.dropna(subset="rank")
            weights = _weights(given)
            counts = {word: int((given["rank"] == rank).sum()) for rank, word in enumerate(SCALE)}
            yield {
                "model": model,
                "question": question,
                "posts": subset,
                "n": len(given),
                "skipped": len(mine) - len(given),
                **counts,
                "share": statistics.wilson(counts["yes"], len(given)),
                "population": _weighted(given["rank"] == SCALE.index("yes"), weights),
                "covered": _covered(weights, sheet[subset]),
            }


def _covered(weights: pd.Series, sheet: float) -> float | None:
    """Share of the population of whose kind, or stratum, a post was answered."""
    return float(weights.sum()) / sheet if sheet else None


def _weighted(yes: pd.Series, weights: pd.Series) -> dict:
    return statistics.wilson((yes * weights).sum(), weights.sum(), effective(weights))


def ranks(posts: pd.DataFrame, question: str) -> pd.DataFrame:
    """Ranks (item and side, rater)."""
    mine = posts[posts["question"] == question]
    return mine.pivot(index=["item", "side"], columns="rater", values="rank")


def _agreement(posts: pd.DataFrame) -> Iterator[dict]:
    for question in QUESTIONS:
        wide = ranks(posts, question)
        rated = wide[wide.notna().sum(axis=1) > 1]
        yield {
            "question": question,
            "raters": wide.shape[1],
            "answers rated twice": len(rated),
            "all alike": float((rated.nunique(axis=1) == 1).mean()) if len(rated) else None,
            "alpha": agreement.alpha(wide, ordinal=True),
            "AC1": agreement.ac1(wide, len(SCALE)),
            "kappa": _mean(agreement.cohen(wide)),
        }


def _mean(pairs: dict[str, float | None]) -> dict:
    """Mean, lowest and highest of the pairs of raters, and of how many it is known."""
    known = [value for value in pairs.values() if value is not None]
    ends = (np.mean(known), min(known), max(known)) if known else (None,) * 3
    return dict(zip(("value", "low", "high"), ends, strict=True)) | {"pairs": len(known)}


def _equivalence(
    judged: pd.DataFrame, pair: list, sheet: dict[str, float], margin: float
) -> Iterator[dict]:
    a, b = pair
    for question, subset, rows in _subsets(judged):
        rows = rows.assign(yes=(rows["rank"] == SCALE.index("yes")).where(rows["rank"].notna()))
        wide = rows.pivot(index="item", columns="model", values="yes")
        wide = wide.reindex(columns=pair).dropna().astype(bool)
        weights = _weights(rows.groupby("item").first().loc[wide.index])
        alone = [wide[a] & ~wide[b], wide[b] & ~wide[a]]
        counts, size = [int(one.sum()) for one in alone], effective(weights)
        there = [float(weights[one].sum() / weights.sum() * size) if size else 0 for one in alone]
        yield {
            "question": question,
            "posts": subset,
            "pair": f"{a} - {b}",
            "n": len(wide),
            "only_a": counts[0],
            "only_b": counts[1],
            "difference": equivalence.tost(*counts, len(wide), margin),
            "population": equivalence.tost(*there, size, margin),
            "covered": _covered(weights, sheet[subset]),
        }


def attention(long: pd.DataFrame) -> pd.DataFrame:
    """Of the checks each rater answered, how many as expected; nobody is left out for it."""
    rows = long[long["check"].notna() & (long["question"] == "correct_own")]
    rows = rows.dropna(subset="rank")
    expected = [check[side] for check, side in zip(rows["check"], rows["side"], strict=True)]
    return (rows["answer"] == expected).groupby(rows["rater"]).agg(passed="sum", of="size")
