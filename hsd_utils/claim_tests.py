"""What tests each claim of the paper: a function a claim, from a run's files to a row.

``found`` is metrics.json.  A row has experiment, value, low, high, verdict, supervision, file and
note.  C5 and C6, which people decide, are in ``claim_ratings``; the page is made in ``claims``.

    row = claim_tests.TESTS["C1"](found)
"""

from collections.abc import Callable, Mapping
from typing import Any

from hsd_utils import analysis_plan, bootstrap, tables

LEVEL = 0.85  # the paper's F1
SMALL = 0.02  # of macro-F1: less than this more posts may still add if these suffice
NOT_RUN = "notebook {} was not run"
NO_PAIR = "no final pair of the study"


def verdict(found: Mapping[str, Any], null: float = 0.0) -> str:
    """The verdict on {value, low, high}; more is what the claim says, a value alone is both ends.

    "supported" where the interval lies above ``null`` and ``p_holm``, if there is one, below the
    plan's alpha, "not supported" where it lies below, else "inconclusive".
    """
    if found["value"] is None:
        return "not testable here"
    low, high = (found["value"] if found[end] is None else found[end] for end in ("low", "high"))
    if high < null:
        return "not supported"
    p_holm = found.get("p_holm")
    certain = p_holm is None or p_holm < analysis_plan.read()["alpha"]
    return "supported" if low > null and certain else "inconclusive"


def compared(row: Mapping[str, Any], experiment: str, supervision, file, note: str) -> dict:
    """A row from a comparison: difference, low, high, p_value and, where corrected, p_holm."""
    ps = {"p": row.get("p_value"), "Holm": row.get("p_holm")}
    told = [f"{k} {p:.3f}" if p >= 0.001 else f"{k} <0.001" for k, p in ps.items() if p is not None]
    return as_row(experiment, valued(row), None, supervision, file, "; ".join([note, *told]))


def valued(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "value": row["difference"]}


def as_row(experiment, found, judged=None, supervision=None, file=None, note="") -> dict[str, Any]:
    numbers = {key: found[key] for key in ("value", "low", "high")}
    told = {"supervision": supervision, "file": file, "note": found.get("reason") or note}
    return {"experiment": experiment, **numbers, "verdict": judged or verdict(found), **told}


def untested(experiment: str, reason: str, file: str | None = None) -> dict[str, Any]:
    return as_row(experiment, bootstrap.absent(reason), file=file)


def _level(found) -> dict:
    experiment = f"F1 of the hate class against {LEVEL}"
    if not (student := found.get("models", {}).get("student")):
        return untested(experiment, NOT_RUN.format("04"))
    judged, learned = verdict(student["f1"], LEVEL), student["supervision"]
    return as_row(
        experiment, student["f1"], judged, learned, "tables/evaluation.json", "first seed"
    )


def _pairs(found) -> dict[str, dict]:
    """The student's comparisons in the plan's primary measure, by the other's name."""
    rows = [r for r in found.get("comparisons", []) if r["a"] == "student"]
    return {r["b"]: r for r in rows if r["metric"] == analysis_plan.read()["primary"]}


def _over(found, pair) -> str:  # how many trainings; and on new posts, where not all are
    note = "one seed" if (n := pair["seeds"][0]) == 1 else f"{n} seeds"
    again = _pairs(fresh := found.get("fresh", {})).get(pair["b"])
    drawn_before = found.get("sampling", {}).get("draw", {}).get("eval_drawn_before")
    return note + anew(again, fresh["posts"]) if again and drawn_before else note


def anew(pair: Mapping[str, Any], posts: int) -> str:
    return f"; {tables.interval(valued(pair))} on the {posts} that no earlier work had drawn"


