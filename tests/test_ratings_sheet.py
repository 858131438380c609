"""The sheet: balanced, blinded, repeatable, with weights back and nothing of a post let loose."""

import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from rated import HOSTILE, drawn, models, sample
from test_layers import HEAVY

from hsd_utils import posts, ratings
from hsd_utils.paths import Run
from hsd_utils.ratings import sheet, spreadsheet


def test_the_same_seed_gives_the_same_sheet_and_another_another():
    assert drawn() == drawn()
    items, key = drawn()
    others, _ = drawn(seed=1)
    assert items[0]["sheet"] != others[0]["sheet"]
    assert len({item["item"] for item in items}) == len(items) == 14
    assert [item["item"] for item in items] == [row["item"] for row in key]


def test_strata_are_as_even_as_they_can_be_and_weights_lead_back():
    table = sample([f"post {n}" for n in range(400)])
    found = models(table)
    _, key = sheet.draw(table, found, n=100, checks=0, seed=3)
    rows = pd.DataFrame(key)
    sizes = rows.groupby("stratum")["weight"].agg(["size", "first"])
    assert len(sizes) == 8 and rows["weight"].sum() == pytest.approx(100)
    full = sizes["size"].max()
    population = sizes["first"] * sizes["size"] * 4  # of 400 posts
    assert ((sizes["size"] >= full - 1) | np.isclose(sizes["size"], population)).all()
    # Weighted, the sheet has the accuracy of all predictions; unweighted it has not.
    for model, predicted in found.items():
        right = np.array([row[model] for row in rows["right"]])
        whole = (predicted["predicted"] == table["label"]).mean()
        assert np.average(right, weights=rows["weight"]) == pytest.approx(whole)
        assert abs(right.mean() - whole) > 0.02


def test_the_key_says_who_wrote_what_and_the_sheet_does_not():
    table = sample([f"post {n}" for n in range(100)])
    found = models(table)
    items, key = sheet.draw(table, found, n=40, checks=4, seed=0)
    said = {m: rows.set_index("id")["explanations"] for m, rows in found.items()}
    for item, row in zip(items, key, strict=True):
        assert set(item) == {"sheet", "item", "text", "gold", "A", "B"}
        assert set(item["A"]) == {"label", "explanations"}
        if row["check"] is None:
            for side in "AB":
                told = said[row[side]][row["id"]]
                assert [e["input"] for e in item[side]["explanations"]] == [
                    e["input"] for e in told
                ]
                own = item[side]["label"] == item["gold"]
                assert own == row["right"][row[side]]
        else:
            assert set(row["check"].values()) == {"yes", "no"}
            wrong = next(side for side, answer in row["check"].items() if answer == "no")
            assert item[wrong]["explanations"][0]["start"] is None
            (told,) = item["A" if wrong == "B" else "B"]["explanations"]
            assert item["text"][told["start"] : told["end"]] == told["input"]
    first = [row["A"] for row in key if row["check"] is None]
    assert 14 <= first.count("teacher") <= 26
    places = [n for n, row in enumerate(key) if row["check"]]
    assert len(places) == 4 and places != list(range(40, 44))
    names = {"teacher", "student"} | {row["id"] for row in key if row["id"]}
    assert not names & set(str(items).split("'"))


def test_what_cannot_be_drawn_is_refused():
    table = sample([f"post {n}" for n in range(40)])
    found = models(table)
    with pytest.raises(ValueError, match="pairs"):
        sheet.draw(table, {"teacher": found["teacher"]}, seed=0)
    with pytest.raises(ValueError, match="student: 1 posts without"):
        sheet.draw(table, found | {"student": found["student"][1:]}, seed=0)
    with pytest.raises(ValueError, match="n is 2"):
        sheet.draw(table, found, n=2, seed=0)
    items, key = sheet.draw(table, found, n=1000, checks=0, seed=0)
    assert len(items) == 40 and {row["weight"] for row in key} == {1.0}


