"""Spreadsheet and Label Studio: the same ratings out and back in, whatever the posts hold."""

import csv
import json
import re
from xml.etree import ElementTree

import pytest
from pandas.testing import assert_frame_equal
from rated import HOSTILE, drawn

from hsd_utils import ratings
from hsd_utils.ratings import QUESTIONS, label_studio, sheet, spreadsheet

# Cells that another separator than the comma, or a line taken for a row, would make of a text.
SPLIT = [
    "fine words;=HYPERLINK(1)",
    'a\t=1\t"@b"',
    "a,-1,b;+1",
    'a;"=1";""@b""; "＝1"',
    "a\n=1\r\n-1\r+1\n\n  @b",
    "a;'=1;''b;'",
    ";;=;\u2028=1;\t;=1",
    "'tis,'twas; it's 'so'",
]

FORMULA = re.compile(r"[\s\"]*[=+\-@＝＋－＠]")


@pytest.fixture
def items():
    texts = HOSTILE + SPLIT
    return drawn(texts=texts * 3, n=3 * len(texts))[0]


@pytest.fixture
def given(items):
    """What one rater said: every answer there is, a skipped one and one not rated."""
    rows = ratings.simulate(items, raters=1)
    rows.loc[3, list(QUESTIONS)] = "skip"
    return rows.drop(index=5).reset_index(drop=True)


@pytest.fixture
def filled(items, given, tmp_path):
    path = tmp_path / "rater-sim1.csv"
    spreadsheet.write(items, path, "rater-sim1", given)
    return path


def edited(path, change):
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    change(rows)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.mark.parametrize("text", [*HOSTILE, *SPLIT, "", "plain"])
def test_formulas_are_neutralised_and_come_back(text):
    cell = spreadsheet.neutralise(text)
    assert spreadsheet.restore(cell) == text
    assert cell.lstrip(" \n")[:1] not in set("=+-@＝\t\r")
    assert text != "plain" or cell == text
    assert not [part for part in re.split(r"[;,\t\r\n]", cell) if FORMULA.match(part)]


def test_what_begins_no_cell_stays_as_it_is():
    for text in ("it's 2+2=4 - or (so) a@b.org", "one, two; it's 'three'", "a=1;b=2"):
        assert spreadsheet.neutralise(text) == spreadsheet.restore(text) == text
    assert spreadsheet.neutralise("fine words;=HYPERLINK(1)") == "fine words;'=HYPERLINK(1)"
    assert spreadsheet.neutralise('a, "=1"\n-b') == "a,' \"=1\"\n'-b"


def test_ratings_go_out_as_csv_and_come_back(filled, items, given):
    assert_frame_equal(spreadsheet.read(filled, items), given)