def _teacher(found, gold: bool = False) -> dict:
    """The student against its teacher: of the teacher's labels (C2) or of gold ones (C2b)."""
    experiment = "macro-F1, student - teacher, paired by post"
    if not (pair := _pairs(found).get("teacher")):
        return untested(experiment, NOT_RUN.format("04"))
    learned = found["models"]["student"]["supervision"]
    if (learned == "gold") != gold:
        return untested(experiment, f"the student of this run learned {learned} labels")
    taught = {"examples": 0, "objective": ""} | found.get("student", {})
    posts = taught["examples"] // (1 + (taught["objective"] == "task_prefix"))  # two a post there
    note = f"{posts:,} posts learned from, " * (posts > 0) + _over(found, pair)
    alike = found.get("supervised_alike", {}).get("retrieved", {"posts": 0})
    if gold and alike["posts"]:  # the teacher is given the same labels, too
        beside = f"{tables.interval(valued(alike['student_beside']))}, {alike['posts']} posts"
        note += f"; ROC-AUC against the teacher shown the nearest gold posts: {beside}"
    pair = pair | {"p_holm": None} if gold else pair  # exploratory: no part of Holm's family
    return compared(pair, experiment, learned, "tables/comparisons.json", note)


def _baselines(found) -> dict:
    """As weak as the weakest pair, and inconclusive while a pair of the plan is missing."""
    experiment = "macro-F1, student - the strongest other, paired by post"
    if "base" not in (pairs := _pairs(found)):
        return untested(experiment, NOT_RUN.format("04"))
    wanted = [b for _, b in analysis_plan.read()["confirmatory"]["C3"]["pairs"]]
    pairs = {b: pairs[b] for b in wanted if b in pairs}
    strongest = min(pairs, key=lambda b: pairs[b]["difference"])
    missing = [b for b in wanted if b not in pairs]
    note = f"against {strongest}, {_over(found, pairs[strongest])}"
    note += f"; not compared: {', '.join(missing)}" if missing else ""
    learned = found["models"]["student"]["supervision"]
    family = found.get("study", {}).get("p_holm", {})  # with C2 and C4; of 04 alone without it
    pairs = {b: pair | {"p_holm": family.get("C3", pair["p_holm"])} for b, pair in pairs.items()}
    file = "metrics.json" if "C3" in family else "tables/comparisons.json"
    row = compared(pairs[strongest], experiment, learned, file, note)
    judged = {verdict(valued(pair)) for pair in pairs.values()}
    judged |= {"inconclusive"} if missing else set()
    return row | {"verdict": min(judged, key=("not supported", "inconclusive", "supported").index)}


def _time(found, experiment="share of the seconds a post saved, whole answers", paper="0.54"):
    """Time saved; its ends are the least and most over the batch sizes."""
    measured = found.get("efficiency") or {"savings": {"time": {"here": None}}}
    if (value := measured["savings"]["time"]["here"]) is None:
        return untested(experiment, NOT_RUN.format("05, with a teacher to time,"))
    rows = [r for r in measured["rows"] if r["mode"] != "label only"]
    seconds = {(r["model"], r["batch"]): 1 / r["posts_per_second"] for r in rows}
    shared = [b for m, b in seconds if m == "teacher" and ("student", b) in seconds]
    saved = [1 - seconds["student", batch] / seconds["teacher", batch] for batch in shared]
    ends = {"value": value, "low": min([*saved, value]), "high": max([*saved, value])}
    note = f"at its best batch (least–most over batches of {str(shared)[1:-1]}); paper {paper}"
    return as_row(experiment, ends, None, None, "tables/efficiency.json", note)


def _memory(found) -> dict:
    experiment = "share of the process's peak memory saved"
    if not (measured := found.get("efficiency")):
        return untested(experiment, NOT_RUN.format("05"))
    if (value := measured["savings"]["memory"]["here"]) is None:
        return untested(experiment, "not known of a model behind an endpoint, or not at hand")
    ends = {"value": value, "low": None, "high": None}
    return as_row(
        experiment, ends, None, None, "tables/savings.json", "one measurement; paper 0.86"
    )


