"""Notebooks 04 and 07 run here, cell by cell, on fake models that answer at once.

What they write is measured again by hand.  The real models are in test_smoke.
"""

import json
import os
import random
import re
from contextlib import contextmanager

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from fakes import FakeEngine
from sklearn.metrics import f1_score

from hsd_utils import (
    encoder,
    ledger,
    paths,
    posts,
    predictions,
    prompts,
    provenance,
    readers,
    sampling,
)
from hsd_utils import scoring as scores
from hsd_utils.paths import Run
from hsd_utils.store import Store

SIZES = {"distil": 96, "dev": 24, "cal": 32, "eval": 64}
RUN = Run("toy")
PROMPT = {"shots": 2, "label_first": True, "definition": "un"}


def execute(stage, **parameters):
    """Run a notebook's code in this process; returns its names."""
    names = {}
    for n, cell in enumerate(nbformat.read(paths.NOTEBOOKS / f"{stage}.ipynb", 4).cells):
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{stage}[{n}]", "exec"), names)
            names |= parameters if "parameters" in cell.metadata.get("tags", []) else {}
    return names


@contextmanager
def fake(noise, model):
    """A classifier whose P(hate) is the label blurred; 0.2 of a text it does not know."""
    draw = random.Random(model)
    known = {
        sampling.clean_text(post.text): min(0.95, max(0.05, post.label + draw.gauss(0, noise)))
        for post in readers.read("corpus")[0].itertuples()
    }
    engine = FakeEngine(known, model=model)
    with Store.open(engine.identity) as store:
        yield scores.Classifier(engine, store, converse=prompts.student)


def rationale(post):
    """What notebook 02 would have written of a post."""
    said = {"explanations": [{"input": post.text.split()[0], "explanation": "so it is"}]}
    said |= {"id": post.id, "gold": post.label, "said": post.label, "label": post.label}
    return said | {"p_hate": None, "reason": None}


class Letters:
    """In place of MiniLM: how often each letter stands in a text."""

    def __call__(self, texts):
        return np.array([[t.lower().count(c) for c in "aeinorst"] for t in texts], float)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """04 and 07 after a run whose first three stages are written by hand."""
    plt.switch_backend("agg")
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSD_OUTPUTS", str(folder / "outputs"))
        patch.setenv("HSD_CACHE", str(folder / "cache"))
        unique, _ = sampling.deduplicate(sampling.clean(readers.read("corpus")[0])[0])
        for split, sample in sampling.draw(unique, SIZES, seed=0)[0].items():
            posts.write_jsonl(sample, RUN.sample(split))
        distil = posts.read_jsonl(RUN.sample("distil"))
        posts.write_rows(map(rationale, distil.itertuples()), RUN.rationales("distil"))
        adapter = RUN.folder / "students" / "s" / "adapter_model.safetensors"
        adapter.parent.mkdir(parents=True)
        adapter.touch()
        student = {"folder": "s", "base": "a/b", "label_source": "teacher_soft"}
        written = {
            "01_sampling": {"sampling": {"sizes": SIZES, "read": {"corpus": {}}}},
            "02_cot_teacher": {"teacher": {"model": "c/d", "prompt": PROMPT}},
            "03_qlora_distillation": {"student": student},
        }
        for stage, results in written.items():
            provenance.write_json(RUN.results(stage), results)
            parameters = provenance.defaults(stage) | {"run": "toy"}
            made = {"parameters": parameters, "inputs": {}, "outputs": {}, "seconds": 1}
            made |= {"finished": "2026", "commit": "c", "packages": {}, "hardware": {}}
            provenance.write_json(RUN.stage_manifest(stage), made)
        patch.setattr(scores, "teacher", lambda asked: fake(0.7, "fake/teacher"))
        patch.setattr(
            scores,
            "student",
            lambda trained, asked, adapter=None: fake(0.5 if adapter else 3, f"fake/{adapter}"[:9]),
        )
        plt.rcParams["savefig.dpi"] = 40
        patch.setattr(encoder, "load", Letters)
        names = {"04": execute("04_evaluation", run="toy", resamples=60, retrieved_posts=16)}
        sizes = {"functional_posts": 60, "unused_posts": 80, "disturbed_posts": 12}
        sizes |= {"teacher_posts": 20}
        names["07"] = execute("07_generalisation", run="toy", resamples=60, **sizes)
        plt.close("all")
        yield names, json.loads(RUN.metrics.read_text(), parse_constant=pytest.fail)


