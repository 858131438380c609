"""Notebooks 04 and 07 run here, cell by cell, on fake models that answer at once.

What they write is measured again by hand.  The real models are in test_smoke.
"""

import json
import os
import re

import evaluated
import numpy as np
import pandas as pd
import pytest
from cells import code
from evaluated import RUN
from fakes import Lost
from sklearn.metrics import f1_score

from hsd_utils import claims, ledger, posts, predictions, sampling


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """04 and 07 after a run whose first three stages are written by hand."""
    with pytest.MonkeyPatch.context() as patch:
        yield evaluated.done(tmp_path_factory.mktemp("run"), patch)


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
        assert found["calibration"]["risk_all"] == pytest.approx(1 - found["accuracy"]["value"])
    assert models["majority"]["f1"]["value"] == pytest.approx(2 / 3)  # always hate, balanced


def test_the_plan_is_applied_to_the_comparisons(done):
    comparisons = {c["b"]: c for c in done[1]["comparisons"] if c["metric"] == "macro_f1"}
    beside = {c["b"]: c for c in done[1]["comparisons"] if c["metric"] == "roc_auc"}
    assert set(beside) == set(comparisons) and not any(c["claim"] for c in beside.values())
    compared = {"teacher", "base", "majority", "tfidf_svm", "tfidf_lr"}
    assert set(comparisons) == compared | {"teacher_platt", "base_few_shot"}
    assert comparisons["teacher_platt"]["claim"] is None
    teacher = comparisons["teacher"]
    assert teacher["claim"] == "C2" and teacher["p_holm"] == pytest.approx(
        min(1, 3 * teacher["p_value"])
    )
    assert done[1]["detectable"] == {"posts": 64, "difference": pytest.approx(0.154, abs=5e-4)}
    assert comparisons["base"]["claim"] == "C3" and comparisons["base"]["p_holm"] is None


def test_pairs_are_compared_without_the_posts_that_earlier_work_had_drawn(done):
    names, metrics = done
    gold, kept = names["04"]["gold"][9:], slice(9, None)
    assert metrics["fresh"]["posts"] == len(gold)
    found = {(c["b"], c["metric"]): c for c in metrics["fresh"]["comparisons"]}
    assert {b for b, _ in found} == {c["b"] for c in metrics["comparisons"]}
    for other in ("teacher", "majority"):
        theirs = f1_score(gold, names["04"]["judged"][other]["predicted"][kept], average="macro")
        ours = [f1_score(gold, said[kept], average="macro") for said in names["04"]["verdicts"]]
        compared = found[other, "macro_f1"]
        assert compared["difference"] == pytest.approx(np.mean(ours) - theirs)
        assert compared["claim"] is None  # the plan's tests are of all posts


def test_further_trainings_stand_beside_the_first_and_enter_the_comparisons(done):
    names, metrics = done
    first, other = metrics["seeds"]
    assert (first["seed"], other["seed"]) == (0, 7)
    assert first["macro-F1"] == metrics["models"]["student"]["macro_f1"] != other["macro-F1"]
    titles = {"macro_f1": "macro-F1", "roc_auc": "ROC-AUC"}
    said = names["04"]["judged"]["student"]["predicted"]
    assert list(names["04"]["verdicts"][0]) == list(said)
    for compared in metrics["comparisons"]:
        measure, title = compared["metric"], titles[compared["metric"]]
        mean = (first[title]["value"] + other[title]["value"]) / 2
        gap = mean - metrics["models"][compared["b"]][measure]["value"]
        assert compared["difference"] == pytest.approx(gap) and compared["seeds"] == [2, 1]


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
    assert found["student_beside"]["difference"] == pytest.approx(
        found["student"]["value"] - found["retrieved"]["value"]
    )


