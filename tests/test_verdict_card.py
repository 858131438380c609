"""The verdict card, its calibrated probability and the figures of notebook 06."""

import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hsd_utils import bootstrap, calibration, figures_shift, posts, verdict, verdict_card

TEXT = "Kind people <script>alert('x')</script> & $dear$ people"


def row(*phrases, label=1, text=TEXT, **more):
    given = [{"input": p, "explanation": f"Reason {n}."} for n, p in enumerate(phrases, 1)]
    located = verdict.quotes(verdict.Parsed(label, given), text)
    return {"predicted": label, "p_hate": 0.25, "explanations": located} | more


class Reader(HTMLParser):
    """Tags opened, and the text in all and inside marks."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.marked, self.inside = [], "", [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.inside = self.inside or tag == "mark"
        self.marked += [""] if tag == "mark" else []

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "mark"

    def handle_data(self, data):
        self.text += data
        if self.inside:
            self.marked[-1] += data


def read(*given, **more):
    return Reader(verdict_card.html(TEXT, *given, reveal=True, **more))


def test_quotes_are_marked_and_numbered_in_the_post():
    card = read(row("dear$ people", "Kind people"), gold=0, probability=0.614)
    assert card.marked == ["Kind people", "dear$ people"]
    assert "Kind people2 <script>" in card.text and "dear$ people1" in card.text
    assert (
        "hate" in card.text and "P(hate) 0.25" in card.text and "annotators: not hate" in card.text
    )
    assert "calibrated probability of hate 61%" in card.text and "Reason 2." in card.text


def test_overlapping_quotes_keep_every_letter_once():
    card = read(row("Kind people <script>", "people <script>alert"))
    assert card.marked == ["Kind ", "people <script>", "alert"]
    assert "Kind people <script>1alert2('x')</script> & $dear$ people“" in card.text


def test_a_quote_that_is_not_there_or_is_the_whole_post_is_said_to_be():
    card = read(row("nowhere at all", TEXT))
    assert "(not in the post)" in card.text and "(the whole post)" in card.text
    assert read({"predicted": None, "p_hate": None, "note": "no text"}).text.count("no text") == 1


def test_nothing_in_a_post_becomes_markup():
    attack = row("<img src=x onerror=alert(1)>", text=TEXT)
    attack["explanations"][0]["explanation"] = "</li><script>alert(2)</script>"
    made = verdict_card.html(TEXT, attack | {"reason": "<b>bold</b>"}, reveal=True)
    assert {"script", "img", "b"}.isdisjoint(Reader(made).tags)
    assert "<script>" in Reader(made).text and "mathjax_ignore" in made


def test_it_is_masked_unless_asked():
    masked = verdict_card.html(TEXT, row("dear$ people"))
    assert "people" not in masked and "Reason" not in masked and "d•••" in masked
    assert Reader(masked).marked == [posts.mask("dear$ people")]


def test_it_names_no_colour_of_page_or_text():
    made = verdict_card.html(TEXT, row("dear$ people"), 1, 0.5)
    assert not re.search(
        r"#[0-9a-f]{3,6}\b|white(?!-space)|black|(?<![-\w])color: (?!inherit)", made
    )
    assert "color: inherit" in made and "rgba(" in made and "<style" not in made


def test_several_posts_by_id_and_missing_values():
    told = pd.DataFrame({"text": [TEXT, "other"], "label": [1, 0]})
    sample = posts.make(told.assign(source="toy"))
    rows = pd.DataFrame([row("dear$ people"), row(label=0, text="other", p_hate=None)])
    rows = rows.assign(id=sample["id"], reason=[np.nan, "empty"])
    made = verdict_card.show(sample, rows.iloc[::-1], 5, calibrate=lambda p: [0.5]).data
    assert made.count("calibrated") == 1 and "nan" not in made and "empty" in made
    assert made.index("o••••") < made.index("K•••")
    assert verdict_card.show(sample, rows, 1).data.count("line-height") == 1
    assert "annotators" not in verdict_card.html(TEXT, row("people"))


def test_calibration_keeps_the_order_and_moves_to_the_frequency():
    p = np.linspace(0.01, 0.2, 200)  # always low, half of the posts hateful
    label = (np.random.default_rng(0).random(200) < p * 4).astype(int)
    found = calibration.platt(label, p)(p)
    assert (np.diff(found) > 0).all() and abs(found.mean() - label.mean()) < 0.02
    assert np.isfinite(calibration.platt([0, 1, 1], [0.0, 1.0, 0.5])([0.0, 1.0])).all()
    assert (calibration.platt(label, 1 - p)(p) == label.mean()).all()  # never turned round
    for wrong in (([1, 1], [0.2, 0.3]), ([0, 1], None)):
        with pytest.raises(ValueError, match="no calibration: (no scores|only one class)"):
            calibration.platt(*wrong)


@pytest.mark.filterwarnings("error")
def test_figures_leave_out_what_is_null():
    plt.switch_backend("agg")
    some = {"value": 0.4, "low": 0.2, "high": 0.5}
    none = bootstrap.absent("no human spans")
    both = {"comprehensiveness": some, "sufficiency": none}
    models = {"teacher": {"quotes": both, "MiniLM": both}, "student": {"quotes": both}}
    figure = figures_shift.faithfulness(models)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["quotes", "MiniLM"]

    def dots(axes):
        return sum(len(model.lines[0].get_xdata()) for model in axes.containers)

    assert [dots(axes) for axes in figure.axes] == [3, 0]
    data = {"token f1": {"teacher": some, "student": none}, "quotes found": {"student": some}}
    figure = figures_shift.measures(data)
    assert dots(figure.axes[0]) == 2
    rounded = {"value": 0.3, "low": 0.1 + 0.2, "high": 0.3 - 1e-16}
    figures_shift.measures({"token f1": {"teacher": rounded}})
    figure.canvas.draw()
    plt.close("all")
