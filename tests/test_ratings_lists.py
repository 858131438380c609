"""The lists of what raters left out and where they differ: whole, and no part of what is shared."""

import json
import subprocess

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from rated import drawn
from test_ratings_results import SHEET, rate, student, yes

from hsd_utils import paths, ratings
from hsd_utils.paths import Run
from hsd_utils.ratings import QUESTIONS, lists, report, results, spreadsheet


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path))
    plt.switch_backend("agg")
    yield Run("r")
    plt.close("all")


def written(run, name):
    """The rows of a list on disk, what is absent as None."""
    table = pd.read_csv(report.by_rater(run, name)).astype(object)
    return table.where(table.notna(), None).to_dict("records")


def test_what_is_published_names_no_rater_and_the_rest_stays_out_of_git(run):
    items, key = SHEET
    table = rate(student)
    table.loc[3, "complete"] = None
    table = ratings.check(table, items)
    found = results.measure(table, key, margin=0.1)
    report.save(found, run)
    saved = report.save_lists(table, items, key, run)
    shared = [path for path in run.folder.rglob("*.*") if run.ratings("") not in path.parents]
    texts = {path.name: path.read_bytes().decode("latin-1") for path in shared}
    assert {"ratings.json", "ratings.pdf", "ratings_agreement.tex"} <= set(texts)
    texts |= {"measured": json.dumps(found), "head": report.headline(found).data}
    assert not [name for name, text in texts.items() if "rater-" in text or "item-" in text]
    private = [path.name for path in run.ratings("by_rater").iterdir()]
    assert sorted(private) == sorted(f"{name}.csv" for name in ("ratings", *saved))
    page = (paths.REPOSITORY / "outputs/README.md").read_text(encoding="utf-8")
    assert not [name for name in saved if f"`{name}`" not in page]
    assert len(written(run, "ratings")) == len(table)
    kept = [report.by_rater(Run(name), "x") for name in ("reference", "demo")]
    kept = [f"outputs/{path.relative_to(paths.outputs())}" for path in kept]
    if not (paths.REPOSITORY / ".git").exists():
        pytest.skip("not a checkout: what git ignores cannot be asked")
    asked = ["git", "check-ignore", "--no-index", *kept]
    done = subprocess.run(asked, cwd=paths.REPOSITORY, capture_output=True, text=True)
    assert done.stdout.split() == kept


def test_raters_are_promised_what_is_done():
    (told,) = [line for line in ratings.rubric()["consent"] if "Published" in line]
    assert "sums over all raters" in told and "under no name" in told


def test_a_spreadsheet_saved_in_an_old_encoding_is_named_for_that(tmp_path):
    items, _ = drawn(texts=["Sit in the café.", *(f"post {n}" for n in range(24))], n=24, checks=0)
    spreadsheet.write(items, tmp_path / "a.csv", "rater-0001")
    text = (tmp_path / "a.csv").read_text(encoding="utf-8-sig")
    (tmp_path / "a.csv").write_text(text, encoding="cp1252")
    with pytest.raises(ValueError, match="a.csv is not UTF-8: save it once more"):
        spreadsheet.read(tmp_path / "a.csv", items)


def test_what_a_rater_left_out_is_named_and_stops_nothing(run):
    items, key = SHEET
    table = rate(student)
    table.loc[3, ["complete", "correct_gold"]] = None  # item-002 B
    table.loc[5, "complete"] = "skip"  # an answer
    table = ratings.check(table[:-2], items)  # rater-cccc never saw the last item
    saved = report.save_lists(table, items, key, run)
    found = saved["ratings_left_out"].to_dict("records")
    last = {"ratings": "human", "rater": "rater-cccc", "item": items[-1]["item"]}
    assert found == [
        {"ratings": "human", "rater": "rater-aaaa", "item": "item-002", "side": "B"}
        | {"questions": "complete, correct_gold"},
        *(last | {"side": side, "questions": ", ".join(QUESTIONS)} for side in "AB"),
    ]
    assert written(run, "ratings_left_out") == found
    differ = pd.DataFrame(written(run, "ratings_disagreements"))
    assert len(differ) == len(lists.disagreements(table, key)) > 3
    raters = ["rater-aaaa", "rater-bbbb", "rater-cccc"]
    assert list(differ) == ["ratings", "item", "side", "question", *raters]
    report.save(results.measure(table, key, margin=0.1), run)
    assert all(path.exists() for path in report.files(run))