def test_baselines_stand_beside_the_models_with_their_supervision(done):
    models = done[1]["models"]
    names = ["teacher", "base", "student", "majority", "tfidf_svm", "tfidf_lr"]
    assert list(models) == [*names, "teacher_platt", "base_few_shot"]
    told = [m["supervision"] for m in models.values()]
    assert told == ["none", "none", "teacher", "gold", "gold", "gold", "gold", "none"]
    assert [m["parse_rate"] for m in models.values()][3:] == [None] * 5
    eval_posts = posts.read_jsonl(RUN.sample("eval"))
    for name, found in models.items():
        rows = predictions.load(RUN.predictions(name, "eval"))
        assert rows["id"].tolist() == eval_posts["id"].tolist()
        assert ((rows["p_hate"] >= found["threshold"]) == rows["predicted"]).all()
        expected = f1_score(eval_posts["label"], rows["predicted"], average="macro")
        assert found["macro_f1"]["value"] == pytest.approx(expected)
        assert found["calibration"]["debiased_after"] >= 0 and found["calibration"]["aurc"] <= 1
    assert models["majority"]["f1"]["value"] == pytest.approx(2 / 3)  # always hate, balanced


def test_the_plan_is_applied_to_the_comparisons(done):
    comparisons = {c["b"]: c for c in done[1]["comparisons"]}
    compared = {"teacher", "base", "majority", "tfidf_svm", "tfidf_lr"}
    assert set(comparisons) == compared | {"teacher_platt", "base_few_shot"}
    assert comparisons["teacher_platt"]["claim"] is None
    teacher = comparisons["teacher"]
    assert teacher["claim"] == "C2" and teacher["p_holm"] == pytest.approx(
        min(1, 3 * teacher["p_value"])
    )
    assert done[1]["detectable"] == {"posts": 64, "difference": pytest.approx(0.154, abs=5e-4)}
    assert comparisons["base"]["claim"] == "C3" and comparisons["base"]["p_holm"] is None


def test_the_teacher_with_gold_labels_and_the_base_with_its_prompt(done):
    names, metrics = done
    models, found = metrics["models"], metrics["supervised_alike"]["retrieved"]
    # Platt's curve bends P(hate) and leaves its order.
    assert models["teacher_platt"]["roc_auc"] == models["teacher"]["roc_auc"]
    assert models["teacher_platt"]["threshold"] == 0.5
    # The fake base knows posts, not prompts.
    assert models["base_few_shot"]["roc_auc"] == models["base"]["roc_auc"]
    part = names["04"]["part"]
    assert found["posts"] == 16 == len(part) and part["label"].nunique() == 2
    assert found["difference"]["difference"] == pytest.approx(
        found["retrieved"]["value"] - found["fixed"]["value"]
    )


def test_groups_and_agreement_are_apart(done):
    by = done[1]["by"]
    assert {row["model"] for row in by["target"]} == {"teacher", "base", "student"}
    assert all(row["posts"] >= 5 and "bpsn_auc" in row for row in by["target"])
    assert {row["annotators"] for row in by["agreement"]} == {"not known"}
    assert by["ceiling"] == []  # no post of HateXplain


def test_eval_labels_were_read_once_and_by_04_only(done):
    (entry,) = ledger.entries(RUN, "eval")
    assert entry["notebook"] == "04_evaluation" and entry["n"] == 64