def test_sheet_and_key_are_written_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path))
    run, (items, key) = Run("r"), drawn(texts=HOSTILE, n=18)
    sheet.write(run, items, key)
    assert posts.read_rows(run.ratings("sheet.jsonl")) == items
    assert posts.read_rows(run.ratings_key) == key
    folder = run.ratings("")
    assert run.ratings_key.parent != folder
    assert not any("teacher" in path.read_text() for path in folder.iterdir())
    (other, its), old = drawn(texts=HOSTILE, n=18, seed=1), items[0]["sheet"]
    sheet.write(run, other, its)  # the first may be out with raters: nothing of it is lost
    assert posts.read_rows(run.ratings_key) == its
    assert posts.read_rows(run.folder / f"ratings-key-{old}.jsonl") == key
    assert posts.read_rows(run.ratings(f"sheet-{old}.jsonl")) == items


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.seen, self.text = [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, *sorted(name for name, _ in attrs)))

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_card_shows_a_hostile_post_as_text_and_nothing_else(text):
    answer = {"label": 1, "explanations": [
        {"input": text, "explanation": text, "start": 0, "end": max(1, len(text) // 2)},
        {"input": text, "explanation": text, "start": 0, "end": len(text)},
        {"input": "absent", "explanation": text, "start": None, "end": None},
    ]}  # fmt: skip
    item = {"item": "item-001", "text": text, "gold": 0, "A": answer}
    found = Tags(sheet.card(item, "A"))
    allowed = {"style", "div", "p", "ol", "li", "b", "mark", "sup"}
    assert {tag for tag, *_ in found.seen} == allowed
    assert {name for _, *names in found.seen for name in names} <= {"class", "dir", "tabindex"}
    shown = "".join(found.text).split("}\n")[-1]
    kept = shown.replace("2", "").replace("1", "").replace("\r", "\n")
    plain = text.replace("2", "").replace("1", "").replace("\r", "\n")
    assert plain in kept  # every letter stands between the marks


def test_quotes_are_numbered_where_they_stand_and_blurred_until_looked_at():
    told = [("one two", 0, 7), ("two three", 4, 13)]
    answer = {
        "label": 0,
        "explanations": [
            {"input": q, "explanation": "why", "start": s, "end": e} for q, s, e in told
        ],
    }
    item = {"item": "item-001", "text": "one two three four", "gold": 1, "B": answer}
    html = sheet.card(item, "B")
    marked = "<mark>one </mark><mark>two</mark><sup>1</sup><mark> three</mark><sup>2</sup> four"
    assert marked in html and 'class="hsd-blur"' in html
    assert "says: <b>not hate</b>. Reference label: <b>hate</b>" in html
    assert 'class="hsd-blur"' not in sheet.card(item, "B", blurred=False)
    empty = {"item": "i", "text": "x", "gold": 1, "B": {"label": 0, "explanations": []}}
    assert "(nothing was explained)" in sheet.card(empty, "B")


def test_raters_are_told_everything_first():
    told = sheet.instructions()
    for part in ("Content warning", "stop at any time", "skip", "Support", "Piot and Parapar"):
        assert part in told
    for example in ratings.rubric()["examples"]:
        assert example["post"] in told
        assert {example[question] for question in ratings.QUESTIONS} <= set(ratings.ANSWERS)
        assert all(e["input"] in example["post"] for e in example["explanations"])
    for check in ratings.rubric()["checks"]:
        assert check["right"][0]["input"] in check["text"]
        assert check["wrong"][0]["input"] not in check["text"]


def test_attention_checks_are_not_known_by_a_name_of_the_examples():
    told = ratings.rubric()
    examples = " ".join(example["post"] for example in told["examples"])
    checks = " ".join(check["text"] for check in told["checks"])
    names = {name.removesuffix("s") for name in re.findall(r"[A-Z]\w{4,}", examples)}
    assert names and not [name for name in names if name in checks]


def test_the_package_imports_nothing_heavy_and_no_widgets():
    modules = "agreement equivalence form label_studio report results sheet spreadsheet".split()
    code = "import sys\nsys.modules['ipywidgets'] = None\n"  # as if it were not installed
    code += f"from hsd_utils.ratings import {', '.join(modules)}\n"
    code += f"print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_cell_that_a_spreadsheet_takes_for_a_date_or_a_number_is_text(tmp_path):
    taken = ["9/11", "1e5", "1E+05", "08:30", "May 5", "5-Mär-2020", "5 pm", "1. 2."]
    free = ["nine eleven", "May", "on May 5", "5 or 6 times"]
    items, _ = drawn(texts=[*taken, *free] * 2, n=24, checks=0)
    spreadsheet.write(items, tmp_path / "sheet.csv", "rater-0a1b2c")
    written = pd.read_csv(tmp_path / "sheet.csv", dtype=str)
    assert set(written["text"]) == {*(f"'{text}" for text in taken), *free}
    texts = {item["item"]: item["text"] for item in items}
    back = written["text"].map(spreadsheet.restore)
    assert list(back) == list(written["item"].map(texts))
    assert not written["sheet"].str.fullmatch(r"\d+(e\d+)?").any()
