"""What the study found: each cell against the baseline on ``dev``, the final pairs on ``eval``.

Over several trainings of a cell intervals are those of the hierarchical bootstrap, over seeds
and posts together.

    said = ablations.all_trainings(run, done, dev)
    rows = ablations.summary(done, said, dev, resamples=1000, seed=0)
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hsd_utils import analysis_plan, bootstrap, calibration, metrics, predictions, statistics
from hsd_utils.paths import Run

MEASURES = {"macro_f1": "predicted", "roc_auc": "p_hate"}
BASELINE = "label_only"
LEAD = {"comprehensiveness": "comprehensiveness", "above": "above chance"}
TOGETHER = ("alone", "together", "gain", "ahead of the teacher")
COPIED = ("as the teacher", "its errors repeated", "its right ones lost")
ABOUT = ("name", "factor", "objective", "label_source", "supervision", "n", "tokens")
Said = Mapping[str, Sequence[pd.DataFrame]]  # cell -> what each training said of the posts


def trainings(run: Run, done: Sequence[Mapping], name: str, table: pd.DataFrame, split: str):
    """What each training of a cell said of the posts: frames with p_hate and predicted."""
    keys = [row["key"] for row in done if row["name"] == name]
    kept = [predictions.load(run.study(f"{key}.jsonl")) for key in keys]
    # Where no label was reached the verdict is missing, which counts as the wrong one.
    kept = [k.assign(predicted=k["predicted"].where(~k["unread"].astype(bool))) for k in kept]
    return [rows[rows["split"] == split].set_index("id").loc[table["id"]] for rows in kept]


def all_trainings(run: Run, done: Sequence[Mapping], dev: pd.DataFrame) -> Said:
    """The ``trainings`` of every cell, on dev."""
    names = dict.fromkeys(row["name"] for row in done)
    return {name: trainings(run, done, name, dev, "dev") for name in names}


def _values(frames: Sequence[pd.DataFrame], column: str) -> list[np.ndarray]:
    return [frame[column].to_numpy() for frame in frames]


def summary(
    done: Sequence[Mapping], said: Said, dev: pd.DataFrame, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """A row a cell: what it is, seeds, split, metrics, and ``difference`` from the baseline.

    metrics and difference hold macro_f1 and roc_auc as {value, low, high}.
    """
    label, made = dev["label"].to_numpy(), []
    for name, frames in said.items():
        mine = [row for row in done if row["name"] == name]
        found = {"metrics": {}, "difference": {}}
        for measure, column in MEASURES.items():
            a = _values(frames, column)
            found["metrics"][measure] = _alone(label, a, measure, resamples, seed)
            if BASELINE in said and name != BASELINE:
                b = _values(said[BASELINE], column)
                found["difference"][measure] = _compared(label, a, b, measure, resamples, seed)
        about = {key: mine[0][key] for key in ABOUT} | {"seeds": [row["seed"] for row in mine]}
        made.append(about | {"split": "dev"} | found)
    return made


def more_posts(
    rows: Sequence[Mapping], said: Said, dev: pd.DataFrame, enough: int, resamples: int, seed: int
) -> dict[str, Any] | None:
    """What the largest sample adds to the first of ``enough`` posts, on the same posts (C11).

    rows: of ``summary``, of cells that differ in whose labels and how many.  Returns both sizes,
    supervision, seeds of both, and the paired difference of each measure as {value, low, high};
    None unless the largest is at least twice the other and of the same label source.
    """
    trained = sorted((row for row in rows if row["n"]), key=lambda row: row["n"])
    alike = [r for r in trained if r["label_source"] == trained[-1]["label_source"]]
    from_enough = [row for row in alike if row["n"] >= enough]
    if not from_enough or trained[-1]["n"] < 2 * from_enough[0]["n"]:
        return None
    sides, label = (trained[-1], from_enough[0]), dev["label"].to_numpy()
    found = {"posts": [side["n"] for side in sides], "supervision": sides[0]["supervision"]}
    found["seeds"] = [len(side["seeds"]) for side in sides]
    for measure, column in MEASURES.items():
        a, b = (_values(said[side["name"]], column) for side in sides)
        found[measure] = _compared(label, a, b, measure, resamples, seed)
    return found


def together(
    rows: Sequence[Mapping], said: Said, dev: pd.DataFrame, teacher: str, resamples: int, seed: int
) -> pd.DataFrame:
    """ROC-AUC of the trainings of a cell, of all of them asked as one, and what that gains.

    rows: of ``summary``.  A row a cell of several seeds: cell, labels from, seeds, alone, together
    (the mean of their log-odds), gain (over posts alone), and how far it is ahead of the cell
    ``teacher``, each {value, low, high}.  A mean takes out what chance did to each training; what
    it does not lift is what their labels say.
    """
    label, made = dev["label"].to_numpy(), []
    against = _values(said.get(teacher, ()), "p_hate")
    for row in (row for row in rows if len(row["seeds"]) > 1):
        each = _values(said[row["name"]], "p_hate")
        one, drawn = [calibration.averaged(each)], ("roc_auc", resamples, seed)
        ahead = _compared(label, one, against, *drawn) if against else bootstrap.absent("not asked")
        about = {"cell": row["name"], "labels from": row["supervision"], "seeds": len(each)}
        measured = row["metrics"]["roc_auc"], _alone(label, one, *drawn)
        measured += _gain(label, one[0], each, resamples, seed), ahead
        made.append(about | dict(zip(TOGETHER, measured, strict=True)))
    return pd.DataFrame(made, columns=["cell", "labels from", "seeds", *TOGETHER])


def copied(
    rows: Sequence[Mapping], said: Said, dev: pd.DataFrame, teacher: str, resamples: int, seed: int
) -> pd.DataFrame:
    """Does a student repeat its teacher's errors, or make others?  A row a cell of several seeds.

    rows: of ``summary``; teacher: a cell.  ``as the teacher``: verdicts that are its; ``its errors
    repeated``: of the posts that it gets wrong, those that the student does too; ``its right ones
    lost``: of those that it gets right, those that the student does not.  Means over trainings as
    {value, low, high}, intervals over posts.
    """
    label, made, titles = dev["label"].to_numpy(), [], ["cell", "labels from", "seeds", *COPIED]
    for row in (row for row in rows if len(row["seeds"]) > 1 and teacher in said):
        (told,), each = (_values(said[name], "predicted") for name in (teacher, row["name"]))
        same, wrong = (np.array(each) == told).mean(axis=0), (each != label).mean(axis=0)
        of = same, wrong[told != label], wrong[told == label]
        measured = (bootstrap.mean(values, resamples, seed) for values in of)
        made.append([row["name"], row["supervision"], len(each), *measured])
    return pd.DataFrame(made, columns=titles)


def _gain(label, one, each, resamples: int, seed: int) -> dict[str, float]:
    # Over posts alone: the same trainings stand on both sides.
    rows = np.concatenate(list(metrics.draws(label, resamples, seed)))
    whole, *parts = (metrics.on_scores(label, p, rows)["roc_auc"] for p in (one, *each))
    return bootstrap.interval(whole - np.mean(parts, axis=0))


def _alone(label, a, metric: str, resamples: int, seed: int) -> dict[str, float]:
    # A perfect model's measure is 1 on every resample: what is left is the cell's own.
    found = _compared(label, a, [label], metric, resamples, seed)
    return {key: 1 + found[key] for key in ("value", "low", "high")}


def _compared(label, a, b, metric: str, resamples: int, seed: int) -> dict[str, float]:
    found = statistics.hierarchical(label, a, b, metric=metric, resamples=resamples, seed=seed)
    return {"value": found["difference"]} | {k: found[k] for k in ("low", "high", "p_value")}


def quoting(done: Sequence[Mapping]) -> pd.DataFrame:
    """The quotes of students that explain, a row a training, on the hateful posts of dev."""
    titles = [*LEAD.values(), *(f"narrowed: {title}" for title in LEAD.values())]
    made = []
    for row in done:
        if found := row.get("quoting"):
            n = found["quotes"] or np.nan  # of no quotes there is no share
            shares = {k: found[k] / n for k in ("found", "whole")}
            narrow = found.get("narrowed", dict.fromkeys(LEAD, bootstrap.absent("not measured")))
            about = {"cell": row["name"], "seed": row["seed"], "quotes": found["quotes"]}
            measured = [way[k] for way in (found, narrow) for k in LEAD]
            made.append(about | shares | dict(zip(titles, measured, strict=True)))
    return pd.DataFrame(made, columns=["cell", "seed", "quotes", "found", "whole", *titles])


def complete(grid: Mapping[str, Any], done: Sequence[Mapping]) -> list[dict[str, str]]:
    """The final pairs of which every training is done: earlier nobody looks at eval."""
    trained = Counter(row["name"] for row in done)
    left = Counter(cell["name"] for cell in grid["cells"]) - trained
    return [pair for pair in grid["finals"] if not left.keys() & {pair["a"], pair["b"]}]


def finals(
    run: Run,
    pairs: Sequence[Mapping[str, str]],
    done: Sequence[Mapping],
    held_out: pd.DataFrame,
    others: Sequence[Mapping],
    plan: Mapping[str, Any],
    seed: int,
) -> tuple[list[dict[str, Any]], dict[str, float | None]]:
    """The final pairs on eval, and the corrected p-values of the plan's claims.

    A pair has claim, a, b, difference, low, high, p_value, p_holm, seeds (of a), learned (posts
    that a learned from), n and a note, if study.yaml has one.  others: the comparisons of notebook
    04, which belong to the plan's family too (C3).  A pair that stands for no claim of the plan is
    exploratory, its p_holm null.
    """
    label, metric = held_out["label"].to_numpy(), plan["primary"]
    made, family = [], [row for row in others if row["b"] != "teacher"]
    for pair in pairs:
        sides = [trainings(run, done, pair[side], held_out, "eval") for side in "ab"]
        drawn, tested = {"resamples": plan["resamples"], "seed": seed}, {}
        for name, column in MEASURES.items():
            a, b = (_values(side, column) for side in sides)
            tested[name] = statistics.hierarchical(label, a, b, metric=name, **drawn)
        mine = [row for row in done if row["name"] == pair["a"]]
        about = {"supervision": mine[0]["supervision"], "seeds": [row["seed"] for row in mine]}
        about |= {"learned": mine[0]["n"]}
        shown = {k: tested[metric][k] for k in ("difference", "low", "high", "p_value")}
        about |= {"n": len(held_out), "metric": metric, plan["beside"]: tested[plan["beside"]]}
        named = {key: pair[key] for key in ("claim", "a", "b", "note") if key in pair}
        made.append(named | shown | about)
        claim = plan["confirmatory"].get(pair.get("plan"), {"pairs": []})
        if claim.get("taught") in (None, mine[0]["supervision"]):
            family += [made[-1] | dict(zip("ab", named, strict=True)) for named in claim["pairs"]]
    corrected = analysis_plan.corrected(family, plan, taught="teacher")
    by_claim = {row["claim"]: row["p_holm"] for row in corrected if row["claim"]}
    stands = {pair["claim"]: pair.get("plan") for pair in pairs}
    return [row | {"p_holm": by_claim.get(stands[row["claim"]])} for row in made], by_claim


def final_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The final pairs for people, a row a pair."""
    shown = {"p_value": "p (bootstrap)", "p_holm": "p (Holm, of the claim)", "n": "posts"}
    made = [
        {
            "claim": row["claim"],
            "pair": f"{row['a']} - {row['b']}",
            "seeds": len(row["seeds"]),
            "macro-F1 difference": row | {"value": row["difference"]},
            "ROC-AUC difference": row["roc_auc"] | {"value": row["roc_auc"]["difference"]},
        }
        | {title: row[key] for key, title in shown.items()}
        for row in rows
    ]
    columns = ["claim", "pair", "seeds", "macro-F1 difference", "ROC-AUC difference"]
    return pd.DataFrame(made, columns=[*columns, *shown.values()])