def test_07_takes_only_texts_of_eval():
    cells = nbformat.read(paths.NOTEBOOKS / "07_generalisation.ipynb", 4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    uses = re.findall(r'(len\()?samples\["eval"\](\["text"\])?', code)
    assert uses and all(length or text for length, text in uses)
    assert not re.search(r"samples\[[a-z]", code.replace('samples[split]["text"] for split in', ""))


def test_hatecheck_and_prevalence_have_their_shape(done):
    names, metrics = done
    found = metrics["hatecheck"]
    assert found["posts_of"] == "corpus" and set(found["overall"]) >= {"student", "always hateful"}
    rows = found["functionalities"]
    rights = [row["student"]["value"] for row in rows]
    assert len(rows) > 10 and rights == sorted(rights)
    assert sum(row["posts"] for row in rows) == 60
    checks = names["07"]["checks"].set_index("functionality")["label"]
    for row in rows:
        assert row["always_hateful"] == pytest.approx(checks.loc[[row["functionality"]]].mean())
    rates = pd.DataFrame(metrics["prevalence"]["rates"])
    assert len(rates) == 4 * 2 * 4  # models, rules, prevalences
    one = rates[(rates["model"] == "student") & (rates["rule"] == "as it is")].iloc[1]
    tpr, fpr = one["recall"]["value"], one["fpr"]["value"]
    alerts = 0.05 * tpr + 0.95 * fpr
    assert one["prevalence"] == 0.05 and one["alerts"]["value"] == pytest.approx(1e4 * alerts)
    assert one["precision"]["value"] == pytest.approx(0.05 * tpr / alerts)
    assert [row["model"] for row in metrics["prevalence"]["cheapest"]] == list(
        names["07"]["scored"]
    )


def test_what_07_tested_was_not_taught_and_the_audit_says_so(done):
    names, metrics = done
    samples = names["07"]["samples"]
    for key in ("unused", "checks"):
        shared = {**samples, key: names["07"][key]}
        assert not [p for p in sampling.overlap(shared) if p not in sampling.overlap(samples)]
    audit = pd.DataFrame(metrics["generalisation"]["contamination"])
    assert set(audit["tested"]) == {"eval", "checks", "unused"}
    assert (audit["near_duplicates"] == 0).all()


def test_robustness_and_transfer_cover_every_model(done):
    names, metrics = done
    found = pd.DataFrame(metrics["generalisation"]["robustness"])
    assert len(found) == 4 * 6 and names["07"]["clean"]["label"].sum() == 6
    majority = found[found["model"] == "majority"]
    assert all(row["value"] == 0 for row in majority["flipped"])  # it does not read
    student = found[found["model"] == "student"]  # the fake one takes what it does not know for no
    assert all(row["value"] > 0 for row in student["flipped"])
    transfer = pd.DataFrame(metrics["generalisation"]["transfer"])
    assert transfer.groupby("posts of").size().to_dict() == dict.fromkeys(
        ("eval (04)", "checks", "unused"), 4
    )
    for name in names["07"]["scored"]:
        rows = predictions.load(RUN.predictions(name, "unused"))
        assert len(rows) == 80 and np.isfinite(rows["p_hate"]).all()


def test_files_are_those_listed_and_hold_no_post(done):
    for stage in ("04_evaluation", "07_generalisation"):
        manifest = json.loads(RUN.stage_manifest(stage).read_text())
        for name in manifest["outputs"]:
            assert os.path.getsize(RUN.folder / name), name
    assert all(
        f"figures/{n}.png" in RUN.summary.read_text() for n in ("simulator", "risk_coverage")
    )
    texts = [t for t in done[0]["07"]["unused"]["text"] if len(t) > 30]
    for file in [RUN.metrics, RUN.ledger, *RUN.table("x", "json").parent.iterdir()]:
        content = file.read_text()
        assert not [t for t in texts if t[:30] in content], file.name
