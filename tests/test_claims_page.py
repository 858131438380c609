"""The claims page: every claim in order, what its rows say beside the verdict, and the scale."""

import json

import pytest
from test_claims import EMPTY, evaluated, measure, pair

from hsd_utils import claims, provenance, summary
from hsd_utils.paths import Run


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path / "outputs"))
    made = Run("toy")
    made.folder.mkdir(parents=True)
    found = evaluated("gold", pair("teacher", 0.1, 0.05, 0.15))
    final = pair("label_only", -0.02, -0.04, -0.01, p_holm=0.03) | {"claim": "C4a", "seeds": [0, 1]}
    final["learned"] = 2000
    finals = [final | {"n": 300}, final | {"n": 300, "claim": "C4a (tokens)", "difference": -0.03}]
    cell = {"factor": "shots", "name": "2 shots", "n": 0}
    cell["metrics"] = {"roc_auc": measure(0.71, 0.6, 0.8)}
    fresh = [final | {"n": 200, "difference": 0.01, "low": -0.03, "high": 0.05}]
    found["study"] = {"cells": [cell], "finals": finals, "finals_fresh": fresh}
    made.metrics.write_text(json.dumps({k: v for k, v in found.items() if k not in EMPTY}))
    return made


def test_the_page_has_every_claim_and_its_scale(run):
    shown = claims.write(run)
    rows = json.loads((run.folder / "claims.json").read_text())
    named = [row["claim"] for row in rows]
    assert [c for c in named if c != "C4a (tokens)"] == [c for c in claims.SAYS if c != "C4b"]
    assert named.index("C4a (tokens)") == named.index("C4a") + 1
    fields = {"claim", "experiment", "value", "low", "high", "verdict", "supervision", "file"}
    known = {"supported", "not supported", "inconclusive", "not testable here"}
    assert all(fields <= set(row) and row["verdict"] in known for row in rows)
    assert all(row["scale"].startswith("scaled down") for row in rows)
    found = {row["claim"]: row for row in rows}
    assert found["C4"]["verdict"] == "not supported" and "over seeds" in found["C4"]["experiment"]
    assert found["C4"]["note"].startswith("2,000 posts learned from, 2 seeds, 300 posts compared")
    assert "on; 0.01 (-0.03–0.05) on the 200 that no earlier work had drawn" in found["C4"]["note"]
    assert "earlier work" not in found["C4a (tokens)"]["note"]
    assert found["C4a"]["value"] == found["C4"]["value"] == -0.02
    assert "ROC-AUC on dev: 2 shots 0.71" in found["C13"]["note"]
    page = (run.folder / "claims.md").read_text()
    assert "| C13: open" in shown and "ROC-AUC on dev: 2 shots" not in shown  # notes: on the page
    assert "| C13: open" in page and "ROC-AUC on dev: 2 shots 0.71" in page


def test_what_came_of_it_on_another_run_s_new_posts_stands_beside_it(run):
    before = {row["claim"]: row["note"] for row in claims.collect(run)}
    rows = [row | {"value": 0.02, "low": -0.01, "high": 0.05} for row in claims.collect(run)]
    rows = [row | {"verdict": "inconclusive"} for row in rows if row["claim"] in ("C2b", "C4")]
    rows.append(rows[0] | {"claim": "C4a", "value": None})
    for name, kept in (("again", "toy"), ("another", "else")):
        other = Run(name)
        provenance.write_json(
            other.stage_manifest("01_sampling"), {"parameters": {"kept_from": kept}}
        )
        provenance.write_json(other.folder / "claims.json", rows)
    after = {row["claim"]: row["note"] for row in claims.collect(run)}
    said = "; on the new posts of run again: 0.02 (-0.01–0.05), inconclusive"
    assert {c for c in after if after[c] != before[c]} == {"C2b", "C4"}
    assert all(after[claim] == before[claim] + said for claim in ("C2b", "C4"))


def test_the_papers_models_on_the_papers_posts_are_not_scaled_down():
    drawn = {"sizes": {"eval": 1900}, "read": {"paper_eval": {}}}
    found = {"student": {"base": "unsloth/llama-3-8b-Instruct-bnb-4bit"}, "sampling": drawn}
    for owner in ("", "meta-llama/Meta-"):
        found["teacher"] = {"model": f"{owner}Llama-3-70B-Instruct"}
        assert claims.scaled(found)[:9] == "the paper"
    for other in ({"read": {"ethos": {}}}, {"sizes": {"eval": 60}}):
        assert claims.scaled(found | {"sampling": drawn | other})[:6] == "scaled"
    drawn |= {"read": {"ethos": {}, "davidson": {}}, "draw": {"drawn": {"eval": {"ethos": {}}}}}
    assert claims.scaled(found | {"sampling": drawn}).endswith("1900 evaluation posts of ethos")


def test_what_06_measured_stands_beside_c5_and_decides_nothing(run):
    told = {key: measure(0.9, 0.8, 1.0) for key in summary.EXPLAINED}
    told["token_f1"] = measure(None, None, None)
    written = {"teacher": told, "student": told | {"quotes_found": measure(0.5, 0.4, 0.6)}}
    known = json.loads(run.metrics.read_text())
    row = {r["claim"]: r for r in claims.collect(run)}["C5"]
    assert "student and teacher" not in row["note"] and row["file"] is None  # 06 was not run
    run.metrics.write_text(json.dumps(known | {"explanations": {"measures": written}}))
    row = {r["claim"]: r for r in claims.collect(run)}["C5"]
    assert row["verdict"] == "not testable here" and row["file"] == "explanations.json"
    assert "of student and teacher: quotes found 0.50 and 0.90, compre" in row["note"]
    assert "token-F1" not in row["note"]
