"""A run whose first three stages are written by hand, and fake models that answer at once.

For tests of notebooks 04 and 07, which run here cell by cell.
"""

import json
import random
from contextlib import contextmanager
from functools import cache

import numpy as np
import pandas as pd
import pytest
from cells import execute
from fakes import DONE, FakeEngine, Letters, Lost, drawn
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from hsd_utils import (
    calibration,
    encoder,
    metrics,
    posts,
    predictions,
    prevalence,
    prompts,
    provenance,
    readers,
    sampling,
    scoring,
)
from hsd_utils.paths import Run
from hsd_utils.store import Store

SIZES = {"distil": 96, "dev": 24, "cal": 32, "eval": 64}
RUN = Run("toy")
PROMPT = {"shots": 2, "label_first": True, "definition": "un"}


@cache
def known(noise, model):
    draw = random.Random(model)
    return {
        sampling.clean_text(post.text): min(0.95, max(0.05, post.label + draw.gauss(0, noise)))
        for post in readers.read("corpus")[0].itertuples()
    }


@contextmanager
def fake(noise, model, silent=0):
    """A classifier whose P(hate) is the label blurred; 0.2 of a text it does not know.

    silent: of so many texts one is too long for it; 1: it explains first, and nothing it says
    can be parsed.
    """
    p_hate = known(noise, model)
    said = {"free": dict.fromkeys(p_hate, "no idea")} if silent == 1 else {}
    said |= {"ends": Lost(silent)} if silent > 1 else {}
    engine = FakeEngine(p_hate, model=model, **said)
    with Store.open(engine.identity) as store:
        asked = {"converse": prompts.student, "label_first": silent != 1}
        yield scoring.Classifier(engine, store, **asked)


def done(folder, patch, teacher=0, base=0, student=0):
    """04 and 07 in a new folder: the names each leaves behind, and the metrics.

    teacher, base, student: how silent each is (``fake``).
    """
    patch.setenv("HSD_OUTPUTS", str(folder / "outputs"))
    patch.setenv("HSD_CACHE", str(folder / "cache"))
    prepare()
    patch.setattr(scoring, "teacher", lambda asked: fake(0.7, "fake/teacher", teacher))
    patch.setattr(
        scoring,
        "student",
        lambda trained, asked, adapter=None: (
            fake(0.5, f"fake/{adapter.name}", student) if adapter else fake(3, "fake/base", base)
        ),
    )
    patch.setattr(encoder, "load", Letters)
    names = {"04": execute("04_evaluation", run="toy", resamples=60, retrieved_posts=16)[0]}
    sizes = {"functional_posts": 60, "unused_posts": 80, "disturbed_posts": 12}
    sizes |= {"teacher_posts": 20}
    names["07"], _ = execute("07_generalisation", run="toy", resamples=60, **sizes)
    return names, json.loads(RUN.metrics.read_text(), parse_constant=pytest.fail)


def by_hand(label, p_hate, threshold, middle=0.5):
    """Measures as scikit-learn has them; without a P(hate) the verdict is the other label's."""
    label, p = np.asarray(label), pd.Series(list(p_hate), dtype=float)
    said = (p >= threshold).astype(int).where(p.notna(), 1 - label)
    return {
        "macro_f1": f1_score(label, said, average="macro"),
        "accuracy": accuracy_score(label, said),
        "roc_auc": roc_auc_score(label, p.fillna(middle)),
        "recall": said[label == 1].mean(),
    }


def of_04(names, written):
    """What 04 says, found and by hand: triples of what, found, expected."""
    gold, cal = names["gold"], names["cal"]["label"]
    for name, found in written["models"].items():
        rows = predictions.load(RUN.predictions(name, "eval"))
        p, at = rows["p_hate"].astype(float), found["threshold"]
        middle = names["curve"]([0.5])[0] if name == "teacher_platt" else 0.5
        hand = by_hand(gold, p, at, middle)
        yield from ((f"{name}: {key}", found[key]["value"], hand[key]) for key in hand)
        yield f"{name}: unread", found["unread"], p.isna().sum()
        yield f"{name}: explained", list(rows["predicted"]), list((p.fillna(middle) >= at) * 1)
    each = []
    for (p_cal, p_eval), row in zip(names["trainings"].values(), written["seeds"], strict=True):
        at = metrics.best_threshold(cal, pd.Series(p_cal).fillna(0.5))
        each.append(by_hand(gold, p_eval, at))
        yield "a training", row["macro-F1"]["value"], each[-1]["macro_f1"]
    for row in written["comparisons"]:
        mean = np.mean([hand[row["metric"]] for hand in each])
        other = written["models"][row["b"]][row["metric"]]["value"]
        yield f"{row['b']}: compared", row["difference"], mean - other
    for table in (names["per_source"]["base"], written["by"]["agreement"], written["by"]["target"]):
        for row in table:  # of the base nothing could be read
            if row.get("model", "base") == "base":
                yield "base", row.get("macro_f1", row.get("fpr", row))["value"], float("fpr" in row)