def test_groups_and_agreement_are_apart(done):
    by = done[1]["by"]
    assert {row["model"] for row in by["target"]} == set(done[1]["models"])
    assert all(row["posts"] >= 5 and "bpsn_auc" in row for row in by["target"])
    assert {row["annotators"] for row in by["agreement"]} == {"not known"}
    assert by["ceiling"] == []  # no post of HateXplain


def test_eval_labels_were_read_once_and_by_04_only(done):
    (entry,) = ledger.entries(RUN, "eval")
    assert entry["notebook"] == "04_evaluation" and entry["n"] == 64


def test_07_takes_only_texts_of_eval():
    whole = "\n".join(code("07_generalisation"))
    uses = re.findall(r'(len\()?samples\["eval"\](\["text"\])?', whole)
    assert uses and all(length or text for length, text in uses)
    assert not re.search(
        r"samples\[[a-z]", whole.replace('samples[split]["text"] for split in', "")
    )


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
    assert len(found) == 4 * 7 and names["07"]["clean"]["label"].sum() == 6
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


def test_the_teacher_answers_for_a_part(done):
    names, metrics = done
    rows = pd.DataFrame(metrics["hatecheck"]["with_teacher"]).set_index("model")
    assert set(rows.index) == {*names["07"]["scored"], "teacher"} and set(rows["posts"]) == {20}
    part, p = names["07"]["part"], names["07"]["p_part"]
    right = (p >= metrics["models"]["teacher"]["threshold"]) == part["label"]
    assert rows.at["teacher", "right"]["value"] == pytest.approx(right.mean())
    said = predictions.load(RUN.predictions("tfidf_lr", "checks")).set_index("id")["predicted"]
    right = said.loc[part["id"]].to_numpy() == part["label"].to_numpy()
    assert rows.at["tfidf_lr", "right"]["value"] == pytest.approx(right.mean())
    probe = metrics["generalisation"]["completion"]
    assert 0 < probe["posts"] <= 20 and probe["nearly_verbatim"] == 0
    assert probe["own"]["value"] - probe["other"]["value"] == pytest.approx(
        probe["difference"]["value"]
    )


def test_other_policies_move_no_model_that_does_not_read_its_prompt(done):
    rows = pd.DataFrame(done[1]["generalisation"]["policies"])
    assert set(rows["model"]) == {"student", "teacher"} and len(rows) == 2 * 2 * 2
    assert rows["posts"].sum() == 24 * 2 * 2
    assert all(m["value"] == 0 for column in ("fall", "flipped") for m in rows[column])


def test_languages_and_breadth(done):
    names, metrics = done
    found = metrics["generalisation"]
    assert {row["language"] for row in found["languages"]} == {"en"}
    assert {row["n"] for row in found["languages"]} == {80} and len(found["languages"]) == 4
    assert set(found["breadth"]["overall"]) == {"tfidf_lr"}
    sources = names["07"]["distil"]["source"]
    assert {row["source"] for row in found["breadth"]["rows"]} == set(sources)
    assert {row["source"] for row in found["left_out"]} == set(sources)
    value = found["breadth"]["overall"]["tfidf_lr"]
    page = {row["claim"]: row for row in claims.collect(RUN)}
    assert page["C10"]["value"] == value["value"] and page["C2"]["supervision"] == "teacher"


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


def test_posts_that_could_not_be_read_count_as_wrong_and_stop_nothing(tmp_path, monkeypatch):
    names, written = evaluated.done(tmp_path, monkeypatch, teacher=9, base=1, student=5)
    unread = {name: found["unread"] for name, found in written["models"].items()}
    texts = names["04"]["held_out"]["text"]
    told, own = (sum(bool(Lost(n).get(text)) for text in texts) for n in (9, 5))
    counted = {"teacher": told, "base": len(texts), "student": own, "teacher_platt": told}
    assert unread == dict.fromkeys(unread, 0) | counted and told and own
    pairs = [*evaluated.of_04(names["04"], written), *evaluated.of_07(names["07"], written)]
    for what, found, expected in pairs:
        assert found == pytest.approx(expected), what