def _cost(found) -> dict:  # on one machine a post's price goes with its time
    experiment = "share of the price of a post saved, at one hourly price"
    row = _time(found, experiment, "0.86, on other machines; as C7, since both run at one price")
    if row["value"] is not None:
        n = found["efficiency"]["costs"]["break_even_posts"] or float("inf")
        row["note"] += f"; labelling and training are earned back after {n:,.0f} posts"
    return row


def _breadth(found) -> dict:
    experiment = "ROC-AUC on a source left out: learned from all others - from one, equal size"
    student, others = (found.get(k, {}).get("breadth") for k in ("study", "generalisation"))
    whole = bool(student) and student["overall"]["student"]["value"] is not None
    if not (parts := [student] * whole + [others] * bool(others)):
        return untested(experiment, NOT_RUN.format("07") + "; at most four sources are at hand")
    (name, first), *more = [pair for part in parts for pair in part["overall"].items()]
    sources = sum(row["model"] == name for row in parts[0]["rows"])
    whose = f"{first['trainings']} training(s) a cell" if whole else "of baselines, not the student"
    note = f"{name}, {whose}, mean over {sources} sources; at most four are at hand (paper: 36)"
    note += "".join(f"; {other}: {tables.interval(measure)}" for other, measure in more)
    verdicts = {verdict(m) for m in parts[0]["overall"].values()}  # two baselines may disagree
    certain = len(verdicts) == 1 != first.get("trainings")  # one training tells not of another
    judged = verdicts.pop() if certain else "inconclusive"
    return as_row(experiment, first, judged, "gold", f"tables/{'study_' * whole}breadth.json", note)


def _posts(found) -> dict:
    experiment = "macro-F1 of the study's largest sample - of one of about 2000 posts, on dev"
    study = found.get("study", {})
    if not (more := study.get("more_posts")):
        sizes = [cell["n"] for cell in study.get("cells", [])]
        most = f"the study's largest sample has {max(sizes)} posts" if sizes else "no study"
        return untested(experiment, most)
    gain, (large, small) = more["macro_f1"], more["posts"]
    judged = "supported" if gain["high"] < SMALL else "inconclusive"
    judged = "not supported" if gain["low"] > SMALL else judged
    note = f"{small:,} and {large:,} posts, trained {' and '.join(map(str, more['seeds'][::-1]))}"
    note += f" time(s), those beyond distil unbalanced; they suffice if the gain is below {SMALL}; "
    note += f"ROC-AUC {tables.interval(more['roc_auc'])}"
    return as_row(experiment, gain, judged, more["supervision"], "metrics.json", note)


def _open(found) -> dict:
    spoken = found.get("generalisation", {}).get("languages") or [{"language": "en"}]
    cells = found.get("study", {}).get("cells", [])
    tried = [c for c in cells if c["factor"] in ("shots", "balance", "human rationales")]
    told = [f"{c['name']} {c['metrics']['roc_auc']['value']:.2f}" for c in tried]
    note = f"languages: {', '.join(sorted({row['language'] for row in spoken}))}; "
    note += f"ROC-AUC on dev: {', '.join(told)}" if told else "nothing of this in the study"
    return untested("questions that the paper leaves open: no claim to test", note)


TESTS: dict[str, Callable[[Mapping[str, Any]], dict]] = {
    "C1": _level,
    "C2": _teacher,
    "C2b": lambda found: _teacher(found, gold=True),
    "C3": _baselines,
    # A final pair of the study takes this place, and that of C12.
    "C4": lambda found: untested("macro-F1, student - label_only", NO_PAIR),
    "C7": _time,
    "C8": _memory,
    "C9": _cost,
    "C10": _breadth,
    "C11": _posts,
    "C12": lambda found: untested("macro-F1, the teacher - the same without examples", NO_PAIR),
    "C13": _open,
}