def test_no_cell_of_the_csv_is_a_formula_and_texts_are_whole(filled, items):
    with open(filled, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(items)
    assert not [c for row in rows for c in row.values() if re.match(r"\s*[=+\-@＝]|[\t\r]", c)]
    texts = {item["item"]: item["text"] for item in items}
    assert all(spreadsheet.restore(row["text"]) == texts[row["item"]] for row in rows)
    assert not {"teacher", "student"} & {cell for row in rows for cell in row.values()}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_is_a_formula_whatever_the_separator_of_the_spreadsheet(filled, items, separator):
    with open(filled, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.reader(file, delimiter=separator))
    cells = [cell for row in rows for cell in row]
    assert any("HYPERLINK" in cell for cell in cells)
    lines = filled.read_text(encoding="utf-8-sig").splitlines()
    assert not [part for part in cells + lines if FORMULA.match(part)]
    read = spreadsheet.read(filled, items)  # by commas, as it was written
    assert len(read) == 2 * len(items) - 1


def test_an_empty_csv_is_marked_human_and_wants_consent(items, tmp_path):
    path = tmp_path / "mine.csv"
    spreadsheet.write(items, path, "rater-0a1b")
    with pytest.raises(ValueError, match="no rating was given"):
        spreadsheet.read(path, items)

    def rate(rows):
        for name in QUESTIONS:
            rows[1][rows[0].index(name)] = " Yes "

    edited(path, rate)
    with pytest.raises(ValueError, match="rater-0a1b has not written yes under consent"):
        spreadsheet.read(path, items)
    edited(path, lambda rows: rows[9].__setitem__(rows[0].index("consent"), "YES"))
    found = spreadsheet.read(path, items)
    assert len(found) == 1 and ratings.kind(found) == "human"
    assert found.loc[0, "complete"] == "yes" and found.loc[0, "side"] == "A"


def test_each_rater_of_a_csv_consents_and_empty_rows_are_no_rows(filled, items, given):
    edited(filled, lambda rows: rows.append([" "] * len(rows[0])))
    assert_frame_equal(spreadsheet.read(filled, items), given)

    def another(rows):
        rows[1][2:4] = "rater-0a1b", ""

    with pytest.raises(ValueError, match="csv: rater-0a1b has not written yes under consent"):
        spreadsheet.read(edited(filled, another), items)


def test_a_csv_from_another_spreadsheet_program_is_read(filled, items, given):
    with open(filled, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    with open(filled, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=";", lineterminator="\r\n").writerows(rows)
    assert_frame_equal(spreadsheet.read(filled, items), given)


@pytest.mark.parametrize("name", spreadsheet.SHOWN)
def test_a_csv_that_was_damaged_names_rater_and_item(filled, items, name):
    def sort_one_column(rows):
        at = rows[0].index(name)
        for row, text in zip(rows[1:], sorted(row[at] for row in rows[1:]), strict=True):
            row[at] = text

    whole = filled.read_bytes()
    with pytest.raises(ValueError, match=rf"sim1, item-\d+ [AB]: beside another item's {name}"):
        spreadsheet.read(edited(filled, sort_one_column), items)
    with pytest.raises(ValueError, match="row 5: more or fewer cells"):
        spreadsheet.read(edited(filled, lambda rows: rows[4].pop()), items)
    filled.write_bytes(whole)
    with pytest.raises(ValueError, match="no column complete"):
        spreadsheet.read(edited(filled, lambda rows: rows[0].__setitem__(-3, "x")), items)
    filled.write_bytes(whole)
    with pytest.raises(ValueError, match="rater-sim1, item-002 B: correct_gold is 'maybe'"):
        spreadsheet.read(edited(filled, lambda rows: rows[4].__setitem__(-1, "maybe")), items)


def exported(items, given, user=7):
    """A JSON export of Label Studio in which ``user`` gave these answers."""
    done, tasks = given.set_index(["item", "side"]), label_studio.tasks(items)
    for number, task in enumerate(tasks):
        result = [
            {
                "from_name": f"{side}_{question}",
                "to_name": side,
                "type": "choices",
                "value": {"choices": [done.loc[(task["data"]["item"], side), question]]},
            }
            for side in "AB"
            for question in QUESTIONS
            if (task["data"]["item"], side) in done.index
        ]
        annotation = {"id": number, "completed_by": user, "was_cancelled": False, "result": result}
        guess = {"result": result, "model_version": "a model"}
        task |= {"id": number, "annotations": [annotation], "predictions": [guess]}
    return tasks


def test_ratings_come_back_from_label_studio(items, given, tmp_path):
    path = tmp_path / "export.json"
    path.write_text(json.dumps(exported(items, given)))
    expected = given.assign(kind="human", rater="rater-ls007").astype(object)
    assert_frame_equal(label_studio.read(path, items), expected)
    # A newer export holds the person: the address is not taken over.
    person = {"id": 7, "email": "someone@example.org"}
    path.write_text(json.dumps(exported(items, given, person)))
    assert_frame_equal(label_studio.read(path, items), expected)


def test_a_skipped_task_a_double_choice_and_a_second_submission(items, given, tmp_path):
    path, tasks = tmp_path / "export.json", exported(items, given)
    tasks[0]["annotations"][0] |= {"was_cancelled": True}  # what was clicked before comes along
    path.write_text(json.dumps(tasks))
    found = label_studio.read(path, items).set_index(["item", "side"])
    assert (found.loc["item-001", list(QUESTIONS)] == "skip").all(axis=None)
    again = exported(items, given)
    again[2]["annotations"] *= 2
    path.write_text(json.dumps(again))
    with pytest.raises(ValueError, match="rater-ls007, item-003 B: is rated twice"):
        label_studio.read(path, items)
    both = exported(items, given)
    both[4]["annotations"][0]["result"][0]["value"]["choices"] = ["yes", "no"]
    path.write_text(json.dumps(both))
    with pytest.raises(ValueError, match="rater-ls007, item-005 A: complete is 'yes and no'"):
        label_studio.read(path, items)


@pytest.mark.parametrize("text", ["[1]", "no json", '[{"data": {}}]', '[{"choice": "yes"}]'])
def test_another_export_is_refused(items, tmp_path, text):
    path = tmp_path / "export.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="export as JSON"):
        label_studio.read(path, items)


def test_the_sheet_goes_out_in_sessions_with_what_to_do(tmp_path):
    items, _ = drawn(count=200, n=81, checks=2)
    path = tmp_path / "mine.csv"
    spreadsheet.write(items, path, "rater-0a1b")
    with open(path, newline="", encoding="utf-8-sig") as file:
        header, *rows = csv.reader(file)
    (at,) = [n for n, name in enumerate(header) if name.startswith("session (at most 40 posts")]
    session = {row[header.index("item")]: row[at] for row in rows}
    assert list(session.values()) == ["1"] * 40 + ["2"] * 40 + ["3"] * 3
    tasks = label_studio.tasks(items)
    shown = [task["data"]["session"] for task in tasks]
    assert shown[39].startswith("Session 1: at most 40 posts") and shown[40] == shown[79]
    assert shown[40].startswith("Session 2: ") and shown[80].startswith("Session 3: ")
    assert "at most 40 posts in a session and then 12 hours of rest" in sheet.instructions()


def test_the_configuration_fits_the_tasks(items, tmp_path):
    label_studio.write(items, tmp_path / "tasks.json", tmp_path / "config.xml")
    root = ElementTree.parse(tmp_path / "config.xml").getroot()
    shown = {tag.get("name"): tag.get("value") for tag in root.iter("HyperText")}
    assert shown == {"A": "$A", "B": "$B"}
    assert "$session" in [tag.get("value") for tag in root.iter("Header")]
    names = {tag.get("name"): tag.get("toName") for tag in root.iter("Choices")}
    assert names == {f"{side}_{q}": side for side in "AB" for q in QUESTIONS}
    for tag in root.iter("Choices"):
        assert tuple(choice.get("value") for choice in tag) == ratings.ANSWERS
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert len(tasks) == len(items)
    for task, item in zip(tasks, items, strict=True):
        assert task["data"]["A"] == sheet.card(item, "A")
        assert "<script" not in str(task) and "onerror=alert(1)>" not in str(task)
    assert not re.search(r"teacher|student", json.dumps(tasks))
