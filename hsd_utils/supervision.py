"""What a student of one cell of the study is taught: which posts, whose labels, whose reasons.

A cell's settings are those of notebook 03 and some of its own (``notebooks/study.yaml`` explains
them).  The teacher is asked once: what it said is kept in the run's ``study`` folder.  Labels
for more posts than ``distil`` holds come from the sources of 01, posts in no sample, drawn as
they come, since nobody has to label them.

    table = supervision.posts_for(run, settings, 500)
    targets = supervision.taught(run, table, settings)
    examples = objectives.examples(targets, settings["objective"])
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd

from hsd_utils import (
    calibration,
    contamination,
    earlier,
    encoder,
    faithfulness,
    narrowing,
    objectives,
    posts,
    predictions,
    prompts,
    rationales,
    readers,
    scoring,
)
from hsd_utils.paths import Run, sha256

SOURCES = ("gold", "teacher", "teacher_median", "teacher_soft")
MARKS = ("human", "quotes", "classifier")  # whose choice of words, all in one form
REASONS = ("teacher", "narrowed", "brief", "student", "student_all", "shuffled", *MARKS)
# Words of a post in a quote, at most; of a hateful one, but for student_all.
AT_MOST = {"narrowed": 0.5, "student": 0.5, "student_all": 0.5, "brief": 0.25, "classifier": 0.25}


def check(settings: Mapping[str, Any]) -> None:
    """Raises ValueError or TypeError for settings that do not go together, or no prompt's."""
    explained = settings["objective"] != "label_only"
    soft = settings["confident"], settings["temperature"]
    if settings["label_source"] == "gold" and soft != (1, 1):
        raise ValueError("confident and temperature go with the teacher's P(hate), not with gold")
    if settings["label_source"] == "teacher_median" and explained:
        raise ValueError("teacher_median goes with label_only: a rationale explains its own label")
    if settings["disagreement"] == "rationalise" and not explained:
        raise ValueError("rationalise goes with rationales: for labels alone, label_source: gold")
    alone = settings["objective"] == "weighted" and settings["label_source"] == "gold"
    if settings["disagreement"] == "label_alone" and not alone:
        raise ValueError("label_alone goes with objective: weighted and label_source: gold")
    if settings["disagreement"] == "rationalise" and settings["label_source"] == "teacher_soft":
        raise ValueError("rationalise goes with hard labels: P(hate) was another's explanation")
    if settings["rationales"] in MARKS and settings["label_source"] != "gold":
        raise ValueError("marked words go with the label they were marked for, label_source: gold")
    if settings.get("smoothing") and settings["label_source"] == "teacher_soft":
        raise ValueError("smoothing goes with hard labels: soft ones have a temperature")
    prompts.student("", definition=settings.get("definition", ""))
    for change in settings["prompts"]:
        prompts.teacher("", **change)


def posts_for(run: Run, settings: Mapping[str, Any], size: int) -> pd.DataFrame:
    """``size`` posts to learn from: of ``distil``, balanced, the smaller sets within the larger.

    What ``distil`` lacks comes from all sources as it comes, not balanced.
    """
    if size < 1:
        raise ValueError("no post is left to learn from: more posts of a cell, or a larger `size`")
    distil = posts.of_sources(posts.read_jsonl(run.sample("distil")), settings.get("sources"))
    if size <= len(distil):
        return contamination.spread(distil, ["source", "label"], size)
    if settings.get("sources"):
        raise ValueError(f"{size} posts are wanted and distil has {len(distil)} of `sources`")
    return pd.concat([distil, _further(run, size - len(distil))], ignore_index=True)


@lru_cache
def _further(run: Run, size: int) -> pd.DataFrame:
    asked = run.parameters("01_sampling")
    table = readers.again(asked)
    how = (asked["seed"], asked["near_duplicate"], asked["anonymise"])
    drawn = contamination.unused(table, earlier.known(run), size, *how)
    if len(drawn) < size:
        raise ValueError(
            f"{size} further posts are wanted, {len(drawn)} are left: lower `size`, name more in 01"
        )
    return drawn