def test_how_much_each_rater_saw_is_counted_from_what_came_back(run):
    items, key = drawn(count=200, n=60, checks=2)
    one, other = "rater-aaaa", "rater-bbbb"
    table = rate(yes, [one, other], (items, key))
    few = ["item-001", "item-002", "item-004"]  # of which the first is an attention check
    table = table[(table["rater"] == one) | table["item"].isin(few)]
    mine = table["rater"] == other
    table.loc[mine & table["item"].isin(few[:2]), list(QUESTIONS)] = "skip"
    table.loc[mine & (table["item"] == "item-004") & (table["side"] == "B"), "complete"] = "skip"
    rated = ratings.check(table, items)
    found = report.save_lists(rated, items, key, run)["ratings_exposure"].to_dict("records")
    assert [bool(row["check"]) for row in key[:4]] == [True, False, True, False]
    hate = [item["gold"] for item, row in zip(items, key, strict=True) if not row["check"]]
    assert found == [
        {"ratings": "human", "rater": one, "posts": 60, "hate": sum(hate)}
        | {"skipped": 0, "checks": 2, "sessions": 2, "passed": 2, "of": 4},
        {"ratings": "human", "rater": other, "posts": 2, "hate": sum(hate[:2])}
        | {"skipped": 1, "checks": 1, "sessions": 1, "passed": 0, "of": 0},
    ]
    assert written(run, "ratings_exposure") == found


def test_kappa_of_each_pair_of_raters_lies_with_what_names_them(run):
    items, key = SHEET
    found = report.save_lists(rate(student), items, key, run)["ratings_kappa"]
    gold = pd.DataFrame(written(run, "ratings_kappa")).query("question == 'correct_gold'")
    pairs = ["rater-aaaa, rater-bbbb", "rater-aaaa, rater-cccc", "rater-bbbb, rater-cccc"]
    assert gold["raters"].tolist() == pairs and gold["kappa"].tolist() == [0, 0, 1]
    assert found.groupby("question").size().to_dict() == dict.fromkeys(QUESTIONS, 3)
    (row,) = results.measure(rate(student), key, margin=0.1)["agreement"][2:]
    assert row["kappa"] == {"value": pytest.approx(1 / 3), "low": 0, "high": 1, "pairs": 3}


def test_two_answers_that_ask_the_same_and_differ_are_named(run):
    items, key = SHEET
    table = rate(yes, raters=["rater-aaaa"])
    same = {i["item"]: s for i in items for s in "AB" if i[s]["label"] == i["gold"]}
    other = next(i["item"] for i in items for s in "AB" if i[s]["label"] != i["gold"])
    item, side = next(iter(same.items()))
    table.loc[(table["item"] == item) & (table["side"] == side), "correct_gold"] = "partly"
    apart = [i for i in items if i["item"] == other][0]
    wrong = next(s for s in "AB" if apart[s]["label"] != apart["gold"])
    table.loc[(table["item"] == other) & (table["side"] == wrong), "correct_gold"] = "no"  # may
    found = report.save_lists(table, items, key, run)["ratings_contradictory"].to_dict("records")
    named = {"ratings": "human", "rater": "rater-aaaa", "item": item, "side": side}
    assert found == [named | {"correct_own": "yes", "correct_gold": "partly"}]
    assert written(run, "ratings_contradictory") == found


def test_lists_without_an_entry_and_of_simulated_raters(run):
    items, key = SHEET
    saved = report.save_lists(rate(yes, raters=["rater-aaaa"]), items, key, run)
    empty = ("ratings_left_out", "ratings_disagreements", "ratings_kappa")
    assert all(saved[name].empty for name in empty)
    assert written(run, "ratings_left_out") == []
    checks = [item["item"] for item in key if item["check"]]
    few = rate(yes)[lambda t: t["item"].isin(checks)]
    assert report.save_lists(few, items, key, run)["ratings_disagreements"].empty
    found = results.measure(few, key, margin=0.1)  # of no post anything
    assert {row["n"] for row in found["shares"]} == {0} and report.save(found, run)
    saved = report.save_lists(ratings.simulate(items), items, key, run)
    assert set(saved["ratings_disagreements"]["ratings"]) == {"simulated"}
    for name in saved:
        assert {row["ratings"] for row in written(run, name)} <= {"simulated"}
