"""Ratings back in: faults named, raters joined, measures by hand, nothing passed off as human."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from rated import drawn

from hsd_utils import ratings, statistics
from hsd_utils.paths import Run
from hsd_utils.ratings import (
    QUESTIONS,
    equivalence,
    label_studio,
    lists,
    report,
    results,
    spreadsheet,
)

SHEET = drawn(n=24, checks=2)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path))
    plt.switch_backend("agg")
    yield Run("r")
    plt.close("all")


def rate(answer, raters=("rater-aaaa", "rater-bbbb", "rater-cccc"), sheet=SHEET):
    """Human ratings: ``answer(rater, key row, side, question)`` of everything on the sheet."""
    items, key = sheet
    rows = [
        {"kind": "human", "sheet": items[0]["sheet"], "rater": r, "item": k["item"], "side": side}
        | {question: answer(r, k, side, question) for question in QUESTIONS}
        for r in raters
        for k in key
        for side in "AB"
    ]
    return pd.DataFrame(rows)


def yes(*_):
    return "yes"


def row_of(rows, **wanted):
    (found,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return found


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (lambda t: pd.concat([t, t[2:3]]), "rater-aaaa, item-002 A: is rated twice"),
        (lambda t: t.replace("yes", "perhaps"), "item-001 A: complete is 'perhaps'"),
        (lambda t: t.replace("yes", 1), "item-001 A: complete is '1'"),
        (lambda t: t.replace("item-003", "item-999"), "rater-aaaa, item-999 A: is not on"),
        (lambda t: t.replace("B", "C"), "rater-aaaa, item-001 C: is not on the sheet"),
        (lambda t: t.replace("rater-aaaa", "Maria E."), "Maria E., item-001 A: the rater is no"),
        (lambda t: t.assign(sheet="0"), "rater-aaaa, item-001 A: rates sheet 0, not"),
        (lambda t: t.replace("human", None), "rater-aaaa, item-001 A: kind is None"),
        (lambda t: t.replace("human", "real"), "rater-aaaa, item-001 A: kind is 'real'"),
        (lambda t: t.drop(columns="side"), "lack the columns side"),
        (lambda t: t.replace("yes", None), "ratings: no rating was given by rater-aaaa"),
    ],
)
def test_a_fault_names_rater_and_item(fault, named):
    table = rate(yes, raters=["rater-aaaa"])
    assert len(ratings.check(table, SHEET[0])) == len(table)
    with pytest.raises(ValueError) as error:
        ratings.check(fault(table), SHEET[0])
    assert named in str(error.value)


def test_raters_may_stop_and_many_faults_are_cut_short():
    table = rate(yes)[:-7]
    table.loc[3, "complete"] = None
    found = ratings.check(table, SHEET[0])
    assert len(found) == len(table) and found.loc[3, "complete"] is None
    assert results.measure(found, SHEET[1], margin=0.1)["posts"] == 24
    many = table.replace("yes", "?")
    with pytest.raises(ValueError, match=r"\.\.\. and \d+ more"):
        ratings.check(many, SHEET[0])


def test_human_and_simulated_are_never_mixed():
    fake = ratings.simulate(SHEET[0], raters=2, seed=1)
    assert ratings.kind(fake) == "simulated" and set(fake["kind"]) == {"simulated"}
    assert fake.equals(ratings.simulate(SHEET[0], raters=2, seed=1))
    assert not fake.equals(ratings.simulate(SHEET[0], raters=2, seed=2))
    with pytest.raises(ValueError, match="not mixed"):
        ratings.check(pd.concat([fake, rate(yes)]), SHEET[0])


def student(rater, key, side, question):
    """Of the student: two of three raters say partly of gold where it is wrong, one says yes."""
    if key["check"]:
        return key["check"][side] if rater != "rater-bbbb" else "yes"
    if key[side] == "student" and question == "correct_gold" and not key["right"]["student"]:
        return "yes" if rater == "rater-aaaa" else "partly"
    return "yes"


def test_shares_agreement_and_attention_by_hand():
    items, key = SHEET
    found = results.measure(ratings.check(rate(student), items), key, margin=0.1)
    posts = [row for row in key if not row["check"]]
    right = sum(row["right"]["student"] for row in posts)
    mine = row_of(found["shares"], model="student", question="correct_gold", posts="all")
    assert (mine["n"], mine["yes"], mine["partly"], mine["no"]) == (24, right, 24 - right, 0)
    assert mine["share"] == statistics.wilson(right, 24)
    weights = np.array([row["weight"] for row in posts])
    truth = np.average([row["right"]["student"] for row in posts], weights=weights)
    assert mine["population"]["value"] == pytest.approx(truth) != right / 24
    assert mine["population"]["low"] < truth < mine["population"]["high"]
    both = sum(all(row["right"].values()) for row in posts)
    for model in ("student", "teacher"):
        good = row_of(found["shares"], model=model, question="correct_gold", posts="both right")
        assert good["n"] == good["yes"] == both
    agreed = row_of(found["agreement"], question="correct_gold")
    assert agreed["all alike"] == pytest.approx(1 - (24 - right) / 48)
    # Two raters alike, and each of them against the third, who always says yes.
    assert agreed["kappa"] == pytest.approx({"value": 1 / 3, "low": 0, "high": 1, "pairs": 3})
    assert agreed["alpha"] < agreed["AC1"] < 1
    assert row_of(found["agreement"], question="complete")["alpha"] is None
    assert found["raters"] == 3 and found["attention"] == {"passed": 4 + 2 + 4, "of": 3 * 4}
    assert found["attentive"] == 2  # rater-bbbb, who always says yes, passed half
    differ = lists.disagreements(rate(student), key)
    assert len(differ) == 24 - right and set(differ["model"]) == {"student"}
    assert set(differ["rater-aaaa"]) == {"yes"} and set(differ["question"]) == {"correct_gold"}


def test_equivalence_is_tested_on_pairs():
    items, key = SHEET
    found = results.measure(ratings.check(rate(student), items), key, margin=0.15)
    posts = [row for row in key if not row["check"]]
    wrong = sum(not row["right"]["student"] for row in posts)
    gold = row_of(found["equivalence"], question="correct_gold", posts="all")
    assert (gold["pair"], gold["n"]) == ("student - teacher", 24)
    assert (gold["only_a"], gold["only_b"]) == (0, wrong)
    assert gold["difference"] == equivalence.tost(0, wrong, 24, 0.15)
    assert gold["difference"]["value"] < gold["population"]["value"] < 0
    table = report.shown(found)["ratings_equivalence"]
    assert table["p_value"].tolist() == [r["population"]["p_value"] for r in found["equivalence"]]
    own = row_of(found["equivalence"], question="correct_own", posts="all")
    assert own["difference"]["equivalent"] and not gold["difference"]["equivalent"]


@pytest.mark.parametrize(
    ("answers", "joined"),
    [
        ("yes yes no", "yes"),
        ("yes partly no", "partly"),
        ("yes no skip", "no"),
        ("no no yes", "no"),
    ],
)
def test_raters_are_joined_by_their_lower_median(answers, joined):
    said = dict(zip(("rater-aaaa", "rater-bbbb", "rater-cccc"), answers.split(), strict=True))
    found = results.measure(rate(lambda rater, *_: said[rater]), SHEET[1], margin=0.1)
    assert all(row[joined] == row["n"] for row in found["shares"])


def test_what_nobody_answered_is_null_and_still_drawn(run):
    found = results.measure(rate(lambda *_: "skip"), SHEET[1], margin=0.1)
    assert all(row["n"] == 0 and row["share"]["value"] is None for row in found["shares"])
    assert all(row["difference"]["equivalent"] is None for row in found["equivalence"])
    assert all(row["alpha"] is None and row["AC1"] is None for row in found["agreement"])
    report.save(found, run)
    one_side = rate(yes)[lambda t: t["side"] == "A"]
    found = results.measure(one_side, SHEET[1], margin=0.1)
    assert {row["n"] for row in found["equivalence"]} == {0}
    with pytest.raises(ValueError, match="another"):
        results.measure(rate(yes), drawn(seed=9)[1], margin=0.1)


def test_everything_made_of_simulated_ratings_says_so(run):
    for table, kind in ((ratings.simulate(SHEET[0]), "simulated"), (rate(student), "human")):
        found = results.measure(table, SHEET[1], margin=0.1)
        figure = report.save(found, run)
        title = figure.get_suptitle()
        assert ("SIMULATED" in title) == (kind == "simulated") == (found["kind"] == "simulated")
        for path in run.figures("ratings")[:2]:
            assert path.stat().st_size > 1000
        assert json.loads(run.figure("ratings", "json").read_text())["kind"] == kind
        for name in report.NAMES:
            text = run.table(name, "tex").read_text()
            assert ("SIMULATED" in text) == (kind == "simulated")
            rows = json.loads(run.table(name, "json").read_text())
            assert rows and {row["ratings"] for row in rows} == {kind}


def test_a_file_without_an_answer_is_named_with_what_to_do(run, caplog):
    items, _ = SHEET
    blank, form, export = (run.ratings(f"returned/mine.{end}") for end in ("csv", "jsonl", "json"))
    spreadsheet.write(items, blank, "rater-aaaa")
    with pytest.raises(ValueError, match="mine.csv: no rating was given by rater-aaaa, every answ"):
        results.collect(run, items)
    blank.unlink()
    head = {"kind": "human", "sheet": items[0]["sheet"], "rater": "rater-bbbb"}
    form.write_text(json.dumps({"at": "2026-01-05T09:00:00", "event": "consent"} | head) + "\n")
    assert results.collect(run, items) is None and "left out: mine.jsonl" in caplog.text
    spreadsheet.write(items, blank, "rater-aaaa", rate(yes, raters=["rater-aaaa"]))
    assert set(results.collect(run, items)["rater"]) == {"rater-aaaa"}
    blank.unlink()
    form.unlink()
    untouched = [task | {"annotations": []} for task in label_studio.tasks(items)]
    nothing = {"completed_by": 3, "was_cancelled": False, "result": []}
    submitted = [{**untouched[0], "annotations": [nothing]}, *untouched[1:]]
    for tasks, named in (([], ""), (untouched, ""), (submitted, " by rater-ls003")):
        export.write_text(json.dumps(tasks))
        with pytest.raises(ValueError, match=f"mine.json: no rating was given{named}, every answ"):
            results.collect(run, items)


def test_a_file_that_cannot_be_read_is_named_and_capitals_are_no_hindrance(run):
    items, _ = SHEET
    table = rate(yes, raters=["rater-0001"])
    spreadsheet.write(items, run.ratings("returned/rater-0001.CSV"), "rater-0001", table)
    run.ratings("returned/.hidden.xlsx").touch()
    run.ratings("returned/folder").mkdir()
    assert len(results.collect(run, items)) == len(table)
    run.ratings("returned/rater-0002.xlsx").touch()
    with pytest.raises(ValueError, match="rater-0002.xlsx cannot be read: save .* as .csv"):
        results.collect(run, items)
