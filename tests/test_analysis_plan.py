"""The plan is whole and true to its own numbers; reads of eval labels leave a trace."""

import copy
import json

import pytest

from hsd_utils import analysis_plan, ledger, paths, posts, provenance
from hsd_utils.baselines import BASELINES
from hsd_utils.paths import Run

PLAN = analysis_plan.read()
OTHERS = ("teacher", "base", "majority", "tfidf_svm", "tfidf_lr", "minilm", "label_only")


def test_the_committed_plan_is_sound_and_of_this_project():
    assert set(PLAN["confirmatory"]) == {"C2", "C3", "C4"} and PLAN["primary"] == "macro_f1"
    reference = analysis_plan.yaml.safe_load((paths.PROFILES / "reference.yaml").read_text())
    planned = {
        k.removesuffix("_size"): v for k, v in reference["01_sampling"].items() if "size" in k
    }
    assert planned == PLAN["sizes"]
    learned = {b for _, b in PLAN["confirmatory"]["C3"]["pairs"]} - {"base"}
    assert learned <= set(BASELINES)
    known = provenance.defaults("03_qlora_distillation")
    assert set(PLAN["recipe_search"]["space"]) <= set(known)
    assert provenance.defaults("06_explanations")["margin"] == PLAN["margin"]
    for values in PLAN["recipe_search"]["space"].values():
        assert all(isinstance(value, int | float) for value in values)  # YAML takes 1e-4 for text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda plan: plan.pop("seeds"), r"missing: \['seeds'\]"),
        (lambda plan: plan.update(colour=1), r"unknown: \['colour'\]"),
        (lambda plan: plan.update(primary="f2"), "primary 'f2' is no measure"),
        (lambda plan: plan.update(correction="none"), "only correction is holm"),
        (lambda plan: plan.update(alpha=5), "alpha is 5"),
        (lambda plan: plan.update(margin=10), "margin is 10, not between 0 and 1"),
        (lambda plan: plan.pop("margin"), r"missing: \['margin'\]"),
        (lambda plan: plan["sizes"].pop("dev"), "sizes are of distil, dev"),
        (lambda plan: plan["recipe_search"].update(split="eval"), "on dev only"),
        (lambda plan: plan["confirmatory"].update(C2={"pairs": []}), "C2 needs pairs"),
        (lambda plan: plan["detectable"].update({800: 0.02}), "800 posts detect 0.0442, not 0.02"),
        (lambda plan: plan["sizes"].update(eval=801), "for the size of eval"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(change, said, tmp_path):
    plan = copy.deepcopy(PLAN)
    change(plan)
    file = tmp_path / "plan.yaml"
    file.write_text(analysis_plan.yaml.safe_dump(plan))
    with pytest.raises(ValueError, match=said):
        analysis_plan.read(file)


def compared(p_values, metric="macro_f1"):
    return [{"a": "student", "b": b, "metric": metric, "p_value": p} for b, p in p_values.items()]


def test_holm_goes_over_the_claims_and_a_claim_is_as_weak_as_its_weakest_pair():
    p = dict.fromkeys(OTHERS, 0.001) | {"teacher": 0.02, "minilm": 0.012, "label_only": 0.3}
    found = {c["b"]: c for c in analysis_plan.corrected(compared(p), PLAN, "teacher")}
    # C3 has 0.012, C2 0.02, C4 0.3: times 3, 2, 1
    assert found["base"]["claim"] == found["minilm"]["claim"] == "C3"
    assert found["base"]["p_holm"] == found["minilm"]["p_holm"] == pytest.approx(0.036)
    assert found["teacher"]["p_holm"] == pytest.approx(0.04)
    assert found["label_only"]["p_holm"] == pytest.approx(0.3)
    assert found["base"]["p_value"] == 0.001  # what was measured stays


def test_what_was_not_tested_still_counts_in_the_family():
    found = analysis_plan.corrected(
        compared({"teacher": 0.02, "base": 0.001, "hatesonar": 0.01}), PLAN, "teacher"
    )
    teacher, base, hatesonar = found
    assert teacher["p_holm"] == pytest.approx(0.06)  # three claims, though one was tested
    assert base["claim"] == "C3" and base["p_holm"] is None  # its other pairs are missing
    assert hatesonar["claim"] is None and hatesonar["p_holm"] is None
    (other,) = analysis_plan.corrected(compared({"teacher": 0.02}, "roc_auc"), PLAN)
    assert other["claim"] is None
    # A student of gold labels tests no claim about its teacher's.
    teacher, base = analysis_plan.corrected(
        compared({"teacher": 0.02, "base": 0.001}), PLAN, "gold"
    )
    assert teacher["claim"] is None and teacher["p_holm"] is None and base["claim"] == "C3"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path))
    run = Run("toy")
    write(run, ["one text", "two text"])
    return run


def write(run, texts):
    rows = [{"id": t, "source": "s", "text": t, "label": n % 2} for n, t in enumerate(texts)]
    posts.write_jsonl(posts.make(rows), run.sample("eval"))


def test_every_read_is_a_line_that_stays(run):
    assert ledger.entries(run) == []
    table = ledger.read(run, "04_evaluation", "eval")
    assert table["text"].tolist() == ["one text", "two text"]
    first = run.ledger.read_text()
    ledger.read(run, "07_generalisation", "eval")
    assert run.ledger.read_text().startswith(first) and first.count("\n") == 1
    made = ledger.entries(run)
    assert [e["notebook"] for e in made] == ["04_evaluation", "07_generalisation"]
    assert set(json.loads(first)) == {"time", "commit", "notebook", "split", "n", "hash"}
    assert made[0]["n"] == 2 and made[0]["hash"] == paths.sha256(run.sample("eval"))
    assert "text" not in first  # no post


def test_a_new_draw_has_no_earlier_reads(run):
    ledger.read(run, "04_evaluation", "eval")
    assert len(ledger.entries(run, "eval")) == 1
    write(run, ["three text", "four text"])
    assert ledger.entries(run, "eval") == [] and len(ledger.entries(run)) == 1


def test_a_line_that_was_cut_off_costs_no_other_and_is_said(run, caplog):
    ledger.read(run, "04_evaluation", "eval")
    run.ledger.write_text(2 * run.ledger.read_text() + '{"time": "20')
    ledger.read(run, "06_explanations", "eval")
    assert [e["notebook"][:2] for e in ledger.entries(run, "eval")] == ["04", "04", "06"]
    assert "1 damaged line(s)" in caplog.text


def test_a_read_of_nothing_is_not_written_down(run):
    with pytest.raises(FileNotFoundError):
        ledger.read(run, "04_evaluation", "cal")
    assert not run.ledger.exists()