def taught(run: Run, table: pd.DataFrame, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Targets for ``objectives.examples``, of the posts that are left.

    Posts drop out where there is no P(hate) or no usable rationale, by ``confident`` (the share
    kept, those farthest from the median P(hate)) and by ``disagreement``.  Raises ValueError
    when none is left.
    """
    gold, n = settings["label_source"] == "gold", len(table)
    rows = table[["id", "text", "label"]].assign(gold=table["label"], p_hate=np.nan)
    rows["explanations"] = [[] for _ in range(n)]
    if not gold:
        p = teacher_p(run, table, settings["prompts"])
        p = calibration.scaled(p, settings["temperature"])  # above 1, softer (Hinton et al. 2015)
        cut = np.nanmedian(p) if settings["label_source"] == "teacher_median" else 0.5
        rows = rows.assign(p_hate=p, label=(p >= cut).astype(int))[~np.isnan(p)]
        rows = rationales.surest(rows, settings["confident"])
    if settings["rationales"] in MARKS:
        rows = _marked(run, table, settings)
    elif settings["objective"] != "label_only" or settings["tokens_as"]:
        asked, reasons = (run, table, settings["disagreement"]), settings["rationales"]
        said = narrower(*asked, reasons) if reasons in AT_MOST else teacher_says(*asked)
        alone = settings["disagreement"] == "label_alone"  # posts without a reason stay
        rows = rows.drop(columns=["label", "explanations"])
        rows = rows.merge(said, on="id", how="left" if alone else "inner")
        rows = rationales.label_alone(rows) if alone else rows
    if gold or settings["disagreement"] != "keep":
        rows = rows[rows["label"] == rows["gold"]]  # what explains the other label is of no use
    if rows.empty:
        raise ValueError("no post is left to learn from: look at confident and disagreement")
    if settings["rationales"] == "shuffled":
        rows = rationales.shuffled(rows, settings["seed"])
    rows = rationales.flipped(rows, settings["noise"], settings["seed"])
    soft, smooth = settings["label_source"] == "teacher_soft", settings.get("smoothing", 0)
    targets = objectives.targets(rows, "teacher_soft" if soft else "teacher")
    # Label smoothing (Szegedy et al. 2016) is a soft label, of hard ones.
    return [t | {"p_hate": abs(t["label"] - smooth)} for t in targets] if smooth else targets


def teacher_p(run: Run, table: pd.DataFrame, changes=({},)) -> np.ndarray:
    """The teacher's P(hate) (n,), mean over prompts, each 02's prompt with some words changed."""
    each = []
    for change in changes:
        asked = teacher(run)
        asked["prompt"] = asked["prompt"] | change
        each.append(_kept(run, asked, "p_hate", table, partial(_read_p, asked)))
    return np.mean([rows["p_hate"].to_numpy(float) for rows in each], axis=0)


def _read_p(asked: Mapping[str, Any], table: pd.DataFrame) -> pd.DataFrame:
    with scoring.teacher(asked) as classifier:
        return table[["id"]].assign(p_hate=classifier.p_hate(table))


def teacher_says(run: Run, table: pd.DataFrame, disagreement: str) -> pd.DataFrame:
    """Label and explanations of each post (id, label, explanations) the teacher explained.

    disagreement: as in notebook 02; to "rationalise" is to have it explain the gold label.
    """
    asked, again = teacher(run), disagreement == "rationalise"

    def ask(missing: pd.DataFrame) -> pd.DataFrame:
        with scoring.teacher(asked) as classifier:
            none = np.full(len(missing), np.nan)
            rows = rationales.read(missing, none, classifier.generate(missing))
            if again:
                differing = missing[missing["id"].isin(rationales.differing(rows)["id"])]
                rows = rationales.rationalised(rows, differing, classifier.rationalise(differing))
        return rows[["id", "label", "explanations"]]

    rows = _kept(run, asked, "told" if again else "says", table, ask)
    usable = rows["label"].notna() & (rows["explanations"].str.len() > 0)
    return rows[usable].astype({"label": int})


def narrower(run: Run, table: pd.DataFrame, disagreement: str, reasons: str):
    """The same, a quote having a share of the post's words at most (``AT_MOST`` of ``reasons``):
    those on which the teacher's own P(hate) rests, or that of the run's student."""
    said, asked = teacher_says(run, table, disagreement), teacher(run)
    what, opened = f"narrower-{AT_MOST[reasons]}-{disagreement}", partial(scoring.teacher, asked)
    if reasons.startswith("student"):
        trained = run.measured("03_qlora_distillation")["student"]
        folder, how = run.student(trained["folder"]), run.measured("04_evaluation")["asked"]
        opened = partial(scoring.student, trained, how, adapter=folder)
        what += f"-{sha256(folder / 'adapter_model.safetensors')[:8]}"
    labels, what = ((0, 1), f"{what}-all") if reasons == "student_all" else ((1,), what)

    def ask(missing: pd.DataFrame) -> pd.DataFrame:
        with opened() as classifier:
            p_hate, rows = faithfulness.asking(classifier), missing.drop(columns="text")
            return narrowing.narrowed(p_hate, rows, missing["text"], AT_MOST[reasons], labels)

    rows = _kept(run, asked, what, said.merge(table[["id", "text"]], on="id"), ask)
    if reasons == "brief":  # on a harmless post there is nothing to point at
        told = zip(rows["label"], rows["explanations"], strict=True)
        rows["explanations"] = [quotes if label else [] for label, quotes in told]
    return rows


def teacher(run: Run) -> dict[str, Any]:
    """How 02 asked its teacher."""
    asked = run.measured("02_cot_teacher")["teacher"]
    return {key: value for key, value in asked.items() if key not in ("ledger", "disagreement")}


def _kept(
    run: Run, asked: dict, what: str, table: pd.DataFrame, ask: Callable[[pd.DataFrame], Any]
) -> pd.DataFrame:
    """Rows of all posts of the table, in its order; those not kept from before are asked for."""
    path = run.study(f"teacher-{what}-{_digest(known_as(asked))}.jsonl")
    wanted = table[["id"]].assign(post=table["text"].map(_digest))
    value = "p_hate" if what == "p_hate" else "label"
    known = predictions.load(path) if path.exists() else wanted.assign(**{value: None})
    known = known.dropna(subset=value)  # what had no answer is asked about again
    same = wanted.merge(known[["id", "post"]])["id"]  # and another post under the same id
    missing = table[~table["id"].isin(same)]
    if len(missing):
        fresh = ask(missing).merge(wanted, on="id")
        predictions.write(pd.concat([known[~known["id"].isin(fresh["id"])], fresh]), path)
        known = predictions.load(path)
    return wanted.merge(known, on=["id", "post"]).drop(columns="post")


def known_as(asked: Mapping[str, Any]) -> str:
    """What a teacher's answers hang on: how it is asked, and the prompt as it now reads."""
    return json.dumps([asked, prompts.teacher("", **asked["prompt"])], sort_keys=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _marked(run: Run, table: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """``rationales.marked``: of the posts on which people marked words and the teacher quoted some,
    the words of either, or of all posts those that MiniLM, taught their labels, rests on."""
    whose = settings["rationales"]
    if whose == "classifier":
        scores = faithfulness.occlusion(
            encoder.load(), table["text"], table["label"], settings["seed"]
        )
        telling = partial(faithfulness.telling, scores, share=AT_MOST[whose])
        return rationales.marked(table, [[telling(text)] for text in table["text"]])
    told = teacher_says(run, table, "rationalise").set_index("id")["explanations"]
    words = {
        "human": [
            [text[a:b] for a, b in spans]
            for text, spans in zip(table["text"], table["rationale"], strict=True)
        ],
        "quotes": [[q["input"] for q in told.get(i, []) if q["how"]] for i in table["id"]],
    }
    both = [bool(a and b) for a, b in zip(*words.values(), strict=True)]
    return rationales.marked(table, [w * ok for w, ok in zip(words[whose], both, strict=True)])