def of_07(names, written):
    """The same of 07: the student, and the teacher on its part."""
    at, p, tables = names["thresholds"]["student"], names["as_read"]["student"], names["sets"]
    found = written["generalisation"]["transfer"]
    for row in (row for row in found if row["model"] == "student" and row["posts of"] in tables):
        hand = by_hand(tables[row["posts of"]]["label"], p[row["posts of"]], at)
        yield "transfer", row["macro-F1"]["value"], hand["macro_f1"]
        yield "transfer, ranked", row["ROC-AUC"]["value"], hand["roc_auc"]
        rows = predictions.load(RUN.predictions("student", row["posts of"]))
        yield "written", rows["p_hate"].isna().tolist(), np.isnan(p[row["posts of"]]).tolist()
        yield "told", list(rows["predicted"]), list((rows["p_hate"].fillna(0.5) >= at) * 1)
    right = by_hand(tables["checks"]["label"], p["checks"], at)["accuracy"]
    yield "functional", written["hatecheck"]["overall"]["student"], right
    own = (names["part"]["label"], names["p_part"], names["thresholds"]["teacher"])
    found = {row["model"]: row["right"]["value"] for row in written["hatecheck"]["with_teacher"]}
    yield "teacher", found["teacher"], by_hand(*own)["accuracy"]
    for row in written["generalisation"]["robustness"]:
        for key, of in {"macro_f1_clean": "clean", "macro_f1": row["change_of_text"]}.items():
            if row["model"] == "student":
                ranked = predictions.ranked(p[of])
                yield of, row[key], by_hand(names["clean"]["label"], ranked, at)["macro_f1"]
    label, ranked = names["unused"]["label"], predictions.ranked(p["unused"])
    bent = calibration.platt(names["cal"]["label"], predictions.ranked(p["cal"]))(ranked)
    for row in (row for row in written["prevalence"]["rates"] if row["model"] == "student"):
        moved = prevalence.shifted(bent, names["prior"], row["prevalence"])
        way = (moved, 0.5) if row["rule"] == "shifted" else (p["unused"], at)
        yield row["rule"], row["recall"]["value"], by_hand(label, *way)["recall"]
    found = written["prevalence"]["cheapest"][0]
    missed = 1 - by_hand(label, ranked, found["threshold"])["recall"]
    yield "cheapest", found["missed"], missed * names["volume"] * names["expected"]


def rationale(post):
    """What notebook 02 would have written of a post."""
    said = {"explanations": [{"input": post.text.split()[0], "explanation": "so it is"}]}
    said |= {"id": post.id, "gold": post.label, "said": post.label, "label": post.label}
    return said | {"p_hate": None, "reason": None}


def prepare():
    """Samples, rationales, a student's folder, and what 01 to 03 leave behind."""
    for split, sample in drawn(SIZES).items():
        posts.write_jsonl(sample, RUN.sample(split))
    distil = posts.read_jsonl(RUN.sample("distil"))
    before = RUN.folder / "drawn_before.txt"
    before.write_text("\n".join([*posts.read_jsonl(RUN.sample("eval"))["id"][:9], "another-1"]))
    posts.write_rows(map(rationale, distil.itertuples()), RUN.rationales("distil"))
    for name in ("s", "s-7"):
        adapter = RUN.student(name) / "adapter_model.safetensors"
        adapter.parent.mkdir(parents=True)
        adapter.touch()
    student = {"folder": "s", "base": "a/b", "supervision": "teacher", "seed": 0}
    student |= {"further": [{"seed": 7, "folder": "s-7"}]}
    written = {
        "01_sampling": {"sampling": {"sizes": SIZES, "read": {"corpus": {}}}},
        "02_cot_teacher": {"teacher": {"model": "c/d", "prompt": PROMPT}},
        "03_qlora_distillation": {"student": student},
    }
    for stage, results in written.items():
        provenance.write_json(RUN.results(stage), results)
        parameters = provenance.defaults(stage) | {"run": "toy"}
        parameters |= {"drawn_before": str(before)} if stage == "01_sampling" else {}
        provenance.write_json(RUN.stage_manifest(stage), DONE | {"parameters": parameters})
