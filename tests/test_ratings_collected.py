"""What raters gave back is found, whichever way they rated."""

import json

import pytest
from test_ratings_results import SHEET, rate, student

from hsd_utils import ratings
from hsd_utils.paths import Run
from hsd_utils.ratings import label_studio, results, spreadsheet
from hsd_utils.ratings.form import Form


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path))
    return Run("r")


def test_only_human_files_are_collected_from_all_three_forms(run):
    items, key = SHEET
    assert results.collect(run, items) is None
    fake = ratings.simulate(items, raters=1)
    spreadsheet.write(items, run.ratings("returned/sim.csv"), "rater-sim1", fake)
    assert results.collect(run, items) is None
    table = rate(student, raters=["rater-aaaa"])
    spreadsheet.write(items, run.ratings("returned/a.csv"), "rater-aaaa", table)
    pytest.importorskip("ipywidgets")
    form = Form(items, run.ratings("returned/b.jsonl"), "rater-bbbb")
    for key in "y123":
        form.press(key)
    task = label_studio.tasks(items)[0]
    result = [{"from_name": "A_complete", "type": "choices", "value": {"choices": ["no"]}}]
    task["annotations"] = [{"completed_by": 3, "was_cancelled": False, "result": result}]
    run.ratings("returned/c.json").write_text(json.dumps([task]))
    found = results.collect(run, items)
    assert ratings.kind(found) == "human"
    assert found["rater"].value_counts().to_dict() == {
        "rater-aaaa": 52,
        "rater-bbbb": 1,
        "rater-ls003": 1,
    }
    spreadsheet.write(items, run.ratings("returned/again.csv"), "rater-aaaa", table)
    with pytest.raises(ValueError, match="rater-aaaa, item-001 A: is rated twice"):
        results.collect(run, items)


def test_two_label_studios_that_count_alike_are_no_one_rater(run):
    items, _ = SHEET
    result = [{"from_name": "A_complete", "type": "choices", "value": {"choices": ["no"]}}]
    for place, name in enumerate(("one.json", "other.json")):
        task = label_studio.tasks(items)[place]
        task["annotations"] = [{"completed_by": 1, "was_cancelled": False, "result": result}]
        run.ratings(f"returned/{name}").parent.mkdir(parents=True, exist_ok=True)
        run.ratings(f"returned/{name}").write_text(json.dumps([task]))
    with pytest.raises(ValueError, match="rater-ls001 stands in one.json and in other.json"):
        results.collect(run, items)
    task["annotations"][0]["completed_by"] = 2
    run.ratings("returned/other.json").write_text(json.dumps([task]))
    assert results.collect(run, items)["rater"].tolist() == ["rater-ls001", "rater-ls002"]
